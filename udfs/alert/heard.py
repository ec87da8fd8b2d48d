"""Up to when all of metrics.raw has been read: what the clock's beats tell, which pass every partition of it.

Subtasks of the gate are not equally quick: one that collects garbage, or comes back later than the others, holds
samples that event time, which follows the quick ones, is already past. A tick judged then would find hosts gone that
have sent all along. A partition is read in its order: whoever has heard the beat of a second by way of each has been
sent all that came before it. All beats are one series and so come to one subtask of match, which tells judge's
subtasks, among the pieces, whenever the last partition has come up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.batch import Batch
from udfs.alert.recording import partition_of

# How the keys begin by which it is told; those of rules are JSON (Address).
MARK = "heard/"
# How far beats may be behind the samples that made a tick due: they come once a second, and by a way of their own.
SLACK_MS = 2_000
# How long a tick waits for the beats at most: a partition that is not read at all must not end alerting.
PATIENCE_MS = 60_000
# How often it is looked whether they have come. Until then all that wait do so: keys keep their order.
ASKED_MS = 1_000


@dataclass(slots=True)
class Reading:
    """How far each partition of metrics.raw has been read. tenant: whose the beats are; marks: where it is told."""

    tenant: str = ""
    marks: Sequence[str] = ()
    _at: dict[int, int] = field(default_factory=dict)
    _told: int = 0

    def take(self, batch: Batch) -> Iterator[tuple[str, bytes]]:
        """Yield (mark, broker's stamp in ms since 1970 UTC) for each mark, if a batch of metrics.valid moves it on."""
        if not self.marks or batch.tenant != self.tenant or batch.received_at is None:
            return
        where = partition_of(batch.source)
        if where is None:
            return
        self._at[where[0]] = batch.received_at
        whole = len(self._at) >= where[1] and min(self._at.get(one, 0) for one in range(where[1]))
        if whole > self._told:
            self._told = whole
            yield from ((mark, b"%d" % whole) for mark in self.marks)


@dataclass(slots=True)
class Heard:
    """What one subtask of judge has heard, for all its keys.

    lateness: how far behind the samples event time runs; patience: how long a tick waits at most; ms. Ticks that have
    waited so long are judged without, and those behind them at once, until the beats are near again.
    """

    lateness: int
    patience: int = PATIENCE_MS
    _read: int = 0
    _seen: int = 0
    _until: int = 0
    _since: int = 0
    _deaf: bool = False

    def take(self, told: bytes) -> None:
        """Hear what Reading told; what is older, as after a restore, changes nothing."""
        self._read = max(self._read, int(told))

    def due(self, tick: int, now: int) -> int:
        """Return when the tick may be judged: `now` if at once, else ask again. All in ms."""
        asks = now >= self._until
        if asks:
            self._seen = self._read
        if self.covers(tick):
            if asks:
                self._since, self._until, self._deaf = 0, 0, False
            return now
        if self._deaf:
            return now
        if asks:
            self._since = self._since or now
            self._deaf = now - self._since >= self.patience
            self._until = 0 if self._deaf else now + ASKED_MS
        return max(now, self._until)

    def covers(self, tick: int) -> bool:
        """Tell whether all was read that the tick looks at, as far as was known when it was last asked for one."""
        return tick + self.lateness - SLACK_MS <= self._seen

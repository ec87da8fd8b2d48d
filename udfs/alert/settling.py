"""When ticks of the past may be judged: behind an outage the stream comes in disorder.

While jobs were down, records waited in many partitions. They are then read within moments, partition by partition, by
subtasks that do not start together, and the first to be read carry event time past samples that others still hold. A
tick judged as event time passes it would find hosts gone that have sent all along, end their alerts and begin them
anew. So ticks that are late by the clock wait until what is read beside them has come too.
"""

from dataclasses import dataclass

# How far behind the clock event time is at most, lateness apart, where a stream has caught up.
UNDERWAY_MS = 5_000


@dataclass(slots=True)
class Settling:
    """One for all keys of a subtask; ticks of a key are due in their order. All in ms.

    lateness: how far behind the samples event time runs. hold: how long ticks wait that are of the past; 0: not at all.
    They wait once: what comes meanwhile has to be worked off too, and a job that is half busy would never be done with
    waiting. After that none waits until ticks of now have been judged. Where nothing was judged before, as in a job
    that starts for the first time, nothing can end wrongly, and none waits until then either.
    """

    lateness: int
    hold: int
    _until: int = 0
    _waited: bool = False
    _first: int = 0
    _new: bool = True

    @property
    def behind(self) -> int:
        """The age of ticks from which on they are of the past."""
        return self.lateness + UNDERWAY_MS + self.hold

    def due(self, tick: int, judged: int, now: int) -> int:
        """Return when the tick may be judged: `now` if at once, else ask again. judged: the key's last, 0: none."""
        if now < self._until:
            return self._until
        self._first = self._first or tick
        age = now - tick
        if age <= self.lateness + UNDERWAY_MS:
            self._waited = self._new = False
        if 0 < judged < self._first:  # by another process
            self._new = False
        if self._new or self._waited or age <= self.behind:
            return now
        self._waited, self._until = True, now + self.hold
        return self._until

"""What waits for the broker: bounded, the oldest goes first when it is full."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Condition


@dataclass(frozen=True, slots=True)
class Record:
    """One encoded batch, with the number of its samples for the accounts."""

    key: bytes
    value: bytes
    samples: int


@dataclass(slots=True)
class Outbox:
    """A queue of records for one producer thread. Every drop is counted: nothing disappears unseen.

    Records that were taken still count, in number and bytes, until they are settled.
    """

    max_batches: int
    max_bytes: int
    bytes: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    dropped_batches: int = field(default=0, init=False)
    dropped_samples: int = field(default=0, init=False)
    overflowed: int = field(default=0, init=False)
    """Batches among the dropped that had no room."""
    _queue: deque[Record] = field(default_factory=deque, init=False)
    _changed: Condition = field(default_factory=Condition, init=False)

    def __len__(self) -> int:
        return len(self._queue) + self._taken

    def put(self, record: Record) -> None:
        """Append a record; drops the oldest ones while the box is over a limit."""
        with self._changed:
            self._queue.append(record)
            self.bytes += len(record.value)
            self._trim()
            self._changed.notify()

    def take(self, most: int, wait_s: float) -> list[Record]:
        """Return up to `most` records, the oldest first; waits up to wait_s for the first one."""
        with self._changed:
            if not self._queue:
                self._changed.wait(wait_s)
            taken = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._taken += len(taken)
            return taken

    def give_back(self, records: Iterable[Record]) -> None:
        """Put taken records that could not be sent back to the front, in their order."""
        with self._changed:
            for record in reversed(list(records)):
                self._queue.appendleft(record)
                self._taken -= 1
            self._trim()

    def settle(self, record: Record, sent: bool) -> None:
        """Forget a taken record: it was sent, or it can never be and counts as dropped."""
        with self._changed:
            self._taken -= 1
            self.bytes -= len(record.value)
            if not sent:
                self._count(record)

    def wake(self) -> None:
        """Let a waiting take() return at once."""
        with self._changed:
            self._changed.notify_all()

    def _trim(self) -> None:
        while self._queue and (len(self) > self.max_batches or self.bytes > self.max_bytes):
            oldest = self._queue.popleft()
            self.bytes -= len(oldest.value)
            self.overflowed += 1
            self._count(oldest)

    def _count(self, record: Record) -> None:
        self.dropped_batches += 1
        self.dropped_samples += record.samples

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
    """

    lateness: int
    hold: int
    _covered: int = -(1 << 63)
    _until: int = 0

    @property
    def behind(self) -> int:
        """The age of ticks from which on they are of the past: more than what a wait makes of those of now."""
        return self.lateness + UNDERWAY_MS + self.hold

    def due(self, tick: int, watermark: int, now: int) -> int:
        """Return when the tick may be judged: `now` if at once, else ask again then.

        What event time has passed when a wait begins is over with it; what it passes meanwhile is looked at then.
        """
        if now < self._until:
            return self._until
        if tick <= self._covered or now - tick <= self.behind:
            return now
        self._covered, self._until = watermark, now + self.hold
        return self._until

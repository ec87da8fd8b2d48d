"""When ticks of the past may be judged: behind an outage the stream comes in disorder.

While jobs were down, records waited in many partitions. They are then read within moments, partition by partition, by
subtasks that do not start together, and the first to be read carry event time past samples that others still hold. A
tick judged as event time passes it would find hosts gone that have sent all along, end their alerts and begin them
anew. So ticks that are late by the clock wait until event time has come up to it, and then for what is read beside.
"""

from collections.abc import Callable
from dataclasses import dataclass

# How far behind the clock event time is at most, lateness apart, where a stream has caught up.
UNDERWAY_MS = 5_000
# How long ticks wait for event time to come up to the clock. It does not where the clocks differ, or a job is too slow.
PATIENCE_MS = 60_000
# How often a key asks again.
ASKED_MS = 1_000


@dataclass(slots=True)
class Settling:
    """One for all keys of a subtask; ticks of a key are due in their order. All in ms.

    lateness: how far behind the samples event time runs. hold: how long ticks of the past wait once event time has come
    up to the clock; 0: not at all. They wait where there was an outage: at the start of a process, and when ticks have
    become later at one blow. A job that is slow falls behind step by step, and does not wait: what comes meanwhile has
    to be worked off too, so that it would never be done with waiting. A wait in which event time stood still, as it
    does until the gate is back, does not count.
    """

    lateness: int
    hold: int
    _armed: bool = True
    _lag: int = 0
    _free: int = -1
    _since: int = 0
    _near: int = 0
    _seen: int = 0
    _moved: int = 0

    @property
    def behind(self) -> int:
        """The age of ticks from which on they are of the past."""
        return self.lateness + UNDERWAY_MS + self.hold

    def due(self, tick: int, now: int, event_time: Callable[[], int]) -> int:
        """Return when the tick may be judged: `now` if at once, else ask again.

        event_time: tells the watermark, at least the tick; asked where a tick waits only, since it is Java that knows.
        """
        if not self._since:
            age, before = now - tick, self._lag
            self._lag = age
            if tick <= self._free or not self.hold:
                return now
            self._armed = age > self.behind and (self._armed or age - before > UNDERWAY_MS)
            if not self._armed:
                return now
            self._since, self._near, self._seen = now, 0, -1
        watermark = event_time()
        again = self._again(now, watermark)
        if again == now:
            self._since, self._free = 0, watermark
        return again

    def _again(self, now: int, watermark: int) -> int:
        """Return when to ask again, `now` if the wait is over."""
        if watermark > self._seen:
            self._seen, self._moved = watermark, now
        if not self._near and now - watermark <= self.lateness + UNDERWAY_MS:
            self._near = now
        ends = self._near + self.hold if self._near else self._since + PATIENCE_MS
        if now >= ends:
            self._armed = not self._near and now - self._moved >= self.hold
            return now
        return min(now + ASKED_MS, ends)

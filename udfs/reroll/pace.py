"""How often what waits is looked at, where looks cost something."""

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Leaves a subtask as much time as its looks take, however many keys wait.

    Flink fires what is due before it reads a record: without this, keys whose looks together take longer than the pause
    between two would keep out for good the late samples that they wait for, and checkpoints with them.
    """

    _free: float = 0.0

    def after(self, took: float, now: float) -> float:
        """Return how many seconds from now, at least, the key that was just looked at waits for its next look.

        took: what this look took, s. now: when it ended, s, by a clock that only rises.
        """
        begins = max(self._free, now) + took
        self._free = begins + took
        return begins - now

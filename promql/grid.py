"""The times at which a query is evaluated."""

from dataclasses import dataclass

import numpy as np

from promql.columns import Int64s


@dataclass(frozen=True, slots=True)
class Grid:
    """start, start + step, … up to end, in ms; one point if start = end. lookback: how long a sample stays current."""

    start_ms: int
    end_ms: int
    step_ms: int
    lookback_ms: int

    @property
    def size(self) -> int:
        """How many steps."""
        return 1 if self.step_ms <= 0 else (self.end_ms - self.start_ms) // self.step_ms + 1

    @property
    def last_ms(self) -> int:
        """The last step, at or before end."""
        return self.start_ms + (self.size - 1) * self.step_ms

    def times(self) -> Int64s:
        """Return int64 [T], ms."""
        return self.start_ms + np.arange(self.size, dtype=np.int64) * self.step_ms

"""irate and idelta: the change between the last two samples of a window (Prometheus, instantValue)."""

import numpy as np

from promql.columns import Floats, Mask
from promql.windows import Windows

Cells = tuple[Floats, Mask]


def irate(windows: Windows) -> Cells:
    """Return the per-second increase between the last two samples; after a reset, the last one counts from zero."""
    previous, last, seconds, present = _last_two(windows)
    change = np.where(last < previous, last, last - previous)
    return change / seconds, present


def idelta(windows: Windows) -> Cells:
    """Return the difference of the last two samples."""
    previous, last, _, present = _last_two(windows)
    return last - previous, present


def _last_two(windows: Windows) -> tuple[Floats, Floats, Floats, Mask]:
    columns, present = windows.columns, windows.count >= 2
    last = windows.take(columns.values, windows.high - 1, present)
    previous = windows.take(columns.values, windows.high - 2, present)
    last_ms = windows.take(columns.timestamps, windows.high - 1, present)
    previous_ms = windows.take(columns.timestamps, windows.high - 2, present)
    return previous, last, np.where(present, (last_ms - previous_ms) / 1000, 1.0), present

"""changes and resets: how often neighbouring samples of a window differ or fall."""

import numpy as np

from promql.columns import Floats, Mask
from promql.windows import Windows

Cells = tuple[Floats, Mask]


def changes(windows: Windows) -> Cells:
    """Return how often the value changed; NaN after NaN is no change."""
    values = windows.columns.values
    nan = np.isnan(values)
    return _count(windows, (values[1:] != values[:-1]) & ~(nan[1:] & nan[:-1]))


def resets(windows: Windows) -> Cells:
    """Return how often the value fell."""
    values = windows.columns.values
    return _count(windows, values[1:] < values[:-1])


def _count(windows: Windows, flags: Mask) -> Cells:
    """Count flags between neighbours; flags[i] is about the samples i and i + 1."""
    before = np.concatenate([[0], np.cumsum(flags)])
    some = windows.some
    first = windows.take(before, windows.low, some)
    last = windows.take(before, windows.high - 1, some)
    return (last - first).astype(np.float64), some

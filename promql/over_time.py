"""The *_over_time family: one value of each window's samples."""

from collections.abc import Callable

import numpy as np

from promql.columns import Floats, Mask
from promql.quantile import segment_quantiles
from promql.sums import mend, mend_mean
from promql.windows import Windows

Cells = tuple[Floats, Mask]


def _segment(windows: Windows) -> Callable[[int], Floats]:
    low, high, values = windows.low.reshape(-1), windows.high.reshape(-1), windows.columns.values

    def segment(index: int) -> Floats:
        # Whoever asks adds it term by term.
        windows.check()
        return values[low[index] : high[index]]

    return segment


def _total(windows: Windows) -> Callable[[Floats], Floats]:
    return lambda values: windows.reduce(np.add, values)


def sum_over_time(windows: Windows) -> Cells:
    """Return the sum of the samples."""
    values = windows.columns.values
    total = _total(windows)
    # Prometheus begins with 0, and so makes 0 of -0 alone.
    plain = total(values) + 0.0
    return mend(values, plain, total, _segment(windows)), windows.some


def avg_over_time(windows: Windows) -> Cells:
    """Return the mean of the samples."""
    values = windows.columns.values
    total, count = _total(windows), windows.count.astype(np.float64)
    return mend_mean(values, total(values) + 0.0, count, total, _segment(windows)), windows.some


def min_over_time(windows: Windows) -> Cells:
    """Return the smallest sample; NaN only if all are NaN."""
    return windows.reduce(np.fmin, windows.columns.values), windows.some


def max_over_time(windows: Windows) -> Cells:
    """Return the largest sample; NaN only if all are NaN."""
    return windows.reduce(np.fmax, windows.columns.values), windows.some


def count_over_time(windows: Windows) -> Cells:
    """Return how many samples there are."""
    return windows.count.astype(np.float64), windows.some


def present_over_time(windows: Windows) -> Cells:
    """Return 1 where there is a sample."""
    return windows.some.astype(np.float64), windows.some


def last_over_time(windows: Windows) -> Cells:
    """Return the newest sample."""
    return windows.take(windows.columns.values, windows.high - 1, windows.some), windows.some


def stdvar_over_time(windows: Windows) -> Cells:
    """Return the population variance."""
    out = np.zeros(windows.count.shape)
    for cells, sizes, samples in windows.chunks():
        starts = np.cumsum(sizes) - sizes
        values = windows.columns.values[samples]
        # Relative to the first sample: equal samples then have a variance of exactly 0.
        off = values - np.repeat(values[starts], sizes)
        off -= np.repeat(np.add.reduceat(off, starts) / sizes, sizes)
        out.reshape(-1)[cells] = np.add.reduceat(off * off, starts) / sizes
    return out, windows.some


def stddev_over_time(windows: Windows) -> Cells:
    """Return the population standard deviation."""
    variance, some = stdvar_over_time(windows)
    return np.sqrt(variance), some


def quantile_over_time(windows: Windows, level: Floats) -> Cells:
    """Return the quantile of the samples; level: float64 [T]."""
    out = np.zeros(windows.count.shape)
    levels = np.broadcast_to(level, out.shape).reshape(-1)
    for cells, sizes, samples in windows.chunks():
        out.reshape(-1)[cells] = segment_quantiles(windows.columns.values[samples], sizes, levels[cells])
    return out, windows.some

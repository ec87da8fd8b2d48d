"""rate, increase, delta: the change over a window, extrapolated to its edges (Prometheus, extrapolatedRate)."""

import itertools
from dataclasses import dataclass

import numpy as np

from promql.columns import Floats, Int64s, Mask
from promql.sums import CANCELLATION
from promql.windows import Windows

Cells = tuple[Floats, Mask]


@dataclass(frozen=True, slots=True)
class Edges:
    """What extrapolation needs of each window, [S, T]: number of samples, first and last one; its own edges [T], ms."""

    count: Int64s | Floats
    first: Floats
    last: Floats
    first_ms: Int64s | Floats
    last_ms: Int64s | Floats
    start_ms: Int64s
    end_ms: Int64s


def rate(windows: Windows) -> Cells:
    """Return the per-second increase of a counter."""
    values, present = _extrapolated(windows, counter=True)
    return values / ((windows.end_ms - windows.start_ms) / 1000), present


def increase(windows: Windows) -> Cells:
    """Return the increase of a counter."""
    return _extrapolated(windows, counter=True)


def delta(windows: Windows) -> Cells:
    """Return the change of a gauge."""
    return _extrapolated(windows, counter=False)


def lost(windows: Windows) -> Floats | None:
    """Return what resets took from the counter in each window, [S, T], to be added to last - first; None: nothing."""
    columns = windows.columns
    values = columns.values
    fell = np.zeros(len(values), np.bool_)
    fell[1:] = values[1:] < values[:-1]
    fell[columns.offsets[:-1][np.diff(columns.offsets) > 0]] = False
    if not fell.any():
        return None
    before = np.zeros(len(values))
    before[1:][fell[1:]] = values[:-1][fell[1:]]
    # A window's first sample cannot be a reset within it.
    return windows.reduce(np.add, before, low=windows.low + 1)


def _restored(windows: Windows, change: Floats) -> Floats:
    """Return last - first with what resets took; where the sum would cancel, in Prometheus's order of adding."""
    taken = lost(windows)
    if taken is None:
        return change
    whole = change + taken
    doubtful = np.abs(change) + np.abs(taken) > CANCELLATION * np.abs(whole)
    low, high = windows.low.reshape(-1), windows.high.reshape(-1)
    for cell in np.flatnonzero(doubtful & np.isfinite(whole)).tolist():
        windows.check()
        total = float(change.flat[cell])
        for before, value in itertools.pairwise(windows.columns.values[low[cell] : high[cell]].tolist()):
            total += before if value < before else 0.0
        whole.flat[cell] = total
    return whole


def _extrapolated(windows: Windows, counter: bool) -> Cells:
    columns = windows.columns
    present = windows.count >= 2
    edges = Edges(
        windows.count,
        windows.take(columns.values, windows.low, present),
        windows.take(columns.values, windows.high - 1, present),
        windows.take(columns.timestamps, windows.low, present),
        windows.take(columns.timestamps, windows.high - 1, present),
        windows.start_ms,
        windows.end_ms,
    )
    change = edges.last - edges.first
    if counter:
        change = _restored(windows, change)
    return extrapolated(edges, change, present, counter)


def extrapolated(edges: Edges, change: Floats, present: Mask, counter: bool) -> Cells:
    """Return the change between first and last sample as that of the whole window, where present."""
    # In place where it can be: these are the largest arrays of a query, and fresh ones cost more than the arithmetic.
    sampled = edges.last_ms - edges.first_ms
    sampled = np.divide(sampled, 1000, out=np.ones(sampled.shape), where=present)
    average = sampled / np.maximum(edges.count - 1, 1)
    threshold = average * 1.1
    average /= 2
    to_start = (edges.first_ms - edges.start_ms) / 1000
    to_end = (edges.end_ms - edges.last_ms) / 1000
    np.copyto(to_start, average, where=to_start >= threshold)
    np.copyto(to_end, average, where=to_end >= threshold)
    if counter:
        # A counter is not negative: it cannot have begun before the point where it would cross zero.
        crosses = (change > 0) & (edges.first >= 0)
        to_zero = np.divide(sampled * edges.first, change, out=np.full(change.shape, np.inf), where=crosses)
        np.minimum(to_start, to_zero, out=to_start)
    factor = np.add(sampled, to_start, out=to_start)
    factor += to_end
    factor /= sampled
    factor *= change
    return factor, present

"""What must be in ClickHouse, computed from the generated data by plain numpy, without the pipeline's own code."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s
from schemas.nan import Floats


@dataclass(frozen=True, slots=True)
class Expected:
    """Rollup rows of one host: every array has shape (windows, series); windows (windows,) in ms.

    sum_bound is how far a float64 sum of the same values may be from `sum`, whatever its order:
    (n - 1) * eps * sum of |x| (Higham, Accuracy and Stability, 4.2). values: (windows, n, series), sorted along n.
    """

    windows: Int64s
    count: int
    sum: Floats
    sum_bound: Floats
    sum_sq: Floats
    min: Floats
    max: Floats
    first: Floats
    last: Floats
    increase: Floats
    increase_bound: Floats
    values: Floats


def rollup(timestamps: Int64s, values: Floats, window_ms: int) -> Expected:
    """Return the rows of one host; timestamps (T,) regular and filling whole windows, values (T, S)."""
    windows, counts = np.unique((timestamps - 1) // window_ms * window_ms, return_counts=True)
    count = int(counts[0])
    if (counts != count).any():
        raise ValueError(f"windows of {counts.min()} to {counts.max()} samples: not all are full")
    panes = values.reshape(len(windows), count, -1)
    exact = panes.astype(np.longdouble)
    steps = np.diff(exact, axis=1)
    # A counter that falls began again at zero (Prometheus, "Counters and resets").
    grown = np.where(steps < 0, exact[:, 1:], steps)
    return Expected(
        windows=windows,
        count=count,
        sum=exact.sum(axis=1).astype(np.float64),
        sum_bound=_bound(panes, count),
        sum_sq=(exact * exact).sum(axis=1).astype(np.float64),
        min=panes.min(axis=1),
        max=panes.max(axis=1),
        first=panes[:, 0],
        last=panes[:, -1],
        increase=grown.sum(axis=1).astype(np.float64),
        # Each step is itself rounded to half a unit of its larger end.
        increase_bound=_bound(panes, count + 1),
        values=np.sort(panes, axis=1),
    )


def _bound(panes: Floats, count: int) -> Floats:
    bound: Floats = (count - 1) * np.finfo(np.float64).eps * np.abs(panes).sum(axis=1)
    return bound


def centroids(values: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Return (offsets (N+1,), means, weights) of N windows of n values each, shape (N, n), sorted along n.

    Few values stay exact: each distinct Float32 value with its count, written as 1, the rest, 1 if it came repeatedly.
    """
    shown = values.astype(np.float32).astype(np.float64)
    head = np.ones(shown.shape, dtype=bool)
    head[:, 1:] = shown[:, 1:] != shown[:, :-1]
    starts = np.flatnonzero(head.reshape(-1))
    weights = np.diff(np.append(starts, shown.size)).astype(np.float64)
    offsets = np.concatenate([[0], np.cumsum(head.sum(axis=1))])
    means, copies = shown.reshape(-1)[starts], np.minimum(weights, 3).astype(np.int64)
    ends = np.cumsum(copies)
    written = np.repeat(np.maximum(weights - 2, 1), copies)
    written[ends - 1] = written[ends - copies] = 1
    return np.concatenate([[0], ends])[offsets], np.repeat(means, copies), written

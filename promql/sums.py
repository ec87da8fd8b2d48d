"""Sums and means that survive cancellation and overflow, as Prometheus's compensated sums do.

The plain sum is right for nearly all segments. Those where it may not be (large terms of both signs, or finite
terms whose sum overflows) are found by one more pass and summed again, term by term.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from promql.columns import Floats, Mask

# Beyond this ratio of sum(|x|) to |sum(x)| a plain sum may be wrong in the tenth digit.
CANCELLATION = 1e4

Segment = Callable[[int], Floats]


def _doubtful(values: Floats, plain: Floats, total: Callable[[Floats], Floats]) -> npt.NDArray[np.intp]:
    """Return which plain sums cannot be trusted; total sums an array like values by the same segments."""
    finite = np.isfinite(values)
    doubt: Mask = np.zeros(plain.shape, np.bool_)
    overflow = ~np.isfinite(plain)
    if overflow.any():
        doubt |= overflow & (total((~finite).astype(np.float64)) == 0)
    if values.size and np.fmin.reduce(values, axis=None) < 0 < np.fmax.reduce(values, axis=None):
        magnitude = total(np.abs(np.where(finite, values, 0.0)))
        doubt |= np.isfinite(plain) & (magnitude > CANCELLATION * np.abs(plain))
    return np.flatnonzero(doubt)


def compensated_sum(values: Floats) -> float:
    """Return the sum by Neumaier's variant of Kahan's method, term by term as Prometheus adds."""
    total, lost = 0.0, 0.0
    for value in values.tolist():
        total, lost = _add(value, total, lost)
    return total if math.isinf(total) else total + lost


def compensated_mean(values: Floats) -> float:
    """Return the mean; from the term on at which the sum would overflow, it is updated instead (Prometheus, avg)."""
    total, lost, mean, count = 0.0, 0.0, 0.0, 0
    incremental = False
    for value in values.tolist():
        count += 1
        if not incremental:
            further, rest = _add(value, total, lost)
            if count == 1 or not math.isinf(further):
                total, lost = further, rest
                continue
            incremental = True
            mean, lost = total / (count - 1), lost / (count - 1)
        share = (count - 1) / count
        mean, lost = _add(value / count, share * mean, share * lost)
    return mean + lost if incremental else total / count + lost / count


def _add(value: float, total: float, lost: float) -> tuple[float, float]:
    further = total + value
    if math.isinf(further):
        return further, 0.0
    if abs(total) >= abs(value):
        return further, lost + ((total - further) + value)
    return further, lost + ((value - further) + total)


def mend(values: Floats, plain: Floats, total: Callable[[Floats], Floats], segment: Segment) -> Floats:
    """Return plain with its doubtful sums replaced. segment(i) gives the terms of the i-th sum, flat."""
    for index in _doubtful(values, plain, total):
        plain.flat[index] = compensated_sum(segment(int(index)))
    return plain


def mend_mean(
    values: Floats, plain: Floats, count: Floats, total: Callable[[Floats], Floats], segment: Segment
) -> Floats:
    """Return plain / count, doubtful ones replaced."""
    mean = np.divide(plain, count, out=np.zeros_like(plain), where=count > 0)
    for index in _doubtful(values, plain, total):
        mean.flat[index] = compensated_mean(segment(int(index)))
    return mean

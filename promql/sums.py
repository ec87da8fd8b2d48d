"""Sums and means that survive cancellation and overflow, as Prometheus's compensated sums do.

The plain sum is right for nearly all segments. Those where it may not be (large terms of both signs, or finite
terms whose sum overflows) are found by one more pass and summed exactly.
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


def exact_sum(values: Floats) -> float:
    """Return the correctly rounded sum of finite values; beyond float64 it is infinite."""
    try:
        return math.fsum(values)
    except OverflowError:
        scaled = math.fsum(values / 2.0**64)
        return math.copysign(math.inf, scaled) if scaled else 0.0


def exact_mean(values: Floats) -> float:
    """Return the mean of finite values, also where their sum overflows."""
    total = exact_sum(values)
    if math.isfinite(total):
        return total / len(values)
    return math.fsum(values / len(values))


def mend(values: Floats, plain: Floats, total: Callable[[Floats], Floats], segment: Segment) -> Floats:
    """Return plain with its doubtful sums replaced. segment(i) gives the terms of the i-th sum, flat."""
    for index in _doubtful(values, plain, total):
        plain.flat[index] = exact_sum(segment(int(index)))
    return plain


def mend_mean(
    values: Floats, plain: Floats, count: Floats, total: Callable[[Floats], Floats], segment: Segment
) -> Floats:
    """Return plain / count, doubtful ones replaced by the exact mean."""
    mean = np.divide(plain, count, out=np.zeros_like(plain), where=count > 0)
    for index in _doubtful(values, plain, total):
        mean.flat[index] = exact_mean(segment(int(index)))
    return mean

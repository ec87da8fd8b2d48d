"""Functions of instant vectors and scalars."""

import numpy as np

from promql.columns import Floats
from promql.grid import Grid
from promql.result import Scalar, Vector
from promql.series import drop_name, unique


def mapped(vector: Vector, values: Floats) -> Vector:
    """Return the vector with other values and, as every function does, without names."""
    return unique(Vector(drop_name(vector.labels), values, vector.present))


def round_to(grid: Grid, vector: Vector, nearest: Scalar | None = None) -> Vector:
    """Return values rounded to multiples of `nearest` (1), halves upwards."""
    inverse = 1.0 if nearest is None else 1.0 / nearest.values
    return mapped(vector, np.floor(vector.values * inverse + 0.5) / inverse)


def _greater(one: Floats, other: Floats) -> Floats:
    """Return the greater values as Go's math.Max: NaN wins, but over +Inf."""
    greater: Floats = np.maximum(one, other)
    return np.where(np.isposinf(one) | np.isposinf(other), np.inf, greater)


def clamp(grid: Grid, vector: Vector, low: Scalar, high: Scalar) -> Vector:
    """Return values within [low, high]; nothing where low > high."""
    values = _greater(low.values, -_greater(-high.values, -vector.values))
    return mapped(Vector(vector.labels, values, vector.present & ~(low.values > high.values)), values)


def clamp_min(grid: Grid, vector: Vector, low: Scalar) -> Vector:
    """Return values no smaller than low."""
    return mapped(vector, _greater(low.values, vector.values))


def clamp_max(grid: Grid, vector: Vector, high: Scalar) -> Vector:
    """Return values no larger than high."""
    return mapped(vector, -_greater(-high.values, -vector.values))


def degrees(values: Floats) -> Floats:
    """Return radians as degrees. numpy multiplies by 180 / pi, which is another last digit than Prometheus's."""
    return values * 180.0 / np.pi


def radians(values: Floats) -> Floats:
    """Return degrees as radians, by Prometheus's formula."""
    return values * np.pi / 180.0


def sign(values: Floats) -> Floats:
    """Return -1, 1, or the value itself: -0 and NaN stay."""
    return np.where(values == 0, values, np.sign(values))


def time(grid: Grid) -> Scalar:
    """Return the evaluation times, seconds."""
    return Scalar(grid.times() / 1000)


def timestamp(grid: Grid, vector: Vector) -> Vector:
    """Return the evaluation time, seconds, which is the time of a value that is no sample."""
    return mapped(vector, np.broadcast_to(grid.times() / 1000, vector.values.shape))


def pi(grid: Grid) -> Scalar:
    """Return pi."""
    return Scalar(np.full(grid.size, np.pi))


def scalar(grid: Grid, vector: Vector) -> Scalar:
    """Return the value of the only series, NaN where there is not exactly one."""
    total = np.where(vector.present, vector.values, 0.0).sum(axis=0)
    return Scalar(np.where(vector.present.sum(axis=0) == 1, total, np.nan))


def vector_of(grid: Grid, value: Scalar) -> Vector:
    """Return the scalar as a series without labels."""
    return Vector([{}], value.values[None, :], np.ones((1, grid.size), np.bool_))


def _sorted(vector: Vector, sign: int) -> Vector:
    # Only instant queries have an order; NaN comes last either way.
    if vector.values.shape[1] != 1:
        return vector
    order = np.lexsort((sign * vector.values[:, 0], np.isnan(vector.values[:, 0])))
    return Vector([vector.labels[row] for row in order], vector.values[order], vector.present[order])


def sort(grid: Grid, vector: Vector) -> Vector:
    """Return the series in rising order of value."""
    return _sorted(vector, 1)


def sort_desc(grid: Grid, vector: Vector) -> Vector:
    """Return the series in falling order of value."""
    return _sorted(vector, -1)

"""absent and absent_over_time: 1 where there is no series. The evaluator adds the labels that the selector names."""

import numpy as np

from promql.columns import Mask
from promql.grid import Grid
from promql.result import Vector
from promql.windows import Windows


def absent(grid: Grid, vector: Vector) -> Vector:
    """Return 1 where the vector is empty."""
    return _where_not(vector.present)


def absent_over_time(grid: Grid, windows: Windows) -> Vector:
    """Return 1 where no series has a sample in its window."""
    return _where_not(windows.some)


def _where_not(present: Mask) -> Vector:
    missing = ~present.any(axis=0, keepdims=True)
    return Vector([{}], np.ones(missing.shape), missing)

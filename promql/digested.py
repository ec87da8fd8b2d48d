"""quantile_over_time by the digests of a tier's rows: merged for each window, right within a stated error of ranks."""

import numpy as np

from promql.annotations import Annotations
from promql.grid import Grid
from promql.plan import Number, Window
from promql.result import Vector
from promql.series import distinct, drop_name
from promql.tiers import RowSource, cut_rows


def over_digests(level: Number, window: Window, source: RowSource, grid: Grid, notes: Annotations) -> Vector:
    """Return the level-th quantile of each window's samples, by rows."""
    rolled = cut_rows(window.select, window.range_ms, source, grid, frozenset({"digest"}))
    present = rolled.some
    values = np.zeros(present.shape)
    if present.any():
        notes.levels(np.array([level.value]))
    if 0 <= level.value <= 1:
        windows = rolled.windows
        assert rolled.digests is not None
        values[present] = source.quantiles(rolled.digests, windows.low[present], windows.high[present], level.value)
        if present.any():
            notes.digested(source.width_ms)
    else:
        values[:] = np.nan if np.isnan(level.value) else np.copysign(np.inf, level.value - 0.5)
    return distinct(Vector(drop_name(rolled.windows.columns.labels), values, present))

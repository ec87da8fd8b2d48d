"""Quantiles of many segments at once, interpolated as Prometheus does (promql/quantile.go)."""

import numpy as np

from promql.columns import Floats, Int64s


def segment_quantiles(values: Floats, sizes: Int64s, levels: Floats) -> Floats:
    """Return the level-th quantile of each segment of values.

    sizes: how many values each segment has, all > 0. levels: one per segment; below 0 gives -Inf, above 1 +Inf,
    NaN gives NaN. NaN values sort first, as in Prometheus.
    """
    owner = np.repeat(np.arange(len(sizes)), sizes)
    nan = np.isnan(values)
    order = np.lexsort((values, ~nan, owner))
    ranked = values[order]
    starts = np.cumsum(sizes) - sizes
    rank = np.clip(np.nan_to_num(levels), 0, 1) * (sizes - 1)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, sizes - 1)
    weight = rank - lower
    result: Floats = ranked[starts + lower] * (1 - weight) + ranked[starts + upper] * weight
    result = np.where(levels < 0, -np.inf, np.where(levels > 1, np.inf, result))
    return np.where(np.isnan(levels), np.nan, result)

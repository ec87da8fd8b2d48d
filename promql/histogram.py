"""histogram_quantile and histogram_fraction of classic histograms (promql/quantile.go), for all groups and steps."""

from collections.abc import Callable

import numpy as np

from promql.annotations import Annotations
from promql.buckets import Buckets, buckets_of
from promql.columns import Floats, Mask
from promql.grid import Grid
from promql.result import Scalar, Vector
from promql.series import drop_name, unique

# Counts nearer to each other than this, relative, differ by rounding only.
SMALL_DELTA = 1e-12
_TINY, _HUGE = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)


def histogram_quantile(grid: Grid, level: Scalar, vector: Vector, notes: Annotations) -> Vector:
    """Return the level-th quantile of each histogram, linear within a bucket."""
    notes.levels(level.values)
    return _each(grid, vector, notes, lambda buckets: _quantiles(buckets, level.values, notes))


def histogram_fraction(grid: Grid, lower: Scalar, upper: Scalar, vector: Vector, notes: Annotations) -> Vector:
    """Return the share of observations between lower and upper, linear within a bucket."""
    return _each(grid, vector, notes, lambda buckets: _fractions(buckets, lower.values, upper.values))


def _each(grid: Grid, vector: Vector, notes: Annotations, compute: Callable[[Buckets], Floats]) -> Vector:
    labels, values, present = [], [np.zeros((0, grid.size))], [np.zeros((0, grid.size), np.bool_)]
    for buckets in buckets_of(vector, notes):
        labels += drop_name(buckets.labels)
        values.append(compute(buckets))
        present.append(buckets.present.any(axis=1))
    return unique(Vector(labels, np.concatenate(values), np.concatenate(present)))


def _quantiles(buckets: Buckets, level: Floats, notes: Annotations) -> Floats:
    counts, forced = _monotonic(buckets)
    valid = (level >= 0) & (level <= 1)
    for group in np.flatnonzero((forced & buckets.complete & valid).any(axis=1)).tolist():
        notes.monotonic(buckets.metrics[group])
    observations = counts[:, -1]
    rank = level * observations
    shape = rank.shape
    out, found, seen = np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    # Of the bucket before; the lowest one begins at 0.
    bound, count = np.zeros(shape), np.zeros(shape)
    for place, end in enumerate(buckets.bounds[:-1]):
        here = buckets.present[:, place]
        hit = here & ~found & (counts[:, place] >= rank)
        within = bound + (end - bound) * ((rank - count) / (counts[:, place] - count))
        out = np.where(hit, np.where(~seen & (end <= 0), end, within), out)
        found |= hit
        seen |= here
        bound, count = np.where(here, end, bound), np.where(here, counts[:, place], count)
    out = np.where(found, out, bound)
    out = np.where(seen & buckets.complete & (observations != 0), out, np.nan)
    return np.where(level < 0, -np.inf, np.where(level > 1, np.inf, np.where(np.isnan(level), np.nan, out)))


def _monotonic(buckets: Buckets) -> tuple[Floats, Mask]:
    """Return counts that never fall from a bucket to the next, and where they fell by more than rounding, [G, T]."""
    counts = buckets.counts.copy()
    shape = counts[:, 0].shape
    forced, seen, last = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape)
    for place in range(len(buckets.bounds)):
        here, now = buckets.present[:, place], counts[:, place]
        near = _near(last, now)
        falls = here & seen & ~near & (now < last)
        forced |= falls
        counts[:, place] = np.where(seen & (near | falls), last, now)
        last = np.where(here, counts[:, place], last)
        seen |= here
    return counts, forced


def _near(one: Floats, other: Floats) -> Mask:
    """Tell which values are equal but for rounding (util/almost)."""
    total, delta = np.abs(one) + np.abs(other), np.abs(one - other)
    tiny = (one == 0) | (other == 0) | (total < _TINY)
    close = np.where(tiny, delta < SMALL_DELTA * _TINY, delta / np.minimum(total, _HUGE) < SMALL_DELTA)
    near: Mask = (one == other) | (np.isnan(one) & np.isnan(other)) | close
    return near


def _fractions(buckets: Buckets, lower: Floats, upper: Floats) -> Floats:
    observations = buckets.counts[:, -1]
    share = (_rank(buckets, upper) - _rank(buckets, lower)) / observations
    share = np.where(lower >= upper, 0.0, share)
    unknown = ~buckets.complete | (observations == 0) | np.isnan(lower) | np.isnan(upper)
    return np.where(unknown, np.nan, share)


def _rank(buckets: Buckets, value: Floats) -> Floats:
    """Return how many observations lie below a value, [G, T]."""
    observations = buckets.counts[:, -1]
    shape = observations.shape
    rank, found, seen = np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    bound, count = np.zeros(shape), np.zeros(shape)
    for place, end in enumerate(buckets.bounds):
        here, now = buckets.present[:, place], buckets.counts[:, place]
        # The lowest bucket begins at 0, one below 0 nowhere: it counts whole.
        bound = np.where(seen, bound, 0.0 if end > 0 else -np.inf)
        before = here & ~found & (bound >= value)
        inside = here & ~found & (bound < value) & (end > value)
        linear = count + (now - count) * (value - bound) / (end - bound)
        rank = np.where(before, count, np.where(inside, np.where(np.isneginf(bound), now, linear), rank))
        found |= before | inside
        seen |= here
        bound, count = np.where(here, end, bound), np.where(here, now, count)
    return np.where(~found | (rank > observations), observations, rank)

"""Quantiles of groups of stored digests: merged as the rollup merges them, read as Prometheus reads samples."""

import numpy as np

from promql.columns import Floats, Int64s, runs
from promql.tiers import Digests
from query.spent import check
from udfs.rollup.digest import COARSE, COMPRESSION, Centroids, merge
from udfs.rollup.digest import quantiles as interpolated

# Digests merged at once: windows overlap, and each holds 1 to 2 kB of each of its rows.
CHUNK = 50_000


def quantiles(digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
    """Return the quantile, [C], of the merged digests of the rows [low, high) of each group; level within 0..1.

    Raises QueryError once the running request has no time left.
    """
    out = np.empty(len(low))
    total = np.cumsum(high - low)
    start = 0
    while start < len(low):
        check()
        done = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, done + CHUNK, side="right")), start + 1)
        out[start:stop] = quantile(_merged(digests, low[start:stop], high[start:stop]), level)
        start = stop
    return out


def _merged(digests: Digests, low: Int64s, high: Int64s) -> Centroids:
    sizes = high - low
    groups = np.repeat(np.arange(len(low)), sizes)
    rows = runs(low, sizes)
    begins = digests.boundaries[rows]
    lengths = digests.boundaries[rows + 1] - begins
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    states = digests.states[runs(begins, lengths)]
    return merge(states, bounds, groups, len(low), COARSE)


def quantile(digest: Centroids, level: float) -> Floats:
    """Return the quantile, [S], of each series; as Prometheus of up to COMPRESSION samples, which are all there."""
    out: Floats = interpolated(digest, np.array([level]))[:, 0]
    upto = np.cumsum(digest.weights)
    ends = np.concatenate([[0.0], upto])
    base, total = ends[digest.offsets[:-1]], np.diff(ends[digest.offsets])
    few = np.flatnonzero((total > 0) & (total <= COMPRESSION))
    rank = level * (total[few] - 1)
    lower = np.floor(rank)
    upper = np.minimum(lower + 1, total[few] - 1)
    share = rank - lower
    at = [digest.means[np.searchsorted(upto, base[few] + place, side="right")] for place in (lower, upper)]
    with np.errstate(invalid="ignore"):  # infinities, as in Prometheus
        out[few] = at[0] * (1 - share) + at[1] * share
    return out

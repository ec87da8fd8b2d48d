"""Distributions, many values per timestamp or a producer's digest: each becomes one row, a window's rows one rollup.

Store, rollup and reroll share both steps, so that a window computed from the table is the one computed in time. A
rollup of distributions has no first, no last and no increase: they are NaN, since many values stand at each time.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.columns import UInt64s
from schemas.distributions import Distributions
from schemas.frame import Frame
from schemas.nan import Floats
from schemas.rollups import Rollups
from schemas.runs import first_of_run, last_of_run
from udfs.rollup import digest
from udfs.rollup.rows import ranked


def distributions(frames: Sequence[Frame]) -> Distributions | None:
    """Return what the frames with weights hold, by (metric, series id, ts), each once; None if they hold nothing.

    Frames are of one tenant. Order and repeats do not matter; Distributions.version says which of two different ones
    for one series and timestamp stands: the larger count, of equal counts the larger hash.
    """
    metrics, codes, ids, places = ranked(frames)
    series = np.concatenate([place[frame.index] for place, frame in zip(places, frames, strict=True)])
    if not len(series):
        return None
    stamps = np.concatenate([frame.timestamps for frame in frames])
    values = np.concatenate([frame.values for frame in frames]) + 0.0  # -0.0 and 0.0 are one value
    weights = np.concatenate([frame.weights for frame in frames if frame.weights is not None]).astype(np.uint64)
    origin = np.repeat(np.arange(len(frames)), [len(frame.timestamps) for frame in frames])
    order = np.lexsort((weights, values, origin, stamps, series))
    series, stamps, origin = series[order], stamps[order], origin[order]
    starts = np.flatnonzero(first_of_run(series, stamps, origin))
    values, weights = values[order], weights[order]
    means, total, squares = _moments(values, weights, starts)
    compressed = digest.compress(digest.Centroids(np.append(starts, len(order)), means, weights.astype(np.float64)))
    states, bounds = digest.encode(compressed)
    count = np.add.reduceat(weights, starts)
    least, most = values[starts], values[np.append(starts[1:], len(order)) - 1]
    made = Distributions(
        frames[0].tenant,
        metrics,
        codes[series[starts]],
        ids[series[starts]],
        stamps[starts],
        count,
        total,
        squares,
        least,
        most,
        states,
        bounds.astype(np.int64),
        count << np.uint64(32) | _hash(compressed, total, squares, least, most) >> np.uint64(32),
    )
    return distinct(made)


def _moments(values: Floats, weights: UInt64s, starts: npt.NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """Return (values as Float32 holds them, sum and sum of squares of each run)."""
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the type is infinite, and inf - inf NaN
        means = values.astype(np.float32).astype(np.float64)
        total = np.add.reduceat(values * weights, starts)
        return means, total, np.add.reduceat(values * values * weights, starts)


def _hash(centroids: digest.Centroids, *columns: Floats) -> UInt64s:
    """Return a hash of each distribution's row, of all its columns: else chance would decide between some rows."""
    each = _mixed(centroids.means.view(np.uint64) ^ _mixed(centroids.weights.view(np.uint64)))
    found: UInt64s = np.add.reduceat(each, centroids.offsets[:-1])
    for column in columns:
        found = _mixed(found ^ column.view(np.uint64))
    return found


def _mixed(bits: UInt64s) -> UInt64s:
    """Return the bits well mixed (the finaliser of SplitMix64)."""
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return bits ^ bits >> np.uint64(31)


def distinct(rows: Distributions) -> Distributions:
    """Return rows by (metric, series id, ts), of several for one key the one of the highest version."""
    names = np.argsort(np.argsort(np.array(rows.metrics)))[rows.metric_codes]
    order = np.lexsort((rows.version, rows.timestamps, rows.series_ids, names))
    kept = order[last_of_run(rows.series_ids[order], rows.timestamps[order], names[order])]
    return rows if np.array_equal(kept, np.arange(len(rows))) else rows.take(kept)


def rollup(rows: Distributions, window: int) -> Rollups:
    """Return the rollup rows of the window that starts at `window` (ms); at least one distribution, all in it."""
    rows = distinct(rows)
    head = first_of_run(rows.series_ids, rows.metric_codes)
    starts = np.flatnonzero(head)
    groups = np.cumsum(head) - 1
    merged = digest.merge(rows.digest, rows.digest_offsets, groups, len(starts), digest.COMPRESSION)
    states, bounds = digest.encode(merged)
    unknown = np.full(len(starts), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # as in _moments
        total, squares = np.add.reduceat(rows.sum, starts), np.add.reduceat(rows.sum_sq, starts)
    return Rollups(
        tenant=rows.tenant,
        window=window,
        metrics=rows.metrics,
        metric_codes=rows.metric_codes[starts],
        series_ids=rows.series_ids[starts],
        count=np.add.reduceat(rows.count, starts),
        sum=total,
        sum_sq=squares,
        min=np.minimum.reduceat(rows.min, starts),
        max=np.maximum.reduceat(rows.max, starts),
        first=unknown,
        last=unknown,
        first_ts=rows.timestamps[starts],
        last_ts=rows.timestamps[np.append(starts[1:], len(rows)) - 1],
        increase=unknown,
        digest=states,
        digest_offsets=bounds,
    )

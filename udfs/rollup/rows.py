"""What a window becomes when it closes: one row per series, computed once over all samples, vectorised.

The rollup and the reroll job share this function, so a corrected row is the row that would have been written in time.
Staleness markers and NaNs are no values: they enter raw samples but no aggregate.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.frame import Frame
from schemas.names import united
from schemas.nan import Floats
from schemas.rollups import Rollups
from schemas.runs import first_of_run
from udfs.rollup import digest


def rollup(frames: Sequence[Frame], window: int) -> Rollups | None:
    """Return the rows of one (tenant, window), or None if it holds no value.

    Repeated samples count once. Of two values for one (series, ts) the larger counts: the outcome must not depend on
    the order of arrival.
    """
    metrics, codes, ids, series, stamps, values = _gather(frames)
    if not len(values):
        return None
    starts = np.flatnonzero(first_of_run(series))
    ends = np.append(starts[1:], len(series))
    present = series[starts]
    state, state_offsets = digest.encode(digest.of_values(np.append(starts, len(series)), values))
    return Rollups(
        tenant=frames[0].tenant,
        window=window,
        metrics=metrics,
        metric_codes=codes[present],
        series_ids=ids[present],
        count=(ends - starts).astype(np.uint64),
        sum=np.add.reduceat(values, starts),
        sum_sq=np.add.reduceat(values * values, starts),
        min=np.minimum.reduceat(values, starts),
        max=np.maximum.reduceat(values, starts),
        first=values[starts],
        last=values[ends - 1],
        first_ts=stamps[starts],
        last_ts=stamps[ends - 1],
        increase=increase(values, starts),
        digest=state,
        digest_offsets=state_offsets,
    )


def increase(values: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """Return each series' growth from its first to its last value, counter resets added back.

    A fall is a reset: the counter then grew from 0 to the new value, as Prometheus assumes.
    """
    with np.errstate(invalid="ignore"):  # inf - inf: NaN is the honest answer
        step = np.diff(values, prepend=values[:1])
    step = np.where(step < 0, values, step)
    step[starts] = 0.0
    return np.add.reduceat(step, starts)


def _gather(frames: Sequence[Frame]) -> tuple[list[str], UInt32s, UInt64s, Int64s, Int64s, Floats]:
    """Return (metrics, code per series, id per series, series per sample, timestamps, values).

    Series are ordered by (metric, id), samples by (series, ts), each sample once.
    """
    metrics, codes, ids, per_frame = ranked(frames)
    parts = [frame.points() for frame in frames]
    series = np.concatenate([ranks[index] for ranks, (index, _, _) in zip(per_frame, parts, strict=True)])
    stamps = np.concatenate([part[1] for part in parts])
    values = np.concatenate([part[2] for part in parts])
    number = ~np.isnan(values)
    series, stamps, values = _distinct(series[number], stamps[number], values[number])
    return metrics, codes, ids, series, stamps, values


def ranked(frames: Sequence[Frame]) -> tuple[list[str], UInt32s, UInt64s, list[Int64s]]:
    """Return (metrics, code per series, id per series, and for each frame the ranks of its series).

    Series are ordered by (metric, id); a rank is a place among them.
    """
    metrics, places = united(frame.metrics for frame in frames)
    recoded = [place[frame.metric_codes] for place, frame in zip(places, frames, strict=True)]
    all_ids = np.concatenate([frame.series_ids for frame in frames])
    ids, position, inverse = np.unique(all_ids, return_index=True, return_inverse=True)
    codes = np.concatenate(recoded)[position]
    by_metric = np.lexsort((ids, codes))
    rank = np.empty(len(ids), dtype=np.int64)
    rank[by_metric] = np.arange(len(ids))
    per_frame = np.split(rank[inverse], np.cumsum([len(frame.series_ids) for frame in frames])[:-1])
    return metrics, codes[by_metric], ids[by_metric], per_frame


def _distinct(series: Int64s, stamps: Int64s, values: Floats) -> tuple[Int64s, Int64s, Floats]:
    """Return samples sorted by (series, ts), of repeats the largest value."""
    if not len(stamps):
        return series, stamps, values
    low = stamps.min()
    span = int(stamps.max() - low) + 1
    key = series * span + (stamps - low)  # a window is days at most: far from 2**63
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = first_of_run(key)
    if first.all():
        return series[order], stamps[order], values[order]
    heads = np.flatnonzero(first)
    largest = np.maximum.reduceat(_rising(values[order].view(np.int64)), heads)
    return series[order][heads], stamps[order][heads], _rising(largest).view(np.float64)


def _rising(bits: Int64s) -> Int64s:
    """Return float64 bits as integers that rise with the value, -0.0 before 0.0; its own inverse."""
    rising: Int64s = np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), bits)
    return rising

"""A coarser window from the rows of the finer ones in it: merged, never averaged, vectorised over all series.

Rollup and reroll share it, so a corrected row of a tier is the row that would have been written in time.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s
from schemas.names import united
from schemas.nan import Floats
from schemas.rollups import Rollups
from schemas.runs import last_of_run
from udfs.rollup import digest

States = tuple[npt.NDArray[np.uint8], Int64s]


def merge(parts: Sequence[Rollups], window: int) -> Rollups:
    """Return the rows of the window that starts at `window` (ms), from rows of finer windows of one tenant.

    Parts come in any order. Of several rows for one series and finer window the fullest stands, as in ClickHouse.
    """
    metrics, places = united(part.metrics for part in parts)
    codes = np.concatenate([place[part.metric_codes] for place, part in zip(places, parts, strict=True)])
    ids = np.concatenate([part.series_ids for part in parts])
    fine = np.concatenate([np.full(len(part), part.window) for part in parts])
    count = np.concatenate([part.count for part in parts])
    order = np.lexsort((count, fine, ids, codes))
    rows = order[last_of_run(codes[order], ids[order], fine[order])]
    # Rows now stand by (metric, series, finer window), one each.
    starts = np.flatnonzero(np.append(True, last_of_run(codes[rows], ids[rows])[:-1]))
    ends = np.append(starts[1:], len(rows)) - 1

    def column(name: str) -> Floats:
        values: Floats = np.concatenate([getattr(part, name) for part in parts])[rows]
        return values

    first, last = column("first"), column("last")
    first_ts = np.concatenate([part.first_ts for part in parts])[rows]
    last_ts = np.concatenate([part.last_ts for part in parts])[rows]
    states, boundaries = _states(parts, rows)
    groups = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    state, state_offsets = digest.encode(digest.merge(states, boundaries, groups, len(starts), digest.COARSE))
    return Rollups(
        tenant=parts[0].tenant,
        window=window,
        metrics=metrics,
        metric_codes=codes[rows][starts].astype(np.uint32),
        series_ids=ids[rows][starts],
        count=np.add.reduceat(count[rows], starts),
        sum=np.add.reduceat(column("sum"), starts),
        sum_sq=np.add.reduceat(column("sum_sq"), starts),
        min=np.minimum.reduceat(column("min"), starts),
        max=np.maximum.reduceat(column("max"), starts),
        first=first[starts],
        last=last[ends],
        first_ts=first_ts[starts],
        last_ts=last_ts[ends],
        increase=np.add.reduceat(column("increase") + _steps(first, last, starts), starts),
        digest=state,
        digest_offsets=state_offsets,
    )


def _steps(first: Floats, last: Floats, starts: npt.NDArray[np.intp]) -> Floats:
    """Return what each series grew between the row before and this one; a fall is a reset, as within a window."""
    with np.errstate(invalid="ignore"):  # inf - inf: NaN is the honest answer
        step = first - np.concatenate([first[:1], last[:-1]])
    step = np.where(step < 0, first, step)
    step[starts] = 0.0
    return step


def _states(parts: Sequence[Rollups], rows: npt.NDArray[np.intp]) -> States:
    """Return the digests of the rows in their order, end to end, and their boundaries in bytes."""
    whole = np.concatenate([part.digest for part in parts])
    sizes = np.concatenate([np.diff(part.digest_offsets) for part in parts]).astype(np.int64)
    begins = (np.cumsum(sizes) - sizes)[rows]
    sizes = sizes[rows]
    boundaries = np.concatenate([[0], np.cumsum(sizes)])
    return whole[np.repeat(begins - boundaries[:-1], sizes) + np.arange(boundaries[-1])], boundaries

"""Late samples that raw has not yet.

A fleet that comes back keeps the store job busy for many seconds, and reading all of its hour at every look would make
them more. So the newest are asked for first.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.frame import Frame

_PROBED = 8  # series


def newest(late: Sequence[Frame]) -> Frame | None:
    """Return of some series what came last, which raw has after all that came before; None where all are few."""
    plain = [frame for frame in late if frame.weights is None]
    if len(plain) < 2:
        return None
    last = plain[-1]
    index, stamps, values = last.points()
    probed = np.unique(index)[:_PROBED]
    if not len(probed):
        return None
    mine = np.isin(index, probed)
    return replace(
        last,
        metric_codes=last.metric_codes[probed],
        series_ids=last.series_ids[probed],
        timestamps=stamps[mine],
        values=values[mine],
        index=np.searchsorted(probed, index[mine]).astype(np.uint32),
    )


def unstored(late: Sequence[Frame], stored: Frame) -> int:
    """Return how many late samples raw lacks."""
    ids = np.concatenate([frame.series_ids[frame.points()[0]] for frame in late])
    stamps = np.concatenate([frame.points()[1] for frame in late])
    if not len(ids):
        return 0
    index, there, _ = stored.points()
    known, rank = np.unique(stored.series_ids, return_inverse=True)
    place = np.searchsorted(known, ids)
    place[place == len(known)] = 0
    found = known[place] == ids if len(known) else np.zeros(len(ids), dtype=bool)
    low = int(stamps.min())
    span = max(int(stamps.max()), int(there.max(initial=low))) - low + 1
    inside = there >= low
    keys = rank[index[inside]] * span + (there[inside] - low)
    return int((~(found & np.isin(place * span + (stamps - low), keys))).sum())

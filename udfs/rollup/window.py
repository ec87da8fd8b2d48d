"""Window alignment: the one place that says which window a timestamp belongs to.

Windows are [start, start + width), start a multiple of width since 1970 UTC; width in ms.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from schemas.batch import Frame

Stamps = TypeVar("Stamps", int, npt.NDArray[np.int64])


def start_of(stamps: Stamps, width: int) -> Stamps:
    """Return the start of each timestamp's window."""
    return stamps - stamps % width


def split(frame: Frame, width: int) -> Iterator[tuple[int, Frame]]:
    """Yield (window start, the frame's samples in it) by rising start. Most frames lie in one window whole."""
    starts = start_of(frame.timestamps, width)
    for start in np.unique(starts):
        mine = starts == start
        if mine.all():
            yield int(start), frame
            return
        index = None if frame.index is None else frame.index[mine]
        yield (
            int(start),
            Frame(
                frame.tenant,
                frame.shard,
                frame.metrics,
                frame.metric_codes,
                frame.series_ids,
                frame.timestamps[mine],
                frame.values[mine],
                index,
                None if frame.weights is None else frame.weights[mine],
            ),
        )

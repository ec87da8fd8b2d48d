"""Window alignment: the one place that says which window a timestamp belongs to.

Windows are (start, start + width], start a multiple of width since 1970 UTC; width in ms. Left-open, as PromQL's range
selectors since Prometheus 3: rate(x[5m]) at 12:05 reads exactly the rows of five minutes, or one of tier 5m.
"""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from schemas.batch import Frame

Stamps = TypeVar("Stamps", int, npt.NDArray[np.int64])


def start_of(stamps: Stamps, width: int) -> Stamps:
    """Return the start of the window that each timestamp lies in."""
    return within(stamps - 1, width)


def within(starts: Stamps, width: int) -> Stamps:
    """Return the start of the window of `width` that holds the finer window which begins at each of `starts`."""
    return starts - starts % width


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

"""Window alignment: the one place that says which window a timestamp belongs to.

Windows are (start, start + width], start a multiple of width since 1970 UTC; width in ms. Left-open, as PromQL's range
selectors since Prometheus 3: rate(x[5m]) at 12:05 reads exactly the rows of five minutes, or one of tier 5m.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from schemas.frame import Frame
from schemas.runs import first_of_run

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
    if (starts[1:] < starts[:-1]).any():
        windows = (starts - starts.min()) // width
        # numpy sorts 16 bits by radix, in linear time.
        order = np.argsort(windows.astype(np.uint16) if windows.max() < 1 << 16 else windows, kind="stable")
        frame, starts = frame.at(order), starts[order]
    cuts = np.flatnonzero(first_of_run(starts)).tolist()
    if len(cuts) == 1:
        yield int(starts[0]), frame
        return
    for first, end in pairwise([*cuts, len(starts)]):
        yield int(starts[first]), frame.at(slice(first, end))

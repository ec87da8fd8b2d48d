"""Dirty windows: which series need new rows for which windows, and the late samples united."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.frame import Frame
from schemas.names import united
from schemas.nan import MISSING, Mask
from udfs.rollup.window import start_of, within


@dataclass(frozen=True, slots=True)
class Dirty:
    """Pairs (series, window) of one (tenant, shard) and tier.

    ids (S,) rise; codes (S,) point into metrics. index (P,) points into ids, windows (P,) are starts in ms; pairs are
    distinct and rise by (series, window).
    """

    tenant: str
    shard: int
    metrics: list[str]
    codes: UInt32s
    ids: UInt64s
    index: Int64s
    windows: Int64s

    def __len__(self) -> int:
        return len(self.index)

    def coarser(self, width: int) -> "Dirty":
        """Return the pairs of the windows of `width` ms that these lie in."""
        return self._with(self.index, within(self.windows, width))

    def where(self, chosen: Mask) -> "Dirty":
        """Return the chosen pairs."""
        return self._with(self.index[chosen], self.windows[chosen])

    def holds(self, ids: UInt64s, windows: Int64s, index: Int64s | UInt32s | None = None) -> Mask:
        """Tell which of other (series, window) pairs are among these; with index (N,), windows (N,): of ids[index]."""
        found: Mask = self._places(ids, windows, index) >= 0
        return found

    def spread(self, ids: UInt64s, windows: Int64s, numbers: Int64s) -> Int64s:
        """Return for each pair the number that is given for it, 0 without one; all (N,), pairs distinct."""
        places = self._places(ids, windows)
        given = np.zeros(len(self), dtype=np.int64)
        given[places[places >= 0]] = numbers[places >= 0]
        return given

    def _places(self, ids: UInt64s, windows: Int64s, index: Int64s | UInt32s | None = None) -> npt.NDArray[np.int32]:
        """Return the place of each other pair among these, -1 where it is none; as in holds()."""
        if not len(self):
            return np.full(len(windows), -1, dtype=np.int32)
        row = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        known = self.ids[row] == ids
        if index is not None:
            row, known = row[index], known[index]
        starts = np.unique(self.windows)
        column = np.minimum(np.searchsorted(starts, windows), len(starts) - 1)
        # An hour's minutes at most: 240 bytes a series.
        grid = np.full((len(self.ids), len(starts)), -1, dtype=np.int32)
        grid[self.index, np.searchsorted(starts, self.windows)] = np.arange(len(self))
        return np.where(known & (starts[column] == windows), grid[row, column], -1)

    def frame(self) -> Frame:
        """Return the pairs as a frame of empty cells, in which they travel through state and topics."""
        cells = np.repeat(MISSING, len(self.index))
        return Frame(
            self.tenant,
            self.shard,
            self.metrics,
            self.codes,
            self.ids,
            self.windows + 1,  # the first time in each
            cells,
            self.index.astype(np.uint32),
        )

    def _with(self, index: Int64s, windows: Int64s) -> "Dirty":
        return Dirty(self.tenant, self.shard, self.metrics, self.codes, self.ids, *_distinct(index, windows))


def dirty(frames: Sequence[Frame], width: int) -> Dirty:
    """Return what the frames of one (tenant, shard) make dirty; an empty cell counts as a sample."""
    metrics, places = united(frame.metrics for frame in frames)
    codes = np.concatenate([place[frame.metric_codes] for place, frame in zip(places, frames, strict=True)])
    ids, position, rank = np.unique(
        np.concatenate([frame.series_ids for frame in frames]), return_index=True, return_inverse=True
    )
    per_frame = np.split(rank, np.cumsum([len(frame.series_ids) for frame in frames])[:-1])
    pairs = [_cells(frame, ranks, width) for frame, ranks in zip(frames, per_frame, strict=True)]
    index, windows = _distinct(np.concatenate([one for one, _ in pairs]), np.concatenate([one for _, one in pairs]))
    return Dirty(frames[0].tenant, frames[0].shard, metrics, codes[position].astype(np.uint32), ids, index, windows)


def _distinct(index: Int64s, windows: Int64s) -> tuple[Int64s, Int64s]:
    """Return each pair once, by rising (index, window)."""
    low = int(windows.min(initial=0 if not len(windows) else windows[0]))
    span = int(windows.max(initial=low)) - low + 1
    keys = np.unique(index * span + (windows - low))
    return keys // span, keys % span + low


def _cells(frame: Frame, ranks: npt.NDArray[np.intp], width: int) -> tuple[Int64s, Int64s]:
    """Return (rank, window) of every cell, empty ones too."""
    windows = start_of(frame.timestamps, width)
    if frame.index is not None:
        return ranks[frame.index], windows
    windows = np.unique(windows)
    return np.tile(ranks, len(windows)), np.repeat(windows, len(ranks))

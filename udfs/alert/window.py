"""The retained window of one key: its samples as columns, sorted by (series, timestamp), each once.

At rest it is a sparse MetricBatch, so no second format exists. Appending is a union: order and repeats of the pieces
change nothing, and where two samples of one (series, timestamp) differ, the larger bit pattern stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cached

from schemas.batch import Batch, Series, decode_series_set, encode_series_set
from schemas.codec import STATE_BYTES
from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.ids import set_hash
from schemas.nan import Floats, Mask
from schemas.runs import last_of_run

# Series whose labels are kept decoded, about 600 bytes each; all subtasks of a process share them. Under churn every
# tick has sets of its own.
CACHED_SERIES = 200_000


@cached(LRUCache(CACHED_SERIES, getsizeof=lambda series: len(series) + 1), key=set_hash, lock=Lock(), info=True)
def series_of(series_set: bytes) -> tuple[Series, ...]:
    """Return the series of an encoded set, decoded once for as long as it is in use."""
    return tuple(decode_series_set(series_set))


EMPTY_SET = encode_series_set([])


@dataclass(slots=True)
class Window:
    """ids, series_set: one entry a series, ids ascending. codes (place in ids), timestamps, values: one a sample."""

    tenant: str
    ids: UInt64s
    series_set: bytes
    codes: UInt32s
    timestamps: Int64s
    values: Floats

    @classmethod
    def empty(cls, tenant: str) -> "Window":
        """Return a window without series."""
        none = (np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.float64))
        return cls(tenant, np.empty(0, np.uint64), EMPTY_SET, *none)

    @classmethod
    def decode(cls, data: bytes) -> "Window":
        """Return the window of encode(); raises CodecError, or ValueError for another kind of batch."""
        batch = Batch.decode(data, STATE_BYTES)
        if batch.index is None or batch.series_ids is None:
            raise ValueError("a window is a sparse batch with series ids")
        return cls(batch.tenant, batch.series_ids, batch.series_set, batch.index, batch.timestamps, batch.values)

    def encode(self) -> bytes:
        """Return the window as a sparse MetricBatch in single-object encoding."""
        return self.batch().encode()

    def batch(self) -> Batch:
        """Return the window as a piece."""
        return Batch(
            tenant=self.tenant,
            source="",
            sent_at=0,
            series_set=self.series_set,
            timestamps=self.timestamps,
            values=self.values,
            index=self.codes,
            series_ids=self.ids,
        )

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def nbytes(self) -> int:
        """Size of the columns and of the labels, bytes: about what encode() gives."""
        columns = (self.ids, self.codes, self.timestamps, self.values)
        return len(self.series_set) + sum(one.nbytes for one in columns)

    @property
    def series(self) -> tuple[Series, ...]:
        """The series, in the order of ids."""
        return series_of(self.series_set)

    def append(self, pieces: Sequence[Batch]) -> "Window":
        """Return the union of this window and the samples of some pieces (batches with series_ids)."""
        ids, stamps, values = [self.ids[self.codes]], [self.timestamps], [self.values]
        for piece in pieces:
            if piece.series_ids is None:
                raise ValueError("a piece carries the ids of its series")
            index, timestamps, cells = piece.points()
            ids.append(piece.series_ids[index])
            stamps.append(timestamps)
            values.append(cells)
        held, codes = np.unique(np.concatenate(ids), return_inverse=True)
        timestamps, cells = np.concatenate(stamps), np.concatenate(values)
        order = np.lexsort((cells.view(np.uint64), timestamps, codes))
        codes, timestamps, cells = codes[order].astype(np.uint32), timestamps[order], cells[order]
        last = last_of_run(codes, timestamps)
        # Every series of a window has a sample, so equal sizes mean that no series is new.
        series_set = self.series_set if len(held) == len(self.ids) else self._united(held, pieces)
        return Window(self.tenant, held, series_set, codes[last], timestamps[last], cells[last])

    def trim(self, floor: int) -> "Window":
        """Return the window without samples at or before `floor` (event time, ms) and series that have none left."""
        return self.part(self.timestamps > floor)

    def part(self, kept: Mask) -> "Window":
        """Return the window with some of its samples, (N,), and the series that they are of."""
        if kept.all():
            return self
        codes = self.codes[kept]
        left = np.unique(codes)
        series_set = self.series_set
        if len(left) < len(self.ids):
            series = self.series
            series_set = encode_series_set(series[place] for place in left.tolist())
        codes = np.searchsorted(left, codes).astype(np.uint32)
        return Window(self.tenant, self.ids[left], series_set, codes, self.timestamps[kept], self.values[kept])

    def find(self, ids: UInt64s, timestamps: Int64s) -> npt.NDArray[np.intp]:
        """Return the places of some samples, -1 for those that are not here."""
        if not len(self) or not len(ids):
            return np.full(len(ids), -1, np.intp)
        low, high = int(self.timestamps.min()), int(self.timestamps.max())
        width = high - low + 1
        codes = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        possible = (self.ids[codes] == ids) & (timestamps >= low) & (timestamps <= high)
        held = self.codes.astype(np.int64) * width + (self.timestamps - low)
        wanted = codes.astype(np.int64) * width + np.clip(timestamps - low, 0, width - 1)
        places = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
        return np.where(possible & (held[places] == wanted), places, -1)

    def _united(self, held: UInt64s, pieces: Sequence[Batch]) -> bytes:
        known: dict[int, Series] = {}
        for ids, series in [(self.ids, self.series), *((p.series_ids, series_of(p.series_set)) for p in pieces)]:
            known.update(zip(ids.tolist() if ids is not None else (), series, strict=True))
        return encode_series_set(known[one] for one in held.tolist())

"""From a valid batch to a frame: the labels stay behind, metric names and ids go on.

Store and rollup begin with this step. What it needs of a series set is kept by the set's hash.
"""

from dataclasses import dataclass, field

import numpy as np
from cachetools import LRUCache

from schemas.batch import Batch, Series, decode_series_set
from schemas.columns import UInt32s
from schemas.frame import Frame
from schemas.ids import set_hash


@dataclass(frozen=True, slots=True)
class Columns:
    """What frames need of a set: distinct metric names, and one code into them per series."""

    metrics: list[str]
    codes: UInt32s


def columns_of(series: list[Series]) -> Columns:
    """Return the metric columns of a series set."""
    metrics = sorted({one.name for one in series})
    place = {name: code for code, name in enumerate(metrics)}
    return Columns(metrics, np.array([place[one.name] for one in series], dtype=np.uint32))


@dataclass(slots=True)
class Framer:
    """Makes frames of valid batches; max_series bounds its memory, about 20 bytes a series."""

    max_series: int = 4_000_000
    _known: "LRUCache[bytes, Columns]" = field(init=False)

    def __post_init__(self) -> None:
        self._known = LRUCache(self.max_series, getsizeof=lambda columns: len(columns.codes) + 1)

    def columns(self, series_set: bytes) -> Columns:
        """Return the metric columns of an encoded set, new or remembered."""
        key = set_hash(series_set)
        columns = self._known.get(key)
        if columns is None:
            columns = columns_of(decode_series_set(series_set))
            if len(columns.codes) < self.max_series:
                self._known[key] = columns
        return columns

    def frame(self, batch: Batch) -> Frame:
        """Return the frame of a batch from metrics.valid; raises ValueError if the gate has not resolved it."""
        if batch.series_ids is None or batch.shard is None:
            raise ValueError(f"batch of {batch.source!r} has no series ids: it did not pass the gate")
        columns = self.columns(batch.series_set)
        return Frame(
            batch.tenant,
            batch.shard,
            columns.metrics,
            columns.codes,
            batch.series_ids,
            batch.timestamps,
            batch.values,
            batch.index,
            batch.weights,
        )

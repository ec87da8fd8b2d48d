"""Batches of samples as columns (MetricBatch: labels, dense or sparse), and the builder that producers use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.codec import codec
from schemas.columns import Int64s, Points, UInt32s, UInt64s, column, packed, points, unpacked
from schemas.nan import MISSING, Floats
from schemas.series_set import Series, decode_series_set, encode_series_set

__all__ = ("Batch", "BatchBuilder", "Series", "decode_series_set", "encode_series_set")

WEIGHTS = 1 << 32  # the weights of one distribution sum to less


@dataclass(slots=True)
class Batch:
    """A MetricBatch with its columns as numpy views.

    Dense (index is None): timestamps has shape (T,), values (T, S). Sparse: timestamps, values and index have
    shape (N,). S is known only to the series set, so a dense batch learns it from len(values) / T.
    weights (N,), sparse only: measurements that an entry of a distribution stands for.
    """

    tenant: str
    source: str
    sent_at: int
    series_set: bytes
    timestamps: Int64s
    values: Floats
    index: UInt32s | None = None
    series_ids: UInt64s | None = None
    shard: int | None = None
    received_at: int | None = None
    weights: UInt32s | None = None

    def encode(self) -> bytes:
        """Return the batch in single-object encoding."""
        ids = self.series_ids
        return codec("metric_batch").encode(
            {
                "tenant": self.tenant,
                "source": self.source,
                "sent_at": self.sent_at,
                "series_set": self.series_set,
                **packed(self.timestamps, self.values, self.index, self.weights),
                "series_ids": None if ids is None else ids.astype("<u8", copy=False).tobytes(),
                "shard": self.shard,
                "received_at": self.received_at,
            }
        )

    @classmethod
    def decode(cls, data: bytes, limit: int = 0) -> "Batch":
        """Return the batch of an encoded record; raises CodecError, kind `length` if the columns do not fit.

        limit: of its bytes, if it is another than for what comes from a topic.
        """
        return cls.of_record(codec("metric_batch").decode(data, limit))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Batch":
        """Return the batch of a decoded MetricBatch; columns stay views on its bytes."""
        timestamps, values, index, weights = unpacked(record)
        ids = record["series_ids"]
        return cls(
            tenant=record["tenant"],
            source=record["source"],
            sent_at=record["sent_at"],
            series_set=record["series_set"],
            timestamps=timestamps,
            values=values,
            index=index,
            series_ids=None if ids is None else column(ids, "<u8", "series_ids"),
            shard=record["shard"],
            received_at=record["received_at"],
            weights=weights,
        )

    def at(self, chosen: slice | npt.NDArray[Any]) -> "Batch":
        """Return the batch with some of its rows, or entries if it is sparse, in the order given."""
        return replace(
            self,
            timestamps=self.timestamps[chosen],
            values=self.values[chosen],
            index=None if self.index is None else self.index[chosen],
            weights=None if self.weights is None else self.weights[chosen],
        )

    def points(self) -> Points:
        """Return (series index, timestamps, values), one entry per sample, missing cells left out."""
        return points(self.timestamps, self.values, self.index)


@dataclass(slots=True)
class BatchBuilder:
    """Collects scrapes of one source and packs them, so that nobody packs bytes by hand.

    Series stand in the order of first sight, which only ever grows: an unchanged source keeps equal series_set bytes
    from batch to batch, which every later stage relies on for its speed.
    """

    tenant: str
    source: str
    _series: list[Series] = field(default_factory=list)
    _position: dict[Series, int] = field(default_factory=dict)
    _encoded: bytes = b""
    _rows: list[tuple[int, list[int], list[float]]] = field(default_factory=list)
    _distributions: list[tuple[int, int, Floats, UInt32s]] = field(default_factory=list)

    def add_scrape(self, timestamp: int, samples: Sequence[tuple[Series, float]]) -> None:
        """Add one row: every sample of the source at `timestamp` (ms since 1970 UTC)."""
        places = [self._place(series) for series, _ in samples]
        self._rows.append((timestamp, places, [value for _, value in samples]))

    def add_distribution(
        self, timestamp: int, series: Series, values: Sequence[float] | Floats, weights: Sequence[int] | None = None
    ) -> None:
        """Add values of a series of type distribution, or a digest's means and counts; raises ValueError.

        weights: how many measurements each value stands for, whole numbers, 1 each by default.
        """
        if series.type != "distribution":
            raise ValueError(f"TG-distribution-type: {series.name!r} is of type {series.type!r}, not distribution")
        measured = np.asarray(values, dtype=np.float64).reshape(-1)
        counts = np.ones(len(measured)) if weights is None else np.asarray(weights, dtype=np.float64).reshape(-1)
        whole = (counts >= 1) & (counts < WEIGHTS) & (counts == np.floor(counts))
        if not whole.all():
            raise ValueError(f"TG-weight: {counts[~whole][0]} is no whole number from 1 to {WEIGHTS - 1}")
        if len(counts) != len(measured):
            raise ValueError(f"TG-column-length: {len(counts)} weights for {len(measured)} values")
        self._distributions.append((timestamp, self._place(series), measured, counts.astype(np.uint32)))

    def _place(self, series: Series) -> int:
        place = self._position.get(series)
        if place is None:
            place = self._position[series] = len(self._series)
            self._series.append(series)
            self._encoded = b""
        return place

    def __len__(self) -> int:
        return sum(len(places) for _, places, _ in self._rows) + sum(len(one[2]) for one in self._distributions)

    def build(self, sent_at: int) -> Batch:
        """Return all since the last build (sent_at: the sender's clock, ms), dense unless it has a distribution."""
        if not self._encoded:
            self._encoded = encode_series_set(self._series)
        values = np.repeat(MISSING, len(self._rows) * len(self._series)).reshape(len(self._rows), len(self._series))
        for row, (_, places, scraped) in enumerate(self._rows):
            values[row, places] = scraped
        timestamps = np.array([timestamp for timestamp, _, _ in self._rows], dtype=np.int64)
        batch = Batch(self.tenant, self.source, sent_at, self._encoded, timestamps, values)
        if self._distributions:
            self._append(batch)
        self._rows, self._distributions = [], []
        return batch

    def _append(self, batch: Batch) -> None:
        """Make the batch sparse, with the distributions behind its samples."""
        index, at, sampled = batch.points()
        stamps, places, values, weights = zip(*self._distributions, strict=True)
        sizes = [len(one) for one in values]
        batch.index = np.concatenate([index, np.repeat(np.array(places, np.uint32), sizes)])
        batch.timestamps = np.concatenate([at, np.repeat(np.array(stamps, np.int64), sizes)])
        batch.values = np.concatenate([sampled, *values])
        batch.weights = np.concatenate([np.ones(len(index), np.uint32), *weights])

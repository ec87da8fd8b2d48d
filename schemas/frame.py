"""Frames: what travels behind the gate (ids, dense or sparse), as columns."""

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from schemas.codec import codec
from schemas.columns import Int64s, Points, UInt32s, UInt64s, column, packed, points, unpacked
from schemas.nan import Floats


@dataclass(slots=True)
class Frame:
    """Resolved samples of one (tenant, shard), dense or sparse as Batch.

    metric_codes (into metrics) and series_ids have one entry per series. With weights (N,) it is sparse and holds
    distributions only: entries of one series and timestamp are one of them.
    """

    tenant: str
    shard: int
    metrics: list[str]
    metric_codes: UInt32s
    series_ids: UInt64s
    timestamps: Int64s
    values: Floats
    index: UInt32s | None = None
    weights: UInt32s | None = None

    def at(self, chosen: slice | npt.NDArray[Any]) -> "Frame":
        """Return the frame with some of its timestamps, and what lies at them, in the order given."""
        # Not by dataclasses.replace, which takes twice as long: this is done for every record.
        return Frame(
            self.tenant,
            self.shard,
            self.metrics,
            self.metric_codes,
            self.series_ids,
            self.timestamps[chosen],
            self.values[chosen],
            None if self.index is None else self.index[chosen],
            None if self.weights is None else self.weights[chosen],
        )

    def encode(self) -> bytes:
        """Return the frame in single-object encoding."""
        return codec("frame").encode(
            {
                "tenant": self.tenant,
                "shard": self.shard,
                "metrics": self.metrics,
                "metric_codes": self.metric_codes.astype("<u4", copy=False).tobytes(),
                "series_ids": self.series_ids.astype("<u8", copy=False).tobytes(),
                **packed(self.timestamps, self.values, self.index, self.weights),
            }
        )

    @classmethod
    def decode(cls, data: bytes, limit: int = 0) -> "Frame":
        """Return the frame of an encoded record; raises CodecError.

        limit: of its bytes, if it is another than for what comes from a topic.
        """
        record = codec("frame").decode(data, limit)
        timestamps, values, index, weights = unpacked(record)
        return cls(
            tenant=record["tenant"],
            shard=record["shard"],
            metrics=record["metrics"],
            metric_codes=column(record["metric_codes"], "<u4", "metric_codes"),
            series_ids=column(record["series_ids"], "<u8", "series_ids"),
            timestamps=timestamps,
            values=values,
            index=index,
            weights=weights,
        )

    def points(self) -> Points:
        """Return (series index, timestamps, values), one entry per sample, missing cells left out."""
        return points(self.timestamps, self.values, self.index)

"""Distributions as columns: what table distributions holds, and what their minutes are computed from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.nan import Floats

Rows = npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]


@dataclass(slots=True)
class Distributions:
    """One entry per distribution of a tenant: a series at a timestamp (ms), in any order, repeats allowed.

    metric_codes point into metrics. count: sum of weights. sum, sum_sq: of value and squared value times weight. digest
    is the concatenation of one ClickHouse quantilesTDigest state each, digest_offsets (N+1,) its boundaries in bytes.
    version: of several for one series and timestamp the highest stands, the count in its upper half and a hash of the
    content in its lower.
    """

    tenant: str
    metrics: list[str]
    metric_codes: UInt32s
    series_ids: UInt64s
    timestamps: Int64s
    count: UInt64s
    sum: Floats
    sum_sq: Floats
    min: Floats
    max: Floats
    digest: npt.NDArray[np.uint8]
    digest_offsets: Int64s
    version: UInt64s

    def __len__(self) -> int:
        return len(self.series_ids)

    def take(self, rows: Rows) -> "Distributions":
        """Return the rows at these places, in their order, or those of a mask."""
        sizes = np.diff(self.digest_offsets)
        begins, sizes = self.digest_offsets[:-1][rows], sizes[rows]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        return Distributions(
            self.tenant,
            self.metrics,
            self.metric_codes[rows],
            self.series_ids[rows],
            self.timestamps[rows],
            self.count[rows],
            self.sum[rows],
            self.sum_sq[rows],
            self.min[rows],
            self.max[rows],
            self.digest[np.repeat(begins - ends[:-1], sizes) + np.arange(ends[-1])],
            ends,
            self.version[rows],
        )

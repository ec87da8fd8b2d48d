"""Rollup rows of one window as columns: what the rollup and reroll jobs compute and ClickHouse stores."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.nan import Floats, Mask


@dataclass(slots=True)
class Rollups:
    """One entry per series of (tenant, window), ordered by (metric, series id).

    window is the window's start, ms since 1970 UTC; metric_codes point into metrics. digest is the concatenation of
    one ClickHouse quantilesTDigest state a series, digest_offsets (S+1,) its boundaries in bytes.
    """

    tenant: str
    window: int
    metrics: list[str]
    metric_codes: UInt32s
    series_ids: UInt64s
    count: UInt64s
    sum: Floats
    sum_sq: Floats
    min: Floats
    max: Floats
    first: Floats
    last: Floats
    first_ts: Int64s
    last_ts: Int64s
    increase: Floats
    digest: npt.NDArray[np.uint8]
    digest_offsets: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series_ids)

    def where(self, chosen: Mask) -> "Rollups":
        """Return the chosen rows."""
        if chosen.all():
            return self
        sizes = np.diff(self.digest_offsets)
        columns = {
            name: getattr(self, name)[chosen]
            for name in ("metric_codes", "series_ids", "count", "sum", "sum_sq", "min", "max", "first", "last")
        }
        return replace(
            self,
            **columns,
            first_ts=self.first_ts[chosen],
            last_ts=self.last_ts[chosen],
            increase=self.increase[chosen],
            digest=self.digest[np.repeat(chosen, sizes)],
            digest_offsets=np.concatenate([[0], np.cumsum(sizes[chosen])]).astype(np.int32),
        )

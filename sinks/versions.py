"""Data versions: what tells a cached answer that the data under it have changed.

One version per (tenant, metric, block), block = start of the UTC hour. A version is the writer's clock in nanoseconds:
two writers may race, and the larger one stands for both, since each raises it after its own write.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.batch import Frame, Int64s, UInt32s
from sinks.clickhouse import Clickhouse

HOUR_MS = 3_600_000

Pair = tuple[str, int]


def touched(metrics: Sequence[str], codes: npt.NDArray[np.integer[Any]], timestamps: Int64s) -> list[Pair]:
    """Return the distinct (metric, block) of samples, sorted; block in seconds since 1970 UTC.

    codes (N,): position of each sample's metric in metrics. timestamps (N,): ms since 1970 UTC.
    """
    if not len(codes):
        return []
    blocks = np.floor_divide(timestamps, HOUR_MS)
    first, last = int(blocks.min()), int(blocks.max())
    span = last - first + 1
    # One integer per pair; the span of all int64 milliseconds in hours times any list of names stays below 2**63.
    pairs = np.unique(codes.astype(np.int64) * span + (blocks - first))
    found = {(metrics[int(pair) // span], (int(pair) % span + first) * 3600) for pair in pairs}
    return sorted(found)


def touched_by(frames: Iterable[Frame]) -> dict[str, list[Pair]]:
    """Return for each tenant the (metric, block) pairs that its frames hold samples of."""
    found: dict[str, set[Pair]] = {}
    for frame in frames:
        index, stamps, _ = frame.points()
        codes: UInt32s = frame.metric_codes[index]
        found.setdefault(frame.tenant, set()).update(touched(frame.metrics, codes, stamps))
    return {tenant: sorted(pairs) for tenant, pairs in found.items() if pairs}


def raise_versions(clickhouse: Clickhouse, tenant: str, pairs: Sequence[Pair], now_ns: int) -> None:
    """Raise the versions of a tenant's pairs to now_ns. Call it after the samples are written, never before."""
    if not pairs:
        return
    clickhouse.insert("data_versions", rows(tenant, pairs, now_ns))


def rows(tenant: str, pairs: Sequence[Pair], now_ns: int) -> pa.Table:
    """Return the rows of table data_versions for raise_versions."""
    count = len(pairs)
    return pa.table(
        {
            "tenant": pa.array([tenant] * count, pa.string()),
            "metric": pa.array([metric for metric, _ in pairs], pa.string()),
            "block": pa.array(np.array([block for _, block in pairs], dtype=np.int64)).cast(
                pa.timestamp("s", tz="UTC")
            ),
            "version": pa.array(np.full(count, now_ns, dtype=np.uint64)),
        }
    )

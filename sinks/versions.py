"""Data versions: what tells a cached answer that the data under it have changed.

One version per (tenant, metric, block), block = start of the UTC hour. A version is the writer's clock in nanoseconds:
two writers may race, and the larger one stands for both, since each raises it after its own write.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from schemas.columns import Int64s
from schemas.names import Codes
from schemas.runs import first_of_run
from sinks.clickhouse import Clickhouse
from sinks.coded import coded

HOUR_MS = 3_600_000

Pair = tuple[str, int]


def pairs(metrics: Sequence[str], codes: Codes, timestamps: Int64s) -> list[Pair]:
    """Return the distinct (metric, block) of samples, sorted; block in seconds since 1970 UTC.

    codes (N,): position of each sample's metric in metrics. timestamps (N,): ms since 1970 UTC.
    """
    if not len(codes):
        return []
    blocks = np.floor_divide(timestamps, HOUR_MS)
    first = int(blocks.min())
    span = int(blocks.max()) - first + 1
    # One integer a pair: hours of int64 milliseconds times the metrics of one block stay far below 2**63.
    keys = codes.astype(np.int64) * span + (blocks - first)
    # Blocks come sorted: nearly all repeats stand side by side, and only what is left is sorted again.
    found = np.unique(keys[first_of_run(keys)])
    return sorted((metrics[int(one) // span], (int(one) % span + first) * 3600) for one in found)


def touched(block: pa.Table, before: int | None = None) -> dict[str, list[Pair]]:
    """Return for each tenant the pairs that rows of a block fall into; only rows older than `before` (ms), if given.

    block has columns tenant, metric, ts, as sinks/rows.py makes them.
    """
    stamps = np.asarray(block["ts"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()))
    kept = slice(None) if before is None else stamps < before
    tenants, tenant_codes = coded(block["tenant"])
    metrics, metric_codes = coded(block["metric"])
    tenant_codes, metric_codes, stamps = tenant_codes[kept], metric_codes[kept], stamps[kept]
    found = {}
    for code in np.unique(tenant_codes):
        mine = tenant_codes == code
        found[tenants[code]] = pairs(metrics, metric_codes[mine], stamps[mine])
    return found


def raise_versions(clickhouse: Clickhouse, tenant: str, touched: Sequence[Pair], now_ns: int) -> None:
    """Raise the versions of a tenant's pairs to now_ns. Call it after the samples are written, never before.

    now_ns is the clock *after* that write: with an earlier one the version could stand below, or at, one that another
    writer raised meanwhile, and an answer cached between the two would never be dropped.
    """
    if touched:
        clickhouse.insert("data_versions", rows(tenant, touched, now_ns))


def rows(tenant: str, touched: Sequence[Pair], now_ns: int) -> pa.Table:
    """Return the rows of table data_versions for raise_versions."""
    count = len(touched)
    blocks = np.array([block for _, block in touched], dtype=np.int64)
    return pa.table(
        {
            "tenant": pa.array([tenant] * count, pa.string()),
            "metric": pa.array([metric for metric, _ in touched], pa.string()),
            "block": pa.array(blocks).cast(pa.timestamp("s", tz="UTC")),
            "version": pa.array(np.full(count, now_ns, dtype=np.uint64)),
        }
    )

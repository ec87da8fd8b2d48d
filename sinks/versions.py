"""Data versions: what tells a cached answer that the data under it have changed.

One version per (tenant, metric, block), block = start of the UTC hour. A version is the writer's clock in nanoseconds,
or one more than what stands there if that is not less: a clock may be put back, and two machines' clocks differ. Two
writers may race, and may even raise to the same: each looks at what stands there after its own write, so whoever reads
the version of one that did not see the other's finds the rows of both.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from schemas.columns import Int64s
from schemas.names import Codes
from schemas.runs import first_of_run
from sinks.clickhouse import Clickhouse
from sinks.coded import coded

HOUR_MS = 3_600_000

Pair = tuple[str, int]

# Names travel in the request's address, whose length is bounded.
_NAMES_A_QUERY = 200
_LAST = 2**64 - 1
# Of more pairs than are asked for, where tenants share names: the answer is small, and the look must be quick.
_STANDING = """
SELECT tenant, metric, toUnixTimestamp(block) AS at, max(version) AS highest
FROM data_versions
WHERE tenant IN {tenants:Array(String)} AND metric IN {metrics:Array(String)} AND version >= {least:UInt64}
  AND block >= toDateTime({first:UInt32}, 'UTC') AND block <= toDateTime({last:UInt32}, 'UTC')
GROUP BY tenant, metric, block"""


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


def raise_versions(clickhouse: Clickhouse, touched: Mapping[str, Sequence[Pair]], now_ns: int) -> None:
    """Raise the versions of tenants' pairs to now_ns at least. Call it after the samples are written, never before.

    now_ns is the clock *after* that write: a replica may not know yet what another writer raised meanwhile, and with an
    earlier clock the version could stand below that. An answer cached between the two would never be dropped.
    """
    each = [(tenant, metric, block) for tenant, pairs in touched.items() for metric, block in pairs]
    if not each:
        return
    versions = _above(clickhouse, each, now_ns)
    columns = {
        "tenant": pa.array([tenant for tenant, _, _ in each], pa.string()),
        "metric": pa.array([metric for _, metric, _ in each], pa.string()),
        "block": pa.array([block for _, _, block in each], pa.int64()).cast(pa.timestamp("s", tz="UTC")),
        "version": pa.array([versions[one] for one in each], pa.uint64()),
    }
    clickhouse.insert("data_versions", pa.table(columns))


def _above(
    clickhouse: Clickhouse, each: Sequence[tuple[str, str, int]], now_ns: int
) -> dict[tuple[str, str, int], int]:
    """Return the version of each (tenant, metric, block): now_ns, or above the one that stands there."""
    versions = dict.fromkeys(each, now_ns)
    names = sorted({(tenant, metric) for tenant, metric, _ in each})
    blocks = [block for _, _, block in each]
    span = {"first": min(blocks), "last": max(blocks), "least": now_ns}
    for start in range(0, len(names), _NAMES_A_QUERY):
        tenants, metrics = (sorted(set(some)) for some in zip(*names[start : start + _NAMES_A_QUERY], strict=True))
        standing = clickhouse.look(_STANDING, {"tenants": tenants, "metrics": metrics, **span})
        for *key, version in zip(*(one.to_pylist() for one in standing.columns), strict=True):
            if (one := (key[0], key[1], key[2])) in versions:
                # Behind the last of all there is none.
                versions[one] = max(versions[one], min(version + 1, _LAST))
    return versions

"""What is stored, read back as columns and corrected: the reroll job's face of ClickHouse."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas import spans
from schemas.columns import Int64s, UInt64s
from schemas.distributions import Distributions
from schemas.frame import Frame
from schemas.names import united
from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS, Tier
from sinks import rows
from sinks.clickhouse import Clickhouse, Value
from sinks.coded import coded
from sinks.distributions import of_table
from sinks.refusal import RefusedBlock
from sinks.rollups import of_table as of_rows
from sinks.versions import raise_versions, touched

# Names and ids travel in the request's address, whose length is bounded.
_NAMES_A_QUERY = 200
_IDS_A_QUERY = 200

_MINE = """
WHERE tenant = {tenant:String}
  AND metric IN {metrics:Array(String)}
  AND series_id % {shards:UInt64} = {shard:UInt64}
"""
# One late source among many: ClickHouse then reads its granules and not those of every series of these metrics.
_FEW = "  AND series_id IN {ids:Array(UInt64)}\n"
# FINAL is not asked for: repeats are dropped when the window is computed.
_SAMPLES = f"""
SELECT metric, series_id, ts, value
FROM samples
{_MINE}
  AND {spans.WITHIN}
"""
_DISTRIBUTIONS = f"""
SELECT metric, series_id, ts, count, sum, sum_sq, min, max, version, digest
FROM distributions
{_MINE}
  AND {spans.DURING}
"""
_ROWS = {
    tier: f"""
SELECT tenant, metric, series_id, ts, count, sum, sum_sq, min, max, first, last, first_ts, last_ts, increase,
    digest
FROM {tier.table} FINAL
{_MINE}
  AND ts >= toDateTime({{start:Int64}}, 'UTC')
  AND ts < toDateTime({{end:Int64}}, 'UTC')
"""
    for tier in TIERS
}
_WINDOW = "intDiv(toUnixTimestamp64Milli(ts) - 1, {width:Int64}) * {width:Int64}"
# A series that was sent as both has the fuller one of either kind in a tier's row.
_COUNTS = f"""
SELECT series_id, window, max(n) AS count
FROM (
    SELECT series_id, {_WINDOW} AS window, toInt64(count()) AS n
    FROM samples FINAL
    {_MINE}
      AND {spans.WITHIN}
      AND NOT isNaN(value)
    GROUP BY series_id, window
    UNION ALL
    SELECT series_id, {_WINDOW} AS window, toInt64(sum(count)) AS n
    FROM distributions FINAL
    {_MINE}
      AND {spans.DURING}
    GROUP BY series_id, window
)
GROUP BY series_id, window
"""
_BEHIND_MS = 120_000  # how far a coarser tier may close behind the minutes
_CLOSED = """
SELECT tier, toUnixTimestamp(max(ts)) AS newest FROM completeness WHERE ts > now() - INTERVAL 3 DAY GROUP BY tier
"""


class Span(Protocol):
    """Pairs (series, window) of one shard, as udfs/reroll/dirty.py has them."""

    @property
    def tenant(self) -> str:
        """The owner."""
        ...

    @property
    def shard(self) -> int:
        """Series id mod shards."""
        ...

    @property
    def metrics(self) -> list[str]:
        """The names of all series."""
        ...

    @property
    def ids(self) -> UInt64s:
        """The series."""
        ...

    @property
    def windows(self) -> Int64s:
        """Starts in ms, one a pair."""
        ...


@dataclass(slots=True)
class ClickhouseHistory:
    """shards: of a tenant, as in jobs/settings.py. refused: blocks that ClickHouse would not take, with their error.

    ids_a_query: so many series at most are named in a query; where there are more, all of their metrics are read.
    """

    clickhouse: Clickhouse
    shards: int
    refused: list[tuple[str, pa.Table, RefusedBlock]]
    ids_a_query: int = _IDS_A_QUERY

    def samples(self, dirty: Span, width: int) -> Frame:
        """Return the raw samples in the span of the pairs, of their metrics and shard, sparse."""
        start, end = int(dirty.windows.min()), int(dirty.windows.max()) + width
        found = [table for table in self._read(_SAMPLES, dirty, {"start": start, "end": end}) if table.num_rows]
        coded_names = [coded(table["metric"]) for table in found]
        names, places = united(metrics for metrics, _ in coded_names)
        codes = [place[code] for (_, code), place in zip(coded_names, places, strict=True)]
        ids = [table["series_id"].to_numpy() for table in found]
        every = np.concatenate([*ids, np.empty(0, np.uint64)])
        unique, position, index = np.unique(every, return_index=True, return_inverse=True)
        stamps = [np.asarray(table["ts"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())) for table in found]
        return Frame(
            dirty.tenant,
            dirty.shard,
            names,
            np.concatenate([*codes, np.empty(0, np.uint32)])[position],
            unique,
            np.concatenate([*stamps, np.empty(0, np.int64)]),
            np.concatenate([*(table["value"].to_numpy() for table in found), np.empty(0)]),
            index.astype(np.uint32),
        )

    def distributions(self, dirty: Span, width: int) -> Distributions | None:
        """Return the distributions in the span of the pairs, of their metrics and shard, repeats too; None: none."""
        start, end = int(dirty.windows.min()), int(dirty.windows.max()) + width
        found = [table for table in self._read(_DISTRIBUTIONS, dirty, {"start": start, "end": end}) if table.num_rows]
        return of_table(pa.concat_tables(found).unify_dictionaries(), dirty.tenant) if found else None

    def rows(self, tier: Tier, dirty: Span, width: int) -> list[Rollups]:
        """Return the tier's rows in the span of the pairs, windows of `width` ms, of their metrics and shard."""
        span = {"start": int(dirty.windows.min()) // 1000, "end": (int(dirty.windows.max()) + width) // 1000}
        found = [table for table in self._read(_ROWS[tier], dirty, span) if table.num_rows]
        return [part for table in found for part in of_rows(table)]

    def counts(self, dirty: Span, width: int) -> tuple[UInt64s, Int64s, Int64s]:
        """Return (series ids, starts of windows in ms, samples in raw without repeats), for all pairs at least."""
        start, end = int(dirty.windows.min()), int(dirty.windows.max()) + width
        found = list(self._read(_COUNTS, dirty, {"start": start, "end": end, "width": width}))
        ids, windows, counts = (
            np.concatenate([np.empty(0, dtype), *(table[name].to_numpy() for table in found if table.num_rows)])
            for name, dtype in (("series_id", np.uint64), ("window", np.int64), ("count", np.int64))
        )
        return ids, windows, counts

    def closed(self) -> dict[str, int]:
        """Return for each tier the start of the newest window (ms) that the stream has closed, for any tenant.

        A window in which nothing came in time leaves no row. The minutes tell of it: all tiers close on one watermark.
        """
        found = {row["tier"]: int(row["newest"]) * 1000 for row in self.clickhouse.query(_CLOSED).to_pylist()}
        if MINUTE.name not in found:
            return found
        passed = found[MINUTE.name] + MINUTE.width_ms - _BEHIND_MS
        return {
            tier.name: max(found.get(tier.name, -1), passed // tier.width_ms * tier.width_ms - tier.width_ms)
            for tier in TIERS
        }

    def write(self, tier: Tier, made: Sequence[Rollups]) -> None:
        """Store rows for good, then raise the data versions of what they cover; a refused block is kept in refused."""
        if not made:
            return
        block = rows.ordered(pa.concat_tables([rows.rollup(one) for one in made]).unify_dictionaries())
        try:
            self.clickhouse.insert(tier.table, block)
        except RefusedBlock as error:
            self.refused.append((tier.table, block, error))
            return
        raise_versions(self.clickhouse, touched(block), time.time_ns())

    def _read(self, sql: str, dirty: Span, span: Mapping[str, int]) -> Iterator[pa.Table]:
        asked: dict[str, Value] = {"tenant": dirty.tenant, "shards": self.shards, "shard": dirty.shard, **span}
        if len(dirty.ids) <= self.ids_a_query:
            asked["ids"] = dirty.ids.tolist()
            sql = sql.replace(_MINE, _MINE + _FEW)
        for first in range(0, len(dirty.metrics), _NAMES_A_QUERY):
            asked["metrics"] = dirty.metrics[first : first + _NAMES_A_QUERY]
            yield self.clickhouse.query(sql, asked)

"""What ClickHouse holds after the run, as numpy columns. Values in SQL are bound parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import clickhouse_connect
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.httputil import get_pool_manager

from bench import compare
from bench.compare import Columns, Generated
from schemas.nan import Floats

_SAMPLES = """
SELECT series_id, toUnixTimestamp64Milli(ts) AS ts, value
FROM samples FINAL
WHERE tenant = {tenant:String} AND metric = {metric:String} AND samples.ts <= fromUnixTimestamp64Milli({end:Int64})
ORDER BY series_id, samples.ts
"""

_ROLLUPS = """
SELECT series_id, toInt64(toUnixTimestamp(ts)) * 1000 AS ts, count, sum, sum_sq, min, max, first, last, increase,
       digest
FROM rollup_1m FINAL
WHERE tenant = {tenant:String} AND metric = {metric:String} AND rollup_1m.ts < toDateTime({end:Int64} / 1000, 'UTC')
ORDER BY series_id, rollup_1m.ts
"""

_QUANTILES = """
SELECT series_id, quantilesTDigestMerge(0.5, 0.95, 0.99)(tdigest) AS q
FROM rollup_1m FINAL
WHERE tenant = {tenant:String} AND metric = {metric:String} AND ts < toDateTime({end:Int64} / 1000, 'UTC')
GROUP BY series_id
ORDER BY series_id
"""

LEVELS = (0.5, 0.95, 0.99)
# ClickHouse's final merge has about 100 centroids: the widest spans about 1.6 % of the ranks.
RANK_BOUND = 0.02


class Results:
    """One ClickHouse database. endpoint is host:port."""

    def __init__(self, endpoint: str, database: str, user: str, password: str) -> None:
        host, port = endpoint.rsplit(":", 1)
        self.client: Any = clickhouse_connect.get_client(
            host=host,
            port=int(port),
            database=database,
            username=user,
            password=password,
            send_receive_timeout=600,
            # A pool of one's own takes no proxy from the environment.
            pool_mgr=get_pool_manager(),
        )

    def rows(self, table: str, tenant: str) -> int:
        """Return a tenant's rows, repeats included; the primary key alone answers it, so that polling costs little."""
        sql = f"SELECT count() FROM {_known(table)} WHERE tenant = {{tenant:String}}"
        return int(self.client.query(sql, parameters={"tenant": tenant}).result_rows[0][0])

    def optimize(self, table: str) -> None:
        """Merge the table's parts into as few as there can be."""
        self.client.command(f"OPTIMIZE TABLE {_known(table)} FINAL")

    def disk(self, table: str) -> tuple[int, int, dict[str, int]]:
        """Return (rows, bytes on disk, bytes by column) of the table's active parts."""
        where = "WHERE active AND database = currentDatabase() AND table = {table:String}"
        named = {"table": _known(table)}
        rows, size = self.client.query(
            f"SELECT sum(rows), sum(bytes_on_disk) FROM system.parts {where}", parameters=named
        ).result_rows[0]
        columns = self.client.query(
            f"SELECT column, sum(column_bytes_on_disk) AS b FROM system.parts_columns {where} GROUP BY column",
            parameters=named,
        ).result_rows
        return int(rows), int(size), {name: int(used) for name, used in columns}

    def check(
        self, data: Generated, tenant: str, end_ms: int, progress: Callable[[str], None], stored: bool = True
    ) -> list[str]:
        """Return everything that is not as generated, each line with its metric; stored: samples too."""
        wrong: list[str] = []
        names = sorted(set(data.metrics.tolist()))
        for number, name in enumerate(names, 1):
            progress(f"checking {number} of {len(names)}: {name}")
            expected = data.metric(name)
            parameters = {"tenant": tenant, "metric": name, "end": end_ms}
            found = compare.samples(expected, self._columns(_SAMPLES, parameters)) if stored else []
            found += compare.rollups(expected, self._columns(_ROLLUPS, parameters), 60_000)
            found += compare.quantiles(expected.values, LEVELS, self._quantiles(parameters), RANK_BOUND)
            wrong += [f"{name}: {line}" for line in found]
        return wrong

    def _columns(self, sql: str, parameters: dict[str, Any]) -> Columns:
        table: pa.Table = self.client.query_arrow(sql, parameters=parameters, use_strings=False)
        columns: dict[str, Any] = {}
        for name in table.column_names:
            array = table.column(name).combine_chunks()
            if name == "digest":
                columns["digest"], columns["digest_offsets"] = _binary(array)
            else:
                columns[name] = array.to_numpy(zero_copy_only=False)
        return columns

    def _quantiles(self, parameters: dict[str, Any]) -> Floats:
        rows = self.client.query(_QUANTILES, parameters=parameters).result_rows
        return np.array([levels for _, levels in rows], dtype=np.float64).reshape(-1, len(LEVELS))


def _binary(array: Any) -> tuple[Any, Any]:
    """Return (bytes end to end, offsets) of an Arrow binary array, without a Python object a row."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.binary())
    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    state = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, np.uint8)
    return state[bounds[0] : bounds[-1]], bounds - bounds[0]


def _known(table: str) -> str:
    tables: Sequence[str] = ("samples", "rollup_1m")
    if table not in tables:
        raise ValueError(f"no table {table!r} here; there are {', '.join(tables)}")
    return table

"""Rows of a rollup tier of one tenant out of ClickHouse, as columns."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from promql.columns import Selector
from promql.tiers import Rows
from query import sql
from query.errors import refused
from query.metrics import ROWS_READ
from query.source import Statements, labels_of, placed
from query.spent import current
from schemas.tiers import Tier

Number = TypeVar("Number", np.uint64, np.int64, np.float64)


class ClickhouseRows:
    """Implements promql.tiers.RowSource."""

    def __init__(self, store: Statements, tenant: str, steps: int, tier: Tier) -> None:
        self._store = store
        self._tenant = tenant
        self._steps = steps
        self._tier = tier
        self.width_ms = tier.width_ms

    def rows(self, selector: Selector, fields: frozenset[str]) -> Rows:
        """Return the rows of the matching series; raises QueryError beyond a limit."""
        limits = self._store.limits
        found = self._store.rows(sql.series(self._tenant, selector, limits.series))
        self._store.check_series(found.num_rows)
        cells = found.num_rows * self._steps
        if cells > limits.cells:
            limit = f"{limits.cells} (TIDEGAUGE_QUERY_MAX_CELLS)"
            raise refused("TG-query-cells", f"{found.num_rows} series x {self._steps} steps are more than {limit}")
        if not found.num_rows:
            return Rows([], np.zeros(1, np.int64), np.empty(0, np.int64), {name: np.empty(0) for name in fields})
        ids, metrics = found["series_id"].to_numpy(), found["metric"].to_pylist()
        wanted = None if selector.metric and not selector.matchers else ids.tolist()
        names = sorted(fields)
        statement = sql.rollups(self._tenant, selector, sorted(set(metrics)), wanted, self._tier, names, limits.samples)
        table = self._store.rows(statement)
        if table.num_rows > limits.samples:
            limit = f"{limits.samples} (TIDEGAUGE_QUERY_MAX_SAMPLES)"
            raise refused("TG-query-samples", f"the selector reads more rows of {self._tier.name} than {limit}")
        ROWS_READ.labels(self._tier.name).inc(table.num_rows)
        if (spent := current()) is not None:
            spent.read(len(ids), table.num_rows)
        chosen, offsets, kept = placed(ids, _column(table, "series_id", np.uint64))
        labels = labels_of(metrics, found["json"].to_pylist())
        ends = _column(table, "ms", np.int64)[kept]
        values = {name: _column(table, f"{name}_", np.float64)[kept] for name in names}
        return Rows([labels[row] for row in chosen], offsets, ends, values)


def _column(table: pa.Table, name: str, kind: type[Number]) -> npt.NDArray[Number]:
    # An answer without rows has no columns.
    return np.asarray(table[name]).astype(kind, copy=False) if table.num_rows else np.empty(0, kind)

"""Range functions computed by ClickHouse's own timeSeries…ToGrid, whose windows are left-open as Prometheus 3's are."""

import threading

import numpy as np
import pyarrow as pa

from promql.columns import Floats, Mask, Selector
from promql.grid import Grid
from promql.holding import SELECTED
from promql.pushed import Cells
from query import sql
from query.errors import QueryError
from query.metrics import PUSHED
from query.rows import placed
from query.source import Statements, check_cost, check_samples, every, listed
from query.spent import current, keep

LACKING = "TG-query-lacking"


class Able:
    """Whether the server has the functions: an older one, or a user who may not set what allows them, has not."""

    def __init__(self) -> None:
        self._missing = threading.Event()

    def __bool__(self) -> bool:
        """Tell whether it is worth asking."""
        return not self._missing.is_set()

    def deny(self) -> None:
        """Ask no more."""
        self._missing.set()


class ClickhouseGrids:
    """Implements promql.pushed.GridSource for one tenant."""

    def __init__(self, store: Statements, tenant: str, able: Able) -> None:
        self._store = store
        self._tenant = tenant
        self._able = able

    def cells(self, function: str, selector: Selector, grid: Grid, range_ms: int) -> Cells | None:
        """Return the function at every step of the grid; raises QueryError beyond a limit."""
        if not self._able:
            return None
        limits = self._store.limits
        names, ids, labels = listed(self._store, self._tenant, selector, grid.size)
        if not names:
            return Cells([], np.zeros((0, grid.size)), np.zeros((0, grid.size), np.bool_))
        wanted = None if every(selector) else ids.tolist()
        check_cost(
            self._store, sql.samples(self._tenant, selector, names, wanted, limits.samples, False), len(ids), selector
        )
        # The arrays as Arrow has them, and as they become.
        keep(len(ids) * grid.size * SELECTED)
        statement = sql.grid(self._tenant, selector, names, wanted, function, grid, range_ms)
        try:
            table = self._store.rows(statement, sql.GRID_SETTINGS)
        except QueryError as error:
            if error.id != LACKING:
                raise
            self._able.deny()
            return None
        PUSHED.inc()
        values, present = _matrix(table, grid.size)
        if function == "present_over_time":
            values = present.astype(np.float64)
        if (spent := current()) is not None:
            spent.read(len(ids), int(present.sum()))
            check_samples(spent.samples, limits.samples)
        chosen, _, there = placed(ids, table["series_id"].to_numpy() if table.num_rows else np.empty(0, np.uint64))
        return Cells([labels[row] for row in chosen], values[there], present[there])


def _matrix(table: pa.Table, size: int) -> tuple[Floats, Mask]:
    """Return the arrays of column cells as [S, size]; null is no value."""
    if not table.num_rows:
        return np.zeros((0, size)), np.zeros((0, size), np.bool_)
    lists = table["cells"].combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    flat = lists.flatten()
    present = flat.is_valid().to_numpy(zero_copy_only=False).reshape(-1, size)
    values = flat.fill_null(0.0).to_numpy(zero_copy_only=False).reshape(-1, size)
    return values, present

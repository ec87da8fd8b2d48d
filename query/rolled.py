"""Rows of a rollup tier of one tenant out of ClickHouse, as columns."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from promql.columns import Floats, Int64s, Selector
from promql.holding import WINDOWED
from promql.tiers import Digests, Rows
from query import sql
from query.digests import quantiles
from query.metrics import ROWS_READ
from query.rows import placed
from query.source import Statements, check_cost, check_samples, every, listed
from query.spent import current, keep, most, settle
from schemas.tiers import Tier

# What a row takes, about: as Arrow has it and as columns; and its digest, of a gauge that never stands still.
ROW_BYTES, DIGEST_BYTES = 150, 1000

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
        nothing = Digests(np.empty(0, np.uint8), np.zeros(1, np.int64))
        metrics, ids, labels = listed(self._store, self._tenant, selector, self._steps)
        if not metrics:
            return Rows(
                [], np.zeros(1, np.int64), np.empty(0, np.int64), {name: np.empty(0) for name in fields}, nothing
            )
        wanted = None if every(selector) else ids.tolist()
        names = sorted(fields)
        statement = sql.rollups(self._tenant, selector, metrics, wanted, self._tier, names, limits.samples)
        check_cost(self._store, statement, len(ids), selector, self.width_ms)
        # Windows over them, see promql.tiers; and no more rows than there are windows of their width.
        keep(len(ids) * self._steps * WINDOWED)
        widths = (selector.end_ms - selector.start_ms) // self.width_ms + 1
        room = min(len(ids) * widths, limits.samples) * (ROW_BYTES + DIGEST_BYTES * ("digest" in fields))
        room = most(room)
        keep(room)
        table = self._store.rows(statement)
        keep(2 * table.nbytes - room)
        settle()
        check_samples(table.num_rows, limits.samples)
        ROWS_READ.labels(self._tier.name).inc(table.num_rows)
        if (spent := current()) is not None:
            spent.read(len(ids), table.num_rows)
            check_samples(spent.samples, limits.samples)
        chosen, offsets, kept = placed(ids, _column(table, "series_id", np.uint64))
        ends = _column(table, "ms", np.int64)[kept]
        values = {name: _column(table, f"{name}_", np.float64)[kept] for name in names if name != "digest"}
        states = _digests(table, kept) if "digest" in fields and table.num_rows else nothing
        return Rows([labels[row] for row in chosen], offsets, ends, values, states)

    def quantiles(self, digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
        """Return the quantile of each group of digests."""
        return quantiles(digests, low, high, level)


def _digests(table: pa.Table, kept: npt.NDArray[np.bool_]) -> Digests:
    """Return the states of the kept rows, without a Python object a row."""
    states = table["digest_"].cast(pa.large_binary()).filter(pa.array(kept)).combine_chunks()
    if isinstance(states, pa.ChunkedArray):
        states = pa.concat_arrays(states.chunks)
    _, bounds, data = states.buffers()
    offsets = np.frombuffer(bounds, np.int64, len(states) + 1, states.offset * 8)
    held = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    return Digests(held, offsets - offsets[0])


def _column(table: pa.Table, name: str, kind: type[Number]) -> npt.NDArray[Number]:
    # An answer without rows has no columns.
    return np.asarray(table[name]).astype(kind, copy=False) if table.num_rows else np.empty(0, kind)

"""Columns and label sets out of ClickHouse."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import orjson
import pyarrow as pa

from promql.columns import NAME, Labels
from promql.plan import Select
from query import inserts, sql, sql_catalog
from query.blocks import HOUR_MS
from query.completeness import HOUR_S, Completeness
from query.errors import QueryError, refused, timeout, unavailable
from query.grids import LACKING, Able, ClickhouseGrids
from query.pulse import Pulse
from query.rolled import ClickhouseRows
from query.shared import Shared
from query.source import SERIES_BYTES, ClickhouseSource, Limits, labels_of
from query.spent import current, keep
from query.store import Alert, Cardinality, Versions, Written
from query.view import EVERYTHING, View
from schemas.tiers import MINUTE, Tier
from sinks.clickhouse import Clickhouse, Value
from sinks.refusal import ClickhouseError, Unavailable

UNKNOWN_REGEX = 427
# No such function, no such aggregate function (or it is not allowed), no such setting, one that this user may not
# change, support is disabled.
LACKS = frozenset({46, 63, 115, 164, 344})
REFUSED = "TG-query-store"
COMPLETENESS_MS = 2000
MOST_TENANTS = 10_000
MOST_VERSIONS = 1000
MOST_BESIDE = 16
TIMEOUTS = ("TIMEOUT_EXCEEDED", "TimeoutError", "timed out")
log = logging.getLogger(__name__)

COMPRESSION = "output_format_arrow_compression_method"
# Of every statement. Blocks of 65,000 samples: in those of 1 MB, its default, ClickHouse takes half as long again for
# an hour of 2,000 series.
BLOCKS = {"preferred_block_size_bytes": "16777216"}
# Of the statement that every request begins with: on one thread it takes 1.4 ms, on two 2.0.
ALONE = {"max_threads": "1"}
DEADLINE = "max_execution_time"
# A read-only user too says these: see `always` of Clickhouse.
SAID = frozenset({DEADLINE, COMPRESSION, *BLOCKS, *ALONE})

T = TypeVar("T")


class ClickhouseStore:
    """The store over one ClickHouse. compression: of answers on their way, by Arrow's name.

    pulse: tells whether it answers at all; None: every statement is waited for.
    """

    def __init__(
        self, clickhouse: Clickhouse, limits: Limits, compression: str = "none", pulse: Pulse | None = None
    ) -> None:
        self._clickhouse = clickhouse
        self._pulse = pulse
        self.limits = limits
        self._always = {**BLOCKS, COMPRESSION: compression}
        self._said: dict[tuple[str, Tier], tuple[int, int | None, Completeness | None]] = {}
        self._able = Able()
        self._writes = Shared(self._written)
        self._beside = ThreadPoolExecutor(MOST_BESIDE, "beside")
        self._versions: dict[tuple[str, tuple[str, ...], int, int], tuple[tuple[int, int], Versions]] = {}

    def rows(self, statement: sql.Statement, settings: Mapping[str, str] | None = None) -> pa.Table:
        """Return the answer of a statement; raises QueryError.

        ClickHouse ends it when the request's time is over: nothing runs on for an answer that nobody waits for.
        """
        spent = current()
        if spent is None:
            return self._rows(statement, self.limits.timeout_s, self.limits.timeout_s, settings)
        with spent.statement():
            return self._rows(statement, spent.left_s(), spent.limit_s, settings)

    def beside(self, call: Callable[[], T]) -> "Future[T]":
        """Begin a call of the running request in another thread; it may not call this in its turn."""
        return self._beside.submit(copy_context().run, call)

    def _rows(
        self, statement: sql.Statement, left_s: float, limit_s: float, more: Mapping[str, str] | None
    ) -> pa.Table:
        if self._pulse is None:
            return self._asked(statement, left_s, limit_s, more)
        return self._pulse.run(lambda: self._asked(statement, left_s, limit_s, more), left_s)

    def _asked(
        self, statement: sql.Statement, left_s: float, limit_s: float, more: Mapping[str, str] | None
    ) -> pa.Table:
        text, params = statement
        values: Mapping[str, Value] = params
        settings = {**self._always, **(more or {}), DEADLINE: f"{max(left_s, 0.001):.3f}"}
        try:
            try:
                return self._clickhouse.query(text, values, settings)
            except Unavailable as error:
                if any(word in str(error) for word in TIMEOUTS):
                    raise timeout(limit_s) from error
                # The connection may have died since its last query; a new one tells.
                return self._clickhouse.query(text, values, settings)
        except Unavailable as error:
            raise unavailable(f"ClickHouse does not answer: {error}") from error
        except ClickhouseError as error:
            if error.code == UNKNOWN_REGEX:
                raise refused("TG-query-regex", f"ClickHouse cannot run the regular expression: {error}") from error
            message = f"ClickHouse refused the query: code {error.code}: {str(error)[:500]}"
            raise QueryError(500, "internal", LACKING if more and error.code in LACKS else REFUSED, message) from error

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> ClickhouseSource:
        """Return the source of a tenant's samples."""
        return ClickhouseSource(self, tenant, steps, view)

    def grids(self, tenant: str, view: View = EVERYTHING) -> ClickhouseGrids | None:
        """Return what computes range functions of a tenant's samples; None: it does not know what arrived when."""
        return None if view.as_of_ms is not None else ClickhouseGrids(self, tenant, self._able)

    def rolled(self, tenant: str, steps: int, tier: Tier) -> ClickhouseRows:
        """Return the source of a tenant's rows of a tier."""
        return ClickhouseRows(self, tenant, steps, tier)

    def completeness(
        self, tenant: str, now_ms: int, tier: Tier = MINUTE, written: Written | None = None
    ) -> Completeness | None:
        """Return up to when the tenant's data are complete in a tier.

        Asked once in COMPLETENESS_MS, of a coarser tier up to 15 times as long: a dashboard's panels ask all at once,
        each ask costs 10 ms, and a window one row.
        """
        fresh_ms = COMPLETENESS_MS * min(tier.width_ms // MINUTE.width_ms, 15)
        block = None if written is None else written.get("completeness", 0)
        held = self._said.get((tenant, tier))
        if held is not None:
            asked_ms, known, said = held
            if 0 <= now_ms - asked_ms < fresh_ms or (block is not None and known == block):
                return said
        upto_s = max(0, now_ms - tier.width_ms) // 1000
        found = self.rows(sql.completeness(tenant, tier.name, HOUR_S, upto_s)).to_pylist()
        said = None
        for row in found:
            said = Completeness(row["last"] * 1000 + tier.width_ms, row["seen"], row["expected"])
        if len(self._said) >= MOST_TENANTS:
            self._said.clear()
        self._said[tenant, tier] = now_ms, block, said
        return said

    def written(self) -> Written | None:
        """Return a number of each table (query/inserts.py); who came before the statement began shares its answer."""
        return self._writes.get()

    def _written(self) -> Written | None:
        try:
            table = self.rows(inserts.statement(self._clickhouse.database), ALONE)
        except QueryError as error:
            if error.id not in (REFUSED, LACKING):
                raise
            # Its reader may not see system.parts, or not say on how many threads: slower, not wrong.
            log.warning("TG-query-written: %s", error.message)
            return None
        if not table.num_rows:
            # A reader who may not see our tables, or nothing there yet: no number that would change.
            return None
        return inserts.numbers(table)

    def versions(
        self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int, written: Written | None = None
    ) -> Versions:
        """Return the data versions of metrics, for the whole hours from start to end."""
        start_ms, end_ms = start_ms - start_ms % HOUR_MS, end_ms - end_ms % HOUR_MS + HOUR_MS - 1
        if written is None:
            return self._read_versions(tenant, metrics, start_ms, end_ms)
        key = tenant, tuple(metrics), start_ms, end_ms
        now = written.get("data_versions", 0), written.get("series", 0)
        held = self._versions.get(key)
        if held is not None and held[0] == now:
            return held[1]
        found = self._read_versions(tenant, metrics, start_ms, end_ms)
        if len(self._versions) >= MOST_VERSIONS:
            self._versions.clear()
        self._versions[key] = now, found
        return found

    def _read_versions(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Versions:
        table = self.rows(sql.versions(tenant, metrics, start_ms, end_ms))
        found: Versions = {}
        columns = (table[name].to_pylist() for name in ("metric", "hour", "kind", "version"))
        for metric, hour, kind, version in zip(*columns, strict=True):
            found.setdefault(metric, []).append((hour, kind, version))
        return {metric: sorted(rows) for metric, rows in found.items()}

    def label_sets(self, tenant: str, select: Select, start_ms: int, end_ms: int, limit: int) -> list[Labels]:
        """Return the label sets of a selector."""
        table = self.rows(sql_catalog.label_sets(tenant, select, start_ms, end_ms, limit))
        keep(table.num_rows * SERIES_BYTES)
        return labels_of(table["metric"].to_pylist(), table["json"].to_pylist())

    def label_names(self, tenant: str, select: Select | None, start_ms: int, end_ms: int, limit: int) -> set[str]:
        """Return label names, of all series if select is None."""
        names = set(self.rows(sql_catalog.label_names(tenant, select, start_ms, end_ms, limit))["name"].to_pylist())
        any_series = names or self.label_values(tenant, NAME, select, start_ms, end_ms, 1)
        return names | {NAME} if any_series else set()

    def label_values(
        self, tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int, limit: int
    ) -> set[str]:
        """Return a label's values, of all series if select is None."""
        table = self.rows(sql_catalog.label_values(tenant, label, select, start_ms, end_ms, limit))
        return set(table["value"].to_pylist())

    def metadata(self, tenant: str, metric: str, limit: int) -> list[tuple[str, str, str]]:
        """Return (metric, type, unit) of the first metrics by name, or of one metric."""
        table = self.rows(sql_catalog.metadata(tenant, metric, limit))
        return list(zip(*(table[name].to_pylist() for name in ("metric", "type", "unit")), strict=True))

    def cardinality(self, tenant: str, limit: int) -> Cardinality:
        """Return how many series, labels and pairs there are, and the largest of each."""
        head = self.rows(sql_catalog.head(tenant)).to_pylist()[0]
        tops = {}
        for what in sql_catalog.TOPS:
            table = self.rows(sql_catalog.top(tenant, what, limit))
            tops[what] = list(zip(table["name"].to_pylist(), table["value"].to_pylist(), strict=True))
        return Cardinality(head["series"], head["pairs"], head["first"], head["last"], tops)

    def alerts(self, tenant: str, limit: int) -> list[Alert]:
        """Return what is pending or firing."""
        return [
            Alert(
                row["rule_id"],
                row["name"],
                row["now_state"],
                orjson.loads(row["json"]),
                orjson.loads(row["notes"]),
                row["newest"],
                row["active"],
                row["evaluated"],
            )
            for row in self.rows(sql_catalog.alerts(tenant, limit)).to_pylist()
        ]

    def rules(self, tenant: str, limit: int) -> list[tuple[str, str]]:
        """Return (rule id, JSON) of the rules that were applied and not deleted."""
        table = self.rows(sql_catalog.rules(tenant, limit))
        return list(zip(table["rule_id"].to_pylist(), table["body"].to_pylist(), strict=True))

    def ready(self) -> None:
        """Raise QueryError if ClickHouse does not answer or has no tables."""
        self.rows(("SELECT count() AS n FROM series WHERE tenant = ''", {}))

    def check_series(self, count: int) -> None:
        """Refuse a selector of too many series."""
        if count > self.limits.series:
            limit = f"{self.limits.series} (TIDEGAUGE_QUERY_MAX_SERIES)"
            raise refused("TG-query-series", f"the selector matches more series than the limit of {limit}")

"""Columns and label sets out of ClickHouse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from promql.columns import NAME, Columns, Labels, Selector, Source
from promql.plan import Select
from query import sql
from query.completeness import HOUR_S, Completeness
from query.errors import QueryError, refused, timeout, unavailable
from query.known import unknown
from query.metrics import SAMPLES_READ
from query.view import EVERYTHING, View
from schemas.tiers import MINUTE
from sinks.clickhouse import Clickhouse, ClickhouseError, Unavailable, Value

# (hour in s since 1970, kind, version), see sql.versions.
Version = tuple[int, str, int]
Versions = dict[str, list[Version]]

UNKNOWN_REGEX = 427
COMPLETENESS_MS = 2000
MOST_TENANTS = 10_000
TIMEOUTS = ("TIMEOUT_EXCEEDED", "TimeoutError", "timed out")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may cost; see the settings of the same names."""

    series: int
    samples: int
    cells: int
    timeout_s: float


class Store(Protocol):
    """What the API reads from."""

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Source:
        """Return the source of a tenant's samples, for an evaluation of so many steps."""
        ...

    def completeness(self, tenant: str, now_ms: int) -> Completeness | None:
        """Return up to when the tenant's data are complete, None if the stream has said nothing yet.

        It may be some seconds old: it then promises less than it could, never more.
        """
        ...

    def versions(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Versions:
        """Return the data versions of metrics, for the hours from start to end."""
        ...

    def label_sets(self, tenant: str, select: Select, start_ms: int, end_ms: int) -> list[Labels]:
        """Return the label sets of a selector."""
        ...

    def label_names(self, tenant: str, select: Select | None, start_ms: int, end_ms: int) -> set[str]:
        """Return label names, of all series if select is None."""
        ...

    def label_values(self, tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int) -> set[str]:
        """Return a label's values, of all series if select is None."""
        ...

    def ready(self) -> None:
        """Raise QueryError if the store does not answer."""
        ...


class ClickhouseStore:
    """The store over one ClickHouse."""

    def __init__(self, clickhouse: Clickhouse, limits: Limits) -> None:
        self._clickhouse = clickhouse
        self.limits = limits
        self._said: dict[str, tuple[int, Completeness | None]] = {}

    def rows(self, statement: sql.Statement) -> pa.Table:
        """Return the answer of a statement; raises QueryError."""
        text, params = statement
        values: Mapping[str, Value] = params
        settings = {"max_execution_time": f"{self.limits.timeout_s:g}"}
        try:
            try:
                return self._clickhouse.query(text, values, settings)
            except Unavailable as error:
                if any(word in str(error) for word in TIMEOUTS):
                    raise timeout(self.limits.timeout_s) from error
                # The connection may have died since its last query; a new one tells.
                return self._clickhouse.query(text, values, settings)
        except Unavailable as error:
            raise unavailable(f"ClickHouse does not answer: {error}") from error
        except ClickhouseError as error:
            if error.code == UNKNOWN_REGEX:
                raise refused("TG-query-regex", f"ClickHouse cannot run the regular expression: {error}") from error
            message = f"ClickHouse refused the query: code {error.code}: {str(error)[:500]}"
            raise QueryError(500, "internal", "TG-query-store", message) from error

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> "ClickhouseSource":
        """Return the source of a tenant's samples."""
        return ClickhouseSource(self, tenant, steps, view)

    def completeness(self, tenant: str, now_ms: int) -> Completeness | None:
        """Return up to when the tenant's data are complete, by the tier of minutes.

        Asked once in COMPLETENESS_MS: a dashboard's panels ask all at once, each ask costs 10 ms, and a minute one row.
        """
        asked_ms, said = self._said.get(tenant, (None, None))
        if asked_ms is not None and 0 <= now_ms - asked_ms < COMPLETENESS_MS:
            return said
        found = self.rows(sql.completeness(tenant, MINUTE.name, HOUR_S)).to_pylist()
        said = None
        for row in found:
            said = Completeness(row["last"] * 1000 + MINUTE.width_ms, row["seen"], row["expected"])
        if len(self._said) >= MOST_TENANTS:
            self._said.clear()
        self._said[tenant] = now_ms, said
        return said

    def versions(self, tenant: str, metrics: Sequence[str], start_ms: int, end_ms: int) -> Versions:
        """Return the data versions of metrics, for the hours from start to end."""
        table = self.rows(sql.versions(tenant, metrics, start_ms, end_ms))
        found: Versions = {}
        columns = (table[name].to_pylist() for name in ("metric", "hour", "kind", "version"))
        for metric, hour, kind, version in zip(*columns, strict=True):
            found.setdefault(metric, []).append((hour, kind, version))
        return {metric: sorted(rows) for metric, rows in found.items()}

    def label_sets(self, tenant: str, select: Select, start_ms: int, end_ms: int) -> list[Labels]:
        """Return the label sets of a selector."""
        table = self.rows(sql.label_sets(tenant, select, start_ms, end_ms, self.limits.series))
        self.check_series(table.num_rows)
        return labels_of(table["metric"].to_pylist(), table["json"].to_pylist())

    def label_names(self, tenant: str, select: Select | None, start_ms: int, end_ms: int) -> set[str]:
        """Return label names, of all series if select is None."""
        names = set(self.rows(sql.label_names(tenant, select, start_ms, end_ms))["name"].to_pylist())
        any_series = names or self.label_values(tenant, NAME, select, start_ms, end_ms)
        return names | {NAME} if any_series else set()

    def label_values(self, tenant: str, label: str, select: Select | None, start_ms: int, end_ms: int) -> set[str]:
        """Return a label's values, of all series if select is None."""
        return set(self.rows(sql.label_values(tenant, label, select, start_ms, end_ms))["value"].to_pylist())

    def ready(self) -> None:
        """Raise QueryError if ClickHouse does not answer or has no tables."""
        self.rows(("SELECT count() AS n FROM series WHERE tenant = ''", {}))

    def check_series(self, count: int) -> None:
        """Refuse a selector of too many series."""
        if count > self.limits.series:
            limit = f"{self.limits.series} (TIDEGAUGE_QUERY_MAX_SERIES)"
            raise refused("TG-query-series", f"the selector matches more series than the limit of {limit}")


class ClickhouseSource:
    """Raw samples of one tenant. Rollup tiers will be further sources behind the same protocol, for views that may."""

    def __init__(self, store: ClickhouseStore, tenant: str, steps: int, view: View = EVERYTHING) -> None:
        self._store = store
        self._tenant = tenant
        self._steps = steps
        self._view = view

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series; raises QueryError beyond a limit."""
        limits = self._store.limits
        selector = self._view.clip(selector)
        found = self._store.rows(sql.series(self._tenant, selector, limits.series))
        self._store.check_series(found.num_rows)
        cells = found.num_rows * self._steps
        if cells > limits.cells:
            limit = f"{limits.cells} (TIDEGAUGE_QUERY_MAX_CELLS)"
            raise refused("TG-query-cells", f"{found.num_rows} series x {self._steps} steps are more than {limit}")
        ids = found["series_id"].to_numpy() if found.num_rows else np.empty(0, np.uint64)
        metrics = found["metric"].to_pylist() if found.num_rows else []
        names = sorted(set(metrics))
        # Without label matchers the metric alone selects, and needs no list of ids.
        every = bool(selector.metric) and not selector.matchers
        rows = self._samples(selector, names, None if every else ids, final=False)
        if conflicting(*rows):
            # Two values for one identity: only FINAL knows which one a merge will keep.
            rows = self._samples(selector, names, None if every else ids, final=True)
        # After the samples, since arrivals are written before them: no late sample is taken for one in time.
        rows = self._known(selector, names, None if every else ids, rows)
        labels = labels_of(metrics, found["json"].to_pylist() if found.num_rows else [])
        return grouped(ids, labels, *rows)

    def _samples(
        self, selector: Selector, metrics: list[str], ids: npt.NDArray[np.uint64] | None, final: bool
    ) -> "Rows":
        if not metrics:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64)
        limit = self._store.limits.samples
        wanted = None if ids is None else ids.tolist()
        table = self._store.rows(sql.samples(self._tenant, selector, metrics, wanted, limit, final))
        _check_samples(table.num_rows, limit)
        SAMPLES_READ.inc(table.num_rows)
        if not table.num_rows:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64)
        return table["series_id"].to_numpy(), table["ms"].to_numpy(), table["value"].to_numpy()

    def _known(
        self, selector: Selector, metrics: list[str], ids: npt.NDArray[np.uint64] | None, rows: "Rows"
    ) -> "Rows":
        """Return the samples that were known at the time which the view asks for."""
        as_of = self._view.as_of_ms
        if as_of is None or not len(rows[0]):
            return rows
        limit = self._store.limits.samples
        wanted = None if ids is None else ids.tolist()
        later = self._store.rows(sql.arrived_later(self._tenant, selector, metrics, wanted, as_of, limit))
        _check_samples(later.num_rows, limit)
        if not later.num_rows:
            return rows
        keep = ~unknown(rows[0], rows[1], later["series_id"].to_numpy(), later["ms"].to_numpy())
        return rows[0][keep], rows[1][keep], rows[2][keep]


def _check_samples(count: int, limit: int) -> None:
    if count > limit:
        limited = f"{limit} (TIDEGAUGE_QUERY_MAX_SAMPLES)"
        raise refused("TG-query-samples", f"the selector reads more samples than the limit of {limited}")


Rows = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


def labels_of(metrics: Sequence[str], json: Sequence[str]) -> list[Labels]:
    """Return label maps with their names; empty labels are no labels."""
    sets = []
    for metric, text in zip(metrics, json, strict=True):
        labels = {name: value for name, value in orjson.loads(text).items() if value}
        labels[NAME] = metric
        sets.append(labels)
    return sets


def _repeats(ids: npt.NDArray[np.uint64], ms: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which rows have the identity of the row before."""
    same = np.zeros(len(ids), np.bool_)
    same[1:] = (ids[1:] == ids[:-1]) & (ms[1:] == ms[:-1])
    return same


def conflicting(ids: npt.NDArray[np.uint64], ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> bool:
    """Tell whether a sample comes twice with different values, bit by bit."""
    bits = values.view(np.uint64)
    return bool((_repeats(ids, ms)[1:] & (bits[1:] != bits[:-1])).any())


def grouped(
    known: npt.NDArray[np.uint64],
    labels: list[Labels],
    ids: npt.NDArray[np.uint64],
    ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> Columns:
    """Return rows sorted by series and time as columns, each sample once; rows of unknown series are left out."""
    keep = ~_repeats(ids, ms)
    if not keep.all():
        ids, ms, values = ids[keep], ms[keep], values[keep]
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.empty(0, np.int64)
    sizes = np.diff(np.append(starts, len(ids)))
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known[order], ids[starts])
    there = place < len(known)
    there[there] = known[order][place[there]] == ids[starts][there]
    if not there.all():
        rows = np.repeat(there, sizes)
        ms, values, sizes = ms[rows], values[rows], sizes[there]
    chosen = order[place[there]]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Columns([labels[row] for row in chosen], offsets, ms, values)

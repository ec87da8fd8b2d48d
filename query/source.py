"""Samples of one tenant out of ClickHouse, as columns."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from promql.columns import NAME, Columns, Labels, Selector
from query import sql
from query.errors import QueryError, refused
from query.known import unknown
from query.metrics import ESTIMATES, SAMPLES_READ
from query.rows import Rows, by_series, conflicting, grouped
from query.spent import current, keep, most, reach, settle
from query.view import EVERYTHING, View

# Below so many samples, were each series to have one a second, nothing is asked before reading.
SMALL = 20_000_000
# So many samples are read while the list of their series comes; of more, none are kept.
EARLY = 2_000_000
# What one takes until it is a column: as Arrow has it, one after the other, in order. And a series, with its labels.
SAMPLE_BYTES = 64
SERIES_BYTES = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may cost; see the settings of the same names."""

    series: int
    samples: int
    cells: int
    timeout_s: float
    rows: int = 500_000_000


class Statements(Protocol):
    """What the source needs of its store."""

    @property
    def limits(self) -> Limits:
        """Return what one query may cost."""
        ...

    def rows(self, statement: sql.Statement, settings: Mapping[str, str] | None = None) -> pa.Table:
        """Return the answer of a statement; raises QueryError."""
        ...

    def check_series(self, count: int) -> None:
        """Refuse a selector of too many series."""
        ...

    def beside(self, call: Callable[[], T]) -> "Future[T]":
        """Begin a call of the running request in another thread."""
        ...


def matching(store: Statements, tenant: str, selector: Selector, steps: int) -> pa.Table:
    """Return the series of a selector, see sql.series; refused if they are too many, or too many for so many steps.

    Asked once in a request for all its tiers: what was alive since an earlier start holds what was since a later one.
    """
    limits, spent = store.limits, current()
    key = tenant, selector.metric, selector.matchers
    start_ms, found = (0, None) if spent is None else spent.found.get(key, (0, None))
    if found is None or start_ms > selector.start_ms:
        found = store.rows(sql.series(tenant, selector, limits.series))
        if spent is not None:
            spent.found[key] = selector.start_ms, found
    store.check_series(found.num_rows)
    if found.num_rows * steps > limits.cells:
        limit = f"{limits.cells} (TIDEGAUGE_QUERY_MAX_CELLS)"
        raise refused("TG-query-cells", f"{found.num_rows} series x {steps} steps are more than {limit}")
    return found


class Listed(NamedTuple):
    """The series of a selector. names: of the metrics, sorted; ids and labels: in the table's order."""

    names: list[str]
    ids: npt.NDArray[np.uint64]
    labels: list[Labels]


def listed(store: Statements, tenant: str, selector: Selector, steps: int) -> Listed:
    """Return the series of a selector, refused as `matching` refuses."""
    found = matching(store, tenant, selector, steps)
    if not found.num_rows:
        return Listed([], np.empty(0, np.uint64), [])
    keep(found.num_rows * SERIES_BYTES)
    metrics = found["metric"].to_pylist()
    labels = labels_of(metrics, found["json"].to_pylist())
    return Listed(sorted(set(metrics)), found["series_id"].to_numpy(), labels)


def every(selector: Selector) -> bool:
    """Tell whether the metric alone selects, so that no list of ids is needed."""
    return bool(selector.metric) and not selector.matchers


class ClickhouseSource:
    """Raw samples of one tenant."""

    def __init__(self, store: Statements, tenant: str, steps: int, view: View = EVERYTHING) -> None:
        self._store = store
        self._tenant = tenant
        self._steps = steps
        self._view = view

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series; raises QueryError beyond a limit."""
        limits = self._store.limits
        selector = self._view.clip(selector)
        found, rows = self._both(selector) if every(selector) else (self._listed(selector), None)
        ids, wanted = found.ids, None if every(selector) else found.ids.tolist()
        if rows is None:
            statement = sql.samples(self._tenant, selector, found.names, wanted, limits.samples, False)
            told = check_cost(self._store, statement, len(ids), selector)
            if wanted is None and not told:
                # They are more than EARLY.
                told = estimated(self._store, statement)
            rows = self._samples(selector, found.names, wanted, final=False, told=told)
        keep(len(rows[0]) * SAMPLE_BYTES)
        settle()
        if conflicting(*rows):
            # Two values for one identity: only FINAL knows which one a merge will keep.
            rows = self._samples(selector, found.names, wanted, final=True, told=len(rows[0]))
        rows = by_series(ids, *rows)
        # After the samples, since arrivals are written before them: no late sample is taken for one in time.
        rows = self._known(selector, found.names, wanted, rows)
        spent = current()
        if spent is not None:
            spent.read(len(ids), len(rows[0]))
            check_samples(spent.samples, limits.samples)
        return grouped(ids, found.labels, *rows)

    def _listed(self, selector: Selector) -> Listed:
        return listed(self._store, self._tenant, selector, self._steps)

    def _both(self, selector: Selector) -> tuple[Listed, Rows | None]:
        """Return the list of a metric's series, and the samples that were read meanwhile; None: too many for that.

        What the list has to refuse is refused in its words: meanwhile no more is read than EARLY, or than a limit.
        """
        listing = self._store.beside(lambda: self._listed(selector))
        limit = min(EARLY, _within(EARLY), self._store.limits.samples, self._store.limits.rows)
        try:
            rows = self._read(sql.samples(self._tenant, selector, [selector.metric], None, limit, False))
        except QueryError:
            listing.result()
            raise
        return listing.result(), None if len(rows[0]) > limit else rows

    def _samples(
        self, selector: Selector, metrics: list[str], wanted: list[int] | None, final: bool, told: int
    ) -> Rows:
        """Return the samples. told: about how many there are; 0: nobody knows."""
        if not metrics:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64)
        limit = self._store.limits.samples
        first = limit if told else min(limit, _within(EARLY))
        plain = sql.samples(self._tenant, selector, metrics, wanted, first, final)
        rows: Rows | None = None
        if not told:
            rows = self._read(plain)
            if len(rows[0]) > first and first < limit:
                rows, told = None, max(estimated(self._store, plain), first)
        if rows is None:
            # Room comes first: read samples are in memory already. An estimate may be far more than there are.
            likely = min(limit, told) * SAMPLE_BYTES
            room = most(likely)
            limit = limit if room == likely else room // SAMPLE_BYTES
            keep(room)
            rows = self._read(sql.samples(self._tenant, selector, metrics, wanted, limit, final))
            keep(-room)
            if room < likely and len(rows[0]) > limit:
                keep(likely)
        check_samples(len(rows[0]), limit)
        return rows

    def _read(self, statement: sql.Statement) -> Rows:
        table = self._store.rows(statement)
        SAMPLES_READ.inc(table.num_rows)
        if not table.num_rows:
            return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64)
        return table["series_id"].to_numpy(), table["ms"].to_numpy(), table["value"].to_numpy()

    def _known(self, selector: Selector, metrics: list[str], wanted: list[int] | None, rows: Rows) -> Rows:
        """Return the samples that were known at the time which the view asks for."""
        as_of = self._view.as_of_ms
        if as_of is None or not len(rows[0]):
            return rows
        limit = self._store.limits.samples
        later = self._store.rows(sql.arrived_later(self._tenant, selector, metrics, wanted, as_of, limit))
        check_samples(later.num_rows, limit)
        if not later.num_rows:
            return rows
        keep = ~unknown(rows[0], rows[1], later["series_id"].to_numpy(), later["ms"].to_numpy())
        return rows[0][keep], rows[1][keep], rows[2][keep]


def _within(samples: int) -> int:
    """Return how many samples may be read without waiting for memory, at most EARLY or what the request has anyway."""
    return reach(samples * SAMPLE_BYTES) // SAMPLE_BYTES


def check_cost(store: Statements, asked: sql.Statement, series: int, selector: Selector, width_ms: int = 1000) -> int:
    """Refuse a statement that would read too many rows, by ClickHouse's own estimate, before any is read.

    A sparse selector reads more rows than it returns: whole granules. Asked only where the range is long: 5 ms.
    width_ms: at most one row in it a series. Returns the estimate, 0 if none was asked for.
    """
    limits = store.limits
    possible = series * (selector.end_ms - selector.start_ms) / width_ms
    if not series or possible < min(SMALL, limits.rows):
        return 0
    rows = estimated(store, asked)
    if rows > limits.rows:
        limit = f"{limits.rows} (TIDEGAUGE_QUERY_MAX_ROWS); ask for less time or fewer series"
        raise refused("TG-query-cost", f"the selector would read about {rows} rows, more than the limit of {limit}")
    return rows


def estimated(store: Statements, asked: sql.Statement) -> int:
    """Return how many rows ClickHouse would read for a statement, whole granules."""
    ESTIMATES.inc()
    told = store.rows(sql.estimate(asked))
    return sum(told["rows"].to_pylist()) if told.num_columns else 0


def check_samples(count: int, limit: int) -> None:
    """Refuse a query that has read more samples, or rows, or values, than one may."""
    if count > limit:
        limited = f"{limit} (TIDEGAUGE_QUERY_MAX_SAMPLES)"
        raise refused("TG-query-samples", f"the query reads more samples than the limit of {limited}")


def labels_of(metrics: Sequence[str], json: Sequence[str]) -> list[Labels]:
    """Return label maps with their names; empty labels are no labels."""
    sets = []
    for metric, text in zip(metrics, json, strict=True):
        labels = {name: value for name, value in orjson.loads(text).items() if value}
        labels[NAME] = metric
        sets.append(labels)
    return sets

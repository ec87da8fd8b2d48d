"""The endpoints, as plain functions of tenant, parameters and time: no HTTP, no clock."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from promql.columns import Labels
from promql.evaluate import evaluate
from promql.grid import Grid
from promql.parse import parse
from promql.plan import Expr, Select, kind
from promql.series import signature
from query import encode, params
from query.blocks import Steps
from query.errors import bad_data
from query.ranges import Ranges
from query.store import Store

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. now_ms: the wall clock when it came; lists: the parameters that may repeat, match[]."""

    tenant: str
    params: Mapping[str, str]
    matches: Sequence[str]
    now_ms: int


@dataclass(frozen=True, slots=True)
class Api:
    """Prometheus's API over a store. Every method returns the JSON of `data` and raises PromqlError or QueryError."""

    store: Store
    ranges: Ranges
    lookback_ms: int
    max_text: int
    max_points: int

    def query(self, request: Request) -> bytes:
        """Answer /api/v1/query."""
        expr = self._plan(request)
        time = params.time_ms(request.params, "time", request.now_ms)
        value = evaluate(expr, self.store.source(request.tenant, 1), time, time, 0, self.lookback_ms)
        return encode.instant(value, time, encode.ordered(expr))

    def query_range(self, request: Request) -> bytes:
        """Answer /api/v1/query_range."""
        start = params.time_ms(request.params, "start", None)
        end = params.time_ms(request.params, "end", None)
        if end < start:
            raise bad_data("TG-query-time", 'invalid parameter "end": end timestamp must not be before start time')
        step = params.duration_ms(request.params, "step")
        if (end - start) // step > self.max_points:
            raise bad_data(
                "TG-query-points",
                f"exceeded maximum resolution of {self.max_points:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX) (TIDEGAUGE_QUERY_MAX_POINTS)",
            )
        expr = self._plan(request)
        if kind(expr) not in ("vector", "scalar"):
            what = {"matrix": "range vector"}.get(kind(expr), kind(expr))
            raise bad_data(
                "TG-query-type",
                f'invalid expression type "{what}" for range query, must be Scalar or instant Vector',
            )
        grid = Grid(start, end, step, self.lookback_ms)
        value = self.ranges.answer(request.tenant, expr, Steps(start, grid.last_ms, step), request.now_ms)
        return encode.matrix(value, grid.times())

    def series(self, request: Request) -> bytes:
        """Answer /api/v1/series."""
        if not request.matches:
            raise bad_data("TG-query-parameter", "no match[] parameter provided")
        start, end = self._span(request)
        found: dict[object, Labels] = {}
        for text in request.matches:
            select = params.selector(self._checked(text))
            for labels in self.store.label_sets(request.tenant, select, start, end):
                found[signature(labels)] = labels
        return orjson.dumps([found[key] for key in sorted(found, key=str)], option=orjson.OPT_SORT_KEYS)

    def labels(self, request: Request) -> bytes:
        """Answer /api/v1/labels."""
        start, end = self._span(request)
        names: set[str] = set()
        for select in self._selects(request):
            names |= self.store.label_names(request.tenant, select, start, end)
        return orjson.dumps(sorted(names))

    def label_values(self, request: Request, label: str) -> bytes:
        """Answer /api/v1/label/<name>/values."""
        if not label:
            raise bad_data("TG-query-label", f"invalid label name: {label!r}")
        start, end = self._span(request)
        values: set[str] = set()
        for select in self._selects(request):
            values |= self.store.label_values(request.tenant, label, select, start, end)
        return orjson.dumps(sorted(values))

    def buildinfo(self, request: Request) -> bytes:
        """Answer /api/v1/status/buildinfo, which Grafana reads to learn what it talks to."""
        return orjson.dumps(
            {
                "version": "3.5.0",
                "revision": f"tidegauge-{VERSION}",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": f"python {sys.version_info.major}.{sys.version_info.minor}",
            }
        )

    def _checked(self, text: str) -> str:
        if len(text) > self.max_text:
            limit = f"{self.max_text} characters (TIDEGAUGE_QUERY_MAX_TEXT)"
            raise bad_data("TG-query-text", f"the query has {len(text)} characters, more than the limit of {limit}")
        return text

    def _plan(self, request: Request) -> Expr:
        return parse(self._checked(params.required(request.params, "query")))

    def _selects(self, request: Request) -> Sequence[Select | None]:
        """Return the selectors of match[]; one None, for all series, without any."""
        return [params.selector(self._checked(text)) for text in request.matches] or [None]

    def _span(self, request: Request) -> tuple[int, int]:
        """Return start and end of a label query; all time by default, as Prometheus."""
        return (
            params.time_ms(request.params, "start", params.MIN_MS),
            params.time_ms(request.params, "end", params.MAX_MS),
        )

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
from query.completeness import LEFT_OUT, PARTIAL, RECENT_MS, TAKEN_EARLIER, completeness_infos, kept, reach, whole
from query.errors import bad_data, refused
from query.ranges import Ranges
from query.store import Store
from query.view import View, known_infos, view_of
from schemas.retention import Policy

VERSION = "0.1.0"
# Of a range query without a step.
AUTOMATIC_POINTS = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One request. now_ms: the wall clock when it came; lists: the parameters that may repeat, match[]."""

    tenant: str
    params: Mapping[str, str]
    matches: Sequence[str]
    now_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """data: the JSON of an answer's `data`. infos: what a reader must know of it."""

    data: bytes
    infos: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Api:
    """Prometheus's API over a store. Every method raises PromqlError or QueryError.

    late_after_ms, retention: what the writers do, see the settings store_late_after_s and retention.
    """

    store: Store
    ranges: Ranges
    lookback_ms: int
    max_text: int
    max_points: int
    late_after_ms: int
    retention: Policy

    def query(self, request: Request) -> Reply:
        """Answer /api/v1/query."""
        expr = self._plan(request)
        seen = view_of(request.params, request.now_ms)
        time = params.time_ms(request.params, "time", request.now_ms if seen.as_of_ms is None else seen.as_of_ms)
        infos, newest_ms = self._limits(request, seen, expr, Steps(time, time, 1), TAKEN_EARLIER)
        time = time if newest_ms is None else min(time, newest_ms)
        value = evaluate(expr, self.store.source(request.tenant, 1, seen), time, time, 0, self.lookback_ms)
        return Reply(encode.instant(value, time, encode.ordered(expr)), infos)

    def query_range(self, request: Request) -> Reply:
        """Answer /api/v1/query_range."""
        start, end = self._range(request)
        return self._query_range(request, start, end, params.duration_ms(request.params, "step"))

    def metrics_query(self, request: Request) -> Reply:
        """Answer /v1/metrics/query: query_range for people and scripts, with a step of its own if none is given."""
        start, end = self._range(request)
        if request.params.get("step", ""):
            step = params.duration_ms(request.params, "step")
        else:
            # Whole seconds: scrapes and blocks of the cache fall on them.
            step = max(1, -(-(end - start) // (1000 * AUTOMATIC_POINTS))) * 1000
        return self._query_range(request, start, end, step)

    def _range(self, request: Request) -> tuple[int, int]:
        start = params.time_ms(request.params, "start", None)
        end = params.time_ms(request.params, "end", None)
        if end < start:
            raise bad_data("TG-query-time", 'invalid parameter "end": end timestamp must not be before start time')
        return start, end

    def _query_range(self, request: Request, start: int, end: int, step: int) -> Reply:
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
        seen = view_of(request.params, request.now_ms)
        steps = Steps(start, Grid(start, end, step, self.lookback_ms).last_ms, step)
        infos, newest_ms = self._limits(request, seen, expr, steps, LEFT_OUT)
        left = steps if newest_ms is None else kept(steps, newest_ms)
        if left is None:
            return Reply(encode.no_steps(), infos)
        value = self.ranges.answer(request.tenant, expr, left, request.now_ms, seen)
        return Reply(encode.matrix(value, left.times()), infos)

    def _limits(
        self, request: Request, seen: View, expr: Expr, steps: Steps, fate: str
    ) -> tuple[list[str], int | None]:
        """Return what to say of the answer, and the newest time that complete_only allows, None if it is not asked.

        Completeness is read before the data, so that it never promises more than they hold.
        """
        only = params.flag(request.params, "complete_only")
        if seen.as_of_ms is not None:
            if only:
                raise bad_data("TG-query-view", 'parameters "as_of" and "complete_only" exclude each other')
            days = self.retention.of(request.tenant).raw
            return known_infos(seen.as_of_ms, request.now_ms, self.late_after_ms, days), None
        reach_ms = reach(expr, self.lookback_ms)
        recent = reach_ms is not None and steps.last_ms + reach_ms >= request.now_ms - RECENT_MS
        complete = self.store.completeness(request.tenant, request.now_ms) if only or recent else None
        if complete is None and only:
            why = "the rollup job has closed no window of this tenant yet, or does not run"
            raise refused("TG-query-completeness", f"complete_only: nothing is known of completeness: {why}")
        if complete is None or reach_ms is None:
            return [], None
        said = completeness_infos(complete, steps, reach_ms, fate if only else PARTIAL)
        return said, whole(complete, reach_ms) if only else None

    def series(self, request: Request) -> Reply:
        """Answer /api/v1/series."""
        if not request.matches:
            raise bad_data("TG-query-parameter", "no match[] parameter provided")
        start, end = self._span(request)
        found: dict[object, Labels] = {}
        for text in request.matches:
            select = params.selector(self._checked(text))
            for labels in self.store.label_sets(request.tenant, select, start, end):
                found[signature(labels)] = labels
        return Reply(orjson.dumps([found[key] for key in sorted(found, key=str)], option=orjson.OPT_SORT_KEYS))

    def labels(self, request: Request) -> Reply:
        """Answer /api/v1/labels."""
        start, end = self._span(request)
        names: set[str] = set()
        for select in self._selects(request):
            names |= self.store.label_names(request.tenant, select, start, end)
        return Reply(orjson.dumps(sorted(names)))

    def label_values(self, request: Request, label: str) -> Reply:
        """Answer /api/v1/label/<name>/values."""
        if not label:
            raise bad_data("TG-query-label", f"invalid label name: {label!r}")
        start, end = self._span(request)
        values: set[str] = set()
        for select in self._selects(request):
            values |= self.store.label_values(request.tenant, label, select, start, end)
        return Reply(orjson.dumps(sorted(values)))

    def buildinfo(self, request: Request) -> Reply:
        """Answer /api/v1/status/buildinfo, which Grafana reads to learn what it talks to."""
        version = f"python {sys.version_info.major}.{sys.version_info.minor}"
        told = {"version": "3.5.0", "revision": f"tidegauge-{VERSION}", "branch": "", "goVersion": version}
        return Reply(orjson.dumps({**told, "buildUser": "", "buildDate": ""}))

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

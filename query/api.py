"""The endpoints that evaluate, as plain functions of tenant, parameters and time: no HTTP, no clock."""

from dataclasses import dataclass, replace

from promql.grid import Grid
from promql.plan import Expr, kind
from promql.result import Matrix, Result, Vector
from promql.steps import pinned
from query import encode, params
from query.answers import TRUNCATED, Reply, Request
from query.blocks import Steps
from query.bodies import Body
from query.completeness import (
    LEFT_OUT,
    PARTIAL,
    RECENT_MS,
    TAKEN_EARLIER,
    Completeness,
    completeness_infos,
    fixed_reach,
    kept,
    reach,
    whole,
)
from query.distributions import distribution_infos
from query.ending import ending
from query.errors import UNAVAILABLE, QueryError, bad_data, refused
from query.guard import Guard
from query.parts import Answer
from query.ranges import Ranges
from query.spent import current
from query.store import Store, Written
from query.view import View, known_infos, view_of
from schemas.retention import Policy

# Of a range query without a step.
AUTOMATIC_POINTS = 1000


@dataclass(frozen=True, slots=True)
class Api:
    """Prometheus's API over a store. Every method raises PromqlError or QueryError.

    late_after_ms, retention: what the writers do, see the settings store_late_after_s and retention.
    """

    store: Store
    ranges: Ranges
    guard: Guard
    lookback_ms: int
    max_points: int
    max_cells: int
    late_after_ms: int
    retention: Policy

    def query(self, request: Request) -> Reply:
        """Answer /api/v1/query."""
        return self._looking_back(request)._query(request)

    def _looking_back(self, request: Request) -> "Api":
        """Return the API with the request's own lookback_delta, if it has one."""
        if not request.params.get("lookback_delta", ""):
            return self
        lookback_ms = params.duration_ms(request.params, "lookback_delta")
        return replace(self, lookback_ms=lookback_ms, ranges=replace(self.ranges, lookback_ms=lookback_ms))

    def _query(self, request: Request) -> Reply:
        expr = self.guard.plan(request)
        seen = view_of(request.params, request.now_ms)
        time = params.time_ms(request.params, "time", request.now_ms if seen.as_of_ms is None else seen.as_of_ms)
        infos, newest_ms = self._limits(request, seen, expr, Steps(time, time, 1), TAKEN_EARLIER)
        if newest_ms is not None and newest_ms < time and pinned(expr):
            raise refused("TG-query-completeness", "complete_only: @ fixes a time of which the data are not complete")
        time = time if newest_ms is None else min(time, newest_ms)
        answer, at = self.ranges.instant(request.tenant, expr, time, request.now_ms, seen)
        keep_order = encode.ordered(expr)
        value, cut = _limited(params.limit(request.params), answer.value, keep_order)
        data = encode.instant(value, at, keep_order)
        of_types = distribution_infos(self.store, request.tenant, expr, answer.value)
        return _reply(request, data, [*answer.infos, *infos, *of_types], [*answer.warnings, *cut])

    def query_range(self, request: Request) -> Reply:
        """Answer /api/v1/query_range."""
        start, end = self._range(request)
        step = params.duration_ms(request.params, "step")
        return self._looking_back(request)._query_range(request, start, end, step)

    def metrics_query(self, request: Request) -> Reply:
        """Answer /v1/metrics/query: query_range for people and scripts, with a step of its own if none is given."""
        start, end = self._range(request)
        if request.params.get("step", ""):
            step = params.duration_ms(request.params, "step")
        else:
            # Whole seconds: scrapes and blocks of the cache fall on them.
            step = max(1, -(-(end - start) // (1000 * AUTOMATIC_POINTS))) * 1000
        return self._looking_back(request)._query_range(request, start, end, step)

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
        expr = self.guard.plan(request)
        if kind(expr) not in ("vector", "scalar"):
            what = {"matrix": "range vector"}.get(kind(expr), kind(expr))
            raise bad_data(
                "TG-query-type",
                f'invalid expression type "{what}" for range query, must be Scalar or instant Vector',
            )
        seen = view_of(request.params, request.now_ms)
        written = self.ranges.written(seen)
        steps = Steps(start, Grid(start, end, step, self.lookback_ms).last_ms, step)
        # The last step may lie before the end.
        expr = expr if end == steps.last_ms else ending(expr, end)
        infos, newest_ms = self._limits(request, seen, expr, steps, LEFT_OUT, written)
        left = steps if newest_ms is None else kept(steps, newest_ms)
        if left is None:
            return _reply(request, encode.no_steps(), infos, [])
        most = params.limit(request.params)

        def made(answer: Answer) -> Body:
            value, cut = _limited(most, answer.value, False)
            of_types = distribution_infos(self.store, request.tenant, expr, answer.value)
            return Body(encode.matrix(value, left.times()), (*answer.infos, *of_types), (*answer.warnings, *cut))

        form = f"matrix, limit {most}", made
        body = self.ranges.body(request.tenant, expr, left, request.now_ms, seen, written, form)
        return _reply(request, body.data, [*body.infos, *infos], list(body.warnings))

    def _limits(
        self, request: Request, seen: View, expr: Expr, steps: Steps, fate: str, written: Written | None = None
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
        reach_ms = reach(expr, steps, self.lookback_ms)
        recent = reach_ms is not None and steps.last_ms + reach_ms >= request.now_ms - RECENT_MS
        complete = self._complete(request, only, written) if only or recent else None
        if complete is None and only:
            why = "the rollup job has closed no window of this tenant yet, or does not run"
            raise refused("TG-query-completeness", f"complete_only: nothing is known of completeness: {why}")
        if complete is None or reach_ms is None:
            return [], None
        if pinned(expr):
            reach_ms = fixed_reach(complete, steps, reach_ms)
        said = completeness_infos(complete, steps, reach_ms, fate if only else PARTIAL)
        return said, whole(complete, reach_ms) if only else None

    def _complete(self, request: Request, needed: bool, written: Written | None) -> Completeness | None:
        try:
            return self.store.completeness(request.tenant, request.now_ms, written=written)
        except QueryError as error:
            if needed or error.id != UNAVAILABLE:
                raise
            # The cache may still have an answer.
            return None


def _reply(request: Request, data: bytes, infos: list[str], warnings: list[str]) -> Reply:
    spent = current()
    if request.params.get("stats", "") and spent is not None:
        data = encode.with_stats(data, spent.stats())
    return Reply(data, infos, warnings)


def _limited(most: int, value: Result, keep_order: bool) -> tuple[Result, list[str]]:
    """Return at most so many series (0: all), those that would stand first, and a warning if there were more."""
    if isinstance(value, Vector) and 0 < most < len(value.labels):
        rows = list(range(most)) if keep_order else encode.by_labels(value.labels)[:most]
        return Vector([value.labels[row] for row in rows], value.values[rows], value.present[rows]), [TRUNCATED]
    if isinstance(value, Matrix) and 0 < most < len(value.columns.labels):
        return encode.first_rows(value, most), [TRUNCATED]
    return value, []

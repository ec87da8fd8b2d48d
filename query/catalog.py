"""The endpoints about series and labels: what there is, not what it measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from promql.columns import Labels
from promql.plan import Select
from promql.series import Signature, signature
from query import params
from query.answers import TRUNCATED, Reply, Request
from query.errors import bad_data, refused
from query.guard import Guard
from query.store import Store


@dataclass(frozen=True, slots=True)
class Catalog:
    """Prometheus's endpoints for metadata. most: series, names or values in an answer without `limit`."""

    store: Store
    guard: Guard
    most: int

    def series(self, request: Request) -> Reply:
        """Answer /api/v1/series."""
        if not request.matches:
            raise bad_data("TG-query-parameter", "no match[] parameter provided")
        start, end = _span(request)
        limit = self._limit(request)
        selects = [self.guard.selector(text) for text in request.matches]
        found: dict[Signature, Labels] = {}
        # The store knows by the hour when a series began: it would find some in a time that ends before it begins.
        for select in selects if start <= end else ():
            for labels in self.store.label_sets(request.tenant, select, start, end, limit):
                found[signature(labels)] = labels
        return self._cut(request, [found[key] for key in sorted(found)])

    def labels(self, request: Request) -> Reply:
        """Answer /api/v1/labels."""
        start, end = _span(request)
        limit = self._limit(request)
        names: set[str] = set()
        for select in self._selects(request):
            names |= self.store.label_names(request.tenant, select, start, end, limit)
        return self._cut(request, sorted(names))

    def label_values(self, request: Request, label: str) -> Reply:
        """Answer /api/v1/label/<name>/values."""
        label = params.label_name(label)
        if not label or "\0" in label:
            raise bad_data("TG-query-label", f"invalid label name: {label[:200]!r}")
        start, end = _span(request)
        limit = self._limit(request)
        values: set[str] = set()
        for select in self._selects(request):
            values |= self.store.label_values(request.tenant, label, select, start, end, limit)
        return self._cut(request, sorted(values))

    def metadata(self, request: Request) -> Reply:
        """Answer /api/v1/metadata. There are no help texts: producers do not send them."""
        metric = request.params.get("metric", "")
        each = params.limit(request.params, "limit_per_metric")
        found: dict[str, list[dict[str, str]]] = {}
        for name, kind, unit in self.store.metadata(request.tenant, metric, self._limit(request)):
            known = found.setdefault(name, [])
            if not each or len(known) < each:
                known.append({"type": kind or "unknown", "help": "", "unit": unit})
        return Reply(orjson.dumps(found))

    def exemplars(self, request: Request) -> Reply:
        """Answer /api/v1/query_exemplars: a query that can be read, and no exemplars, since none are stored."""
        self.guard.plan(request)
        return Reply(b"[]")

    def _limit(self, request: Request) -> int:
        """Return how many rows one look-up may give."""
        return min(params.limit(request.params) or self.most, self.most)

    def _cut(self, request: Request, found: Sequence[object]) -> Reply:
        limit = params.limit(request.params)
        if limit and len(found) > limit:
            return Reply(orjson.dumps(list(found[:limit]), option=orjson.OPT_SORT_KEYS), (), (TRUNCATED,))
        if len(found) > self.most:
            most = f"{self.most} (TIDEGAUGE_QUERY_MAX_SERIES); narrow match[] or give a limit"
            raise refused("TG-query-series", f"the answer has more entries than the limit of {most}")
        return Reply(orjson.dumps(list(found), option=orjson.OPT_SORT_KEYS))

    def _selects(self, request: Request) -> Sequence[Select | None]:
        """Return the selectors of match[]; one None, for all series, without any."""
        return [self.guard.selector(text) for text in request.matches] or [None]


def _span(request: Request) -> tuple[int, int]:
    """Return start and end of a label query; all time by default, as Prometheus."""
    return (
        params.time_ms(request.params, "start", params.MIN_MS),
        params.time_ms(request.params, "end", params.MAX_MS),
    )

"""The endpoints about the service and its data: build, cardinality, alerts, and a query's text put in order."""

import sys
from dataclasses import dataclass

import orjson

from query import params, rules
from query.answers import TRUNCATED, Reply, Request
from query.errors import QueryError, bad_data
from query.guard import Guard
from query.layout import pretty
from query.standing import standing
from query.store import Alert, Store

VERSION = "0.1.0"
# Prometheus's defaults and limits of status/tsdb.
TSDB_ENTRIES, TSDB_MOST = 10, 10_000


@dataclass(frozen=True, slots=True)
class Status:
    """most_alerts, most_rules: in one answer."""

    store: Store
    guard: Guard
    most_alerts: int = 10_000
    most_rules: int = 10_000

    def buildinfo(self, request: Request) -> Reply:
        """Answer /api/v1/status/buildinfo, which Grafana reads to learn what it talks to."""
        version = f"python {sys.version_info.major}.{sys.version_info.minor}"
        told = {"version": "3.5.0", "revision": f"tidegauge-{VERSION}", "branch": "", "goVersion": version}
        return Reply(orjson.dumps({**told, "buildUser": "", "buildDate": ""}))

    def tsdb(self, request: Request) -> Reply:
        """Answer /api/v1/status/tsdb: how many series a tenant has, and what they are made of.

        Of all series that are still known, not of a head block. There are no chunks here: chunkCount is 0.
        When a series was last seen is known by the hour, whose end may lie ahead.
        """
        limit = params.limit(request.params) or TSDB_ENTRIES
        if limit > TSDB_MOST:
            raise bad_data("TG-query-limit", f'invalid parameter "limit": {limit} is more than {TSDB_MOST}')
        found = self.store.cardinality(request.tenant, limit)
        head = {
            "numSeries": found.series,
            "numLabelPairs": found.pairs,
            "chunkCount": 0,
            "minTime": found.first_ms,
            "maxTime": min(found.last_ms, request.now_ms),
        }
        tops = {name: [{"name": one, "value": size} for one, size in rows] for name, rows in found.tops.items()}
        return Reply(orjson.dumps({"headStats": head, **tops}))

    def format_query(self, request: Request) -> Reply:
        """Answer /api/v1/format_query."""
        self.guard.plan(request)
        return Reply(orjson.dumps(pretty(params.required(request.params, "query"))))

    def alerts(self, request: Request) -> Reply:
        """Answer /api/v1/alerts: what is pending or firing, from table alert_events."""
        found, warnings = self._alerts(request)
        return Reply(orjson.dumps({"alerts": [rules.alert(one) for one in found]}), (), warnings)

    def rules(self, request: Request) -> Reply:
        """Answer /api/v1/rules: all rules that were applied, with what the alert job has told of them."""
        wanted = rules.asked(request, self.guard)
        found, warnings = self._alerts(request)
        stored = self.store.rules(request.tenant, self.most_rules)
        if len(stored) > self.most_rules:
            stored, warnings = stored[: self.most_rules], tuple(dict.fromkeys((*warnings, TRUNCATED)))
        costs = rules.spent(self.store.source(request.tenant, 1), request.now_ms)
        return Reply(orjson.dumps(rules.groups(stored, found, costs, wanted)), (), warnings)

    def _alerts(self, request: Request) -> tuple[list[Alert], tuple[str, ...]]:
        """Return what stands, and warnings: where that cannot be told, whatever was written last."""
        found = self.store.alerts(request.tenant, self.most_alerts)
        cut, warnings = found[: self.most_alerts], (TRUNCATED,) if len(found) > self.most_alerts else ()
        try:
            return standing(self.store, request.tenant, cut, request.now_ms), warnings
        except QueryError as error:
            if error.status != 422:
                raise
            return cut, (*warnings, f"alerts that are over may be among them: {error.message}")

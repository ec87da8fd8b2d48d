"""The endpoints about the service and its data: build, cardinality, alerts, and a query's text put in order."""

import sys
from dataclasses import dataclass

import orjson

from query import numbers, params
from query.answers import TRUNCATED, Reply, Request
from query.errors import bad_data
from query.guard import Guard
from query.layout import pretty
from query.store import Alert, Store

VERSION = "0.1.0"
# Prometheus's defaults and limits of status/tsdb.
TSDB_ENTRIES, TSDB_MOST = 10, 10_000
RULES_INFO = (
    "only rules with a pending or firing alert are listed, without their expressions; "
    "`tidegauge rules list` shows all [TG-query-rules]"
)


@dataclass(frozen=True, slots=True)
class Status:
    """most_alerts: in one answer."""

    store: Store
    guard: Guard
    most_alerts: int = 10_000

    def buildinfo(self, request: Request) -> Reply:
        """Answer /api/v1/status/buildinfo, which Grafana reads to learn what it talks to."""
        version = f"python {sys.version_info.major}.{sys.version_info.minor}"
        told = {"version": "3.5.0", "revision": f"tidegauge-{VERSION}", "branch": "", "goVersion": version}
        return Reply(orjson.dumps({**told, "buildUser": "", "buildDate": ""}))

    def tsdb(self, request: Request) -> Reply:
        """Answer /api/v1/status/tsdb: how many series a tenant has, and what they are made of.

        Of all series that are still known, not of a head block; there are no chunks to count.
        """
        limit = params.limit(request.params) or TSDB_ENTRIES
        if limit > TSDB_MOST:
            raise bad_data("TG-query-limit", f'invalid parameter "limit": {limit} is more than {TSDB_MOST}')
        found = self.store.cardinality(request.tenant, limit)
        head = {
            "numSeries": found.series,
            "numLabelPairs": found.pairs,
            "minTime": found.first_ms,
            "maxTime": found.last_ms,
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
        return Reply(orjson.dumps({"alerts": [_alert(one) for one in found]}), (), warnings)

    def rules(self, request: Request) -> Reply:
        """Answer /api/v1/rules, from the alerts that are active: what else is in force only the stream knows."""
        found, warnings = self._alerts(request)
        if request.params.get("type", "alert") not in ("alert", ""):
            found = []
        groups: dict[str, dict[str, list[Alert]]] = {}
        for one in found:
            group, _, rule = one.rule_id.partition("/")
            groups.setdefault(group, {}).setdefault(rule, []).append(one)
        told = [
            {"name": group, "file": "", "rules": [_rule(alerts) for _, alerts in sorted(rules.items())]}
            for group, rules in sorted(groups.items())
        ]
        return Reply(orjson.dumps({"groups": told}), (RULES_INFO,), warnings)

    def _alerts(self, request: Request) -> tuple[list[Alert], tuple[str, ...]]:
        found = self.store.alerts(request.tenant, self.most_alerts)
        return found[: self.most_alerts], (TRUNCATED,) if len(found) > self.most_alerts else ()


def _alert(one: Alert) -> dict[str, object]:
    return {
        "labels": one.labels,
        "annotations": one.annotations,
        "state": one.state,
        "activeAt": params.rfc3339(one.active_ms),
        "value": numbers.text(one.value),
    }


def _rule(alerts: list[Alert]) -> dict[str, object]:
    states = {one.state for one in alerts}
    return {
        "type": "alerting",
        "name": alerts[0].name,
        "state": "firing" if "firing" in states else "pending",
        "alerts": [_alert(one) for one in alerts],
        "lastEvaluation": params.rfc3339(max(one.evaluated_ms for one in alerts)),
    }

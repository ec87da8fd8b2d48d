"""/api/v1/rules: the rules as they were applied, with what the stream tells of them.

The rules come from table alert_rules, alerts and troubles from alert_events, times and costs from the series that the
alert job records about each rule.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from promql.columns import NAME, Selector, Source
from promql.match import matches
from query import numbers, params
from query.answers import Request
from query.errors import bad_data
from query.guard import Guard
from query.standing import TROUBLES
from query.store import Alert

_SPENT = {
    "last": "tidegauge_rule_last_evaluation_timestamp_seconds",
    "count": "tidegauge_rule_evaluations_total",
    "seconds": "tidegauge_rule_evaluation_seconds_total",
}
# The job tells of each rule once a minute.
RECENT_MS = 300_000
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Spent:
    """last_ms: the newest evaluation that is known, 0 for none; seconds: of one evaluation of all keys, on average."""

    last_ms: int = 0
    seconds: float = 0.0


def spent(source: Source, now_ms: int) -> dict[str, Spent]:
    """Return what the rules of a source's tenant have cost lately, by rule id."""
    found: dict[str, dict[str, list[float]]] = {}
    for word, metric in _SPENT.items():
        held = source.select(Selector(metric, (), now_ms - RECENT_MS, now_ms))
        bounds = np.asarray(held.offsets)
        for place, labels in enumerate(held.labels):
            value = float(held.values[bounds[place + 1] - 1]) if bounds[place + 1] > bounds[place] else np.nan
            if np.isfinite(value):
                found.setdefault(labels.get("rule", ""), {}).setdefault(word, []).append(value)
    return {
        rule: Spent(
            round(max(words.get("last", [0])) * 1000),
            sum(words.get("seconds", [])) / max(1.0, *words.get("count", [1])),
        )
        for rule, words in found.items()
    }


def alert(one: Alert) -> dict[str, object]:
    """Return an alert as /api/v1/alerts shows it."""
    return {
        "labels": one.labels,
        "annotations": one.annotations,
        "state": one.state,
        "activeAt": params.rfc3339(one.active_ms),
        "value": numbers.text(one.value),
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of the rules; empty: all. kind: alert or record. selectors: of the rules' own labels.

    limit: groups in one answer, 0 for all; token: that of the group to begin with.
    """

    kind: str = ""
    names: Sequence[str] = ()
    groups: Sequence[str] = ()
    files: Sequence[str] = ()
    selectors: Sequence[Selector] = ()
    with_alerts: bool = True
    limit: int = 0
    token: str = ""

    def wants(self, rule: Mapping[str, Any]) -> bool:
        """Tell whether a rule is asked for."""
        kind = "record" if rule.get("record") else "alert"
        labels = rule.get("labels", {})
        return (
            self.kind in ("", kind)
            and (not self.names or _name(rule) in self.names)
            and (not self.groups or rule.get("group", "") in self.groups)
            and (not self.files or rule.get("file", "") in self.files)
            and (not self.selectors or any(matches(one, labels) for one in self.selectors))
        )


def asked(request: Request, guard: Guard) -> Asked:
    """Return what the parameters of Prometheus 3.5 say; raises QueryError, PromqlError."""
    kind, token = request.params.get("type", ""), request.params.get("group_next_token", "")
    if kind not in ("", "alert", "record"):
        raise bad_data("TG-query-parameter", f'invalid parameter "type": {kind[:50]!r} is not alert or record')
    limit = params.limit(request.params, "group_limit")
    if token and not limit:
        raise bad_data("TG-query-parameter", 'invalid parameter "group_limit": it is missing beside group_next_token')
    return Asked(
        kind,
        request.lists.get("rule_name[]", ()),
        request.lists.get("rule_group[]", ()),
        request.lists.get("file[]", ()),
        [Selector(one.metric, one.matchers, 0, 0) for one in map(guard.selector, request.matches)],
        not params.flag(request.params, "exclude_alerts"),
        limit,
        token,
    )


def groups(
    stored: Sequence[tuple[str, str]], alerts: Sequence[Alert], costs: Mapping[str, Spent], wanted: Asked
) -> dict[str, object]:
    """Return `data`: the groups of some rules, (id, JSON), in the order of their files; the token of those left off."""
    by_rule: dict[str, list[Alert]] = {}
    for one in alerts:
        by_rule.setdefault(one.rule_id, []).append(one)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rule_id, body in stored:
        rule = _read(rule_id, body)
        if wanted.wants(rule):
            found.setdefault((str(rule.get("file", "")), str(rule.get("group", ""))), []).append(rule)
    places = sorted(found)
    tokens = [_token(*place) for place in places]
    if wanted.token and wanted.token not in tokens:
        raise bad_data("TG-query-parameter", 'invalid parameter "group_next_token": there is no such group any more')
    first = tokens.index(wanted.token) if wanted.token else 0
    end = first + wanted.limit if wanted.limit else len(places)
    told = [_group(place, found[place], by_rule, costs, wanted) for place in places[first:end]]
    return {"groups": told} | ({"groupNextToken": tokens[end]} if end < len(places) else {})


def _token(file: str, group: str) -> str:
    return hashlib.sha256(f"{file};{group}".encode()).hexdigest()


def _group(
    place: tuple[str, str],
    rules: list[dict[str, Any]],
    by_rule: Mapping[str, Sequence[Alert]],
    costs: Mapping[str, Spent],
    wanted: Asked,
) -> dict[str, object]:
    rules.sort(key=lambda rule: (rule.get("position", 0), rule["rule_id"]))
    spent = [costs.get(rule["rule_id"], Spent()) for rule in rules]
    return {
        "name": place[1],
        "file": place[0],
        "rules": [
            _shown(rule, by_rule.get(rule["rule_id"], []), cost, wanted)
            for rule, cost in zip(rules, spent, strict=True)
        ],
        "interval": rules[0].get("interval_s", 0),
        "limit": rules[0].get("limit", 0),
        "evaluationTime": sum(cost.seconds for cost in spent),
        "lastEvaluation": _time(max(cost.last_ms for cost in spent)),
    }


def _name(rule: Mapping[str, Any]) -> str:
    return str(rule.get("record") or rule.get("alert", ""))


def _shown(rule: Mapping[str, Any], alerts: Sequence[Alert], cost: Spent, wanted: Asked) -> dict[str, Any]:
    trouble = [one for one in alerts if one.labels.get(NAME, one.labels.get("alertname")) in TROUBLES]
    own = [one for one in alerts if one not in trouble]
    if "fault" in rule:
        health, error = "err", rule["fault"]
    elif trouble:
        health, error = "err", trouble[0].annotations.get("summary", "")
    else:
        health, error = ("ok" if cost.last_ms else "unknown"), ""
    shown = {
        "name": _name(rule),
        "query": rule.get("expr", ""),
        "labels": rule.get("labels", {}),
        "health": health,
        "evaluationTime": cost.seconds,
        "lastEvaluation": _time(max([cost.last_ms, *(one.evaluated_ms for one in own)])),
        "type": "recording" if rule.get("record") else "alerting",
    }
    if error:
        shown["lastError"] = error
    if rule.get("record"):
        return shown
    states = {one.state for one in own}
    return {
        **shown,
        "state": "firing" if "firing" in states else "pending" if states else "inactive",
        "duration": rule.get("for_s", 0),
        "keepFiringFor": rule.get("keep_firing_for_s", 0),
        "annotations": rule.get("annotations", {}),
        "alerts": [alert(one) for one in own] if wanted.with_alerts else [],
    }


def _read(rule_id: str, body: str) -> dict[str, Any]:
    """Return a rule; what is no rule, and so not in force either, by its id and with its fault."""
    group, _, name = rule_id.partition("/")
    try:
        rule = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return {"rule_id": rule_id, "group": group, "alert": name, "fault": f"TG-rule-json: {error}"}
    if not isinstance(rule, dict):
        return {"rule_id": rule_id, "group": group, "alert": name, "fault": "TG-rule-json: not an object"}
    return {**rule, "rule_id": rule_id}


def _time(time_ms: int) -> str:
    return params.rfc3339(time_ms) if time_ms else _NEVER

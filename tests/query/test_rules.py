"""/api/v1/rules and /api/v1/alerts: what was applied, and what the stream tells of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from query.app import build
from query.cache import NoCache
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.store import Alert
from query.tenants import OpenTenants
from tests.query.client import Client, ask

M = 60_000
NOW = 1_714_608_000_000
WATCH = {"X-Scope-OrgID": "watch"}

PAUSED = {"alertname": "RulePaused", "bucket": "0", "rule": "g/Down"}
PLACE = {"group": "g", "file": "f.yaml", "interval_s": 15}
RULES: list[tuple[str, Any]] = [
    ("g/a:b", {**PLACE, "record": "a:b", "expr": "sum(up)", "position": 0}),
    ("g/Idle", {**PLACE, "alert": "Idle", "expr": "up == 7", "position": 2}),
    (
        "g/Down",
        {**PLACE, "alert": "Down", "expr": "up == 0", "for_s": 60, "position": 1}
        | {"labels": {"severity": "page"}, "annotations": {"summary": "s"}},
    ),
    ("odd/Bad", "nonsense"),
]
SPENT = [
    ("last_evaluation_timestamp_seconds", "0", NOW / 1000 + 240),
    ("last_evaluation_timestamp_seconds", "1", NOW / 1000 + 180),
    ("evaluations_total", "0", 4.0),
    ("evaluation_seconds_total", "0", 0.4),
    ("evaluation_seconds_total", "1", 0.6),
]


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    store = MemoryStore()
    labels = {"alertname": "Down", "i": "0"}
    store.active["default"] = [
        Alert("g/Down", "Down", "firing", labels, {"summary": "s"}, 1.5, NOW, NOW + M),
        Alert("g/Down", "Down", "pending", labels | {"i": "1"}, {}, 2.0, NOW, NOW + 2 * M),
    ]
    store.active["watch"] = [
        *store.active["default"],
        Alert("g/Down", "Down", "firing", PAUSED, {"summary": "TG-rule-bytes: too many"}, 1.0, NOW, NOW + 3 * M),
    ]
    store.applied["watch"] = [(one, body if isinstance(body, str) else json.dumps(body)) for one, body in RULES]
    about = {"rule": "g/a:b", "group": "g"}
    for name, bucket, value in SPENT:
        store.write(
            "watch", {"__name__": f"tidegauge_rule_{name}", "bucket": bucket, **about}, [(NOW + 4 * M, value)], NOW
        )
    with Client(build(QuerySettings(), store, NoCache(), OpenTenants("default"), lambda: NOW + 5 * M)) as one:
        yield one


def watched(api: Client, params: str = "") -> list[Any]:
    """Return the groups of a tenant with rules; those of later files first."""
    answer = api.get(f"/api/v1/rules?{params}", headers=WATCH)
    assert answer.status_code == 200, answer.text
    groups: list[Any] = answer.json()["data"]["groups"][::-1]
    return groups


def test_alerts_and_rules(api: Client) -> None:
    alerts = ask(api, "/api/v1/alerts")[1]["data"]["alerts"]
    assert alerts[0] == {
        "labels": {"alertname": "Down", "i": "0"},
        "annotations": {"summary": "s"},
        "state": "firing",
        "activeAt": "2024-05-02T00:00:00Z",
        "value": "1.5",
    }
    assert api.get("/api/v1/alerts", headers={"X-Scope-OrgID": "o"}).json()["data"] == {"alerts": []}


def test_rules_are_all_that_were_applied_with_what_the_stream_tells(api: Client) -> None:
    alerts = ask(api, "/api/v1/alerts")[1]["data"]["alerts"]
    group, odd = watched(api)
    assert {key: group[key] for key in ("name", "file", "interval", "limit", "lastEvaluation")} == {
        "name": "g",
        "file": "f.yaml",
        "interval": 15,
        "limit": 0,
        "lastEvaluation": "2024-05-02T00:04:00Z",
    }
    assert group["rules"] == [
        {
            "name": "a:b",
            "query": "sum(up)",
            "labels": {},
            "health": "ok",
            "evaluationTime": 0.25,
            "lastEvaluation": "2024-05-02T00:04:00Z",
            "type": "recording",
        },
        {
            "name": "Down",
            "query": "up == 0",
            "labels": {"severity": "page"},
            "health": "err",
            "lastError": "TG-rule-bytes: too many",
            "evaluationTime": 0.0,
            "lastEvaluation": "2024-05-02T00:02:00Z",
            "type": "alerting",
            "state": "firing",
            "duration": 60,
            "keepFiringFor": 0,
            "annotations": {"summary": "s"},
            "alerts": alerts[:2],
        },
        {
            "name": "Idle",
            "query": "up == 7",
            "labels": {},
            "health": "unknown",
            "evaluationTime": 0.0,
            "lastEvaluation": "0001-01-01T00:00:00Z",
            "type": "alerting",
            "state": "inactive",
            "duration": 0,
            "keepFiringFor": 0,
            "annotations": {},
            "alerts": [],
        },
    ]
    (bad,) = odd["rules"]
    assert (bad["name"], bad["health"], bad["lastError"].split(":")[0]) == ("Bad", "err", "TG-rule-json")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("", ["a:b", "Down", "Idle", "Bad"]),
        ("type=record", ["a:b"]),
        ("type=alert", ["Down", "Idle", "Bad"]),
        ("rule_name[]=Down&rule_name[]=a:b", ["a:b", "Down"]),
        ("rule_name[]=Down&type=record", []),
        ("rule_group[]=odd", ["Bad"]),
        ("rule_group[]=none", []),
        ("file[]=f.yaml", ["a:b", "Down", "Idle"]),
        ("match[]={severity='page'}", ["Down"]),
        ("match[]={severity='page'}&match[]={severity=~'n.*'}", ["Down"]),
        ("match[]=Down", []),  # of the labels that a rule is given, as in Prometheus; a name is none
    ],
)
def test_rules_that_are_asked_for(api: Client, asked: str, names: list[str]) -> None:
    groups = watched(api, asked)
    assert [rule["name"] for group in groups for rule in group["rules"]] == names
    without = watched(api, f"{asked}&exclude_alerts=true")
    assert not any(rule.get("alerts") for group in without for rule in group["rules"])


def test_groups_of_rules_a_few_at_a_time(api: Client) -> None:
    whole = watched(api)[::-1]
    token, seen = "", []
    for _ in whole:
        data = api.get(f"/api/v1/rules?group_limit=1&group_next_token={token}", headers=WATCH).json()["data"]
        seen += data["groups"]
        token = data.get("groupNextToken", "")
    assert (seen, token) == (whole, "")


@pytest.mark.parametrize(
    "asked", ["type=both", "group_limit=x", "group_next_token=a", "group_limit=1&group_next_token=a", "match[]={"]
)
def test_rules_asked_for_wrongly(api: Client, asked: str) -> None:
    answer = api.get(f"/api/v1/rules?{asked}", headers=WATCH)
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")

"""`tidegauge cardinality` on a real server."""

import time
from typing import Any

import pytest

from schemas.policy import Policy, PolicyFault, parse
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from stack.cardinality import document, found, main
from stack.policy import changes
from tests import embedded
from tests.udfs.gate.test_growth import told
from udfs.gate.growth import Growth, suggestion

NOW = time.time_ns() // 1_000_000


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that the command asks."""
    name = "cardinality_test"
    apply(embedded.endpoint(), "default", "", name)
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", name)
    return name


def test_the_culprit_is_shown_with_a_policy(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    growth, clickhouse = Growth(), Clickhouse(embedded.endpoint(), database=database)
    for step in range(3):
        clickhouse.insert("cardinality", rows.block("cardinality", told(growth, step * 150, 150, NOW + step * 3000)))
    assert main(["--tenant", "acme"]) == 0
    said = capsys.readouterr().out
    assert "acme  hits: 450 new series in an hour, 450 a minute, 225 refused or folded" in said
    assert "450 values of user (u0, u1, u2 …); mostly from web-1" in said
    (policy,) = parse(document(found(clickhouse, "acme", 1, 10), {}), "p.yaml")
    assert policy.metric("hits").per_label_value_limits == {"user": 100}
    assert main(["--tenant", "nobody"]) == 0
    assert "no metric made 100 new series" in capsys.readouterr().out
    daily = clickhouse.query("SELECT name, label, series, values, source FROM v_cardinality_daily").to_pylist()
    assert daily == [{"name": "hits", "label": "user", "series": 450, "values": 450, "source": "web-1"}]


def grown(tenant: str, name: str, label: str = "user", example: str = "u0") -> dict[str, Any]:
    """Return a row as found() gives it."""
    numbers = {"values": 450, "most": 450, "refused": 0, "per_minute": 450.0}
    said = {"examples": [example], "source": "web-1", "first_seen": "2026-01-01 00:00:00"}
    return {
        "tenant": tenant,
        "name": name,
        "label": label,
        **numbers,
        **said,
        "policy": suggestion(tenant, name, label),
    }


def held(text: str) -> dict[str, bytes]:
    """Return what control.policies has once a file was applied."""
    return changes({}, parse(text, "held.yaml"))


def applied(rows: list[dict[str, Any]], before: dict[str, bytes]) -> dict[str, Policy]:
    """Return what is in force once what --policy prints was applied."""
    after = before | changes(before, parse(document(rows, before), "p.yaml"))
    return {tenant: Policy.decode(value) for tenant, value in after.items()}


FOLDED = {"per_label_value_limits": {"user": 100}, "action": "fold"}


def test_what_it_prints_is_one_file_with_one_entry_a_tenant() -> None:
    rows = [grown("acme", "hits"), grown("zeta", "hits"), grown("acme", "what*ever"), grown("acme", "bare", "")]
    after = applied(rows, {})
    assert sorted(after) == ["acme", "zeta"]
    assert [one.name for one in after["acme"].metrics] == ["hits", "what[*]ever", "bare"]
    assert after["acme"].metric("what*ever").per_label_value_limits == {"user": 100}
    assert after["acme"].metric("bare").max_series == 100


def test_what_it_prints_lifts_no_limit_in_force() -> None:
    before = held("""
policies:
- tenant: acme
  max_series: 5000
  samples_per_second: 7
  metrics:
  - {name: other, max_series: 3}
  - {name: hits, max_series: 9, allowed_labels: [user, job], per_label_value_limits: {user: 20, job: 5}}
  - {name: "*_total", max_series: 50, action: fold}
  - {name: strips, allowed_labels: [user]}
- {tenant: zeta, dry_run: true}
""")
    rows = [grown("acme", "hits"), grown("acme", "a_total"), grown("acme", "strips"), grown("acme", "new")]
    after = applied(rows, before)["acme"]
    assert (after.max_series, after.samples_per_second) == (5000, 7)
    assert [one.name for one in after.metrics] == ["other", "hits", "a_total", "*_total", "strips", "new"]
    was = Policy.decode(before["acme"])
    assert (after.metric("other"), after.metric("hits")) == (was.metric("other"), was.metric("hits"))
    assert after.metric("a_total").model_dump(exclude_defaults=True) == {"name": "a_total", "max_series": 50, **FOLDED}
    assert after.metric("b_total") == was.metric("b_total")
    assert after.metric("strips").model_dump(exclude_defaults=True) == {
        "name": "strips",
        "allowed_labels": ("user",),
        **FOLDED,
    }
    assert Policy.decode(before["zeta"]).dry_run
    assert "# zeta: its policy in force, and what holds the above; dry_run" in document([grown("zeta", "m")], before)


def test_a_tenant_without_a_policy_begins_as_that_of_all() -> None:
    before = held("policies: [{tenant: '*', max_series: 77, metrics: [{name: m, max_series: 1}]}]")
    after = applied([grown("acme", "hits")], before)
    assert (after["acme"].max_series, after["acme"].metric("m").max_series) == (77, 1)
    assert after["*"] == Policy.decode(before["*"])


def test_what_cannot_be_read_is_left_out_and_named() -> None:
    said = document([grown("acme", "hits"), grown("zeta", "hits")], {"acme": b"garbage"})
    assert [one.tenant for one in parse(said, "p.yaml")] == ["zeta"]
    assert "# acme: left out, since its policy cannot be read: TG-policy-json: " in said


def test_nothing_that_a_producer_says_leaves_its_comment() -> None:
    said = document([grown("acme", "hits", example="x\npolicies: []\x1b[2J\u2028")], {})
    assert [one.tenant for one in parse(said, "p.yaml")] == ["acme"]
    assert "x\\npolicies: []\\x1b[2J\\u2028" in said


def test_nothing_found_is_a_file_too_and_one_that_is_too_large_is_told() -> None:
    assert parse(document([], {}), "p.yaml") == []
    with pytest.raises(PolicyFault, match="TG-policy-size: the suggestion, which --limit makes smaller, is larger"):
        document([grown("acme", f"m{number}") for number in range(2000)], {})


@pytest.mark.usefixtures("database")
def test_without_a_broker_it_suggests_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", "localhost:x")
    assert main(["--tenant", "nobody", "--policy"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err[:37]) == ("", "TG-kafka: localhost:x (TIDEGAUGE_KAFK")

"""`tidegauge why`: what a decision was made of; the stream's own events and rules, in a real ClickHouse."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from promql.columns import Source
from query.memory import MemoryStore
from query.view import View
from schemas.codec import codec
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.records import alert_events, alert_rule
from stack.cli import main as tidegauge
from stack.why import WhyFault, why
from tests import embedded
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import LATE, LATE_ROW, STEP, one_host, play, rule_of
from udfs.alert.rule import Rule

DATABASE = "why_test"
DELAY = 5_000
RULE = rule_of("load > 5", 30)
Cells = dict[str, list[float | None]]


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", DATABASE)
    client = Clickhouse(embedded.endpoint(), database=DATABASE)
    yield client
    client.close()


def keep(
    clickhouse: Clickhouse,
    tenant: str,
    cells: Cells,
    late: dict[tuple[str, int], int],
    *rules: Rule,
    delay: int = DELAY,
    edit: tuple[int, Rule] | None = None,
    begin: int = 0,
) -> MemoryStore:
    """Run the stream, and store what it would have stored.

    edit: (tick, what the rule becomes before it). begin: the first tick of which the rule knows; no sample before it is
    seen by the job, all are stored.
    """
    store = MemoryStore(late_after_ms=0)
    for host, values in cells.items():
        for place, value in enumerate(values):
            at = T0 + place * STEP
            arrived = T0 + late[host, place] * STEP + 7 if (host, place) in late else at
            if value is not None:
                store.write(tenant, {"__name__": "load", "host": host}, [(at, value)], arrived)
    if edit or begin:
        seen = [math.nan if one is None else one for one in next(iter(cells.values()))]
        job = one_host(rules[0], [math.nan] * begin + seen[begin:], edit=edit)
    else:
        job = play(rules[0], cells, late)
    for one in job.events:
        event = {**one, "tenant": tenant, "emitted_at": one["evaluated_at"] + delay}
        clickhouse.insert("alert_events", alert_events([codec("alert_event").encode(event)]))
    for number, rule in enumerate(rules):
        body = replace(rule, tenant=tenant).encode()
        clickhouse.insert("alert_rules", alert_rule(f"{tenant}/{rule.rule_id}".encode(), body, 1000 + number))
    if edit:
        body = replace(edit[1], tenant=tenant).encode()
        stamp = T0 + edit[0] * STEP + DELAY - 1
        clickhouse.insert("alert_rules", alert_rule(f"{tenant}/{edit[1].rule_id}".encode(), body, stamp))
    return store


def keys(clickhouse: Clickhouse, tenant: str) -> dict[str, str]:
    found = clickhouse.query("SELECT state, key FROM alert_events WHERE tenant = {t:String}", {"t": tenant}).to_pylist()
    return {row["state"]: row["key"] for row in found}


def explained(clickhouse: Clickhouse, store: MemoryStore, tenant: str, state: str) -> list[str]:
    def source(view: View) -> Source:
        return store.source(tenant, 1, view)

    return why(clickhouse, source, tenant, keys(clickhouse, tenant)[state])


def table(told: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in told[told.index("") + 2 : told.index("", told.index("") + 1)]]


def test_a_missed_alert_shows_what_was_known_and_what_came_too_late(clickhouse: Clickhouse) -> None:
    store = keep(clickhouse, "missed", LATE_ROW, LATE, RULE)
    told = explained(clickhouse, store, "missed", "missed")
    assert told[1:4] == [
        f"rule     g/A  revision {RULE.revision}  every 15s, for 30s",
        "expr     load > 5",
        "known    what had arrived 5 s after each tick, as at this event",
    ]
    assert table(told) == [
        "2023-11-14T22:00:45Z 1 > 5 inactive inactive",
        "2023-11-14T22:01:00Z 1 > 5 inactive pending",
        "2023-11-14T22:01:15Z 1 > 5 inactive pending",
        "2023-11-14T22:01:30Z 1 > 5 inactive firing <- the decision",
    ]
    read, late = told.index("read at 2023-11-14T22:01:30Z:"), len(told) - 2
    assert told[read + 1 : read + 4] == [f'  load{{host="a"}}  2023-11-14T22:00:{at}Z  1' for at in ("00", "15", "30")]
    assert told[late - 4 : late] == [
        f'  load{{host="a"}}  2023-11-14T22:0{at}Z  {value}  arrived 2023-11-14T22:03:00.007Z'
        for at, value in (("0:45", 1), ("1:00", 9), ("1:15", 9), ("1:30", 9))
    ]
    assert told[-1] == "today's data give another decision"


def test_a_stream_that_lags_at_the_event_did_not_know_what_came_late(clickhouse: Clickhouse) -> None:
    cells: Cells = {"a": [*[1.0] * 6, 9.0, *[1.0] * 20]}
    store = keep(clickhouse, "lags", cells, {("a", 6): 7}, rule_of("load > 5", 0), delay=60_000)
    told = explained(clickhouse, store, "lags", "missed")
    known = "15.006 s after each tick, less than at this event: late samples missed their ticks"
    assert told[3] == f"known    what had arrived {known}"
    assert table(told)[-1] == "2023-11-14T22:01:30Z 1 > 5 inactive firing <- the decision"
    assert told[-3] == '  load{host="a"}  2023-11-14T22:01:30Z  9  arrived 2023-11-14T22:01:45.007Z'


def test_a_firing_that_today_would_not_be_is_told_so(clickhouse: Clickhouse) -> None:
    cells: Cells = {"a": [1.0, 9.0, 9.0, 1.0, 9.0, 9.0, *[1.0] * 20], "b": [*[1.0] * 26]}
    store = keep(clickhouse, "gone", cells, {("a", 3): 8}, rule_of("load > 5", 45))
    for state in ("firing", "retracted"):
        told = explained(clickhouse, store, "gone", state)
        assert table(told)[-1] == "2023-11-14T22:01:00Z 9 > 5 firing pending <- the decision"
        assert told[-1] == "today's data give another decision"
        assert not any('host="b"' in line for line in told), "another alert's samples"
    assert keys(clickhouse, "gone")["firing"] in explained(clickhouse, store, "gone", "retracted")[0]
    pending = explained(clickhouse, store, "gone", "pending")
    assert pending[-1] == "today's data give the same decision" and pending[-3] == "  nothing"


def test_the_revision_that_decided_is_replayed(clickhouse: Clickhouse) -> None:
    edited = rule_of("load > 8", 30)
    store = keep(clickhouse, "edited", {"a": [*[1.0] * 3, *[9.0] * 9]}, {}, RULE, edited)
    told = explained(clickhouse, store, "edited", "firing")
    assert told[2] == "expr     load > 5" and told[-1] == "today's data give the same decision"


def test_nothing_is_told_of_the_time_before_the_rule(clickhouse: Clickhouse) -> None:
    store = keep(clickhouse, "young", {"a": [9.0] * 12}, {}, RULE, begin=4)
    assert table(explained(clickhouse, store, "young", "firing")) == [
        "2023-11-14T22:01:00Z 9 > 5 pending pending",
        "2023-11-14T22:01:15Z 9 > 5 pending pending",
        "2023-11-14T22:01:30Z 9 > 5 firing firing <- the decision",
    ]
    pending = explained(clickhouse, store, "young", "pending")
    assert table(pending) == ["2023-11-14T22:01:00Z 9 > 5 pending pending <- the decision"]
    assert pending[-1] == "today's data give the same decision"


def test_a_revision_is_replayed_from_its_first_tick(clickhouse: Clickhouse) -> None:
    store = keep(clickhouse, "shorter", {"a": [9.0] * 12}, {}, rule_of(for_s=600), edit=(6, RULE))
    told = explained(clickhouse, store, "shorter", "firing")
    assert table(told) == [
        "(active since 2023-11-14T22:00:00Z, under another revision up to 2023-11-14T22:01:30Z)",
        "2023-11-14T22:01:30Z 9 > 5 firing firing <- the decision",
    ]
    assert told[-1] == "today's data give the same decision"


def test_what_is_gone_is_said_by_a_stable_id(clickhouse: Clickhouse) -> None:
    keep(clickhouse, "lost", {"a": [*[1.0] * 3, *[9.0] * 9]}, {}, RULE)
    with pytest.raises(WhyFault, match=r"TG-why-samples: no sample of that time is left"):
        explained(clickhouse, MemoryStore(), "lost", "firing")
    with pytest.raises(WhyFault, match=r"TG-why-event: tenant 'lost' has no event 'x'"):
        why(clickhouse, lambda view: MemoryStore().source("lost", 1, view), "lost", "x")
    store = keep(clickhouse, "norule", {"a": [*[1.0] * 3, *[9.0] * 9]}, {}, RULE)
    clickhouse.command("DELETE FROM alert_rule_revisions WHERE tenant = 'norule'")
    with pytest.raises(WhyFault, match=r"TG-why-revision: revision \w+ of rule 'g/A' is not in"):
        explained(clickhouse, store, "norule", "firing")


def test_the_command_says_what_is_wrong_in_one_line(
    clickhouse: Clickhouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", DATABASE)
    assert tidegauge(["why", "nothing", "--tenant", "acme"]) == 1
    assert capsys.readouterr().err.startswith("TG-why-event: tenant 'acme' has no event 'nothing'")

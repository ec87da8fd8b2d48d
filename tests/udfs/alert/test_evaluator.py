"""A rule that explodes or fails is an alert itself, the others run on; what rules cost is series and metrics."""

from collections.abc import Callable

import pytest

from schemas.batch import decode_series_set
from tests.udfs.alert.fakeflink import FakeFlink, Map, Value
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.test_flink import up
from tests.udfs.alert.test_recording import alert, feed, told
from udfs.alert.budget import Budget
from udfs.alert.evaluator import Evaluator
from udfs.alert.flink.shelf import KeyedShelf
from udfs.alert.hindsight import Hindsight
from udfs.alert.match import Address
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule
from udfs.alert.window import Window

HOSTS = [f"h{number}" for number in range(12)]


def with_budget(budget: Budget, *rules: Rule, disturb: Callable[[FakeFlink], None] = lambda job: None) -> FakeFlink:
    job = FakeFlink(disturb, budget=budget)
    for rule in rules:
        job.rule(rule.key, rule.encode())
    return job


def crowd(job: FakeFlink, at: int, hosts: list[str] = HOSTS) -> None:
    for host in hosts:
        job.batch(up(at, 0.0, host), at)
    job.advance(at)


def about(job: FakeFlink, name: str) -> list[str]:
    return [
        f"{one['state']} {(one['evaluated_at'] - T0) // 1000}"
        for one in job.events
        if one["alert"] == name or one["labels"]["alertname"] == name
    ]


LARGE = alert("count(up) > 0")
SHORT = alert("count(last_over_time(up[10s])) > 0")
OTHER = Rule("acme", "g/B", "g", "B", "up{host='h0'} == 0", interval_s=10)
LIMITS = [
    (Budget(series=10, pause_ms=30_000), "TG-rule-series: 12 series; at most 10 (TIDEGAUGE_ALERT_MAX_SERIES)"),
    (Budget(bytes=400, pause_ms=30_000), "TG-rule-bytes: a window of"),
]


@pytest.mark.parametrize(("budget", "why"), LIMITS)
@pytest.mark.parametrize("disturb", [lambda job: None, FakeFlink.restart], ids=["", "restarts"])
def test_a_rule_that_explodes_is_paused_and_the_others_run_on(
    budget: Budget, why: str, disturb: Callable[[FakeFlink], None]
) -> None:
    job = with_budget(budget, SHORT, OTHER, disturb=disturb)
    crowd(job, T0)
    crowd(job, T0 + 10_000)
    job.advance(T0 + 30_000)
    crowd(job, T0 + 40_000, HOSTS[:1])
    assert about(job, "RulePaused") == ["firing 0", "resolved 40"], "it was too large again at 10 s"
    assert about(job, "A") == ["firing 40"], "tried again when the pause is over"
    assert about(job, "B") == ["firing 0"]
    paused = next(one for one in job.events if one["alert"] == "RulePaused")
    assert paused["annotations"]["summary"].startswith(why)
    assert paused["labels"]["rule"] == paused["rule_id"] == "g/A"


def test_an_edit_ends_the_pause() -> None:
    job = with_budget(Budget(series=10), LARGE)
    crowd(job, T0)
    edited = alert("count(up) > 1")
    job.rule(edited.key, edited.encode())
    crowd(job, T0 + 10_000, HOSTS[:2])
    assert about(job, "RulePaused") == ["firing 0", "resolved 10"]
    assert about(job, "A") == ["firing 10"]


def test_a_firing_alert_stays_as_it_is_while_its_rule_is_paused() -> None:
    job = with_budget(Budget(series=10, pause_ms=10_000), SHORT)
    crowd(job, T0, HOSTS[:2])
    crowd(job, T0 + 10_000)
    crowd(job, T0 + 20_000, HOSTS[:2])
    assert about(job, "A") == ["firing 0"]
    assert about(job, "RulePaused") == ["firing 10", "resolved 20"]


# expr, pause, seconds at which too many come, when the pause ends.
PAUSES = [
    ("count(up) > 0", 570, [120], 690),
    ("count(up) > 0", 90, [120], 420),
    ("count(count_over_time(up[15m])) > 0", 300, [120], 1020),
    ("count(up) > 0", 570, [120, 180], 690),
    ("count(up) > 0", 600, [120, 660], 1260),
    ("count(count_over_time(up[3h])) > 0", 300, [120], 3720),  # an hour, and not three
]


@pytest.mark.parametrize("disturb", [lambda job: None, FakeFlink.restart], ids=["", "restarts"])
@pytest.mark.parametrize(("expr", "pause_s", "crowds", "end_s"), PAUSES)
def test_no_alert_ends_at_the_end_of_a_pause_for_want_of_samples(
    expr: str, pause_s: int, crowds: list[int], end_s: int, disturb: Callable[[FakeFlink], None]
) -> None:
    job = with_budget(Budget(series=10, pause_ms=pause_s * 1000), alert(expr), disturb=disturb)
    for second in range(0, max(1500, end_s + 60), 10):
        if second % 60:
            job.advance(T0 + second * 1000)
        else:
            crowd(job, T0 + second * 1000, HOSTS if second in crowds else HOSTS[:1])
    assert [one for one in about(job, "A") if "resolved" in one] == []
    assert about(job, "RulePaused")[0] == "firing 120"
    assert f"resolved {end_s}" in about(job, "RulePaused")
    assert len({one["key"] for one in job.events if one["alert"] == "A"}) == 1


def test_a_paused_rule_holds_nothing_but_what_it_looks_back_on() -> None:
    job = with_budget(Budget(series=10, pause_ms=600_000), LARGE)
    held = []
    for second in range(0, 600, 60):
        crowd(job, T0 + second * 1000, HOSTS if not second else HOSTS[:1])
        held.append(sum(len(Window.decode(state["window"])) for state in job.stored.values() if "window" in state))
    assert held == [0] * 5 + [1, 2, 3, 4, 5]


def test_a_deleted_rule_ends_its_trouble() -> None:
    job = with_budget(Budget(series=10), LARGE)
    crowd(job, T0)
    job.rule(LARGE.key, None)
    job.advance(T0 + 10_000)
    assert about(job, "RulePaused") == ["firing 0", "resolved 10"]
    assert job.stored == {}


def test_an_answer_of_too_many_alerts_pauses_too() -> None:
    whole = alert("topk(100, up) == 0")
    job = with_budget(Budget(series=12, pause_ms=30_000), whole)
    crowd(job, T0)
    assert about(job, "RulePaused") == []
    one = with_budget(Budget(series=11, pause_ms=30_000), whole)
    crowd(one, T0)
    assert about(one, "RulePaused") == ["firing 0"] and about(one, "A") == []


def test_three_slow_evaluations_in_a_row_pause_two_do_not() -> None:
    took = iter([0, 9, 0, 9, 0, 1, 0, 9, 0, 9, 0, 9])
    evaluator = Evaluator(Budget(seconds=5), lambda: float(next(took)), Hindsight(600_000, lambda: 0.0))
    job = with_budget(Budget(), LARGE)
    shelf = KeyedShelf(Map(job, "past"), Value(job, "past_index"), Value(job, "late"))
    entry = job._match._rules.book.get(LARGE.key)
    assert entry is not None
    address = Address("acme", "g/A", entry[1].shape, 0)
    memory, paused = Memory(), []
    for tick in range(T0, T0 + 60_000, 10_000):
        made = evaluator.tick(address, entry, memory, Window.empty("acme"), [up(tick, 0.0)], tick, tick, shelf)
        memory = made.memory
        paused.append(made.paused)
    assert paused == [False] * 5 + [True]
    assert memory.trouble.startswith("TG-rule-time: evaluations took 9.0 s and more")


def test_costs_are_series_once_a_minute() -> None:
    job = with_budget(Budget(), LARGE)
    feed(job, "0 " * 13)
    costs = [one for one in job.recorded if "tidegauge" in decode_series_set(one.series_set)[0].name]
    assert [(int(one.timestamps[0]) - T0) // 1000 for one in costs] == [0, 60, 120]
    series = decode_series_set(costs[1].series_set)
    assert {one.labels for one in series} == {(("bucket", "0"), ("group", "g"), ("rule", "g/A"))}
    values = {
        one.name.removeprefix("tidegauge_rule_"): float(v) for one, v in zip(series, costs[1].values[0], strict=True)
    }
    assert values.pop("evaluation_seconds_total") > 0 and values.pop("window_bytes") > 0
    assert values == {
        "evaluations_total": 7,
        "evaluation_failures_total": 0,
        "late_samples_unjudged_total": 0,
        "last_evaluation_timestamp_seconds": T0 / 1000 + 60,
        "window_series": 1,
    }


def test_lag_and_missed_ticks_are_metrics() -> None:
    job = with_budget(Budget(), LARGE)
    feed(job, "0")
    assert job.metrics.distributions["tick_lag_ms"].value == 4_102_444_800_000 - T0
    assert job.metrics.counters["ticks_missed"].count == 1


def test_the_first_samples_wait_for_the_first_rules() -> None:
    rule = alert("up == 0")
    job = FakeFlink(stored=lambda: {rule.key: rule.encode()})
    feed(job, "0")
    assert told(job) == [("firing", 0)]


def test_what_a_checkpoint_holds_is_newer_than_nothing_and_is_not_asked_for_again() -> None:
    asked = []
    rule = alert("up == 0")

    def stored() -> dict[str, bytes]:
        asked.append(1)
        return {}

    job = FakeFlink(stored=stored)
    job.rule(rule.key, rule.encode())
    count = len(asked)
    job.restart()
    feed(job, "0")
    assert told(job) == [("firing", 0)] and len(asked) == count

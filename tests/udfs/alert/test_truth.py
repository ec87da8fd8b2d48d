"""Late samples afterwards: an oracle over complete data, what an event says, what is counted, what is left alone."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.memory import MemorySource
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import LATE, LATE_ROW, SIZE, STEP, one_host, play, rule_of, sample
from udfs.alert.budget import Budget
from udfs.alert.group import Run, Setting
from udfs.alert.hindsight import Hindsight
from udfs.alert.memory import Firing
from udfs.alert.replay import Play, after
from udfs.alert.rule import Rule
from udfs.alert.rulefile import Group
from udfs.alert.truth import verdict
from udfs.alert.window import Window

ARRIVAL = 24  # the tick at which what is late begins to come


def fired(job: FakeFlink) -> list[Firing]:
    found: list[Firing] = []
    for one in job.events:
        labels = tuple(sorted(one["labels"].items()))
        if one["state"] == "firing":
            found.append(Firing(labels, one["active_at"], one["evaluated_at"], 0, one["value"], one["key"]))
        elif one["state"] == "resolved":
            found = [
                replace(held, ended_at=one["evaluated_at"]) if held.labels == labels and not held.ended_at else held
                for held in found
            ]
    return found


def complete(rule: Rule, cells: dict[str, list[float | None]]) -> list[Firing]:
    """Return what fires over the complete data: the backtest's own evaluation."""
    rows = []
    for host, values in cells.items():
        kept = [place for place, value in enumerate(values) if value is not None]
        times = np.array([T0 + place * STEP for place in kept], np.int64)
        rows.append(({"__name__": "load", "host": host}, times, np.array([values[place] for place in kept], float)))
    run = Run([Group("g", rule.interval_s, (rule,))], MemorySource(rows), Setting(), T0)
    run.evaluate(0, np.arange(T0, T0 + (SIZE + 40) * STEP, STEP, dtype=np.int64))
    return after([], [change.transition for change in run.changes])


def untold(these: Iterable[Firing], those: list[Firing]) -> set[tuple[Any, int]]:
    return {
        (one.labels, one.fired_at)
        for one in these
        if not any(one.labels == other.labels and one.meets(other) for other in those)
    }


def truths(job: FakeFlink, state: str) -> set[tuple[Any, int]]:
    return {(tuple(sorted(one["labels"].items())), one["starts_at"]) for one in job.events if one["state"] == state}


RULES = st.builds(
    rule_of,
    expr=st.sampled_from(
        ["load > 5", "max_over_time(load[45s]) > 5", "sum(load) > 12", "absent(load)", "sum by (host) (load) < 5"]
    ),
    for_s=st.sampled_from([0, 30, 75]),
    keep_s=st.sampled_from([0, 30]),
)
CELLS = st.lists(st.sampled_from([1.0, 9.0, 9.0, None, np.nan]), min_size=SIZE - 1, max_size=SIZE - 1)


@settings(max_examples=120, deadline=None)
@given(rule=RULES, rows=st.tuples(CELLS, CELLS), data=st.data())
def test_what_is_told_is_how_the_complete_data_differ_from_what_was_done(
    rule: Rule, rows: tuple[list[float | None], list[float | None]], data: st.DataObject
) -> None:
    cells: dict[str, list[float | None]] = {host: [1.0, *row] for host, row in zip("ab", rows, strict=True)}
    places = [(host, place) for host in "ab" for place in range(2, ARRIVAL)]
    chosen = data.draw(st.lists(st.sampled_from(places), unique=True, max_size=25))
    late = {one: data.draw(st.integers(ARRIVAL, ARRIVAL + 2)) for one in chosen}
    job = play(rule, cells, late)
    done, whole = fired(job), complete(rule, cells)
    assert truths(job, "missed") == untold(whole, done)
    assert truths(job, "retracted") == untold(done, whole)
    keys = [one["key"] for one in job.events]
    assert len(keys) == len(set(keys))


def test_a_firing_from_before_all_that_was_late_is_not_retracted() -> None:
    """It is kept firing through a gap; the plays, which begin in it, show it only where it is active once more."""
    told = kept_firing([9.0, 9.0, 9.0, 9.0, 1.0, 9.0], [20])
    assert [(one["state"], (one["evaluated_at"] - T0) // STEP) for one in told] == [
        ("pending", 9),
        ("firing", 14),
        ("resolved", 24),
    ]


def test_one_that_was_only_resolved_too_early_is_not_missed() -> None:
    """All that would have kept it firing is late, for long enough to fire anew."""
    told = kept_firing([9.0, 9.0, 9.0, 1.0] + [9.0] * 8, list(range(20, 28)))
    assert [one["state"] for one in told] == ["pending", "firing", "resolved"]


def kept_firing(after_gap: list[float], late: list[int]) -> list[dict[str, Any]]:
    """Return what is told of b, which fires from 14 on and is kept firing through a gap at 15."""
    row: list[float | None] = [*[1.0] * 9, *[9.0] * 6, 1.0, *after_gap]
    cells: dict[str, list[float | None]] = {"a": [1.0] * SIZE, "b": [*row, *[1.0] * (SIZE - len(row))]}
    job = play(rule_of("load > 5", for_s=75, keep_s=30), cells, {("b", place): ARRIVAL + 4 for place in late})
    return [one for one in job.events if one["labels"]["host"] == "b"]


def flat(*values: float | None) -> Play:
    """Return answers of one alert at as many ticks."""
    ticks = T0 + np.arange(len(values), dtype=np.int64) * STEP
    present = np.array([value is not None for value in values])
    return Play(ticks, {ALERT: (np.array([value or 0.0 for value in values]), present)}, {})


ALERT = (("alertname", "A"), ("host", "a"))
FIRED = Firing(ALERT, T0 + STEP, T0 + STEP, 0, 9.0, "key")


@pytest.mark.parametrize(
    ("then", "now", "actual", "told"),
    [
        ((None, None, None), (None, 9.0, 9.0), (), ["missed"]),
        # It did fire, whatever the play over what was known says: an edit or a pause may lie between.
        ((None, None, None), (None, 9.0, 9.0), (FIRED,), []),
        ((None, 9.0, 9.0), (None, None, None), (FIRED,), ["retracted"]),
        ((None, 9.0, 9.0), (None, None, None), (), []),
        ((None, 9.0, 9.0), (None, None, 9.0), (FIRED,), []),
    ],
)
def test_two_plays_and_what_was_done(
    then: tuple[float | None, ...], now: tuple[float | None, ...], actual: tuple[Firing, ...], told: list[str]
) -> None:
    found = verdict(rule_of(), flat(*then), flat(*now), actual, (), T0 + 2 * STEP)
    assert [one.state for one in found.truths] == told


def test_an_event_names_the_samples_and_what_it_is_about() -> None:
    job = play(rule_of("load > 5", 30), LATE_ROW, LATE)
    (event,) = job.events
    assert event["state"] == "missed" and event["concerns"] == "" and event["seq"] == 0
    at = [(one - T0) // STEP for one in (event["active_at"], event["starts_at"], event["ends_at"])]
    assert at == [4, 6, 8]
    # What could be read up to the firing, in the order of time.
    told = [(one["labels"], (one["timestamp"] - T0) // STEP, one["value"]) for one in event["late"]]
    labels = {"__name__": "load", "host": "a"}
    assert told == [(labels, 3, 1.0), (labels, 4, 9.0), (labels, 5, 9.0), (labels, 6, 9.0)]
    assert {one["arrived_at"] for one in event["late"]} == {T0 + 12 * STEP + 7}


def test_a_retraction_is_linked_to_the_firing() -> None:
    cells: dict[str, list[float | None]] = {"a": [1.0, 9.0, 9.0, 1.0, 9.0, 9.0, *[1.0] * 20]}
    job = play(rule_of("load > 5", 45), cells, {("a", 3): 8})
    states = {one["state"]: one for one in job.events}
    assert list(states) == ["pending", "firing", "resolved", "retracted"]
    assert states["retracted"]["concerns"] == states["firing"]["key"]
    assert states["retracted"]["starts_at"] == states["firing"]["evaluated_at"]
    assert [(one["timestamp"] - T0) // STEP for one in states["retracted"]["late"]] == [3]


def test_no_more_than_twenty_samples_are_named_and_the_rest_is_counted() -> None:
    cells: dict[str, list[float | None]] = {f"h{number:02}": [1.0, 1.0, 9.0, *[1.0] * 20] for number in range(30)}
    job = play(rule_of("sum(load) > 100"), cells, {(host, 2): 5 for host in cells})
    (event,) = job.events
    assert len(event["late"]) == 20 and event["late_more"] == 10


def test_repeats_of_what_is_known_say_nothing() -> None:
    values = [1.0] * 14 + [9.0] * 4 + [1.0] * 10
    # The whole topic again: it is in the window, then in the past.
    again = [(tick, place, values[place]) for tick in (25, 50) for place in range(24)]
    job = one_host(rule_of(), values, again, ticks=70)
    assert [one["state"] for one in job.events] == ["firing", "resolved"]
    assert all("late" not in state for state in job.stored.values())


def test_repeats_are_not_named() -> None:
    again = [(50, place, 1.0) for place in range(12, 24)]
    job = one_host(rule_of(), [1.0] * 28, [*again, (50, 20, 9.0)], ticks=70)
    (event,) = job.events
    # The second replaces a smaller value that had left the window.
    assert [one["value"] for one in event["late"]] == [9.0] and event["late_more"] == 0


# Without the value that was known the first arm would have held already.
@pytest.mark.parametrize("expr", ["load > 5", "absent_over_time(load[15s]) or sum(load) > 5"])
def test_a_larger_value_for_the_same_time_is_news(expr: str) -> None:
    job = one_host(rule_of(expr), [1.0] * 20, [(10, 4, 9.0)])
    assert [(one["state"], one["late"][0]["value"]) for one in job.events if one["evaluated_at"] < T0 + 15 * STEP] == [
        ("missed", 9.0)
    ]


def test_what_is_older_than_the_past_is_counted() -> None:
    job = one_host(rule_of(), [1.0] * 80)
    assert job.metrics.counters["late_samples_unjudged"].count == 0
    for place in (30, 60):
        job.batch(sample("a", T0 + place * STEP, 9.0), T0 + place * STEP)
    job.advance(T0 + 90 * STEP)
    assert job.metrics.counters["late_samples_unjudged"].count == 1
    assert [at for _, at in truths(job, "missed")] == [T0 + 60 * STEP]


@pytest.mark.parametrize("disturb", [FakeFlink.restart])
def test_restarts_change_nothing(disturb: Callable[[FakeFlink], None]) -> None:
    plain, broken = (play(rule_of("load > 5", 30), LATE_ROW, LATE, one) for one in (lambda job: None, disturb))
    assert plain.sent == broken.sent and truths(plain, "missed")


@pytest.mark.parametrize("comes", [9, 12])
def test_ticks_before_an_edit_are_not_judged_by_the_edited_rule(comes: int) -> None:
    job = one_host(rule_of("load > 50"), [1.0] * 40, [(comes, 6, 9.0)], edit=(10, rule_of("load > 5")))
    assert job.events == []
    # What waited when the rule was edited is judged by neither.
    assert job.metrics.counters["late_samples_unjudged"].count == int(comes == 9)


def test_late_samples_of_a_paused_rule_are_counted() -> None:
    job = FakeFlink(budget=Budget(series=3))
    rule = rule_of("sum(load) > 5")
    job.rule(rule.key, rule.encode())
    for tick, hosts in enumerate(["a", "a", "a", "a", "ab", "abcd", "abcd"]):
        for host in hosts:
            job.batch(sample(host, T0 + tick * STEP, 1.0), T0 + tick * STEP)
        if tick == 4:
            job.batch(sample("b", T0 + STEP, 9.0), T0 + STEP)
        job.advance(T0 + tick * STEP)
    assert {one["alert"] for one in job.events if one["state"] == "firing"} == {"RulePaused"}
    assert job.metrics.counters["late_samples_unjudged"].count == 1


def test_a_flood_waits_while_fresh_ticks_need_the_time() -> None:
    took = iter(float(second) for second in range(0, 10_000, 5))
    hindsight = Hindsight(600_000, lambda: next(took))
    assert hindsight.may()
    hindsight._saved -= 9
    assert [hindsight.may() for _ in range(9)] == [False] * 7 + [True] * 2, "a fifth of the time"


def test_find_gives_the_places_of_samples() -> None:
    empty = Window.empty("acme")
    held = empty.append([sample(host, T0 + place, 1.0) for host in "ab" for place in (0, 5, 9)])
    ids = held.ids[[0, 0, 1, 1, 0]]
    other = np.concatenate([ids, np.array([7, np.iinfo(np.uint64).max], np.uint64)])
    stamps = np.array([T0, T0 + 5, T0 + 9, T0 + 4, T0 - 1, T0, T0], np.int64)
    assert held.find(other, stamps).tolist() == [0, 1, 5, -1, -1, -1, -1]
    assert empty.find(other, stamps).tolist() == [-1] * 7


@pytest.mark.parametrize(("most", "told"), [(4_000_000, 8), (30, 6), (1, 0)])
def test_what_is_more_than_one_go_may_hold_is_counted(most: int, told: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udfs.alert.hindsight.MAX_CELLS", most)
    cells: dict[str, list[float | None]] = {f"h{number}": [1.0, 1.0, 9.0, *[1.0] * 20] for number in range(8)}
    job = play(rule_of("load > 5"), cells, {(host, 2): 5 for host in cells})
    assert len(truths(job, "missed")) == told
    assert job.metrics.counters["late_samples_unjudged"].count == 8 - told

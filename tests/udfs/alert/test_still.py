"""Between two scrapes a tick has the answer of the one before: events and series are those of judging every tick."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from promql.parse import parse
from schemas.batch import Series, decode_series_set
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import sample
from udfs.alert.evaluator import MINUTE_MS, REST_MS, Evaluator
from udfs.alert.rule import Rule
from udfs.alert.still import sights

EXPRESSIONS = [
    "load > 5",
    "max by (host) (load offset 7s) > 5",
    "avg_over_time(load[23s]) > 4",
    "absent(load) or sum(load) > 9",
    "changes(load[40s]) > 1",
    "load > 5 unless on() count_over_time(load[31s]) < 3",
    "sort(rate(load[1m])) > 0.1",
    "load > 5 and on() vector(time()) % 9 < 3",
    "timestamp(load) % 7 < 5",
]


class EveryTick(Evaluator):
    """Judges each tick on its samples."""

    def still(self, *_: object) -> bool:
        return False

    def rests(self, *_: object) -> bool:
        return False


def run(
    rule: Rule,
    cells: dict[str, list[float | None]],
    always: bool,
    delays: Sequence[int] = (0,),
    disturb: Callable[[FakeFlink], None] = FakeFlink.idle,
    seconds: int = 350,
) -> FakeFlink:
    """Play so many seconds; the sample at place n comes delays[n] seconds after its time, by turns."""
    job = FakeFlink(disturb)
    job.rule(rule.key, rule.encode())
    if always:
        held = job._judge._evaluator
        job._judge._evaluator = EveryTick(held.budget, held.clock, held.hindsight)
    for second in range(-1, seconds):
        at = T0 + second * 1000
        for offset, (host, values) in enumerate(cells.items()):
            for place, value in enumerate(values):
                taken = 15 * place + 3 * offset
                if value is not None and taken + delays[place % len(delays)] == second:
                    job.batch(sample(host, T0 + taken * 1000, value), T0 + taken * 1000)
        job.advance(at)
    return job


CELLS = st.lists(st.sampled_from([1.0, 9.0, 9.0, None, np.nan]), min_size=2, max_size=3)


@settings(max_examples=12, deadline=None, phases=[Phase.reuse, Phase.generate])  # each run takes half a second
@given(
    expr=st.sampled_from(EXPRESSIONS),
    for_s=st.sampled_from([0, 20]),
    keep_s=st.sampled_from([0, 11]),
    offset_s=st.sampled_from([0, 4]),
    record=st.booleans(),
    rows=st.tuples(CELLS, CELLS),
)
def test_events_and_series_are_those_of_judging_every_tick(
    expr: str, for_s: float, keep_s: float, offset_s: float, record: bool, rows: tuple[list[float | None], ...]
) -> None:
    rule = Rule("acme", "g/A", "g", "A", expr, 1, for_s, keep_s, query_offset_s=offset_s)
    if record:
        rule = Rule("acme", "g/A", "g", "", expr, 1, record="r", query_offset_s=offset_s)
    cells = dict(zip("ab", rows, strict=True))
    fast, slow = run(rule, cells, False), run(rule, cells, True)
    assert str(fast.sent) == str(slow.sent)  # as text, since a late NaN is not equal to itself
    assert told(fast) == told(slow)


@settings(max_examples=12, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(
    expr=st.sampled_from(EXPRESSIONS[:6]),
    for_s=st.sampled_from([0, 20]),
    rows=st.tuples(CELLS, CELLS),
    delays=st.lists(st.sampled_from([0, 0, 7, 45]), min_size=1, max_size=3),
    restarts=st.booleans(),
)
def test_a_key_that_rests_is_late_for_nothing(
    expr: str, for_s: float, rows: tuple[list[float | None], ...], delays: list[int], restarts: bool
) -> None:
    rule = Rule("acme", "g/A", "g", "A", expr, 1, for_s)
    cells = dict(zip("ab", rows, strict=True))
    disturb = FakeFlink.restart if restarts else FakeFlink.idle
    fast, slow = run(rule, cells, False, delays, disturb), run(rule, cells, True, delays)
    assert str(fast.sent) == str(slow.sent)  # as text, since a late NaN is not equal to itself


@pytest.mark.parametrize(
    ("expr", "values", "delays", "states"),
    [
        # The second one comes when the third has been judged: it would have fired between.
        ("load > 5", [1.0, 9.0, 1.0, 1.0], [0, 45, 0, 0], ["missed"]),
        # The second one comes when the key has rested through the ticks that it would have fired at.
        ("max_over_time(load[2s]) > 5 and last_over_time(load[5m]) > 0", [1.0, 9.0], [0, 4], ["missed"]),
        # The first one leaves, and what is left is above.
        ("min_over_time(load[23s]) > 5", [1.0, 9.0, 9.0], [0], ["firing", "resolved"]),
        ("absent_over_time(load[23s])", [1.0], [0], ["firing"]),
    ],
)
def test_a_key_that_rests_sees_what_comes_late_and_what_leaves(
    expr: str, values: list[float | None], delays: list[int], states: list[str]
) -> None:
    rule = Rule("acme", "g/A", "g", "A", expr, 1)
    fast, slow = (run(rule, {"a": values}, always, delays) for always in (False, True))
    assert [one["state"] for one in fast.events] == states
    assert str(fast.sent) == str(slow.sent)  # as text, since a late NaN is not equal to itself


@pytest.mark.parametrize("name", "ABCDEF")  # whose turns lie differently
def test_a_key_that_rests_tells_its_costs_each_minute(name: str) -> None:
    rule = Rule("acme", f"g/{name}", "g", name, "load > 5", 1)
    fast, slow = (run(rule, {"a": [1.0]}, always) for always in (False, True))
    assert told(fast) == told(slow)
    moments = np.unique([at for _, at, _ in told(fast)])
    assert len(moments) in (5, 6) and (np.diff(moments) == MINUTE_MS).all()
    assert len(told(fast)) == 6 * len(moments)  # series of costs without the seconds


def test_minutes_of_keys_begin_at_different_ticks() -> None:
    rules = [Rule("acme", f"g/{name}", "g", name, "load > 5", 1) for name in "ABCDEF"]
    first = [min(at for _, at, _ in told(run(rule, {"a": [1.0]}, False))) for rule in rules]
    assert len(set(first)) > 3


def test_a_key_that_rests_wakes_in_its_turn_and_for_an_edit() -> None:
    rule = Rule("acme", "g/A", "g", "A", "load > 5", 1)
    job = run(rule, {"a": [1.0]}, False)
    # For five minutes a tick in four and its minutes' first; without samples each, until its minute is over.
    assert 120 < job.metrics.counters["evaluations"].count < 140
    assert len(job.timers) <= 1
    job = FakeFlink()
    job.rule(rule.key, rule.encode())
    job.batch(sample("a", T0, 4.0), T0)
    job.advance(T0 + 21_000)
    edited = Rule("acme", "g/A", "g", "A", "load > 3", 1)
    job.rule(edited.key, edited.encode())
    job.advance(T0 + 30_000)
    (event,) = job.events
    assert event["state"] == "firing"
    assert T0 + 21_000 < event["evaluated_at"] <= T0 + 21_000 + REST_MS


@pytest.mark.parametrize("for_s", [0, 20])  # what fired and resolved, what was pending and is not
def test_a_key_rests_while_what_it_had_is_over(for_s: int) -> None:
    rule = Rule("acme", "g/A", "g", "A", "load > 5", 1, for_s)
    # The last sample leaves the window after five minutes, its past after sixteen more.
    fast, slow = (run(rule, {"a": [9.0, 1.0], "b": [1.0]}, always, seconds=1400) for always in (False, True))
    assert str(fast.sent) == str(slow.sent)
    assert told(fast) == told(slow)
    over = "inactive" if for_s else "resolved"
    assert [one["resend"] for one in fast.sent if one["state"] == over] == list(range(1 if for_s else 16))
    assert fast.metrics.counters["evaluations"].count < 0.4 * slow.metrics.counters["evaluations"].count


def test_a_key_rests_while_late_samples_wait() -> None:
    rule = Rule("acme", "g/A", "g", "A", "load > 5", 1)
    prompt, late = (run(rule, {"a": [1.0] * 20, "b": [1.0] * 20}, False, delays) for delays in ([0], [0, 0, 0, 2]))
    counts = [job.metrics.counters["evaluations"].count for job in (prompt, late)]
    assert counts[0] <= counts[1] < 1.1 * counts[0]


def told(job: FakeFlink) -> list[tuple[Series, int, bytes]]:
    """Return what was recorded, without the seconds that evaluations cost."""
    return [
        (series, at, value.tobytes())
        for batch in job.recorded
        for index, at, value in zip(*batch.points(), strict=True)
        if (series := decode_series_set(batch.series_set)[index]).name != "tidegauge_rule_evaluation_seconds_total"
    ]


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("load > 5", {(0, 300_000, True)}),
        ("avg_over_time(load[1m] offset 2m) > 5 or -sum(load)", {(120_000, 60_000, False), (0, 300_000, True)}),
        ("rate(load[1m])", None),
        ("sum(load) > time()", None),
        ("max_over_time(load[5m:1m])", None),
        ("predict_linear(load[5m], 60) > 1", None),
    ],
)
def test_what_looks_at_the_clock_is_never_still(expr: str, found: set[object] | None) -> None:
    assert sights(parse(expr)) == found

"""Groups at virtual time: many ticks at once give what one at a time gives, and what Prometheus's rules say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.columns import NAME, Labels, Selector
from promql.memory import MemorySource
from schemas.nan import is_stale
from tests.notation import parse_series
from udfs.alert.group import Change, Failure, Run, Setting
from udfs.alert.order import entangled
from udfs.alert.rulefile import parse_file

STEP = 15_000


def source(*lines: str, start: int = 0) -> MemorySource:
    return MemorySource(parse_series(line, STEP, start) for line in lines)


def play(rules: str, held: MemorySource, ticks: int, chunk: int | None = None, start: int = 0) -> Run:
    read = parse_file(f"groups: [{{name: g, interval: 15s, {rules}}}]", "t")
    assert not read.faults
    run = Run(read.groups, held, Setting(), start)
    size = run.chunk if chunk is None else chunk
    times = start + np.arange(ticks, dtype=np.int64) * STEP
    for low in range(0, ticks, size):
        run.evaluate(0, times[low : low + size])
    return run


def told(run: Run) -> list[str]:
    return [f"{one.transition.evaluated_at // 1000} {one.transition.state}" for one in run.changes]


def series(run: Run, name: str) -> list[tuple[Labels, list[tuple[int, float | str]]]]:
    held = run.recorded.select(Selector(name, (), -1, 10**15))
    found = []
    for place, labels in enumerate(held.labels):
        low, high = held.offsets[place], held.offsets[place + 1]
        values = held.values[low:high]
        cells = ["stale" if stale else value for value, stale in zip(values.tolist(), is_stale(values), strict=True)]
        found.append((labels, list(zip((held.timestamps[low:high] // 1000).tolist(), cells, strict=True))))
    return found


def test_alerts_are_series_with_an_end() -> None:
    run = play("rules: [{alert: A, expr: up == 0, for: 30s}]", source("up 1 0 0 0 1 1"), 6, start=0)
    states = {labels["alertstate"]: cells for labels, cells in series(run, "ALERTS")}
    assert states == {
        "pending": [(15, 1.0), (30, 1.0), (45, "stale")],
        "firing": [(45, 1.0), (60, "stale")],
    }
    ((_, since),) = series(run, "ALERTS_FOR_STATE")
    assert since == [(15, 15.0), (30, 15.0), (45, 15.0), (60, "stale")]
    assert told(run) == ["15 pending", "45 firing", "60 resolved"]


def test_a_limit_fails_the_rule_and_forgets_its_alerts() -> None:
    run = play("limit: 1, rules: [{alert: A, expr: up == 0}]", source('up{i="a"} 0x3', 'up{i="b"} 1 0 1 1'), 4)
    assert [(one.at // 1000, one.reason) for one in run.failures] == [(15, "exceeded limit of 1 with 2 alerts")]
    assert [one.transition.state for one in run.changes] == ["firing", "firing"]


def test_a_limit_of_series() -> None:
    run = play("limit: 1, rules: [{record: r, expr: up}]", source('up{i="a"} 0x3', 'up{i="b"} _ 0 stale'), 4)
    assert [(one.at // 1000, one.reason) for one in run.failures] == [(15, "exceeded limit of 1 with 2 series")]
    assert series(run, "r") == [({NAME: "r", "i": "a"}, [(0, 0.0), (30, 0.0), (45, 0.0)])]


def test_a_query_offset_looks_back_and_stamps_back() -> None:
    run = play("query_offset: 15s, rules: [{record: r, expr: up}]", source("up 1 2 3"), 3)
    assert series(run, "r") == [({NAME: "r"}, [(0, 1.0), (15, 2.0)])]


def test_a_rule_reads_what_the_rule_before_it_recorded_at_the_same_time() -> None:
    rules = "rules: [{record: a, expr: up * 2}, {record: b, expr: a + 1}, {alert: C, expr: b > 4}]"
    run = play(rules, source("up 1 2 3"), 3)
    assert run.chunk > 1
    assert series(run, "b") == [({NAME: "b"}, [(0, 3.0), (15, 5.0), (30, 7.0)])]
    assert len(run.firing("C")) == 1


def test_a_rule_may_read_its_own_past() -> None:
    run = play("rules: [{record: total, expr: (total or vector(0)) + up}]", source("up 1 2 3 4"), 4)
    assert run.chunk == 1
    assert series(run, "total") == [({NAME: "total"}, [(0, 1.0), (15, 3.0), (30, 6.0), (45, 10.0)])]


@pytest.mark.parametrize(
    ("rules", "slow"),
    [
        ("[{record: a, expr: up}, {record: b, expr: a}]", False),
        ("[{record: b, expr: a}, {record: a, expr: up}]", True),
        ("[{record: a, expr: a}]", True),
        ('[{record: a, expr: "{job=\\"x\\"}"}]', True),
        ("[{record: a, expr: up}, {record: b, expr: a offset -5m}]", True),
        ("[{alert: A, expr: up, annotations: {a: '{{ query `up` }}'}}]", True),
        ("[{alert: A, expr: up}, {record: n, expr: count(ALERTS)}]", False),
        ("[{record: n, expr: count(ALERTS)}, {alert: A, expr: up}]", True),
    ],
)
def test_what_needs_one_tick_at_a_time(rules: str, slow: bool) -> None:
    assert entangled(parse_file(f"groups: [{{name: g, rules: {rules}}}]", "t").rules) is slow


def test_a_negative_offset_sees_no_future() -> None:
    run = play("rules: [{record: r, expr: up offset -15s}]", source("up 1 2 3"), 3)
    assert series(run, "r") == [({NAME: "r"}, [(0, 1.0), (15, 2.0), (30, 3.0)])]


def test_labels_and_annotations_are_those_of_the_last_evaluation() -> None:
    said = "{{ $value }} {{ query `up` | first | value }}"
    rules = f"rules: [{{alert: A, expr: up < 9, keep_firing_for: 1m, annotations: {{v: '{said}'}}}}]"
    run = play(rules, source("up 1 2 10 10"), 4)
    assert run.firing("A") == [((("alertname", "A"),), (("v", "2 2"),))]


def _by_rule(one: Change) -> tuple[int, int]:
    return one.rule.position, one.transition.evaluated_at


def _by_place(one: Failure) -> tuple[int, int]:
    return one.rule.position, one.at


CELLS = st.lists(st.sampled_from(["0", "1", "2", "_", "stale"]), min_size=20, max_size=20).map(" ".join)


@settings(max_examples=60)
@given(st.lists(CELLS, min_size=1, max_size=3), st.integers(1, 20), st.booleans())
def test_any_pieces_of_time_give_the_same(cells: list[str], chunk: int, collide: bool) -> None:
    name = "i" if collide else "j"
    rules = f"""rules: [
      {{record: a, expr: max by (i) (up), labels: {{{name}: x}}}},
      {{alert: A, expr: a > 0, for: 30s, keep_firing_for: 30s, labels: {{v: '{{{{ $value }}}}'}}}},
      {{alert: B, expr: a > 1}},
      {{record: n, expr: 'count by (alertname) (last_over_time(ALERTS[1m]))'}}]"""
    held = source(*(f'up{{i="{place}"}} {one}' for place, one in enumerate(cells)))
    whole, slow = play(rules, held, 20, chunk), play(rules, held, 20, 1)
    # Rules take turns within a piece, so only the order of one rule's own changes is the same.
    assert sorted(whole.changes, key=_by_rule) == sorted(slow.changes, key=_by_rule)
    assert sorted(whole.failures, key=_by_place) == sorted(slow.failures, key=_by_place)
    for recorded in ("a", "n", "ALERTS", "ALERTS_FOR_STATE"):
        by_labels = [sorted(series(run, recorded), key=lambda row: sorted(row[0].items())) for run in (whole, slow)]
        assert by_labels[0] == by_labels[1]

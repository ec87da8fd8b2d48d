"""Backtest = live: the stream's own scenarios over history, and what two versions of rules tell apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from promql.columns import Columns, Selector
from promql.memory import MemorySource
from tests.notation import parse_series
from tests.udfs.alert.scenario import T0, Scenario, _braces, _duration, load
from udfs.alert.backtest import Episode, Report, backtest, difference
from udfs.alert.chain import link
from udfs.alert.expression import check_expression
from udfs.alert.group import Run, Setting
from udfs.alert.rule import Rule
from udfs.alert.rulefile import Group, parse_file
from udfs.alert.spread import WHOLE
from udfs.alert.template import go_float

FOLDER = Path(__file__).parent / "scenarios"
PLAIN = [path for path in sorted(FOLDER.glob("*.yaml")) if "edits" not in yaml.safe_load(path.read_text())]
HOUR = 3_600_000


def source_of(path: Path, interval_ms: int) -> MemorySource:
    series = yaml.safe_load(path.read_text())["input"]
    return MemorySource(parse_series(f"{name} {cells}", interval_ms, T0) for name, cells in series.items())


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_the_groups_make_the_events_of_the_stream(path: Path) -> None:
    scenario: Scenario = load(path)
    rule = scenario.rules[0][1]
    assert rule is not None
    interval = rule.interval_ms
    run = Run([Group("g", rule.interval_s, (rule,))], source_of(path, interval), Setting(), T0)
    run.evaluate(0, np.arange(T0, T0 + scenario.until + 1, interval, dtype=np.int64))
    ordered = sorted((one.transition for one in run.changes), key=lambda one: (one.evaluated_at, one.labels, one.seq))
    told = [
        f"{_duration(one.evaluated_at - T0)} {one.state} {_braces(dict(one.labels))} {go_float(one.value)}"
        for one in ordered
    ]
    # What a stream says of a rule without an answer is a Failure here.
    about_rules = [line for line in scenario.events if f'rule="{rule.rule_id}"' in line]
    assert told == [line for line in scenario.events if line not in about_rules]
    assert bool(run.failures) is bool(about_rules)
    live = {(one["key"], one["seq"]) for one in scenario.run().events if one["labels"]["alertname"] == rule.alert}
    assert {(one.key, one.seq) for one in ordered} == live


RULES = """
groups:
  - name: g
    interval: 1m
    rules:
      - {record: "job:up:min", expr: min by (job) (up)}
      - {alert: Down, expr: "job:up:min == 0", for: %s, annotations: {v: "{{ $labels.job }} {{ $value }}"}}
  - name: h
    interval: 30s
    rules: [{alert: Firing, expr: 'count(ALERTS{alertstate="firing", alertname="Down"}) > 0'}]
"""


def over(text: str, cells: dict[str, str], start: int = T0, end: int = T0 + HOUR) -> Report:
    read = parse_file(text, "t")
    assert not read.faults
    series = (parse_series(f'up{{job="{job}"}} {values}', 60_000, T0 - HOUR) for job, values in cells.items())
    return backtest(read.groups, MemorySource(series), start, end, Setting())


def brief(one: Episode) -> tuple[str, str, int, int, int]:
    minutes = [(at - T0) // 1000 if at else -1 for at in (one.active_at, one.fired_at, one.ended_at)]
    return one.rule.rpartition("/")[2], dict(one.labels).get("job", ""), minutes[0], minutes[1], minutes[2]


CELLS = {"a": "1x69 0x9 1x60", "b": "1x70 0x1 1x60", "c": "0x200"}


def test_episodes_know_begin_firing_and_end() -> None:
    report = over(RULES % "5m", CELLS)
    assert not report.failures
    assert [brief(one) for one in report.episodes] == [
        # Evaluation begins 6 minutes before the start, so that this one fires at once.
        ("Down", "c", -360, -60, -1),
        ("Firing", "", -60, -60, -1),
        ("Down", "a", 600, 900, 1200),
        ("Down", "b", 660, -1, 780),
    ]
    assert report.episodes[0].annotations == (("v", "c 0"),)
    assert report.evaluations == 67 * 2 + 133


def test_two_versions_are_told_apart() -> None:
    found = difference(over(RULES % "5m", CELLS), over(RULES % "1m", CELLS))
    assert [brief(one) for one in found.new] == [("Down", "b", 660, 720, 780)]
    assert [(brief(one)[:4], brief(other)[3]) for one, other in found.moved] == [(("Down", "a", 600, 900), 660)]
    assert found.same == 2
    back = difference(over(RULES % "1m", CELLS), over(RULES % "5m", CELLS))
    assert [brief(one)[:2] for one in back.gone] == [("Down", "b")]
    same = difference(over(RULES % "5m", CELLS), over(RULES % "5m", CELLS))
    assert (same.gone, same.new, same.moved, same.same) == ((), (), (), 3)


def test_history_is_read_once_a_slice_and_what_rules_recorded_before_does_not_count() -> None:
    asked: list[Selector] = []

    class Counting(MemorySource):
        def select(self, selector: Selector) -> Columns:
            asked.append(selector)
            return super().select(selector)

    up = parse_series('up{job="a"} 1x2000', 60_000, T0)
    # Another version of the rule has recorded this; it counts before the run only.
    old = parse_series('job:up:min{job="a"} 0x2000', 60_000, T0)
    progress: list[tuple[int, int]] = []
    read = parse_file(RULES % "0s", "t")
    report = backtest(
        read.groups[:1], Counting([up, old]), T0 + HOUR, T0 + 13 * HOUR, Setting(), lambda a, b: progress.append((a, b))
    )
    assert not report.episodes
    assert len(asked) == 2 * len(progress) and 2 <= len(progress) < 6
    assert progress[-1][0] == progress[-1][1]


@pytest.mark.parametrize("expr", ["up == 0", "up @ end() == 0", "job:up:min == 0"])
def test_one_by_one_gives_the_same_as_many(expr: str) -> None:
    def rule(position: int, **fields: object) -> Rule:
        made = Rule("t", f"g/{position}", "g", "", "", 60, position=position)
        return replace(made, **fields)  # type: ignore[arg-type]  # the fields of a Rule

    record = rule(0, record="job:up:min", expr="min by (job) (up)")
    alert = rule(1, alert="A", expr=expr, for_s=120)
    tangled = rule(2, record="own", expr="own or up")
    series = [parse_series(f'up{{job="{job}"}} {cells}', 60_000, T0 - HOUR) for job, cells in CELLS.items()]
    found = [
        backtest([Group("g", 60, rules)], MemorySource(series), T0, T0 + HOUR, Setting()).episodes
        for rules in ((record, alert), (record, alert, tangled))
    ]
    assert found[0] == found[1] and len(found[0]) >= 2


def test_a_backtest_looks_into_no_future() -> None:
    one = Rule("t", "g/A", "g", "A", "up offset -2m == 0", 60)
    series = [parse_series('up{job="a"} 1x80 0x5 1x60', 60_000, T0 - HOUR)]
    (found,) = backtest([Group("g", 60, (one,))], MemorySource(series), T0, T0 + HOUR, Setting()).episodes
    assert (found.active_at - T0, found.ended_at - T0) == (21 * 60_000, 27 * 60_000)


def test_a_rule_with_a_limit_is_judged_under_one_key_on_the_stream() -> None:
    one = Rule("t", "g/A", "g", "A", "up == 0")
    expression = check_expression(one.expr)
    assert link(one, expression, {}).spread.parts("host")
    limited = link(replace(one, limit=5), expression, {})
    assert limited.spread == WHOLE and limited.shape != expression.shape


def test_selectors_that_find_nothing_are_told() -> None:
    found = over(RULES % "5m", {})
    # That nothing fires is no misspelt name: of ALERTS nothing is said.
    assert [(one.selector.metric, one.rules) for one in found.unseen] == [
        ("up", ("g/job:up:min",)),
        ("job:up:min", ("g/Down",)),
    ]
    assert (found.unseen[0].selector.start_ms, found.unseen[0].selector.end_ms) == (T0 - 11 * 60_000, T0 + HOUR)
    assert found.alerts == ("t/g/Down", "t/h/Firing")
    # One sample is enough, and what the rules record counts.
    assert not over(RULES % "5m", {"a": "_x100 1"}).unseen


def test_what_others_recorded_counts_before_the_run_only() -> None:
    rules = (
        "groups: [{name: g, interval: 1m, rules: [{record: a, expr: b}, {alert: A, expr: 'sum_over_time(a[9m]) > 9'}]}]"
    )

    def unseen(cells: str) -> list[str]:
        read = parse_file(rules, "t")
        stored = MemorySource([parse_series(f"a {cells}", 60_000, T0 - HOUR)])
        return [one.selector.metric for one in backtest(read.groups, stored, T0, T0 + HOUR, Setting()).unseen]

    assert unseen("1x100") == ["b"]
    assert unseen("_x70 1x20") == ["b", "a"]


def test_nothing_is_evaluated_before_the_oldest_sample() -> None:
    rule = Rule("t", "g/A", "g", "A", "absent(down)", 60, for_s=300)
    series = MemorySource([parse_series('up{job="a"} 1x60', 60_000, T0)])
    read: list[Selector] = []

    class Noting(MemorySource):
        def select(self, selector: Selector) -> Columns:
            read.append(selector)
            return series.select(selector)

    found = backtest([Group("g", 60, (rule,))], Noting([]), T0 - 9000 * HOUR, T0 + HOUR, Setting(), oldest_ms=T0)
    assert found.evaluations == 61 and len(read) == 1
    # Without its series too a rule has an answer, from the first data on.
    assert [brief(one)[2:] for one in found.episodes] == [(0, 300, -1)]

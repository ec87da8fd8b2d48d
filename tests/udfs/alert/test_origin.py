"""What the stream says of an alert as `rules test` says it: `$labels` is the result's, a limit counts what is kept."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promql.memory import MemorySource
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import STEP, play, rule_of
from udfs.alert.expression import check_expression
from udfs.alert.group import Run, Setting
from udfs.alert.origin import origin_of, result_of
from udfs.alert.replay import lives
from udfs.alert.replay import play as replayed
from udfs.alert.rule import Rule
from udfs.alert.rulefile import Group

Cells = dict[str, list[float | None]]
RESTARTS = pytest.mark.parametrize("disturb", [FakeFlink.idle, FakeFlink.restart])
NAMES = st.sampled_from(["a", "b", "c", "alertname", "__name__"])


def source(cells: Cells) -> MemorySource:
    return MemorySource(
        ({"__name__": "load", "host": host}, T0 + np.arange(len(row), dtype=np.int64) * STEP, np.array(row, float))
        for host, row in cells.items()
    )


def run_of(rule: Rule, cells: Cells) -> Run:
    run = Run([Group("g", rule.interval_s, (rule,))], source(cells), Setting(), T0)
    size = max(len(row) for row in cells.values())
    run.evaluate(0, np.arange(T0, T0 + size * STEP, STEP, dtype=np.int64))
    return run


@given(st.dictionaries(NAMES, st.sampled_from(["x", "y"])), st.dictionaries(NAMES, st.sampled_from(["x", "y"])))
def test_the_result_is_found_again(alert: dict[str, str], result: dict[str, str]) -> None:
    labels = tuple(sorted(alert.items()))
    assert result_of(labels, origin_of(labels, result)) == result


def test_what_is_as_in_the_alert_is_not_kept_twice() -> None:
    alert = (("alertname", "A"), ("host", "a"), ("severity", "page"))
    assert origin_of(alert, {"host": "a"}) == (("severity", ""),)


@RESTARTS
@pytest.mark.parametrize("for_s", [0, 30])
@pytest.mark.parametrize(
    "expr", ["load > 5", "sum by (host) (load) > 5", "label_replace(load > 5, 'alertname', 'x', '', '')"]
)
def test_annotations_see_the_labels_of_the_result(
    expr: str, for_s: float, disturb: Callable[[FakeFlink], None]
) -> None:
    own = (("host", "any"), ("severity", "page"))
    rule = rule_of(expr, for_s, 30, labels=own, annotations=(("s", "{{ $labels }}: {{ $labels.host }}"),))
    cells: Cells = {"a": [1.0, *[9.0] * 4, *[1.0] * 20], "b": [1.0] * 25}
    job = play(rule, cells, {}, disturb)
    told = [(one.transition.state, dict(one.annotations)) for one in run_of(rule, cells).changes]
    assert told[-1][1]["s"].endswith(": a")
    assert [(one["state"], one["annotations"]) for one in job.events] == told
    assert len(job.sent) > len(told) and all(one["annotations"] == told[-1][1] for one in job.sent)


@pytest.mark.parametrize(("state", "value"), [("missed", 9.0), ("retracted", 3.0)])
def test_annotations_of_what_late_samples_say_see_them_too(state: str, value: float) -> None:
    rule = rule_of("avg_over_time(load[30s]) > 5", labels=(("host", "any"),), annotations=(("s", "{{ $labels }}"),))
    low = 1.0 if state == "missed" else 9.0
    cells: Cells = {"a": [1.0, 1.0, 1.0, low, *[1.0] * 21]}
    cells["a"][4] = 100.0 if state == "missed" else -100.0
    job = play(rule, cells, {("a", 4): 12})
    assert [one["annotations"] for one in job.events if one["state"] == state] == [{"s": "map[host:a]"}]


@RESTARTS
def test_a_limit_counts_what_is_kept_firing(disturb: Callable[[FakeFlink], None]) -> None:
    rule = rule_of("load > 5", 0, 60, limit=1)
    cells: Cells = {"a": [*[9.0] * 3, *[1.0] * 20], "b": [*[1.0] * 4, *[9.0] * 19]}
    job = play(rule, cells, {}, disturb)
    happened = [(one["alert"], one["state"], (one["evaluated_at"] - T0) // STEP) for one in job.events]
    assert happened[:5] == [
        ("A", "firing", 0),
        ("RuleFailing", "firing", 4),
        ("A", "resolved", 7),
        ("A", "firing", 7),
        ("RuleFailing", "resolved", 7),
    ]
    assert run_of(rule, cells).failures[0].at == T0 + 4 * STEP
    played = replayed(rule, check_expression(rule.expr), source(cells), T0, T0 + 20 * STEP)
    assert sorted(played.failed) == [4, 5, 6]
    states = [[one.instance.state for one in lives(rule, played, labels)] for labels in sorted(played.rows)]
    assert states[0][6:8] == ["firing", "resolved"] and states[1][6:8] == ["inactive", "firing"]

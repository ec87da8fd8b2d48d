"""promtool's unit-test files: what is read, what is refused, and what passes and fails. promtool 3.5.3 agrees."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.rules import main
from schemas.nan import is_stale
from tests.notation import parse_series
from udfs.alert.notation import parse_labels, parse_values
from udfs.alert.notation import parse_series as series
from udfs.alert.rule import RuleFault
from udfs.alert.rulefile import parse_file
from udfs.alert.testfile import parse_tests
from udfs.alert.testrun import run_test

DATA = Path(__file__).parents[2] / "data" / "ruletests"


def run(test: str, rules: str = "") -> list[str]:
    file, faults = parse_tests(test)
    assert not faults
    found = []
    for one in file.tests:
        groups = parse_file(rules, "t", interval_s=one.interval_ms / 1000).groups
        found += [
            f"{bad.head}: {'; '.join(bad.expected)} -> {'; '.join(bad.got)}" for bad in run_test(one, file, groups)
        ]
    return found


def test_a_good_file_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(DATA / "passes.yaml")]) == 0
    assert "SUCCESS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("eval_time: 14m, alertname: InstanceDown}", "eval_time: 13m59s, alertname: InstanceDown}", "exp: nil"),
        ("summary: a of north is down", "summary: a of south is down", "a of north is down"),
        ("value: 10}", "value: 11}", 'job:load:avg2{job="b", team="infra"} 10'),
        ("3.9999999999999996", "4", "3.9999999999999996"),
        ("job: b, team: infra", "job: b", 'team="infra"'),
    ],
)
def test_what_is_not_as_expected_is_told(
    old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.yaml").write_text((DATA / "rules.yaml").read_text())
    path = tmp_path / "t.yaml"
    path.write_text((DATA / "passes.yaml").read_text().replace(old, new))
    assert main(["test", str(path)]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert "FAILED" in shown.err


def test_only_the_named_tests_run_and_a_difference_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "tests:\n"
        "  - {name: good, input_series: [{series: a, values: 1}], promql_expr_test: "
        "[{expr: a, eval_time: 0, exp_samples: [{labels: a, value: 1}]}]}\n"
        "  - {name: bad, input_series: [{series: a, values: 1}], promql_expr_test: "
        "[{expr: a, eval_time: 0, exp_samples: [{labels: a, value: 2}]}]}\n"
    )
    assert main(["test", "--run", "^go", str(path)]) == 0
    assert main(["test", "--diff", str(path)]) == 1
    told = capsys.readouterr().err
    assert "name: bad," in told and "- a 2" in told and "+ a 1" in told and "name: good" not in told


def test_a_start_timestamp_moves_the_whole_test() -> None:
    for start in ("1700000000", "2023-11-14T22:13:20Z"):
        assert not run(
            f"""
tests:
  - start_timestamp: {start}
    input_series: [{{series: up, values: 0x5}}]
    alert_rule_test: [{{eval_time: 2m, alertname: A, exp_alerts: [exp_annotations: {{at: "1970"}}]}}]
    promql_expr_test: [{{expr: timestamp(up), eval_time: 90s, exp_samples: [{{value: 1700000060}}]}}]
""",
            'groups: [{name: g, rules: [{alert: A, expr: up == 0, for: 1m, annotations: {at: "1970"}}]}]',
        )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[{record: r, expr: a + on () b}]", "rule: r, time: 0s, err: found duplicate series"),
        ("[{record: r, expr: b, labels: {x: same}}]", "same labelset after applying rule labels"),
        ("[{alert: A, expr: b, labels: {x: same}}]", "same labelset after applying alert labels"),
    ],
)
def test_an_evaluation_that_fails_ends_the_test(rules: str, said: str) -> None:
    test = """
tests:
  - input_series: [{series: a, values: 1x5}, {series: 'b{x="1"}', values: 1x5}, {series: 'b{x="2"}', values: 1x5}]
    promql_expr_test: [{expr: a, eval_time: 3m, exp_samples: []}]
"""
    (only,) = run(test, f"groups: [{{name: g, rules: {rules}}}]")
    assert said in only


@pytest.mark.parametrize(
    ("text", "fault", "line"),
    [
        ("tests:\n - nane: x", "TG-rule-field", 2),
        ("tests:\n - input_series:\n   - {series: 'up{', values: 1}", "TG-test-series", 3),
        ("tests:\n - input_series:\n   - {series: 'up{a=~\"b\"}', values: 1}", "TG-test-series", 3),
        ("tests:\n - input_series:\n   - {series: up, values: 1 two}", "TG-test-values", 3),
        ("tests:\n - input_series:\n   - {series: up, values: 0x99999999}", "TG-test-size", 3),
        (f"tests:\n - input_series:\n   - {{series: up, values: 1x{'9' * 5000}}}", "TG-test-size", 3),
        ("tests:\n - input_series:\n   - {series: up, values: '{{count:1}}'}", "TG-rule-unsupported", 3),
        *(
            (f"tests:\n - input_series:\n   - {{series: '{series}', values: 1}}", "TG-test-series", 3)
            for series in ("", "{}", "{ }", 'up{a="b",a="c"}', 'up{a="b",a="b"}', 'up{a="",a=""}')
        ),
        *(
            (f"tests:\n - input_series:\n   - {{series: up, values: {values}}}", "TG-test-values", 3)
            for values in (
                "1+1",
                "1-1",
                "stalex2",
                "STALE",
                "_X2",
                "1+1X3",
                "1X3",
                "infx2",
                "1+infx2",
                "1e400",
                "1-1e400x2",
            )
        ),
        ("tests:\n - alert_rule_test:\n   - {eval_time: 1m}", "TG-rule-missing", 3),
        ("tests:\n - alert_rule_test:\n   - {eval_time: one, alertname: A}", "TG-rule-duration", 3),
        ("tests:\n - promql_expr_test:\n   - {expr: a, exp_samples: [{value: x}]}", "TG-rule-type", 3),
        ("tests:\n - promql_expr_test:\n   - {expr: a, exp_samples: [{value: '1'}]}", "TG-rule-type", 3),
        ("group_eval_order: [a, a]", "TG-rule-duplicate", 1),
        ("tests:\n - start_timestamp: yesterday", "TG-rule-type", 2),
    ],
)
def test_a_bad_test_file_says_where(text: str, fault: str, line: int) -> None:
    _, faults = parse_tests(text)
    assert [(one.id, one.line) for one in faults] == [(fault, line)]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("up", {"__name__": "up"}),
        ('sum{a="x", b=""}', {"__name__": "sum", "a": "x"}),
        ('{"a.b", "c.d"="e"}', {"__name__": "a.b", "c.d": "e"}),
        ('up{a="b",a="b"}', {"__name__": "up", "a": "b"}),
        (' up {a="x, \\"y", b=`,`,} ', {"__name__": "up", "a": 'x, "y', "b": ","}),
        ("{}", {}),
        ("", {}),
        (" \n" * 100_000, {}),  # read once: it would take hours else
    ],
)
def test_series_are_read(text: str, labels: dict[str, str]) -> None:
    assert parse_labels(text) == labels


ITEM = st.one_of(
    st.sampled_from(["_", "stale", "NaN", "Inf", "-Inf", "_x3", "1e3", "-.5"]),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 9)).map(lambda t: f"{t[0]}{t[1]:+d}x{t[2]}"),
    st.tuples(st.integers(-9, 9), st.integers(0, 9)).map(lambda t: f"{t[0]}x{t[1]}"),
)


@given(st.lists(ITEM, max_size=8))
def test_values_are_those_of_the_slow_notation_of_the_tests(items: list[str]) -> None:
    _, times, values = parse_series("up " + " ".join(items), 1000, 5000)
    got_times, got = parse_values(" ".join(items)).at(5000, 1000)
    assert got_times.tolist() == times.tolist()
    np.testing.assert_array_equal(got, values)
    assert is_stale(got).tolist() == is_stale(values).tolist()


@pytest.mark.parametrize(
    ("text", "size"),
    [("INF +Inf -inf NaN", 4), ("nan+1x2 -.5x2 1.", 7), ("_x0", 0), ("01 1E3 0x10", 13), ("stale _", 2)],
)
def test_values_that_promtool_takes(text: str, size: int) -> None:
    assert len(parse_values(text).values) == size


def test_steps_are_added_up_as_promtool_does() -> None:
    assert parse_values("0+0.1x3").values.tolist() == [0, 0.1, 0.2, 0.1 + 0.1 + 0.1]


def test_a_comma_in_quotes_parts_nothing() -> None:
    with pytest.raises(RuleFault, match="is no series"):
        parse_labels(" " * 100_000 + "up" + " " * 100_000 + "!")
    assert series('up{a="b,c", d=\'e,"\', f=`,,`,}') == {"__name__": "up", "a": "b,c", "d": 'e,"', "f": ",,"}


def test_labels_of_a_matcher_are_no_series() -> None:
    with pytest.raises(RuleFault, match="a label is name=value"):
        parse_labels('up{a!="b"}')

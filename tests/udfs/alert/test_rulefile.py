"""NAME.good.yaml is read without a fault; the first line of NAME.bad.yaml says which fault is expected, and where."""

import re
from pathlib import Path

import pytest

from udfs.alert.rule import DEFAULT_INTERVAL_S
from udfs.alert.rulefile import parse_duration, parse_rules

DATA = Path(__file__).parents[2] / "data" / "rules"
EXPECTED = re.compile(r"# line (\d+), group (\S+), rule (\S+): (TG-[a-z-]+): (.*)")


@pytest.mark.parametrize("path", sorted(DATA.glob("*.bad.yaml")), ids=lambda path: path.name.split(".")[0])
def test_a_bad_file_names_line_group_rule_and_reason(path: Path) -> None:
    text = path.read_text()
    expected = EXPECTED.match(text.splitlines()[0])
    assert expected is not None
    _, faults = parse_rules(text, "default", path.name)
    assert [fault.id for fault in faults] == [expected[4]]
    (fault,) = faults
    assert (fault.line, fault.group or "-", fault.rule or "-") == (int(expected[1]), expected[2], expected[3])
    assert fault.reason.startswith(expected[5].strip())
    assert f"line {fault.line}" in str(fault) and fault.id in str(fault)


@pytest.mark.parametrize("path", [*DATA.glob("*.good.yaml"), DATA.parents[2] / "flink-conf" / "rules.yaml"], ids=str)
def test_a_good_file_has_no_fault(path: Path) -> None:
    rules, faults = parse_rules(path.read_text(), "default", path.name)
    assert rules and not faults


def test_a_prometheus_file_is_read_as_prometheus_reads_it() -> None:
    rules, _ = parse_rules((DATA / "prometheus.good.yaml").read_text(), "acme", "prometheus.good.yaml")
    warning, critical, down = rules
    assert warning.key == "acme/host/HostHighCpu"
    assert critical.rule_id == "host/HostHighCpu#2"
    assert (warning.interval_s, warning.for_s, warning.keep_firing_for_s) == (30, 600, 90)
    assert warning.labels == (("severity", "warning"), ("team", "infra"))
    assert critical.labels == (("severity", "critical"), ("team", "oncall"))
    assert warning.annotations == (("summary", "{{ $labels.instance }} is busy: {{ $value }}"),)
    assert (down.interval_s, down.for_s, down.expr) == (DEFAULT_INTERVAL_S, 0, "up == 0")


def test_one_bad_rule_does_not_hide_the_others() -> None:
    text = """
groups:
  - name: a
    rules:
      - alert: Good
        expr: up == 0
      - alert: Bad
        expr: up ==
      - alert: Worse
        expr: up == 0
        for: soon
  - name: b
    rules:
      - alert: Fine
        expr: up == 1
"""
    rules, faults = parse_rules(text, "default")
    assert [rule.rule_id for rule in rules] == ["a/Good", "b/Fine"]
    assert [fault.rule for fault in faults] == ["Bad", "Worse"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86400),
        ("2w", 1209600),
        ("500ms", 0.5),
        ("1m30s5ms", 90.005),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5m1h", "-5m", "5.5m", "5M", "5m "])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "groups: []", "groups:"])
def test_a_file_may_hold_no_rules(text: str) -> None:
    assert parse_rules(text, "default") == ([], [])

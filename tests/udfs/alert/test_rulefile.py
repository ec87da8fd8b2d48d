"""NAME.good.yaml is read without a fault; the first line of NAME.bad.yaml says which fault is expected, and where."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.rule import DEFAULT_INTERVAL_S
from udfs.alert.rulefile import parse_file, parse_rules
from udfs.duration import parse_duration, show_duration

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


def test_several_faults_of_one_rule_and_of_its_group_are_found_at_once() -> None:
    text = """
groups:
  - name: a
    limit: x
    colour: red
    rules:
      - alert: Bad
        expr: up ==
        for: soon
        fro: 5m
        labels: {__name__: x, "": y}
  - rules: [7]
  - name: a
"""
    _, faults = parse_rules(text, "default")
    assert [(fault.line, fault.group, fault.rule, fault.id) for fault in faults] == [
        (5, "a", "", "TG-rule-field"),
        (4, "a", "", "TG-rule-type"),
        (10, "a", "Bad", "TG-rule-field"),
        (8, "a", "Bad", "TG-rule-expr"),
        (11, "a", "Bad", "TG-rule-label"),
        (11, "a", "Bad", "TG-rule-label"),
        (9, "a", "Bad", "TG-rule-duration"),
        (12, "", "", "TG-rule-missing"),
        (12, "", "", "TG-rule-type"),
        (13, "a", "", "TG-rule-duplicate"),
    ]


def test_recording_rules_keep_their_place_between_alerts() -> None:
    text = """
groups:
  - {name: g, interval: 1m, limit: 7, query_offset: 30s, labels: {team: a, env: b}, rules: [
      {record: "a:b", expr: vector(1), labels: {team: c}},
      {alert: A, expr: "a:b > 0"},
      {record: "a:b", expr: vector(2), labels: {team: d}}]}
  - {name: h, rules: [{alert: B, expr: up}]}
"""
    groups = parse_file(text, "acme", interval_s=60).groups
    first, second, third = groups[0].rules
    assert [rule.rule_id for rule in groups[0].rules] == ["g/a:b", "g/A", "g/a:b#2"]
    assert [rule.position for rule in groups[0].rules] == [0, 1, 2]
    assert (first.record, first.alert, first.labels) == ("a:b", "", (("env", "b"), ("team", "c")))
    assert (second.limit, second.query_offset_s, second.interval_s, third.name) == (7, 30, 60, "a:b")
    assert (groups[1].interval_s, groups[1].rules[0].interval_s) == (60, 60)


def test_names_are_utf8_as_in_prometheus_3() -> None:
    read = parse_file((DATA / "utf8.good.yaml").read_text(), "acme")
    record, alert, merged = read.rules
    assert read.groups[0].interval_s == DEFAULT_INTERVAL_S
    assert (record.record, dict(record.labels)) == ("http.requests:rate5m", {"se-verity": "low", "count": "5"})
    assert dict(alert.labels) == {"k8s.team": "a", "alertname": "overwritten", "none": ""}
    assert dict(merged.labels) == {**dict(alert.labels), "severity": "page"}
    assert (alert.for_s, alert.annotations) == (0, (("was ist", "{{ $value }}"),))


def test_rules_that_may_give_the_same_alerts_are_warned_of() -> None:
    rule = "{alert: A, expr: up == %d, labels: {severity: %s}}"
    same = f"groups: [{{name: g, rules: [{rule % (0, 'page')}, {rule % (1, 'page')}, {rule % (1, 'info')}]}}]"
    read = parse_file(same, "acme")
    assert not read.faults and len(read.rules) == 3
    assert [(fault.id, fault.rule) for fault in read.warnings] == [("TG-rule-ambiguous", "A")]


LACKS = [
    ("annotations: {a: '{{ query `up` | first | value }}'}", "annotation 'a': the stream has no query for templates"),
    ("annotations: {a: '{{ with printf `up` | query }}x{{ end }}'}", "annotation 'a': the stream has no query"),
    ("labels: {a: '{{ $externalLabels.region }}'}", "label 'a': the stream has no $externalLabels for templates"),
    ("annotations: {a: '{{ .ExternalURL }}/x'}", "annotation 'a': the stream has no .ExternalURL for templates"),
]


@pytest.mark.parametrize(("field", "reason"), LACKS)
def test_what_templates_lack_on_the_stream_is_refused_there(field: str, reason: str) -> None:
    text = f"groups: [{{name: g, rules: [{{alert: A, expr: up, {field}}}]}}]"
    read = parse_file(text, "acme", stream=True)
    (fault,) = read.faults
    assert fault.id == "TG-rule-unsupported" and fault.reason.startswith(reason) and not read.rules
    assert not parse_file(text, "acme").faults


LOOP = "groups: [{name: g, rules: [{record: a, expr: b}, {record: b, expr: sum(a)}]}]"
ALERT = "rules: [{alert: A, expr: up}, {record: r, expr: up}]"
SAME = "groups: [{name: a, rules: [{alert: b/c, expr: up}]}, {name: a/b, rules: [{alert: c, expr: up}]}]"
NUMBERED = "groups: [{name: g, rules: [{alert: X, expr: a}, {alert: X, expr: b}, {alert: X#2, expr: c}]}]"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LOOP, "group 'g', rule 'b': TG-rule-loop: b is made of b"),
        (f"groups: [{{name: g, labels: {{a: '{{{{ x'}}, {ALERT}}}]", "group 'g': TG-rule-template: label 'a': "),
        (f"groups: [{{name: g, labels: {{a: '{{{{ query `x` }}}}'}}, {ALERT}}}]", "TG-rule-unsupported: label 'a': "),
        (f"groups: [{{name: g, limit: {1 << 63}, {ALERT}}}]", "TG-rule-type: limit must be at most"),
        (f"groups: [{{name: g, limit: 99999999999999999999, {ALERT}}}]", "TG-rule-type: limit must be at most"),
        (
            f"groups: [{{name: g, rules: [{{alert: A, expr: up, annotations: {{a: {'r' * 70_000}}}}}]}}]",
            "line 1, group 'g', rule 'A': TG-rule-size",
        ),
        (SAME, "rule 'c': TG-rule-duplicate: its id 'a/b/c' is that of line 1, group 'a', rule 'b/c' already"),
        (NUMBERED, "rule 'X#2': TG-rule-duplicate: its id 'g/X#2' is that of line 1, group 'g', rule 'X' already"),
    ],
)
def test_what_the_job_would_refuse_is_a_fault_of_the_file(text: str, fault: str) -> None:
    (found,) = parse_file(text, "acme", stream=True).faults
    assert fault in str(found)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        *(
            ("5.0", 5),
            ("5.7", 5),
            ("1e3", 1000),
            ("1e+2", 100),
            ("1.", 1),
            (".5", 0),
            ("007", 7),
            ("010", 8),
            ("08", 8),
        ),
        *(("0_7", 7), ("-010", 0), ("0", 0), ("0x10", 16), ("1_000", 1000)),
    ],
)
def test_a_limit_is_a_number_as_gos_yaml_reads_it(text: str, limit: int) -> None:
    read = parse_file(f"groups: [{{name: g, limit: {text}, {ALERT}}}]", "acme", stream=True)
    assert not read.faults and {rule.limit for rule in read.rules} == {limit}


@pytest.mark.parametrize("text", ["'5'", '"5"', "''", "1" * 200_000 + "x"])
def test_what_is_no_number_is_no_limit(text: str) -> None:
    read = parse_file(f"groups: [{{name: g, limit: {text}, {ALERT}}}]", "acme")
    assert [fault.id for fault in read.faults] == ["TG-rule-type"]


@pytest.mark.parametrize("text", ["---", "--- ~\n...\n", "null", "~", "# nothing"])
def test_a_file_of_nothing_has_no_rules(text: str) -> None:
    read = parse_file(text, "acme", stream=True)
    assert not read.faults and not read.rules


@pytest.mark.parametrize(
    ("text", "taken"), [("{}", True), ("~", True), ("{a: b}", False), ("[]", False), ("''", False)]
)
def test_annotations_that_say_nothing_may_stand_in_a_recording_rule(text: str, taken: bool) -> None:
    read = parse_file(f"groups: [{{name: g, rules: [{{record: r, expr: up, annotations: {text}}}]}}]", "acme")
    assert bool(read.rules) is taken and bool(read.faults) is not taken


def test_labels_of_a_group_without_alerts_are_no_templates() -> None:
    text = "groups: [{name: g, labels: {a: '{{ x'}, rules: [{record: r, expr: up}]}]"
    assert not parse_file(text, "acme", stream=True).faults


def test_what_only_looks_like_it_is_taken() -> None:
    note = "{query: 'query {{ $labels.query }} {{ `query` }}'}"
    text = f"groups: [{{name: g, rules: [{{alert: A, expr: up, annotations: {note}}}]}}]"
    assert not parse_file(text, "acme", stream=True).faults


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 5000, "groups: [&a [*a]]", "groups: [{name: g, rules: [*b]}]", "\x00", '"\\UFFFFFFFF"']
)
def test_hostile_yaml_is_a_fault(text: str) -> None:
    rules, faults = parse_rules(text, "default")
    assert not rules and faults


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


@given(st.integers(0, 2**43))
def test_a_duration_is_read_as_it_is_shown(milliseconds: int) -> None:
    assert round(parse_duration(show_duration(milliseconds)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (90_000, "1m30s"),
        (86_400_000, "1d"),
        (604_800_000, "1w"),
        (691_200_000, "8d"),
        (299_999, "4m59s999ms"),
    ],
)
def test_durations_are_shown_as_in_prometheus(milliseconds: int, text: str) -> None:
    assert show_duration(milliseconds) == text


def test_a_group_that_stands_in_itself_is_a_fault() -> None:
    found = parse_file("groups:\n  - &g\n    <<: *g\n    name: a\n    rules: []\n", "default")
    assert [fault.id for fault in found.faults] == ["TG-rule-yaml"]

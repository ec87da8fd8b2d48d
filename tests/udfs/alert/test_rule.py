"""Rules as JSON on control.rules, and their templates."""

import orjson
import pytest

from udfs.alert.book import Book
from udfs.alert.rule import MAX_JSON_BYTES, Rule, RuleFault
from udfs.alert.template import check_template, expand, go_float

RULE = Rule("acme", "g/A", "g", "A", "up == 0", 30, 60, 5, (("severity", "page"),), (("summary", "s"),), "rules.yaml")
RECORD = orjson.loads(RULE.encode())


def test_a_rule_survives_its_json() -> None:
    assert Rule.decode(RULE.encode()) == RULE
    assert Rule.decode(RULE.encode()).revision == RULE.revision == RECORD["revision"]


def test_the_short_form_is_enough() -> None:
    short = {key: RECORD[key] for key in ("tenant", "rule_id", "group", "interval_s", "alert", "expr", "for_s")}
    assert Rule.decode(orjson.dumps(short)).labels == ()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"file": "other.yaml"}, True),
        ({"for_s": 60.0}, True),
        ({"for_s": 61}, False),
        ({"expr": "up == 1"}, False),
        ({"labels": {}}, False),
        ({"annotations": {"summary": "t"}}, False),
        ({"interval_s": 15}, False),
        ({"keep_firing_for_s": 0}, False),
    ],
)
def test_the_revision_follows_what_can_change_a_decision(change: dict[str, object], same: bool) -> None:
    assert (Rule.decode(orjson.dumps({**RECORD, **change})).revision == RULE.revision) is same


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"", "TG-rule-json"),
        (b"[]", "TG-rule-json"),
        (b'{"tenant": ', "TG-rule-json"),
        (b"\xff", "TG-rule-json"),
        (orjson.dumps({**RECORD, "colour": "red"}), "TG-rule-field"),
        (orjson.dumps({key: value for key, value in RECORD.items() if key != "expr"}), "TG-rule-missing"),
        (orjson.dumps({**RECORD, "expr": 5}), "TG-rule-type"),
        (orjson.dumps({**RECORD, "for_s": True}), "TG-rule-type"),
        (orjson.dumps({**RECORD, "for_s": -1}), "TG-rule-duration"),
        (orjson.dumps({**RECORD, "interval_s": 0}), "TG-rule-duration"),
        (orjson.dumps({**RECORD, "labels": {"a": 1}}), "TG-rule-type"),
        (orjson.dumps({**RECORD, "expr": "x" * MAX_JSON_BYTES}), "TG-rule-size"),
        (orjson.dumps({**RECORD, "expr": "up =="}), "TG-rule-expr"),
        (orjson.dumps({**RECORD, "annotations": {"a": "{{ qery }}"}}), "TG-rule-template"),
        (orjson.dumps({**RECORD, "tenant": "evil"}), "TG-rule-key"),
    ],
)
def test_a_bad_record_is_refused_and_the_rule_in_force_stays(value: bytes, fault: str) -> None:
    book = Book()
    book.put(RULE.key, RULE.encode())
    with pytest.raises(RuleFault) as caught:
        book.put(RULE.key, value)
    assert caught.value.id == fault
    entry = book.get(RULE.key)
    assert entry is not None and entry[0] == RULE
    assert book.generation == 1


def test_deleting_twice_is_no_change() -> None:
    book = Book()
    book.put(RULE.key, RULE.encode())
    book.put(RULE.key, None)
    book.put(RULE.key, None)
    assert (len(book), book.generation) == (0, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ $labels.host }} at {{ $value }}", "a at 0.5"),
        ("{{$labels.host}}{{- .Labels.host -}}{{ .Value }}", "aa0.5"),
        ("{{ $labels.absent }}!", "!"),
    ],
)
def test_templates(text: str, expected: str) -> None:
    check_template(text)
    assert expand(text, {"host": "a"}, 0.5) == expected


@pytest.mark.parametrize("text", ["{{ humanise $value }}", "{{ $valu }}", "{{ end }}", "{{ if $value }}", "{{ $value"])
def test_templates_that_are_refused(text: str) -> None:
    with pytest.raises(RuleFault, match="TG-rule-template"):
        check_template(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (100.0, "100"),
        (123456.0, "123456"),
        (1e6, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (1e21, "1e+21"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5e-7, "-2.5e-07"),
        (1e100, "1e+100"),
        (1 / 3, "0.3333333333333333"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_numbers_as_go_prints_them(value: float, text: str) -> None:
    assert go_float(value) == text


def test_labels_of_a_recording_rule_are_no_templates() -> None:
    book = Book()
    rule = Rule("acme", "g/r", "g", "", "sum(up)", record="r", labels=(("a", "{{ x"),))
    book.put(rule.key, rule.encode())
    assert len(book) == 1

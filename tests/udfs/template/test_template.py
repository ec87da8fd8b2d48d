"""Templates against Prometheus's own answers, and within their bounds.

tests/data/templates.jsonl: (template, $value, what Prometheus 3.5.3 makes of it as the annotation of an alert "A").
promtool.jsonl: the same of promtool 2.42, where random templates had shown a difference.
"""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.alert.rule import RuleFault
from udfs.alert.template import Sample, Scene, check_template, expand
from udfs.template.errors import ParseError
from udfs.template.functions import NAMES
from udfs.template.parse import parse
from udfs.template.verbs import sprintf

DATA = Path(__file__).parents[2] / "data" / "templates.jsonl"
FOUND = Path(__file__).parent / "promtool.jsonl"
TABLE = [json.loads(line) for file in (DATA, FOUND) for line in file.read_text().splitlines()]
DOUBLED = "{{ $a := args 1 }}" + "{{ $a = args $a $a }}" * 21
LABELS = {"instance": "web-1:9100", "job": "a<b", "n": "12"}


def query(text: str) -> list[Sample]:
    if text == "missing":
        return []
    if text == "bad":
        raise ValueError("bad query")
    return [
        Sample({"__name__": "metric", "instance": "b", "__value__": "q"}, 21.0),
        Sample({"__name__": "metric", "instance": "a"}, 11.5),
    ]


SCENE = Scene("A", {"region": "north"}, "http://testhost:9090/path/prefix", query)


@pytest.mark.parametrize(("text", "value", "expected"), TABLE, ids=[row[0][:40] for row in TABLE])
def test_a_template_says_what_it_says_in_prometheus(text: str, value: float, expected: str) -> None:
    assert expand(text, LABELS, value, SCENE) == expected
    parses = True
    try:
        check_template(text)
    except RuleFault:
        parses = False
    assert parses is not expected.startswith("<error expanding template: error parsing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}", "more than 100000 steps"),
        ('{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}', "exceeded maximum template depth"),
        ('{{ range 9999 }}{{ printf "%999d" 1 }}{{ end }}', "the output is longer than"),
        (
            '{{ $x := "a" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
            "error calling print: the text is longer than",
        ),
        ('{{ $x := "<" }}{{ range 16 }}{{ $x = print $x $x }}{{ end }}{{ js $x }}', "the value of js is longer than"),
        # A map that holds itself twice over, again and again.
        (DOUBLED + "{{ $a }}", "the output is longer than 262144 characters"),
        (DOUBLED + '{{ printf "%v" $a }}', "error calling printf: the text is longer than 262144 characters"),
        (DOUBLED + "{{ eq $a 1 }}", "incompatible types for comparison"),
        (DOUBLED + "{{ print $a $a }}", "error calling print: the text is longer than"),
        # Few steps, each of them long.
        ('{{ $s := printf "%200000s" "x" }}{{ range 5000 }}{{ $t := title $s }}{{ end }}', "more than 100000 steps"),
        ('{{ $s := printf "%200000s" "x" }}{{ range 5000 }}{{ $t := toUpper $s }}{{ end }}', "more than 100000 steps"),
        ('{{ $t := toTime 5 }}{{ range 9999 }}{{ $s := $t.Format (printf "%9999s" "") }}{{ end }}', "100000 steps"),
        ("{{ range 99999 }}{{ range 99999 }}{{ break }}{{ end }}{{ end }}", "more than 100000 steps"),
        ("{{ $a := args 1 }}{{ range 9999 }}{{ $b := $a" + ".arg0" * 999 + " }}{{ end }}", "can't evaluate field"),
        (
            "{{ match `" + "(a?){9}" * 2000 + '` (printf "%9999s" "") }}',
            "error calling match: the regular expression is too large for this text",
        ),
        ('{{ reReplaceAll "0.*c|0" "" (printf "%090000d" 0) }}', "there is too much to replace"),
        (
            '{{ $x := printf "%99999s" "" }}{{ printf "%s%s%s%s" $x $x $x $x }}',
            "error calling printf: the text is longer than",
        ),
        (
            '{{ reReplaceAll "" (printf "%99999s" "") "aaaaaaaaaaaaaaaaaaaa" }}',
            "error calling reReplaceAll: the text is longer than",
        ),
        ("{{ query `up` }}", "error calling query: there is nothing to ask here"),
    ],
)
def test_a_template_is_bounded(text: str, said: str) -> None:
    began = time.process_time()
    assert said in expand(text, LABELS, 1.0)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{ printf "%c" 0xD800 }}', "\ufffd"),
        ('{{ printf "%c%c%c" 0xD7FF 0xDFFF 0xE000 }}', "\ud7ff\ufffd\ue000"),
        ('{{ printf "%q" 0xDABC }}', "'\ufffd'"),
        ('{{ printf "%c" 0xD800 | js | html | printf "%q" }}', '"\ufffd"'),
        ('{{ printf "%c" 0xD800 | urlquery }}', "%EF%BF%BD"),
        ("{{ $labels.lone }}", "\ufffd"),
        ("{{ print $labels.lone }} {{ printf `%.1s` $labels.lone }}", "\ufffd \ufffd"),
        ("{{ range $labels }}{{ . }}{{ end }}", "\ufffd"),
    ],
)
def test_what_a_template_says_can_be_encoded(text: str, expected: str) -> None:
    assert expand(text, {"lone": "\ud800"}, 1.0) == expected


def test_a_text_that_is_no_number_is_refused_in_one_reading() -> None:
    # Three times the text takes three times as long, not nine times: at its full length this would be hours.
    for text in (
        "1" * 200_000 + "x",
        "0x" + "1" * 200_000 + "x",
        "1_" * 100_000,
        "0x" + "_1" * 100_000 + "p",
        "[%" * 100_000,
    ):
        began = time.process_time()
        assert "invalid syntax" in expand("{{ humanize $labels.n }}", {"n": text}, 1.0)
        assert "%" in expand("{{ printf $labels.n }}%", {"n": text}, 1.0)
        assert time.process_time() - began < 2


def test_a_number_that_no_float_holds_is_an_error_of_the_template() -> None:
    assert "value out of range" in expand("{{ humanize $labels.n }}", {"n": "0x1p99999"}, 1.0)


@pytest.mark.parametrize(
    "text", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ if 1 }}" * 5000 + "{{ end }}" * 5000]
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(RuleFault, match="nests more than"):
        check_template(text)


@given(st.text(alphabet='{}$.| "`-/*()=:,xyz1andlif\n', max_size=60))
def test_any_text_has_a_tree_or_an_error(text: str) -> None:
    try:
        parse("{{" + text, NAMES)
    except ParseError as error:
        assert error.line >= 1
    else:
        expand("{{" + text, LABELS, 1.0, SCENE)


@given(st.text(max_size=40))
def test_text_without_actions_is_itself(text: str) -> None:
    assert expand(text.replace("{{", "{"), LABELS, 1.0) == text.replace("{{", "{")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_float_reads_back(value: float) -> None:
    assert float(sprintf("%v", value)) == value
    assert float(sprintf("%.17g", value)) == value

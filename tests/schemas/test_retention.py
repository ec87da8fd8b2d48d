"""The policy file: what is refused and how it says so, and the expressions that it makes."""

import re
from typing import Any

import pytest

from schemas.retention import Policy, RetentionError, parse
from schemas.ttl import ttls

BAD = [
    ("a: [", "TG-retention-yaml: f.yaml: line 1: "),
    ("tenants:\n  a: standard\n  a: long", "TG-retention-yaml: f.yaml: line 3: key 'a' is given twice"),
    ("rejections: 2024-02-30", "TG-retention-yaml: f.yaml: line 1: '2024-02-30' is no valid timestamp"),
    ("rejections: !!int abc", "TG-retention-yaml: f.yaml: line 1: 'abc' is no valid int"),
    ("rejections: " + "9" * 5000, "TG-retention-yaml: f.yaml: line 1: '999"),
    ("rejections: 0x" + "f" * 5000, "TG-retention-yaml: f.yaml: line 1: '0xf"),
    ("tenants: " + "[" * 5000, "TG-retention-yaml: f.yaml: it is nested too deeply"),
    ("nothing: 1", "TG-retention-value: f.yaml: nothing: unknown field; there are alert_events, cardinality, "),
    ("[]", "TG-retention-value: f.yaml: [] is no mapping"),
    ("classes: {standard: {raw: 0}}", "classes.standard.raw: 0 is less than 1"),
    ("classes: {standard: {1d: 99999}}", "classes.standard.1d: 99999 is more than 20000"),
    ("classes: {standard: {raw: 1.5}}", "1.5 is no whole number of days"),
    ("classes: {standard: {raw: yes}}", "True is no whole number of days"),
    ("classes: {standard: {2m: 3}}", "classes.standard.2m: unknown field; there are 1d, 1h, "),
    ("classes: {standard: {1m: 40}}", "TG-retention-order: f.yaml: classes.standard: 5m of 30 days is shorter than 1m"),
    ("tenants: {a: gold}", "TG-retention-class: f.yaml: tenants.a: 'gold' is no class; there are: standard"),
    ("default: gold", "TG-retention-class: f.yaml: default: 'gold' is no class"),
    ("tenants: {a*b: standard}", "TG-retention-tenant: f.yaml: tenants.a*b: 'a*b' is no tenant"),
    ("classes: {standard: {raw: forever}}", "1m of 14 days is shorter than raw of forever"),
    ("classes: {standard: {raw: for ever}}", "'for ever' is no whole number of days, nor forever"),
    ('tenants: {"a\'b": standard}', "TG-retention-tenant: f.yaml: tenants.a'b: \"a'b\" is no tenant"),
    ("rejections: -1", "rejections: -1 is less than 1"),
    ("#" + "x" * (1 << 20), "TG-retention-size: f.yaml is larger than 1048576 bytes"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:30] for text, _ in BAD])
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(RetentionError, match=re.escape(message)) as caught:
        parse(text, "f.yaml")
    assert str(caught.value).startswith("TG-retention-")
    assert "TIDEGAUGE_RETENTION" in str(caught.value)


ALL_WRONG = """
classes: {standard: {}, gold: {1d: 100}}
default: silver
tenants: {a*b: gold, c: bronze, d: gold, é: iron}
ledger: 0
"""


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert told(ALL_WRONG) == [
        "class: f.yaml: default: 'silver' is no class",
        "tenant: f.yaml: tenants.a*b: 'a*b' is no tenant",
        "class: f.yaml: tenants.c: 'bronze' is no class",
        "tenant: f.yaml: tenants.é: 'é' is no tenant",
        "class: f.yaml: tenants.é: 'iron' is no class",
        "value: f.yaml: ledger: 0 is less than 1 (TIDEGAUGE_RETENTION)",
    ]
    # Of classes that are wrong themselves nobody knows yet which there are.
    assert told("classes: {standard: {raw: 20, 1h: 10}}\ntenants: {é: iron}") == [
        "order: f.yaml: classes.standard: "
        "1m of 14 days is shorter than raw of 20, 1h of 10 days is shorter than 5m of 30",
        "tenant: f.yaml: tenants.é: 'é' is no tenant",
    ]


def told(text: str) -> list[str]:
    with pytest.raises(RetentionError) as caught:
        parse(text, "f.yaml")
    return [line.removeprefix("TG-retention-").split("; ")[0] for line in str(caught.value).splitlines()]


def days(table: str, **policy: Any) -> tuple[str, dict[str, list[str]]]:
    ttl = ttls(Policy.model_validate(policy))[table]
    return re.sub(r".* \+ toIntervalDay\((.*)\)$", r"\1", ttl.expression), ttl.tenants


def test_one_class_needs_no_case() -> None:
    assert days("samples") == ("2", {})
    assert days("rollup_1h") == ("90", {})
    same = {"standard": {}, "other": {"1d": 1000}}
    assert days("samples", classes=same, tenants={"a": "other"}) == ("2", {})


def test_tenants_are_parameters_and_classes_of_equal_days_are_one_case() -> None:
    classes = {"standard": {}, "x": {"raw": 7}, "y": {"raw": 7, "1d": 800}, "z": {"raw": 3}}
    tenants = {"d": "y", "a": "x", "c": "z", "e": "standard"}
    assert days("samples", classes=classes, tenants=tenants) == (
        "multiIf(has({c0:Array(String)}, tenant), 3, has({c1:Array(String)}, tenant), 7, 2)",
        {"c0": ["c"], "c1": ["a", "d"]},
    )
    assert days("series", classes=classes, tenants=tenants) == (
        "multiIf(has({c0:Array(String)}, tenant), 800, 730)",
        {"c0": ["d"]},
    )


def test_every_table_with_a_time_expires() -> None:
    assert set(ttls(Policy.model_validate({}))) == {
        *("samples", "late_samples", "distributions", "rollup_1m", "rollup_5m", "rollup_1h", "rollup_1d"),
        *("series", "data_versions", "completeness", "rejections", "ledger", "cardinality", "alert_events"),
    }


def test_the_tolerance_is_below_the_shortest_raw_retention() -> None:
    policy = Policy.model_validate({"classes": {"standard": {}, "short": {"raw": 1}}})
    policy.check_tolerance(86_399)
    with pytest.raises(RetentionError, match=r"classes\.short\.raw keeps 1 d = 86400 s"):
        policy.check_tolerance(86_400)


def test_a_beginning_names_many_tenants_and_the_longest_counts() -> None:
    policy = Policy.model_validate(
        {
            "classes": {"standard": {}, "x": {"raw": 7}, "y": {"raw": 5}},
            "tenants": {"ci-*": "x", "ci-own-*": "standard", "ci-own-1": "y", "ci-2": "x"},
        }
    )
    asked = ("ci-1", "ci-own-2", "ci-own-1", "ci-2", "other", "ci", "ci-*")
    assert [policy.of(tenant).raw for tenant in asked] == [7, 2, 5, 7, 2, 2, 7]
    assert days("samples", **policy.model_dump(by_alias=True)) == (
        "multiIf(has({c0:Array(String)}, tenant), 5, startsWith(tenant, {c1:Array(String)}[1]), 2, "
        "startsWith(tenant, {c2:Array(String)}[1]), 7, 2)",
        {"c0": ["ci-own-1"], "c1": ["ci-own-"], "c2": ["ci-"]},
    )

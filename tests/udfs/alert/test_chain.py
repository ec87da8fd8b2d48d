"""Labels that a rule sets keep no series apart: what would make one alert, or one series, is judged under one key."""

from typing import Any

import pytest

from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import STEP, rule_of, sample
from tests.udfs.alert.test_recording import shown
from udfs.alert.chain import link
from udfs.alert.expression import check_expression
from udfs.alert.rule import Rule

Labels = tuple[tuple[str, str], ...]

# expr, the rule's labels, how the series are spread, whether state begins anew.
CASES: list[tuple[str, Labels, str, bool]] = [
    ("load > 5", (), "without (alertname)", False),
    ("load > 5", (("severity", "page"),), "without (alertname, severity)", False),
    ("load > 5", (("host", "{{ $labels.job }}"),), "without (alertname, host)", False),
    ("load > 5", (("host", ""),), "without (alertname, host)", True),
    ("sum by (host) (load) > 5", (("severity", "page"),), "by (host)", False),
    ("sum by (host, job) (load) > 5", (("host", "all"),), "by (job)", True),
    ("sum by (host) (load) > 5", (("host", "{{ $value }}"),), "by ()", True),
    ("count by (__name__, host) ({job='a'}) > 5", (), "by (host)", True),
    ("count by (alertname) (ALERTS) > 5", (), "by ()", True),
    ("ALERTS == 1", (), "without (alertname)", True),
    ("count(load) > 5", (("host", "all"),), "by ()", False),
]


@pytest.mark.parametrize(("expr", "labels", "spread", "anew"), CASES)
def test_a_rules_own_labels_keep_nothing_apart(expr: str, labels: Labels, spread: str, anew: bool) -> None:
    expression = check_expression(expr)
    linked = link(rule_of(expr, labels=labels), expression, {})
    assert str(linked.spread) == spread
    assert (linked.shape != expression.shape) is anew


def hosts(labels: Labels, names: str, values: list[float], **more: Any) -> FakeFlink:
    """Run a rule over some hosts, of which the first has these values and the others 9."""
    job = FakeFlink()
    rule = (
        rule_of("load > 5", labels=labels)
        if not more
        else Rule("acme", "g/r", "g", "", "load", 15, 0, 0, labels, **more)
    )
    job.rule(rule.key, rule.encode())
    for tick, value in enumerate(values):
        at = T0 + tick * STEP
        for name in names:
            job.batch(sample(name, at, value if name == names[0] else 9.0), at)
        job.advance(at)
    return job


@pytest.mark.parametrize("text", ["", "all", "{{ if $labels.host }}all{{ end }}"])
@pytest.mark.parametrize("names", ["ab", "ac", "ad", "ae"])
def test_an_alert_of_two_series_is_refused_and_of_one_fires_once(text: str, names: str) -> None:
    job = hosts((("host", text),), names, [9.0, 9.0, 1.0, 1.0])
    told = [(one["alert"], one["state"], (one["evaluated_at"] - T0) // STEP) for one in job.events]
    assert told == [("RuleFailing", "firing", 0), ("A", "firing", 2), ("RuleFailing", "resolved", 2)]


@pytest.mark.parametrize("names", ["ab", "ac", "ad", "ae"])
def test_a_series_is_not_recorded_twice(names: str) -> None:
    job = hosts((("host", "all"),), names, [1.0, 2.0], record="r")
    assert shown(job.recorded, "r") == []
    assert {one["alert"] for one in job.events} == {"RuleFailing"}

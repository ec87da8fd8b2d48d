"""Unit-test files of promtool (`promtool test rules`), read strictly.

Format: prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules. Durations become ms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

import yaml

from promql.columns import Labels
from udfs.alert.document import Document
from udfs.alert.notation import Values, parse_labels, parse_series, parse_values
from udfs.alert.rule import RuleFault

_FILE = {"rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"}
_TEST = {
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
    "start_timestamp",
    "name",
}
_INTERVAL_MS = 60_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AlertTest:
    """What must fire under an alert's name at a time: pairs of labels (alertname included) and annotations."""

    at_ms: int
    alert: str
    expected: tuple[tuple[Labels, Labels], ...]


@dataclass(frozen=True, slots=True)
class ExprTest:
    """What an expression must answer at a time: pairs of labels and value."""

    at_ms: int
    expr: str
    expected: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One entry of `tests`. start_ms: what at_ms and the series count from, in ms since 1970 UTC."""

    __test__ = False  # for pytest, which takes the name for its own

    name: str
    interval_ms: int
    start_ms: int
    series: tuple[tuple[Labels, Values], ...]
    alerts: tuple[AlertTest, ...]
    exprs: tuple[ExprTest, ...]
    external_labels: Labels
    external_url: str

    @property
    def length_ms(self) -> int:
        """How long the test goes on: up to the last time that is asked for."""
        return max([0, *(one.at_ms for one in self.alerts), *(one.at_ms for one in self.exprs)])


@dataclass(frozen=True, slots=True)
class TestFile:
    """rule_files: patterns, relative to the file. order: groups by name, evaluated in this order, others before."""

    __test__ = False

    rule_files: tuple[str, ...]
    interval_ms: int
    order: tuple[str, ...]
    tests: tuple[Test, ...]
    fuzzy: bool


def parse_tests(text: str) -> tuple[TestFile, list[RuleFault]]:
    """Return the file and what is wrong with it; what has a fault is left out."""
    reader = _Reader(text)
    reader.document.attempt(reader.file)
    return TestFile(reader.rule_files, reader.interval_ms, reader.order, tuple(reader.tests), reader.fuzzy), (
        reader.document.faults
    )


class _Reader:
    """Walks the document; document.group is the test's name, document.rule that of the alert or expression."""

    def __init__(self, text: str) -> None:
        self.document = Document(text)
        self.rule_files: tuple[str, ...] = ()
        self.order: tuple[str, ...] = ()
        self.interval_ms = _INTERVAL_MS
        self.fuzzy = False
        self.tests: list[Test] = []

    def file(self) -> None:
        """Read the whole file."""
        document = self.document
        if document.root is None:
            return
        fields = document.mapping(document.root, _FILE, "the file")
        self.rule_files = self._texts(fields, "rule_files")
        self.order = self._texts(fields, "group_eval_order")
        for name in sorted({name for name in self.order if self.order.count(name) > 1}):
            document.note("TG-rule-duplicate", f"group {name!r} is given twice", fields["group_eval_order"])
        self.interval_ms = self._ms(fields, "evaluation_interval") or _INTERVAL_MS
        self.fuzzy = document.boolean(fields, "fuzzy_compare")
        for place, node in enumerate(document.sequence(fields, "tests")):
            document.group, document.rule = f"unnamed#{place}", ""
            document.attempt(partial(self._test, node, place))

    def _test(self, node: yaml.Node, place: int) -> None:
        document = self.document
        fields = document.mapping(node, _TEST, "a test")
        name = document.group = document.text(fields, "name") or f"unnamed#{place}"
        series: list[tuple[Labels, Values]] = []
        alerts: list[AlertTest] = []
        exprs: list[ExprTest] = []
        self._each(fields, "input_series", self._series, series)
        self._each(fields, "alert_rule_test", self._alert, alerts)
        self._each(fields, "promql_expr_test", self._expr, exprs)
        document.rule = ""
        self.tests.append(
            Test(
                name,
                self._ms(fields, "interval") or self.interval_ms,
                self._start_ms(fields),
                tuple(series),
                tuple(alerts),
                tuple(exprs),
                {key: text for key, (text, _) in document.strings(fields, "external_labels").items()},
                document.text(fields, "external_url"),
            )
        )

    def _each(self, fields: dict[str, yaml.Node], key: str, read: Callable[[yaml.Node], T], found: list[T]) -> None:
        for node in self.document.sequence(fields, key):
            try:
                found.append(read(node))
            except RuleFault as fault:
                self.document.faults.append(fault)

    def _series(self, node: yaml.Node) -> tuple[Labels, Values]:
        fields = self.document.mapping(node, {"series", "values"}, "an input series")
        found = self.document.text(fields, "series"), self.document.text(fields, "values")
        return self._placed(fields.get("series", node), parse_series, found[0]), self._placed(
            fields.get("values", node), parse_values, found[1]
        )

    def _alert(self, node: yaml.Node) -> AlertTest:
        document = self.document
        fields = document.mapping(node, {"eval_time", "alertname", "exp_alerts"}, "an alert test")
        alert = document.rule = document.text(fields, "alertname")
        if not alert:
            document.note("TG-rule-missing", "'alertname' is missing or empty", fields.get("alertname", node))
        expected = []
        for one in document.sequence(fields, "exp_alerts"):
            parts = document.mapping(one, {"exp_labels", "exp_annotations"}, "an expected alert")
            labels, annotations = (
                {name: text for name, (text, _) in document.strings(parts, key).items()}
                for key in ("exp_labels", "exp_annotations")
            )
            expected.append(({**{k: v for k, v in labels.items() if v}, "alertname": alert}, annotations))
        return AlertTest(self._ms(fields, "eval_time"), alert, tuple(expected))

    def _expr(self, node: yaml.Node) -> ExprTest:
        document = self.document
        fields = document.mapping(node, {"expr", "eval_time", "exp_samples"}, "an expression test")
        expr = document.rule = document.text(fields, "expr")
        expected = []
        for one in document.sequence(fields, "exp_samples"):
            parts = document.mapping(one, {"labels", "value", "histogram"}, "an expected sample")
            if document.text(parts, "histogram"):
                document.note("TG-rule-unsupported", "native histograms are not supported", parts["histogram"])
            labels = self._placed(parts.get("labels", one), parse_labels, document.text(parts, "labels"))
            expected.append((labels, document.number(parts, "value")))
        return ExprTest(self._ms(fields, "eval_time"), expr, tuple(expected))

    def _placed(self, node: yaml.Node, read: Callable[[str], T], text: str) -> T:
        try:
            return read(text)
        except RuleFault as fault:
            raise self.document.fault(fault.id, fault.reason, node) from fault

    def _texts(self, fields: dict[str, yaml.Node], key: str) -> tuple[str, ...]:
        return tuple(self.document.text({key: node}, key) for node in self.document.sequence(fields, key))

    def _ms(self, fields: dict[str, yaml.Node], key: str) -> int:
        return round((self.document.duration(fields, key) or 0) * 1000)

    def _start_ms(self, fields: dict[str, yaml.Node]) -> int:
        """Return start_timestamp in ms: seconds since 1970, or RFC 3339."""
        text = self.document.text(fields, "start_timestamp")
        if not text:
            return 0
        try:
            return round(float(text) * 1000)
        except (ValueError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                return round(moment.timestamp() * 1000)
        except ValueError:
            pass
        reason = f"start_timestamp: {text!r} is neither seconds nor RFC 3339, such as 2026-01-31T12:00:00Z"
        self.document.note("TG-rule-type", reason, fields["start_timestamp"])
        return 0

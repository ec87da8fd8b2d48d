"""The tests of a test file, evaluated and compared as promtool does it (cmd/promtool/unittest.go).

All groups are evaluated at every evaluation interval, whatever their own is. An alert test is compared with the last
evaluation at or before its time; an expression test sees what was stored up to the last evaluation of all.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from promql.columns import NAME, Labels
from promql.errors import PromqlError
from promql.memory import MemorySource
from promql.series import quoted, signature
from udfs.alert.expression import parse_expression
from udfs.alert.group import Run, Setting
from udfs.alert.rule import RuleFault
from udfs.alert.rulefile import Group
from udfs.alert.template import go_float
from udfs.alert.testfile import AlertTest, ExprTest, Test, TestFile
from udfs.duration import show_duration

Alert = tuple[Labels, Labels]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What went wrong in a test: head says what was asked; expected and got are lines, both empty for an error."""

    test: str
    head: str
    expected: tuple[str, ...] = ()
    got: tuple[str, ...] = ()


def run_test(test: Test, file: TestFile, groups: Sequence[Group]) -> list[Mismatch]:
    """Return how the groups fail a test; nothing if they pass."""
    order = {name: place for place, name in enumerate(file.order)}
    ordered = sorted(groups, key=lambda group: order.get(group.name, 0))
    rows = {signature(labels): (labels, *values.at(test.start_ms, test.interval_ms)) for labels, values in test.series}
    setting = Setting(
        subquery_step_ms=file.interval_ms, external_labels=test.external_labels, external_url=test.external_url
    )
    run = Run(ordered, MemorySource(rows.values()), setting, test.start_ms)
    found: list[Mismatch] = []
    for low, high, asked in _stretches(test, file.interval_ms, run.chunk):
        ticks = test.start_ms + np.arange(low, high + 1, dtype=np.int64) * file.interval_ms
        for place in range(len(ordered)):
            run.evaluate(place, ticks)
        if run.failures:
            # The first evaluation that fails ends the test; what came after it in the same stretch is not known.
            first = min(one.at for one in run.failures)
            return found + [
                Mismatch(test.name, f"rule: {one.rule.name}, time: {_time(test, one.at)}, err: {one.reason}")
                for one in run.failures
                if one.at == first
            ]
        found += [bad for one in asked for bad in _alerts(test, one, run)]
    last = test.start_ms + test.length_ms // file.interval_ms * file.interval_ms
    return found + [bad for one in test.exprs for bad in _samples(test, one, run, last, file.fuzzy)]


def _stretches(test: Test, interval_ms: int, chunk: int) -> Iterator[tuple[int, int, list[AlertTest]]]:
    """Yield (first tick, last tick, alert tests of the last tick): all ticks of a test in pieces of at most chunk."""
    asked: dict[int, list[AlertTest]] = {}
    for one in test.alerts:
        asked.setdefault(one.at_ms // interval_ms, []).append(one)
    low, last = 0, test.length_ms // interval_ms
    for stop in sorted({*asked, last}):
        while low <= stop:
            high = min(stop, low + chunk - 1)
            yield low, high, asked.get(high, [])
            low = high + 1


def _alerts(test: Test, asked: AlertTest, run: Run) -> Iterator[Mismatch]:
    expected = sorted(asked.expected, key=_alert_key)
    got = sorted(((dict(one), dict(notes)) for one, notes in run.firing(asked.alert)), key=_alert_key)
    if expected != got:
        head = f"alertname: {asked.alert}, time: {show_duration(asked.at_ms)}"
        yield Mismatch(test.name, head, _alert_lines(expected), _alert_lines(got))


def _samples(test: Test, asked: ExprTest, run: Run, last: int, fuzzy: bool) -> Iterator[Mismatch]:
    head = f"expr: {quoted(asked.expr)}, time: {show_duration(asked.at_ms)}"
    at = test.start_ms + asked.at_ms
    try:
        result = run.evaluate_plan(parse_expression(asked.expr), run.source.until(last), at, at)
    except (PromqlError, RuleFault) as error:
        reason = error.reason if isinstance(error, RuleFault) else str(error)
        yield Mismatch(test.name, f"{head}, err: {reason}")
        return
    places = np.flatnonzero(result.present[:, -1]).tolist()
    got = sorted(((result.labels[row], float(result.values[row, -1])) for row in places), key=_sample_key)
    expected = sorted(asked.expected, key=_sample_key)
    same = len(got) == len(expected) and all(
        mine == theirs and _equal(value, other, fuzzy)
        for (mine, value), (theirs, other) in zip(expected, got, strict=True)
    )
    if not same:
        yield Mismatch(test.name, head, _sample_lines(expected), _sample_lines(got))


def _equal(one: float, other: float, fuzzy: bool) -> bool:
    """Compare values: NaN equals NaN; fuzzy: the next float up or down does as well."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return True
    return fuzzy and other in (math.nextafter(one, -math.inf), math.nextafter(one, math.inf))


def _alert_key(alert: Alert) -> tuple[object, ...]:
    return signature(alert[0]), signature(alert[1])


def _sample_key(sample: tuple[Labels, float]) -> tuple[object, ...]:
    return signature(sample[0]), sample[1]


def braces(labels: Mapping[str, str]) -> str:
    """Return labels as Prometheus prints a label set."""
    pairs = [f"{name if name.isidentifier() else quoted(name)}={quoted(text)}" for name, text in sorted(labels.items())]
    return "{" + ", ".join(pairs) + "}"


def _alert_lines(alerts: Sequence[Alert]) -> tuple[str, ...]:
    return tuple(line for one in alerts for line in (f"Labels:{braces(one[0])}", f"  Annotations:{braces(one[1])}"))


def _sample_lines(samples: Sequence[tuple[Labels, float]]) -> tuple[str, ...]:
    return tuple(f"{_shown(labels)} {go_float(value)}" for labels, value in samples)


def _shown(labels: Labels) -> str:
    name = labels.get(NAME, "")
    rest = {key: text for key, text in labels.items() if key != NAME}
    if name and not name.replace(":", "_").isidentifier():
        return braces(labels)
    return name + (braces(rest) if rest or not name else "")


def _time(test: Test, at: int) -> str:
    return show_duration(at - test.start_ms)

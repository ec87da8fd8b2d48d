"""Why an event: its decision replayed from what was known at each tick, and from what is known now. Pure."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from promql.columns import Columns, Selector, Source
from promql.memory import columns
from promql.plan import Binary, Number
from promql.result import Vector
from promql.series import signature
from udfs.alert.expression import Expression
from udfs.alert.lifecycle import Instance, LateSample
from udfs.alert.lifecycle import Labels as Pairs
from udfs.alert.replay import Moment, Play, ask, lives, play, told
from udfs.alert.rule import Rule
from udfs.alert.template import alert_labels
from udfs.alert.truth import meets

# Most ticks of a replay; each reads what was known then.
MAX_TICKS = 240
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of one series, time in ms; arrived_at: 0 if it is not known."""

    labels: Pairs
    timestamp: int
    value: float
    arrived_at: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One tick: what the condition compares, what it is compared with, and the alert then and by what is known now."""

    tick: int
    value: float | None
    threshold: str
    then: Moment
    now: Moment
    failed: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """left: ticks before the first row that are left out. read: samples of the deciding tick as they were known.

    since: the first tick of the revision that decided, if the alert began before it under another one; else 0.
    delay_ms: how long after each tick is taken for known then. late: samples that came too late for a tick that reads
    them. same: whether today's data give the same decision.
    """

    rows: tuple[Row, ...]
    left: int
    since: int
    delay_ms: int
    decided_at: int
    read: tuple[Sample, ...]
    late: tuple[Sample, ...]
    same: bool


def decided_at(event: Mapping[str, Any]) -> int:
    """Return the tick whose decision an event is about: of missed and retracted the one that fired, or would have."""
    at: int = event["starts_at"] if event["state"] in ("missed", "retracted") else event["evaluated_at"]
    return at


def delay_of(event: Mapping[str, Any]) -> int:
    """Return how long after the tick that made it an event was sent, ms: the job's delay then."""
    return max(0, int(event["emitted_at"] - event["evaluated_at"]))


def explain(
    event: Mapping[str, Any],
    rule: Rule,
    expression: Expression,
    then: Callable[[int], Source],
    now: Source,
    named: Sequence[LateSample] = (),
    since: int = 0,
) -> Explanation:
    """Return the replay of an event's decision (a record of AlertEvent, `late` left out).

    then: what was known at a time (ms). now: what is known today. named: late samples that events tell of, for what
    `then` cannot tell. The job's delay at the event (emitted_at - evaluated_at) is taken for that at each tick, unless
    they show that it was less. since: when the broker stamped the revision that decided, ms; nothing is replayed of
    the time before.
    """
    labels = signature(event["labels"])
    at, step = decided_at(event), rule.interval_ms
    last = at if event["state"] in ("missed", "retracted") else max(at, event["evaluated_at"])
    began = _before(event, step)
    revised = _revised(event, step, last, since)
    first = max(revised or began, last - (MAX_TICKS - 1) * step)
    ticks = np.arange(first, last + 1, step, dtype=np.int64)
    delay = min([delay_of(event), *_earlier(rule, named, first, last)])
    known = [Once(Known(then(tick + delay), tick + delay, named)) for tick in ticks.tolist()]
    heard = Heard(known[-1])
    answers = [ask(rule, expression, source, tick) for source, tick in zip(known[:-1], ticks.tolist(), strict=False)]
    answers.append(ask(rule, expression, heard, last))
    was = told(rule, ticks, enumerate(answers))
    today_heard = Heard(Once(now))
    plays = was, play(rule, expression, today_heard, first, last)
    seed = _seed(event, labels, first) if first > began else Instance(labels)
    moments = [list(lives(rule, one, labels, seed)) for one in plays]
    if first < event["active_at"] and moments[event["state"] == "missed"][0].instance.live:
        # It had not begun by then: the rule was not in force, or paused.
        ticks, known = ticks[1:], known[1:]
        moments = [list(lives(rule, _behind(one, 1), labels, seed)) for one in plays]
        was = _behind(was, 1)
    compared = [_compared(rule, expression, source, tick, labels) for source, tick in zip(known, ticks, strict=True)]
    rows = tuple(
        Row(tick, *compared[place], moments[0][place], moments[1][place], was.failed.get(place, ""))
        for place, tick in enumerate(ticks.tolist())
    )
    read = [one for one in heard.samples() if _of(rule, expression, labels, one)]
    late = _late(rule, expression, labels, today_heard.samples(), ticks.tolist(), known, named)
    same = _decided(moments[1][-1], event["state"]) if event["state"] != "retracted" else _fires(moments[1][-1])
    left = (first - (revised or began)) // step
    return Explanation(rows, left, revised, delay, last, tuple(read), tuple(late), same)


def _before(event: Mapping[str, Any], step: int) -> int:
    """Return the tick before the alert's first, so that its beginning shows."""
    began: int = (event["active_at"] - 1) // step * step
    return began


def _revised(event: Mapping[str, Any], step: int, last: int, since: int) -> int:
    """Return the first tick of the revision that decided if the alert began before it, else 0."""
    # The job's delay then is taken for that at the event: so far had it come when the revision arrived.
    tick = min(last, ((since - delay_of(event)) // step + 1) * step)
    return tick if tick > event["active_at"] else 0


def _earlier(rule: Rule, named: Sequence[LateSample], first: int, last: int) -> Iterator[int]:
    """Yield the delays, ms, that ticks must have been below: each late sample missed the first tick after it."""
    for one in named:
        tick = _tick_after(rule, one.timestamp)
        if first <= tick <= last and one.arrived_at > tick:
            yield one.arrived_at - tick - 1


def _tick_after(rule: Rule, timestamp: int) -> int:
    """Return the first tick that may read a sample."""
    return -(-(timestamp + rule.query_offset_ms) // rule.interval_ms) * rule.interval_ms


def _seed(event: Mapping[str, Any], labels: Pairs, first: int) -> Instance:
    """Return what the alert was before the first tick that is replayed."""
    fired_at = event["starts_at"] if event["starts_at"] and event["starts_at"] < first else 0
    return Instance(labels, event["value"], event["active_at"], fired_at)


def _behind(found: Play, count: int) -> Play:
    """Return a play without its first ticks."""
    rows = {labels: (values[count:], present[count:]) for labels, (values, present) in found.rows.items()}
    failed = {place - count: why for place, why in found.failed.items() if place >= count}
    return replace(found, ticks=found.ticks[count:], rows=rows, failed=failed)


def _fires(moment: Moment) -> bool:
    return moment.instance.state == "firing"


def _decided(moment: Moment, state: str) -> bool:
    if state == "missed":
        return not _fires(moment)
    return any(one.state == state for one in moment.made)


def _compared(rule: Rule, expression: Expression, source: Source, tick: int, labels: Pairs) -> tuple[float | None, str]:
    """Return the left side of a comparison for an alert, though it may not hold, and the other side."""
    plan = expression.plan
    if not isinstance(plan, Binary) or plan.op not in _COMPARISONS or plan.return_bool:
        found = ask(rule, expression, source, tick)
        return (_value(rule, found, labels) if isinstance(found, Vector) else None), ""
    sides = [ask(rule, replace(expression, plan=side), source, tick) for side in (plan.lhs, plan.rhs)]
    left, right = (_value(rule, side, labels) if isinstance(side, Vector) else None for side in sides)
    if isinstance(plan.lhs, Number):
        return right, f"{plan.lhs.value:g} {plan.op}"
    return left, f"{plan.op} {'nothing' if right is None else f'{right:g}'}"


def _value(rule: Rule, found: Vector, labels: Pairs) -> float | None:
    """Return the value of the row that becomes the alert; of a side, of the one row that may."""
    wanted = dict(labels)
    for row in np.flatnonzero(found.present[:, -1]).tolist():
        value = float(found.values[row, -1])
        own = dict(alert_labels(rule, found.labels[row], value))
        if all(wanted.get(name) == text for name, text in own.items() if name not in dict(rule.labels)):
            return value
    return None


def _of(rule: Rule, expression: Expression, labels: Pairs, one: Sample) -> bool:
    return meets(rule, expression, labels, dict(one.labels))


def _late(
    rule: Rule,
    expression: Expression,
    labels: Pairs,
    today: Sequence[Sample],
    ticks: Sequence[int],
    known: Sequence[Source],
    named: Sequence[LateSample],
) -> list[Sample]:
    """Return today's samples that the first tick after them did not know."""
    arrivals = {(signature(dict(one.labels)), one.timestamp): one.arrived_at for one in named}
    found = []
    seen: dict[int, set[tuple[Pairs, int]]] = {}
    for one in today:
        if not _of(rule, expression, labels, one):
            continue
        place = max(0, _tick_after(rule, one.timestamp) - ticks[0]) // rule.interval_ms
        if place >= len(ticks):
            continue
        if place not in seen:
            heard = Heard(known[place])
            ask(rule, expression, heard, ticks[place])
            seen[place] = {(row.labels, row.timestamp) for row in heard.samples()}
        if (one.labels, one.timestamp) not in seen[place]:
            arrived = arrivals.get((one.labels, one.timestamp), 0)
            found.append(replace(one, arrived_at=arrived))
    return sorted(found, key=lambda one: (one.timestamp, one.labels))


class Known:
    """A source without the late samples that had not arrived at a time."""

    def __init__(self, source: Source, at: int, named: Sequence[LateSample]) -> None:
        self._source = source
        self._unknown = {(signature(dict(one.labels)), one.timestamp) for one in named if one.arrived_at > at}

    def select(self, selector: Selector) -> Columns:
        """Return what was known."""
        found = self._source.select(selector)
        if not self._unknown:
            return found
        rows = []
        for place, labels in enumerate(found.labels):
            low, high = int(found.offsets[place]), int(found.offsets[place + 1])
            key = signature(labels)
            kept = [at for at in range(low, high) if (key, int(found.timestamps[at])) not in self._unknown]
            rows.append((labels, found.timestamps[kept], found.values[kept]))
        return columns(row for row in rows if len(row[1]))


class Once:
    """A source that is asked once for each selector."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[Selector, Columns] = {}

    def select(self, selector: Selector) -> Columns:
        """Return the samples of the matching series."""
        if selector not in self._found:
            self._found[selector] = self._source.select(selector)
        return self._found[selector]


class Heard:
    """A source that remembers what was read of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[tuple[Pairs, int], float] = {}

    def select(self, selector: Selector) -> Columns:
        """Return the samples, and remember those within the selector's time."""
        found = self._source.select(selector)
        for place, labels in enumerate(found.labels):
            key = signature(labels)
            for at in range(int(found.offsets[place]), int(found.offsets[place + 1])):
                if selector.start_ms < found.timestamps[at] <= selector.end_ms:
                    self._found[key, int(found.timestamps[at])] = float(found.values[at])
        return found

    def samples(self) -> list[Sample]:
        """Return what was read, by series and time."""
        return [Sample(key, at, value) for (key, at), value in sorted(self._found.items())]


def shown(value: float | None) -> str:
    """Return a value as a table shows it."""
    return "-" if value is None else "NaN" if math.isnan(value) else f"{value:g}"

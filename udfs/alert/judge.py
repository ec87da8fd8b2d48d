"""One evaluation: the window of one key at one moment of event time, and what became of the rule's instances.

And the series that the rule records: those of its `record`, or ALERTS and ALERTS_FOR_STATE (rules/alerting.go).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from promql.columns import NAME
from promql.errors import PromqlError
from promql.series import Signature, signature
from udfs.alert.chain import answer, recorded
from udfs.alert.expression import Expression
from udfs.alert.lifecycle import Instance, Labels, Transition, end, forget, resend, step
from udfs.alert.memory import Memory
from udfs.alert.order import ALERTS, FOR_STATE
from udfs.alert.origin import origin_of
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.source import WindowSource
from udfs.alert.template import alert_labels
from udfs.alert.window import Window

# How much of `for` the window holds beyond what one evaluation reads, so that an edited rule can be judged on the past.
# A longer `for` is judged on this much; an alert that was active through all of it keeps its start.
REJUDGED_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Active:
    """A label set for which the condition holds now.

    since: event time (ms) of the first tick of that run. whole: the run fills all that could be judged. origin:
    udfs/alert/origin.py.
    """

    labels: Labels
    value: float
    since: int
    whole: bool
    origin: Labels = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What an evaluation made. series: values by labels, __name__ among them; ended: series that are no longer made."""

    memory: Memory
    transitions: tuple[Transition, ...] = ()
    series: tuple[tuple[Signature, float], ...] = ()
    ended: tuple[Signature, ...] = ()


def retention_ms(rule: Rule, expression: Expression) -> int:
    """Return how far behind an evaluation samples are kept."""
    return expression.span_ms + rule.query_offset_ms + min(rule.for_ms, REJUDGED_MS) + rule.interval_ms


def judge(rule: Rule, expression: Expression, memory: Memory, window: Window, now: int) -> Judged:
    """Return what the tick at `now` (event time, ms) made.

    Samples after `now` may be in the window; they are not looked at. Raises RuleFault TG-rule-evaluation if the
    expression has no answer for these samples, or more than the group's limit: as in Prometheus the instances then stay
    as they were.
    """
    floor = max(memory.floor, now - retention_ms(rule, expression))
    if rule.record:
        return _record(rule, expression, memory, window, now, floor)
    edited = memory.edited(rule.revision)
    active = _active(rule, expression, window, now, _ticks(rule, expression, memory, now) if edited else 0)
    judged = _stepped(rule, memory, active, now, floor, edited)
    # As in Prometheus: what is kept firing counts as well.
    _within_limit(rule, sum(one.live for one in judged.memory.instances))
    return judged


def again(rule: Rule, expression: Expression, memory: Memory, now: int) -> Judged:
    """Return what the tick at `now` made, if the answer is that of the tick before (udfs/alert/still.py)."""
    floor = max(memory.floor, now - retention_ms(rule, expression))
    if rule.record:
        instances = tuple(replace(one, active_at=now) for one in memory.instances)
        return _judged(memory, replace(memory, floor=floor, instances=instances), ())
    held = (one for one in memory.instances if one.live and not one.cleared_at)
    active = {one.labels: Active(one.labels, one.value, one.active_at, False, one.origin) for one in held}
    return _stepped(rule, memory, active, now, floor, False)


def _stepped(rule: Rule, memory: Memory, active: Mapping[Labels, Active], now: int, floor: int, edited: bool) -> Judged:
    known = {one.labels: one for one in memory.instances if not _is_series(one)}
    instances: list[Instance] = []
    made: tuple[Transition, ...] = ()
    for labels in sorted(known.keys() | active.keys()):
        instance = known.get(labels) or Instance(labels)
        found = active.get(labels)
        since = _since(instance, found, memory, rule) if edited and found else None
        instance = replace(instance, origin=found.origin) if found else instance
        instance, entered = step(instance, found.value if found else None, now, rule, since)
        if not entered:
            instance, entered = resend(instance, now, rule)
        instances.append(instance)
        made += entered
    kept = tuple(forget(instances, now))
    return _judged(memory, replace(memory, revision=rule.revision, expr=rule.expr, floor=floor, instances=kept), made)


def close(memory: Memory, rule: str, now: int) -> Judged:
    """End every live instance and series, because the rule (tenant/rule_id) is gone."""
    instances: list[Instance] = []
    made: tuple[Transition, ...] = ()
    for instance in memory.instances:
        if _is_series(instance):
            continue
        ended, entered = end(instance, now, rule)
        instances.append(ended)
        made += entered
    return _judged(memory, replace(memory, instances=tuple(instances)), made)


def _judged(before: Memory, after: Memory, made: tuple[Transition, ...]) -> Judged:
    series = _series(after.instances)
    ended = sorted(_series(before.instances).keys() - series.keys())
    return Judged(after, made, tuple(sorted(series.items())), tuple(ended))


def _series(instances: Iterable[Instance]) -> dict[Signature, float]:
    """Return what a rule with these instances records; an instance of a recording rule is the series itself."""
    found: dict[Signature, float] = {}
    for one in instances:
        if _is_series(one):
            found[one.labels] = one.value
        elif one.live:
            labels = dict(one.labels)
            found[signature({**labels, NAME: ALERTS, "alertstate": one.state})] = 1.0
            found[signature({**labels, NAME: FOR_STATE})] = float(one.active_at // 1000)
    return found


def _is_series(instance: Instance) -> bool:
    """Tell whether it is a recorded series: an alert has no __name__."""
    return any(name == NAME for name, _ in instance.labels)


def _record(rule: Rule, expression: Expression, memory: Memory, window: Window, now: int, floor: int) -> Judged:
    try:
        found = recorded(rule, answer(expression, WindowSource(window), now - rule.query_offset_ms, 1, 0))
    except PromqlError as error:
        raise RuleFault("TG-rule-evaluation", str(error), rule=rule.rule_id) from error
    made = {labels: float(values[-1]) for labels, (values, present) in found.items() if present[-1]}
    _within_limit(rule, len(made))
    instances = tuple(Instance(labels, value, active_at=now) for labels, value in sorted(made.items()))
    # Alerts are there if the rule was an alert before the edit.
    ended = close(memory, rule.key, now).transitions
    return _judged(
        memory, replace(memory, revision=rule.revision, expr=rule.expr, floor=floor, instances=instances), ended
    )


def _within_limit(rule: Rule, made: int) -> None:
    if 0 < rule.limit < made:
        reason = f"{made} {'alerts' if rule.alert else 'series'}; the group's limit is {rule.limit}"
        raise RuleFault("TG-rule-evaluation", reason, rule=rule.rule_id)


def next_tick(after: int, interval_ms: int) -> int:
    """Return the first multiple of the interval after a time: the same grid for every key and every run."""
    return (after // interval_ms + 1) * interval_ms


def _ticks(rule: Rule, expression: Expression, memory: Memory, now: int) -> int:
    """Return how many ticks before `now` can be judged on what the window still holds."""
    wanted = -(-min(rule.for_ms, REJUDGED_MS) // rule.interval_ms)
    held = (now - expression.span_ms - rule.query_offset_ms - memory.floor) // rule.interval_ms
    return max(0, min(wanted, held))


def _since(instance: Instance, found: Active, memory: Memory, rule: Rule) -> int | None:
    """Return when the edited rule's condition began to hold; None for what the instance remembers."""
    if instance.live and (memory.expr == rule.expr or (found.whole and instance.active_at <= found.since)):
        return None
    return found.since


def _active(rule: Rule, expression: Expression, window: Window, now: int, back: int) -> dict[Labels, Active]:
    """Evaluate at `now` and at `back` ticks before it."""
    step_ms = rule.interval_ms
    start = now - back * step_ms
    try:
        result = answer(expression, WindowSource(window), start - rule.query_offset_ms, back + 1, step_ms)
    except PromqlError as error:
        raise RuleFault("TG-rule-evaluation", str(error), rule=rule.rule_id) from error
    found: dict[Labels, Active] = {}
    for row in np.flatnonzero(result.present[:, -1]).tolist():
        value = float(result.values[row, -1])
        gaps = np.flatnonzero(~result.present[row])
        first = int(gaps[-1]) + 1 if len(gaps) else 0
        labels = alert_labels(rule, result.labels[row], value)
        if labels in found:
            raise RuleFault("TG-rule-evaluation", f"two results have the labels {dict(labels)}", rule=rule.rule_id)
        origin = origin_of(labels, result.labels[row])
        found[labels] = Active(labels, value, start + first * step_ms, first == 0, origin)
    return found

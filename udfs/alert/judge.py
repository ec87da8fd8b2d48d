"""One evaluation: the window of one key at one moment of event time, and what became of the rule's instances."""

from dataclasses import dataclass, replace

import numpy as np

from promql.errors import PromqlError
from promql.evaluate import evaluate
from promql.result import Scalar, Vector
from udfs.alert.expression import Expression
from udfs.alert.lifecycle import Instance, Labels, Transition, end, forget, resend, step
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.source import WindowSource
from udfs.alert.template import expand
from udfs.alert.window import Window

# How much of `for` the window holds beyond what one evaluation reads, so that an edited rule can be judged on the past.
# A longer `for` is judged on this much; an alert that was active through all of it keeps its start.
REJUDGED_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Active:
    """A label set for which the condition holds now.

    since: event time (ms) of the first tick of that run. whole: the run fills all that could be judged.
    """

    labels: Labels
    value: float
    since: int
    whole: bool


def retention_ms(rule: Rule, expression: Expression) -> int:
    """Return how far behind an evaluation samples are kept."""
    return expression.span_ms + min(rule.for_ms, REJUDGED_MS) + rule.interval_ms


def judge(
    rule: Rule, expression: Expression, memory: Memory, window: Window, now: int
) -> tuple[Memory, tuple[Transition, ...]]:
    """Return the memory after the tick at `now` (event time, ms) and the transitions it made.

    Samples after `now` may be in the window; they are not looked at. Raises RuleFault TG-rule-evaluation if the
    expression has no answer for these samples: as in Prometheus the instances then stay as they were.
    """
    edited = memory.revision not in ("", rule.revision)
    active = _active(rule, expression, window, now, _ticks(rule, expression, memory, now) if edited else 0)
    known = memory.by_labels()
    instances: list[Instance] = []
    made: tuple[Transition, ...] = ()
    for labels in sorted(known.keys() | active.keys()):
        instance = known.get(labels) or Instance(labels)
        found = active.get(labels)
        since = _since(instance, found, memory, rule) if edited and found else None
        instance, entered = step(instance, found.value if found else None, now, rule, since)
        if not entered:
            instance, entered = resend(instance, now, rule)
        instances.append(instance)
        made += entered
    floor = max(memory.floor, now - retention_ms(rule, expression))
    return Memory(rule.revision, rule.expr, floor, tuple(forget(instances, now))), made


def close(memory: Memory, rule: str, now: int) -> tuple[Memory, tuple[Transition, ...]]:
    """End every live instance, because the rule (tenant/rule_id) is gone."""
    instances: list[Instance] = []
    made: tuple[Transition, ...] = ()
    for instance in memory.instances:
        ended, entered = end(instance, now, rule)
        instances.append(ended)
        made += entered
    return replace(memory, instances=tuple(instances)), made


def next_tick(after: int, interval_ms: int) -> int:
    """Return the first multiple of the interval after a time: the same grid for every key and every run."""
    return (after // interval_ms + 1) * interval_ms


def _ticks(rule: Rule, expression: Expression, memory: Memory, now: int) -> int:
    """Return how many ticks before `now` can be judged on what the window still holds."""
    wanted = -(-min(rule.for_ms, REJUDGED_MS) // rule.interval_ms)
    held = (now - expression.span_ms - memory.floor) // rule.interval_ms
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
        result = evaluate(expression.plan, WindowSource(window), start, now, step_ms)
    except PromqlError as error:
        raise RuleFault("TG-rule-evaluation", str(error), rule=rule.rule_id) from error
    if isinstance(result, Scalar):
        result = Vector([{}], result.values[np.newaxis, :], np.ones((1, back + 1), dtype=bool))
    if not isinstance(result, Vector):
        raise RuleFault("TG-rule-evaluation", "the result is no instant vector", rule=rule.rule_id)
    found: dict[Labels, Active] = {}
    for row in np.flatnonzero(result.present[:, -1]).tolist():
        value = float(result.values[row, -1])
        gaps = np.flatnonzero(~result.present[row])
        first = int(gaps[-1]) + 1 if len(gaps) else 0
        labels = _labels(rule, result.labels[row], value)
        if labels in found:
            raise RuleFault("TG-rule-evaluation", f"two results have the labels {dict(labels)}", rule=rule.rule_id)
        found[labels] = Active(labels, value, start + first * step_ms, first == 0)
    return found


def _labels(rule: Rule, labels: dict[str, str], value: float) -> Labels:
    """Return the alert's labels: the result's without __name__, the rule's over them, alertname."""
    own = {name: expand(text, labels, value) for name, text in rule.labels}
    merged = {**labels, **own, "alertname": rule.alert}
    return tuple(sorted((name, text) for name, text in merged.items() if text and name != "__name__"))

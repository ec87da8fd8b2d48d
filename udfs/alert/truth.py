"""The truth afterwards: what late samples say of the alerts that fired, and of those that did not. Pure.

Two plays of one rule over the same ticks, one over the samples that were known before, one with the late ones too. A
firing that only the second has, and that nothing which did fire meets, was `missed`. What did fire is `retracted` if
only the first play has it. A firing that both have, at another time, is the same firing: nothing is said of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from promql.columns import NAME
from schemas.columns import Int64s
from udfs.alert.expression import Expression
from udfs.alert.lifecycle import Labels, LateSample, State, Transition, transition_key
from udfs.alert.memory import Firing
from udfs.alert.replay import Play, firings
from udfs.alert.rule import Rule
from udfs.alert.window import Window

# Most samples that an event names.
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Arrived:
    """Late samples, and the broker's clock at the arrival of each, (N,) ms."""

    window: Window
    at: Int64s


@dataclass(frozen=True, slots=True)
class Verdict:
    """truths: by time and labels. open: another tick may show that an alert is only earlier or later than it was."""

    truths: tuple[Transition, ...] = ()
    open: bool = False


def verdict(
    rule: Rule, then: Play, now: Play, fired: Sequence[Firing], pending: Collection[Labels], at: int
) -> Verdict:
    """Return what is true at the tick `at` and was not done.

    fired: what did fire in that time; pending: labels whose alert waits to fire. Both plays end at `at`.
    """
    made: list[Transition] = []
    undecided = False
    for labels in sorted(then.rows.keys() | now.rows.keys()):
        parts = _parts(then, now, labels)
        if parts is None:
            continue
        actual = [one for one in fired if one.labels == labels]
        held = _held(actual, int(then.ticks[0]), parts)
        before, _ = firings(rule, then, labels, held)
        after, last = firings(rule, now, labels, held)
        for one in after:
            if not any(one.meets(other) for other in (*before, *actual)):
                made.append(_missed(rule, one, at, now.origins.get(labels, ())))
                undecided |= not one.ended_at and labels in pending
        gone = [one for one in before if not any(one.meets(other) for other in after)]
        # What fired before the plays differ has fired in both, though they may not show it.
        for one in (one for one in actual if one.fired_at >= parts):
            if any(one.meets(other) for other in gone) and not any(one.meets(other) for other in after):
                made.append(_retracted(one, at, then.origins.get(labels, ())))
                undecided |= not one.ended_at and last.state == "pending"
    return Verdict(tuple(sorted(made, key=lambda one: (one.starts_at, one.labels))), undecided)


def _parts(then: Play, now: Play, labels: Labels) -> int | None:
    """Return the first tick at which two plays differ in an alert; None: they are the same."""
    none = np.zeros(len(then.ticks), bool)
    there = [one.rows[labels][1] if labels in one.rows else none for one in (then, now)]
    differ = np.flatnonzero(there[0] != there[1]).tolist() + sorted(then.failed.keys() ^ now.failed.keys())
    return int(then.ticks[min(differ)]) if differ else None


def _held(actual: Sequence[Firing], first: int, parts: int) -> Firing | None:
    """Return what is active from before the plays on and fires as they part: it does so in both, up to there."""
    there = (one for one in actual if one.active_at < first and one.fired_at < parts)
    return next((one for one in there if not one.ended_at or one.ended_at >= parts), None)


def _missed(rule: Rule, one: Firing, at: int, origin: Labels) -> Transition:
    key = transition_key(rule.key, one.labels, one.fired_at, 0, "missed")
    return replace(_said(one, "missed", at, key), origin=origin)


def _retracted(one: Firing, at: int, origin: Labels) -> Transition:
    key = xxhash.xxh3_128_hexdigest(b"retracted\xff" + one.key.encode())
    return replace(_said(one, "retracted", at, key), concerns=one.key, origin=origin)


def _said(one: Firing, state: State, at: int, key: str) -> Transition:
    return Transition(state, one.labels, one.value, one.active_at, at, key, 0, one.fired_at, one.ended_at)


def named(rule: Rule, expression: Expression, one: Transition, late: Arrived) -> tuple[tuple[LateSample, ...], int]:
    """Return the late samples that a truth is about, by time, and how many more there are.

    Those that the ticks up to the firing read, of series that can meet the alert in one evaluation.
    """
    window = late.window
    low = one.active_at - rule.query_offset_ms - expression.span_ms
    within = (window.timestamps > low) & (window.timestamps <= one.starts_at - rule.query_offset_ms)
    found = (meets(rule, expression, one.labels, dict(series.labels)) for series in window.series)
    mine = np.fromiter(found, np.bool_, len(window.ids))
    chosen = np.flatnonzero(within & mine[window.codes])
    chosen = chosen if len(chosen) else np.flatnonzero(mine[window.codes])
    chosen = chosen[np.lexsort((window.codes[chosen], window.timestamps[chosen]))]
    told = [
        LateSample(
            tuple(sorted(((NAME, window.series[code].name), *window.series[code].labels))),
            int(window.timestamps[place]),
            float(window.values[place]),
            int(late.at[place]),
        )
        for place in chosen[:MAX_NAMED].tolist()
        for code in (int(window.codes[place]),)
    ]
    return tuple(told), len(chosen) - len(told)


def meets(rule: Rule, expression: Expression, alert: Labels, series: Mapping[str, str]) -> bool:
    """Tell whether a series may have a part in an alert: they agree in the labels that keep series apart."""
    own = {name: text for name, text in alert if name != "alertname" and name not in dict(rule.labels)}
    return all(series[name] == text for name, text in own.items() if name in series and expression.spread.parts(name))

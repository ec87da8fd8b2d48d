"""A rule at many ticks over known samples, and the life of each alert through them: what would have been decided."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from promql.columns import Int64s, Source
from promql.columns import Labels as Series
from promql.errors import PromqlError
from promql.result import Vector
from schemas.nan import Floats, Mask
from udfs.alert.chain import answer
from udfs.alert.expression import Expression
from udfs.alert.lifecycle import Instance, Labels, Transition, step
from udfs.alert.memory import Firing
from udfs.alert.origin import origin_of
from udfs.alert.rule import Rule
from udfs.alert.template import alert_labels


@dataclass(frozen=True, slots=True)
class Play:
    """ticks (T,) ms; rows: (values, present), each (T,), by labels of the alert; failed: why a tick had no answer.

    origins: udfs/alert/origin.py, by labels of the alert; of one result that became it, where there are several.
    """

    ticks: Int64s
    rows: dict[Labels, tuple[Floats, Mask]]
    failed: dict[int, str]
    origins: dict[Labels, Labels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick of one alert: the value, None where the condition does not hold; what it is then; what that made."""

    tick: int
    value: float | None
    instance: Instance
    made: tuple[Transition, ...]


def play(rule: Rule, expression: Expression, source: Source, first: int, last: int) -> Play:
    """Return the rule's answers at all its ticks from first to last (ms, on the grid)."""
    step_ms = rule.interval_ms
    ticks = np.arange(first, last + 1, step_ms, dtype=np.int64)
    try:
        whole = answer(expression, source, first - rule.query_offset_ms, len(ticks), step_ms)
    except PromqlError:  # at one tick, or for the range only: each tick tells
        return told(rule, ticks, ((at, ask(rule, expression, source, tick)) for at, tick in enumerate(ticks.tolist())))
    return told(rule, ticks, [(0, whole)])


def ask(rule: Rule, expression: Expression, source: Source, tick: int) -> Vector | str:
    """Return the answer at one tick, or why there is none."""
    try:
        return answer(expression, source, tick - rule.query_offset_ms, 1, 0)
    except PromqlError as error:
        return str(error)


def told(rule: Rule, ticks: Int64s, parts: Iterable[tuple[int, Vector | str]]) -> Play:
    """Return what answers say, each with the place of its first tick; as in judge a tick may have none."""
    found = Play(ticks, {}, {})
    sizes = np.zeros(len(ticks), np.int64)
    for start, part in parts:
        if isinstance(part, str):
            found.failed[start] = part
            continue
        at = slice(start, start + part.values.shape[1])
        sizes[at] += part.present.sum(axis=0)
        for row in np.flatnonzero(part.present.any(axis=1)).tolist():
            for labels, cells in _named(rule, part.labels[row], part.values[row], part.present[row]):
                values, present = found.rows.setdefault(labels, (np.zeros(len(ticks)), np.zeros(len(ticks), bool)))
                for place in np.flatnonzero(present[at] & cells).tolist():
                    found.failed[start + place] = f"two results have the labels {dict(labels)}"
                found.origins[labels] = origin_of(labels, part.labels[row])
                values[at] = np.where(cells, part.values[row], values[at])
                present[at] |= cells
    if rule.limit:
        sizes = _sizes(rule, found) if rule.keep_firing_for_ms else sizes
        for place in np.flatnonzero(sizes > rule.limit).tolist():
            found.failed[place] = f"{sizes[place]} alerts; the group's limit is {rule.limit}"
    return found


def _sizes(rule: Rule, found: Play) -> Int64s:
    """Return how many alerts each tick makes, those kept firing too; one with too many leaves all as they were."""
    sizes = np.zeros(len(found.ticks), np.int64)
    held = {labels: Instance(labels) for labels in found.rows}
    for place, tick in enumerate(found.ticks.tolist()):
        if place in found.failed:
            continue
        rows = (
            (labels, float(values[place]) if there[place] else None) for labels, (values, there) in found.rows.items()
        )
        after = {labels: step(held[labels], value, tick, rule)[0] for labels, value in rows}
        sizes[place] = sum(one.live for one in after.values())
        held = after if sizes[place] <= rule.limit else held
    return sizes


def _named(rule: Rule, labels: Series, values: Floats, present: Mask) -> Iterator[tuple[Labels, Mask]]:
    """Yield the alert's labels and where a result has them: they may hold its value."""
    if not any("{{" in text for _, text in rule.labels):
        yield alert_labels(rule, labels, 0.0), present
        return
    for place in np.flatnonzero(present).tolist():
        cell = np.zeros(len(present), bool)
        cell[place] = True
        yield alert_labels(rule, labels, float(values[place])), cell


def lives(rule: Rule, found: Play, labels: Labels, before: Instance | None = None) -> Iterator[Moment]:
    """Yield the ticks of one alert; at one without an answer everything stays as it was. before: what it was."""
    instance = before or Instance(labels)
    values, present = found.rows.get(labels, (None, None))
    for place, tick in enumerate(found.ticks.tolist()):
        value = float(values[place]) if values is not None and present is not None and present[place] else None
        made: tuple[Transition, ...] = ()
        if place not in found.failed:
            instance, made = step(instance, value, tick, rule)
        yield Moment(tick, value, instance, made)


def firings(rule: Rule, found: Play, labels: Labels, held: Firing | None = None) -> tuple[list[Firing], Instance]:
    """Return when an alert fires, and what it is at the end. held: what is active as the play begins."""
    made: list[Firing] = []
    instance = Instance(labels)
    if held is not None:
        fires = held.fired_at < int(found.ticks[0])
        made = [replace(held, ended_at=0)] if fires else []
        instance = Instance(labels, held.value, held.active_at, held.fired_at if fires else 0)
    for moment in lives(rule, found, labels, instance):
        instance = moment.instance
        made = after(made, moment.made)
    return made, instance


def after(fired: Iterable[Firing], made: Iterable[Transition]) -> list[Firing]:
    """Return the firings of all labels after some transitions."""
    found = list(fired)
    for one in made:
        if one.resend:
            continue
        if one.state == "firing":
            found.append(Firing(one.labels, one.active_at, one.evaluated_at, 0, one.value, one.key))
        elif one.state == "resolved":
            found = [
                replace(held, ended_at=one.evaluated_at) if held.labels == one.labels and not held.ended_at else held
                for held in found
            ]
    return found

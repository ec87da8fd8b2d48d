"""Groups of rules evaluated at virtual time over any Source: what `rules test` and `rules backtest` run.

The same promql, templates, labels and lifecycle as on the stream, and Prometheus's order (rules/group.go): the rules of
a group one after the other, each reading what those before it recorded at the same time. ALERTS, ALERTS_FOR_STATE and
recorded series get staleness markers when they end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from promql.columns import NAME, Int64s, Source
from promql.errors import PromqlError
from promql.evaluate import LOOKBACK_MS, evaluate
from promql.plan import Expr
from promql.reads import SUBQUERY_STEP_MS
from promql.result import Scalar, Vector
from promql.series import Signature, signature
from udfs.alert.expression import parse_expression
from udfs.alert.lifecycle import Instance, Labels, Transition, forget, step
from udfs.alert.order import ALERTS, FOR_STATE, ahead, entangled, names
from udfs.alert.recorded import Joined, Recorded
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.rulefile import Group
from udfs.alert.template import Sample, Scene, alert_labels, asks, expand

# Most ticks evaluated in one go.
MAX_TICKS = 256


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for a whole run. subquery_step_ms: of subqueries without a step.

    since_ms: from when on the recorded names belong to the run, see recorded.Joined.
    """

    lookback_ms: int = LOOKBACK_MS
    subquery_step_ms: int = SUBQUERY_STEP_MS
    external_labels: Mapping[str, str] = field(default_factory=dict)
    external_url: str = ""
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An evaluation that gave no result; the rule's alerts stay as they were."""

    rule: Rule
    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one alert, and what its annotations said at that time."""

    rule: Rule
    transition: Transition
    annotations: tuple[tuple[str, str], ...]


class Run:
    """Evaluates groups and remembers their alerts, failures and series. Times are ms since 1970 UTC."""

    def __init__(self, groups: Sequence[Group], source: Source, setting: Setting, start_ms: int) -> None:
        self.setting, self.recorded = setting, Recorded()
        rules = [rule for group in groups for rule in group.rules]
        self.source = Joined(source, self.recorded, names(rules), setting.since_ms)
        self.changes: list[Change] = []
        self.failures: list[Failure] = []
        # Where a rule reads what it or a later one records, or what is not known at all, no tick can be done ahead.
        self.chunk = 1 if entangled(rules) else MAX_TICKS
        # The lifecycle's 0 means never, but time may begin at 0.
        self.lift = max(0, 1 - start_ms)
        self._groups = [(group, [_work(self, rule) for rule in group.rules]) for group in groups]

    def evaluate(self, place: int, ticks: Int64s) -> None:
        """Evaluate the group at this place at some ticks; they follow those of the call before at equal distances."""
        for work in self._groups[place][1]:
            vector, failed = work.answers(ticks - work.rule.query_offset_ms)
            for tick in sorted(failed):
                self.failures.append(Failure(work.rule, int(ticks[tick]), failed[tick]))
            work.take(ticks, vector, frozenset(failed))

    def firing(self, alert: str) -> list[tuple[Labels, Labels]]:
        """Return (labels, annotations) of what fires now under an alert's name."""
        return [
            shown
            for _, works in self._groups
            for work in works
            if isinstance(work, _Alerting) and work.rule.alert == alert
            for shown in work.firing()
        ]

    def query(self, text: str, at: int) -> list[Sample]:
        """Return what a query in a template answers; raises RuleFault or PromqlError."""
        result = self.evaluate_plan(parse_expression(text), self.source.until(at), at, at)
        places = np.flatnonzero(result.present[:, -1]).tolist()
        return [Sample(result.labels[row], float(result.values[row, -1])) for row in places]

    def evaluate_plan(self, plan: Expr, source: Source, start: int, end: int, step_ms: int = 0) -> Vector:
        """Return a plan's value as a vector; raises PromqlError."""
        setting = self.setting
        found = evaluate(
            plan, source, start, end, step_ms, setting.lookback_ms, subquery_step_ms=setting.subquery_step_ms
        )
        if isinstance(found, Scalar):
            return Vector([{}], found.values[np.newaxis, :], np.ones((1, len(found.values)), np.bool_))
        assert isinstance(found, Vector)
        return found


@dataclass(slots=True)
class _Work:
    """One rule in a run. present: the series that its last evaluation gave."""

    run: Run
    rule: Rule
    plan: Expr
    ahead: bool
    present: set[Signature] = field(default_factory=set)

    def answers(self, times: Int64s) -> tuple[Vector, dict[int, str]]:
        """Return the expression's value at some times, and why there is none where there is none."""
        if len(times) > 1 and not self.ahead:
            try:
                step_ms = int(times[1] - times[0])
                whole = self.run.evaluate_plan(self.plan, self.run.source, int(times[0]), int(times[-1]), step_ms)
            except PromqlError:
                pass  # of one step, or of the range only: each step tells
            else:
                return whole, {}
        parts: list[Vector | None] = []
        failed: dict[int, str] = {}
        for place, time in enumerate(times.tolist()):
            try:
                source = self.run.source.until(time) if self.ahead else self.run.source
                parts.append(self.run.evaluate_plan(self.plan, source, time, time))
            except PromqlError as error:
                parts.append(None)
                failed[place] = str(error)
        return _beside(parts), failed

    def take(self, ticks: Int64s, vector: Vector, failed: frozenset[int]) -> None:
        """Make series or alerts of the answers."""
        raise NotImplementedError

    def record(self, at: int, found: Mapping[Signature, float]) -> None:
        """Store one evaluation's series; those that were there before and are not now end."""
        when = np.array([at], np.int64)
        for series, value in found.items():
            self.run.recorded.put(series, when, np.array([value]))
        if self.present or found:
            self.run.recorded.end(self.present - found.keys(), at)
            self.present = set(found)

    def fail(self, tick: int, reason: str) -> None:
        """Note that an evaluation came to nothing."""
        self.run.failures.append(Failure(self.rule, tick, reason))


class _Recording(_Work):
    """A recording rule (rules/recording.go)."""

    def take(self, ticks: Int64s, vector: Vector, failed: frozenset[int]) -> None:
        """Record the answers under the rule's name and labels."""
        own = {**dict(self.rule.labels), NAME: self.rule.record}
        names = [signature({k: v for k, v in {**labels, **own}.items() if v}) for labels in vector.labels]
        columns = _columns(vector, len(ticks))
        for place, tick in enumerate(ticks.tolist()):
            if place in failed:
                continue
            found = {names[row]: value for row, value in columns[place]}
            if len(found) < len(columns[place]):
                self.fail(tick, "vector contains metrics with the same labelset after applying rule labels")
            elif 0 < self.rule.limit < len(found):
                self.fail(tick, f"exceeded limit of {self.rule.limit} with {len(found)} series")
            else:
                self.record(tick - self.rule.query_offset_ms, found)


@dataclass(slots=True)
class _Alerting(_Work):
    """An alerting rule (rules/alerting.go); its life is lifecycle's, as on the stream. last: what it last stood for."""

    known: dict[Labels, Instance] = field(default_factory=dict)
    last: dict[Labels, tuple[dict[str, str], float, int]] = field(default_factory=dict)
    said: dict[Labels, Labels] = field(default_factory=dict)

    def take(self, ticks: Int64s, vector: Vector, failed: frozenset[int]) -> None:
        """Step the alerts through the answers."""
        columns = _columns(vector, len(ticks))
        for place, tick in enumerate(ticks.tolist()):
            if place not in failed and (columns[place] or self.known):
                self._tick(tick, vector, columns[place])

    def firing(self) -> list[tuple[Labels, Labels]]:
        """Return (labels, annotations) of what fires."""
        return [(one.labels, self._annotations(one.labels)) for one in self.known.values() if one.state == "firing"]

    def _tick(self, tick: int, vector: Vector, rows: list[tuple[int, float]]) -> None:
        active: dict[Labels, tuple[dict[str, str], float, int]] = {}
        for row, value in rows:
            active[alert_labels(self.rule, vector.labels[row], value, self._scene(tick))] = (
                vector.labels[row],
                value,
                tick,
            )
        if len(active) < len(rows):
            self.fail(tick, "vector contains metrics with the same labelset after applying alert labels")
            return
        self.last.update(active)
        for labels in active:
            self.said.pop(labels, None)
            if asks(self.rule.annotations):
                self._annotations(labels)
        now = tick + self.run.lift
        made: list[Transition] = []
        after: list[Instance] = []
        for labels in sorted(self.known.keys() | active.keys()):
            holds = active[labels][1] if labels in active else None
            instance, entered = step(self.known.get(labels) or Instance(labels), holds, now, self.rule)
            after.append(instance)
            made += entered
        live = [one for one in after if one.live]
        if 0 < self.rule.limit < len(live):
            self.fail(tick, f"exceeded limit of {self.rule.limit} with {len(live)} alerts")
            self.known.clear()
            return
        self.run.changes += [Change(self.rule, one, self._annotations(one.labels)) for one in made]
        self.known = {one.labels: one for one in forget(after, now)}
        self.last = {labels: seen for labels, seen in self.last.items() if labels in self.known}
        self.said = {labels: said for labels, said in self.said.items() if labels in self.known}
        self.record(tick - self.rule.query_offset_ms, self._series(live))

    def _series(self, live: Iterable[Instance]) -> dict[Signature, float]:
        found: dict[Signature, float] = {}
        for one in live:
            own = {**dict(one.labels), NAME: ALERTS, "alertstate": one.state}
            found[signature(own)] = 1.0
            since = (one.active_at - self.run.lift) // 1000
            found[signature({**dict(one.labels), NAME: FOR_STATE})] = float(since)
        return found

    def _annotations(self, labels: Labels) -> Labels:
        """Return the annotations of the last evaluation that had these labels."""
        said = self.said.get(labels)
        if said is None:
            series, value, at = self.last[labels]
            scene = self._scene(at)
            said = tuple((name, expand(text, series, value, scene)) for name, text in self.rule.annotations)
            self.said[labels] = said
        return said

    def _scene(self, at: int) -> Scene:
        setting = self.run.setting
        return Scene(
            self.rule.alert, setting.external_labels, setting.external_url, lambda text: self.run.query(text, at)
        )


def _work(run: Run, rule: Rule) -> _Work:
    try:
        plan = parse_expression(rule.expr)
    except RuleFault as fault:
        raise RuleFault(fault.id, fault.reason, group=rule.group, rule=rule.name) from fault
    return (_Alerting if rule.alert else _Recording)(run, rule, plan, ahead(plan))


def _columns(vector: Vector, size: int) -> list[list[tuple[int, float]]]:
    """Return for each tick the (row, value) pairs that are present."""
    columns: list[list[tuple[int, float]]] = [[] for _ in range(size)]
    for row, place in zip(*(found.tolist() for found in np.nonzero(vector.present)), strict=True):
        columns[place].append((row, float(vector.values[row, place])))
    return columns


def _beside(parts: Sequence[Vector | None]) -> Vector:
    """Return one-step vectors as one of all steps; None is a step without series."""
    places: dict[Signature, int] = {}
    for part in parts:
        for labels in part.labels if part is not None else ():
            places.setdefault(signature(labels), len(places))
    values = np.zeros((len(places), len(parts)))
    present = np.zeros((len(places), len(parts)), np.bool_)
    for at, part in enumerate(parts):
        if part is not None and part.labels:
            rows = [places[signature(labels)] for labels in part.labels]
            values[rows, at], present[rows, at] = part.values[:, -1], part.present[:, -1]
    return Vector([dict(one) for one in places], values, present)

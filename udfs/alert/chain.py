"""Order within a group: a rule that reads what an earlier rule of its group records is judged on that rule's inputs.

Recorded series go back into the stream, but come round only after the tick that made them. Prometheus evaluates the
rules of a group one after the other, and the later one reads the earlier one's series of the same tick. Here the later
rule gets the samples that the earlier one reads, and makes the recorded series itself, for all the ticks it looks back
on: the same answer after any restart, and nothing waits for the stream. Rules of other groups read recorded series as
they read any other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from promql.columns import NAME, Columns, Selector, Source
from promql.errors import EXECUTION, PromqlError
from promql.evaluate import evaluate
from promql.match import matches
from promql.memory import Series, columns
from promql.reads import selectors
from promql.result import Scalar, Vector
from promql.series import Signature, signature
from schemas.nan import STALE_BITS, Floats, Mask
from udfs.alert.expression import MAX_SPAN_MS, Expression
from udfs.alert.order import ALERTS, FOR_STATE
from udfs.alert.rule import Rule, RuleFault
from udfs.alert.spread import WHOLE, Spread, answers_silence, spread_of


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier recording rule of the group, with its own expression, itself linked."""

    rule: Rule
    expression: "Linked"


@dataclass(frozen=True, slots=True)
class Linked(Expression):
    """An Expression whose selectors, span and spread are those of the links' inputs. links: by recorded name."""

    links: tuple[tuple[str, tuple[Link, ...]], ...] = ()


def link(rule: Rule, expression: Expression, before: Mapping[str, Sequence[Link]]) -> Linked:
    """Return the expression with what it reads of the rules before it in its group; raises RuleFault TG-rule-span."""
    linked = _link(rule, expression, before)
    # A limit counts all that the rule gives, so all of it is judged under one key.
    if rule.limit:
        return replace(linked, spread=WHOLE, shape=_shape(f"limit {linked.shape}"))
    return _own(rule, linked)


def _own(rule: Rule, linked: Linked) -> Linked:
    """Return the expression spread without the labels that the rule sets: by them two keys would make one alert."""
    own = {NAME, *(name for name, _ in rule.labels), *(["alertname"] if rule.alert else [])}
    lost = frozenset(name for name in own if linked.spread.parts(name))
    if not lost:
        return linked
    known = set(lost)
    if not linked.spread.by:
        # Series that have no such label stay where they are, and so do most rules: `severity` is set by all of them.
        known &= {name for name, text in rule.labels if not text} | _alertname(linked)
    shape = _shape(f"own {sorted(known)} {linked.shape}") if known else linked.shape
    return replace(linked, spread=linked.spread.meet(Spread(False, lost)), shape=shape)


def _alertname(linked: Linked) -> set[str]:
    return {"alertname"} if any(one.metric in (ALERTS, FOR_STATE) for one in linked.selectors) else set()


def _shape(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode())[:12]


def _link(rule: Rule, expression: Expression, before: Mapping[str, Sequence[Link]]) -> Linked:
    read = {selector.metric for selector in expression.selectors}
    by_name = {name: tuple(before[name]) for name in sorted(read) if name in before}
    own = (expression.plan, expression.selectors, expression.span_ms, expression.spread, expression.shape)
    if not by_name:
        return Linked(*own)
    span = 0
    for selector in selectors(expression.plan):
        made = by_name.get(selector.metric, ())
        deeper = max(
            (one.expression.span_ms + one.rule.query_offset_ms + one.rule.interval_ms for one in made),
            default=0,
        )
        span = max(span, deeper - selector.start_ms)
    if span > MAX_SPAN_MS:
        raise RuleFault(
            "TG-rule-span",
            f"with the rules it reads it looks {span / 3_600_000:g} h back; at most {MAX_SPAN_MS / 3_600_000:g} h",
            group=rule.group,
            rule=rule.name,
        )
    reads = {(one.metric, one.matchers) for one in expression.selectors if one.metric not in by_name}
    reads |= {(s.metric, s.matchers) for made in by_name.values() for one in made for s in one.expression.selectors}
    spread = spread_of(expression.plan, {name: _spread(made) for name, made in by_name.items()})
    # The links' own texts stand in it: another earlier rule may need other windows of the same samples.
    texts = sorted((one.rule.expr, one.rule.labels) for made in by_name.values() for one in made)
    shape = _shape(repr((str(spread), sorted(reads), texts)))
    found = tuple(Selector(*one, 0, 0) for one in sorted(reads))
    return Linked(expression.plan, found, span, spread, shape, tuple(sorted(by_name.items())))


def _spread(made: Sequence[Link]) -> Spread:
    """Return how the inputs of recorded series may be spread so that a recorded series stays whole."""
    found = Spread(False, frozenset())
    for one in made:
        # A label that the rule sets says nothing about the inputs any more.
        found = found.meet(one.expression.spread).meet(Spread(False, frozenset(name for name, _ in one.rule.labels)))
    return found


class LinkedSource:
    """A Source that makes recorded series from the rules that record them, and takes all others from `inputs`."""

    def __init__(self, inputs: Source, links: Sequence[tuple[str, tuple[Link, ...]]]) -> None:
        self._inputs = inputs
        self._links = dict(links)

    def select(self, selector: Selector) -> Columns:
        """Return the columns of the matching series; recorded ones at the ticks of their rule."""
        made = self._links.get(selector.metric)
        if made is None:
            return self._inputs.select(selector)
        rows = [row for one in made for row in _recorded(one, self._inputs, selector)]
        return columns(rows)


def _recorded(one: Link, inputs: Source, selector: Selector) -> list[Series]:
    step = one.rule.interval_ms
    first, last = (selector.start_ms // step + 1) * step, selector.end_ms // step * step
    if first > last:
        return []
    # The tick before the first: whether a series that is absent then ended there or never was.
    times = np.arange(first - step, last + 1, step, dtype=np.int64)
    found = answer(one.expression, inputs, int(times[0]) - one.rule.query_offset_ms, len(times), step)
    rows = []
    for labels, (values, present) in recorded(one.rule, found).items():
        if not matches(selector, dict(labels)):
            continue
        ended = np.zeros(len(times), bool)
        ended[1:] = present[:-1] & ~present[1:]
        cells = values.copy()
        cells.view(np.uint64)[ended] = STALE_BITS  # as bits: it is a signalling NaN
        kept = (present | ended) & (times >= first)
        if kept.any():
            rows.append((dict(labels), times[kept] - one.rule.query_offset_ms, cells[kept]))
    return rows


def answer(expression: Expression, inputs: Source, start: int, size: int, step: int) -> Vector:
    """Return the expression's value at `size` times from start on; raises PromqlError."""
    source = LinkedSource(inputs, expression.links) if isinstance(expression, Linked) and expression.links else inputs
    result = evaluate(expression.plan, source, start, start + (size - 1) * step, step)
    if isinstance(result, Scalar):
        return Vector([{}], result.values[np.newaxis, :], np.ones((1, size), dtype=bool))
    if not isinstance(result, Vector):
        raise PromqlError(EXECUTION, "the result is no instant vector")
    return result


def recorded(rule: Rule, found: Vector) -> Mapping[Signature, tuple[Floats, Mask]]:
    """Return (values, present) by the labels under which a rule records its result; raises PromqlError."""
    made: dict[Signature, tuple[Floats, Mask]] = {}
    own = {**dict(rule.labels), NAME: rule.record}
    for row, labels in enumerate(found.labels):
        name = signature({key: text for key, text in {**labels, **own}.items() if text})
        if name in made:
            raise PromqlError(EXECUTION, f"{rule.record}: two results have the same labels after the rule's are set")
        made[name] = found.values[row], found.present[row]
    return made


def relink(
    rules: Sequence[tuple[Rule, Expression]], known: Mapping[str, Linked] | None = None, names: Iterable[str] = ()
) -> dict[str, Linked]:
    """Return the linked expressions of one group's rules, by key on control.rules; raises RuleFault.

    Those that are `known` stay, and are not returned, unless they read one of the recorded `names`, which have changed.
    """
    before: dict[str, list[Link]] = {}
    made: dict[str, Linked] = {}
    changed = {name for name in names if name}
    for rule, expression in sorted(rules, key=lambda one: (one[0].position, one[0].rule_id)):
        linked = known.get(rule.key) if known else None
        if linked is None or any(selector.metric in changed for selector in expression.selectors):
            linked = made[rule.key] = link(rule, expression, before)
            changed |= {rule.record} if rule.record else set()
        if rule.record:
            before.setdefault(rule.record, []).append(Link(rule, linked))
    return made


def silent(linked: Linked) -> bool:
    """Tell whether the rule must be judged though nothing that it reads has ever had a sample."""
    if answers_silence(linked.plan):
        return True
    return any(silent(one.expression) for _, made in linked.links for one in made)

"""Which rules read what others record: whether many ticks can be evaluated at once, one rule after the other."""

from collections.abc import Iterable, Sequence

from promql.columns import Selector
from promql.plan import Expr
from promql.reads import selectors
from promql.steps import pinned
from udfs.alert.expression import parse_expression
from udfs.alert.rule import Rule
from udfs.alert.template import asks

ALERTS = "ALERTS"
FOR_STATE = "ALERTS_FOR_STATE"


def ahead(plan: Expr) -> bool:
    """Tell whether the plan may read what is later than its step."""
    return pinned(plan) or any(one.end_ms > 0 for one in selectors(plan))


def names(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the names of the series that rules record."""
    return frozenset(name for rule in rules for name in ([rule.record] if rule.record else [ALERTS, FOR_STATE]))


def entangled(rules: Sequence[Rule]) -> bool:
    """Tell whether a rule reads what it or a rule after it records, or looks ahead at what any rule records."""
    for place, rule in enumerate(rules):
        plan = parse_expression(rule.expr)
        if asks(rule.labels) or asks(rule.annotations):
            return True
        made = names(rules if ahead(plan) else rules[place:])
        if any(_may_read(one, made) for one in selectors(plan)):
            return True
    return False


def _may_read(selector: Selector, made: frozenset[str]) -> bool:
    return not selector.metric or selector.metric in made

"""What the job must know of a rule's expression before it meets any sample."""

from dataclasses import dataclass
from functools import lru_cache

import xxhash

from promql.columns import Selector
from promql.errors import PromqlError
from promql.evaluate import selectors
from promql.parse import parse
from promql.plan import Expr, kind
from promql.steps import pinned
from udfs.alert.rule import RuleFault
from udfs.alert.spread import Spread, spread_of

MAX_EXPR_CHARS = 16 << 10
# An evaluation of more than this would keep too much in state for every series.
MAX_SPAN_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    plan: promql's tree. selectors: what it reads, times left 0. span_ms: how far behind an evaluation its oldest sample
    lies. spread: how its series may be spread over keys. shape: 12 hex digits, equal for expressions that need the same
    samples under the same keys, so that an edited threshold finds the window of the rule it replaces.
    """

    plan: Expr
    selectors: tuple[Selector, ...]
    span_ms: int
    spread: Spread
    shape: str


def parse_expression(text: str) -> Expr:
    """Return the plan of a rule's expression, for whatever evaluates it; raises RuleFault TG-rule-expr, -size."""
    if len(text) > MAX_EXPR_CHARS:
        raise RuleFault("TG-rule-size", f"the expression has {len(text)} characters; at most {MAX_EXPR_CHARS}")
    try:
        plan = parse(text)
    except PromqlError as error:
        raise RuleFault("TG-rule-expr", str(error)) from error
    if kind(plan) not in ("vector", "scalar"):
        raise RuleFault("TG-rule-expr", f"the expression is a {kind(plan)}; a rule needs an instant vector or a scalar")
    return plan


@lru_cache(maxsize=8192)
def check_expression(text: str) -> Expression:
    """Return a rule's expression for the stream.

    Raises RuleFault of parse_expression, TG-rule-unsupported (valid, but refused) and -span.
    """
    plan = parse_expression(text)
    if pinned(plan):
        raise RuleFault("TG-rule-unsupported", "@ reads samples of a fixed time, which a stream does not keep")
    reads = selectors(plan)
    if any(one.end_ms > 0 for one in reads):
        raise RuleFault("TG-rule-unsupported", "a negative offset reads samples that have not been taken yet")
    span = max((-one.start_ms for one in reads), default=0)
    if span > MAX_SPAN_MS:
        raise RuleFault("TG-rule-span", f"it looks {span / 3_600_000:g} h back; at most {MAX_SPAN_MS / 3_600_000:g} h")
    matched = sorted({(one.metric, one.matchers) for one in reads})
    spread = spread_of(plan)
    shape = xxhash.xxh3_64_hexdigest(repr((str(spread), matched)).encode())[:12]
    return Expression(plan, tuple(Selector(*one, 0, 0) for one in matched), span, spread, shape)

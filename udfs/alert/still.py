"""Until when a rule's answer cannot change without new samples, so that ticks between two scrapes cost little.

An answer changes when a sample comes into what a selector sees, or leaves it. Between, it is the same for expressions
that look at samples and not at the clock: rate() extrapolates to its window's edges, time() is the clock.
"""

from functools import lru_cache

import numpy as np

from promql.evaluate import LOOKBACK_MS
from promql.plan import Aggregate, Binary, Call, Expr, Negate, Number, Select, Text, Window
from udfs.alert.chain import Linked
from udfs.alert.judge import retention_ms
from udfs.alert.rule import Rule
from udfs.alert.window import Window as Held

_OF_SAMPLES = frozenset(
    [f"{word}_over_time" for word in ("avg", "min", "max", "sum", "count", "quantile", "stddev", "stdvar", "last")]
    + ["present_over_time", "absent_over_time", "changes", "resets"]
    + ["abs", "absent", "ceil", "clamp", "clamp_max", "clamp_min", "exp", "floor", "ln", "log10", "log2", "round"]
    + ["sgn", "sqrt", "scalar", "vector", "sort", "sort_desc", "histogram_quantile", "label_join", "label_replace"]
)
Sight = tuple[int, int, bool]
"""(offset, range, whether only the newest sample counts), ms."""


@lru_cache(maxsize=8192)
def sights(plan: Expr) -> frozenset[Sight] | None:
    """Return what an expression's selectors see, None if its answer changes with the clock."""
    parts: tuple[Expr, ...]
    match plan:
        case Number() | Text():
            return frozenset()
        case Select():
            return frozenset({(plan.offset_ms, LOOKBACK_MS, True)})
        case Window():
            return frozenset({(plan.select.offset_ms, plan.range_ms, False)})
        case Negate():
            return sights(plan.expr)
        case Aggregate():
            parts = (plan.expr,) if plan.param is None else (plan.param, plan.expr)
        case Binary():
            parts = (plan.lhs, plan.rhs)
        case Call() if plan.function in _OF_SAMPLES:
            parts = plan.args
        case _:
            return None
    found = [sights(part) for part in parts]
    known = [one for one in found if one is not None]
    return frozenset().union(*known) if len(known) == len(found) else None


def still_until(rule: Rule, expression: Linked, window: Held, gone_at: int, tick: int) -> int:
    """Return the first time (ms) at which the answer of the tick `tick` may be another; `tick` if that is not known.

    gone_at: when a key without samples may go, whose answer is none until then.
    """
    seen = None if expression.links else sights(expression.plan)
    if not seen:
        return tick
    if not len(window):
        return max(tick, gone_at)
    now = tick - rule.query_offset_ms
    bounds = []
    for offset, span, newest in seen:
        at = window.timestamps + offset
        there = at <= now
        bounds.append(at[~there])
        if newest:
            following = np.ones(len(at), bool)
            following[:-1] = (window.codes[1:] != window.codes[:-1]) | ~there[1:]
            there &= following
        leaves = at[there] + span
        bounds.append(leaves[leaves > now])
    times = np.concatenate(bounds)
    if len(times):
        return int(times.min()) + rule.query_offset_ms
    # Nothing that is held is seen again; when the last of it goes, the key may go.
    return max(tick, int(window.timestamps.max()) + retention_ms(rule, expression))

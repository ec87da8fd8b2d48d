"""Which samples a plan reads, and over what time."""

from promql.columns import Selector
from promql.plan import At, Expr, Select, Subquery, Window, children

LOOKBACK_MS = 300_000
# Of a subquery without a step: Prometheus's evaluation interval.
SUBQUERY_STEP_MS = 60_000


def at_ms(at: At, start_ms: int, end_ms: int) -> int:
    """Return the time that @ fixes in a query from start to end."""
    match at:
        case "start":
            return start_ms
        case "end":
            return end_ms
        case int():
            return at
    raise ValueError(f"no time: {at!r}")


def first_step(after_ms: int, step_ms: int) -> int:
    """Return the first multiple of the step after a time: where a subquery's steps begin."""
    return (after_ms // step_ms + 1) * step_ms


def selector_of(select: Select, first_ms: int, last_ms: int, range_ms: int) -> Selector:
    """Return what a selector reads for evaluations from first to last."""
    start, end = first_ms - select.offset_ms - range_ms, last_ms - select.offset_ms
    return Selector(select.metric, select.matchers, start, end)


def selectors(expr: Expr, start_ms: int = 0, end_ms: int = 0, lookback_ms: int = LOOKBACK_MS) -> list[Selector]:
    """Return what a plan reads for steps from start to end, each different selector once.

    With the default times the hulls are relative to the evaluation: -start_ms is how long samples must be kept. That
    is so without @ only (see promql.steps.pinned): a time fixed by @ is absolute, whatever the steps. What a subquery
    reads may begin up to one of its steps earlier than needed.
    """
    found: dict[Selector, None] = {}
    _collect(expr, (start_ms, end_ms), (start_ms, end_ms), lookback_ms, found)
    return list(found)


def _collect(
    expr: Expr, query: tuple[int, int], steps: tuple[int, int], lookback_ms: int, found: dict[Selector, None]
) -> None:
    match expr:
        case Select() | Window():
            select, range_ms = (expr, lookback_ms) if isinstance(expr, Select) else (expr.select, expr.range_ms)
            first, last = steps if select.at is None else (at_ms(select.at, *query),) * 2
            found[selector_of(select, first, last, range_ms)] = None
        case Subquery():
            first, last = steps if expr.at is None else (at_ms(expr.at, *query),) * 2
            inner = (first - expr.offset_ms - expr.range_ms, last - expr.offset_ms)
            _collect(expr.expr, query, inner, lookback_ms, found)
        case _:
            for child in children(expr):
                _collect(child, query, steps, lookback_ms, found)

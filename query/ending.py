"""@ end() as the time that a request names: the last step of a range may lie before it."""

from dataclasses import replace

from promql.plan import Aggregate, Binary, Call, Expr, Negate, Number, Select, Subquery, Text, Window


def ending(expr: Expr, end_ms: int) -> Expr:  # noqa: PLR0911 - one arm per node
    """Return the plan with the time of @ end() in it, so that it is in all keys too."""
    match expr:
        case Number() | Text():
            return expr
        case Select():
            return _select(expr, end_ms)
        case Window():
            return replace(expr, select=_select(expr.select, end_ms))
        case Subquery():
            return replace(expr, expr=ending(expr.expr, end_ms), at=end_ms if expr.at == "end" else expr.at)
        case Call():
            return replace(expr, args=tuple(ending(arg, end_ms) for arg in expr.args))
        case Aggregate():
            param = None if expr.param is None else ending(expr.param, end_ms)
            return replace(expr, expr=ending(expr.expr, end_ms), param=param)
        case Binary():
            return replace(expr, lhs=ending(expr.lhs, end_ms), rhs=ending(expr.rhs, end_ms))
        case Negate():
            return replace(expr, expr=ending(expr.expr, end_ms))


def _select(select: Select, end_ms: int) -> Select:
    return replace(select, at=end_ms) if select.at == "end" else select

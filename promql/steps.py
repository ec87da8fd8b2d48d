"""What a plan's value at a step depends on: nothing but the time, the time, or the whole query."""

from promql.columns import NAME
from promql.plan import (
    Aggregate,
    At,
    Binary,
    Call,
    Expr,
    Negate,
    Number,
    Select,
    Subquery,
    Text,
    Window,
    children,
    kind,
    walk,
)

# Their value follows the time of evaluation even where their arguments do not (Prometheus, AtModifierUnsafeFunctions).
_CLOCKED = frozenset(
    {
        "time",
        "timestamp",
        "predict_linear",
        "minute",
        "hour",
        "day_of_week",
        "day_of_month",
        "day_of_year",
        "days_in_month",
        "month",
        "year",
    }
)
# They can give two series the same labels, of which only an evaluation of all steps can tell.
_RELABELS = frozenset({"label_replace", "label_join"})


def at_of(expr: Expr) -> At:
    """Return what @ fixes of a selector or subquery."""
    match expr:
        case Select() | Subquery():
            return expr.at
        case Window():
            return expr.select.at
    return None


def invariant(expr: Expr) -> bool:
    """Tell whether the value is the same at every step, because @ fixes all that it reads."""
    match expr:
        case Number() | Text():
            return True
        case Select() | Window() | Subquery():
            return at_of(expr) is not None
        case Call() if expr.function in _CLOCKED:
            return False
    return all(invariant(child) for child in children(expr))


def pinned(expr: Expr) -> bool:
    """Tell whether the plan has an @: it then reads times that do not follow its steps."""
    return any(at_of(node) is not None for node in walk(expr))


def stepwise(expr: Expr) -> bool:
    """Tell whether the value at a step is the same in every query that has the step: what a cache of steps needs.

    @ start() and @ end() take their time from the query. And series may become alike that are never present
    together, an error of the whole range only: by label_replace and label_join, or where different names are dropped.
    """
    for node in walk(expr):
        if at_of(node) in ("start", "end"):
            return False
        if isinstance(node, Call) and node.function in _RELABELS:
            return False
        if _compares_steps(node) and any(_mixes(inner) for inner in walk(node)):
            return False
    return True


def _compares_steps(expr: Expr) -> bool:
    """Tell whether the node refuses series of equal labels even at different steps."""
    match expr:
        case Negate():
            return True
        case Call():
            return any(kind(arg) == "matrix" for arg in expr.args)
    return False


def _mixes(expr: Expr) -> bool:
    """Tell whether the node's series may have different names."""
    match expr:
        case Select():
            return not expr.metric
        case Binary():
            return expr.op == "or"
        case Aggregate():
            return expr.op == "count_values" and expr.param == Text(NAME)
    return False

"""A query as an immutable tree. Equal trees mean equal answers, whatever the text looked like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from promql.columns import Matcher

Kind = Literal["scalar", "vector", "matrix", "string"]
Card = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]
# What @ fixes: a time in ms, or an edge of the whole query; None without it.
At = int | Literal["start", "end"] | None


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A literal string."""

    value: str


@dataclass(frozen=True, slots=True)
class Select:
    """An instant selector: the newest sample within the lookback of each series. A negative offset looks ahead."""

    metric: str
    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Window:
    """A range selector: all samples of (t - range, t]."""

    select: Select
    range_ms: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression at the multiples of step in (t - range, t], as a range vector. step_ms 0: the default one."""

    expr: "Expr"
    range_ms: int
    step_ms: int = 0
    offset_ms: int = 0
    at: At = None


@dataclass(frozen=True, slots=True)
class Call:
    """A function. kind is what it returns. labels: those of the result of absent and absent_over_time."""

    function: str
    args: "tuple[Expr, ...]"
    kind: Kind
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregation by, or without, labels. param: a scalar; for count_values a Text, the name of the new label."""

    op: str
    expr: "Expr"
    param: "Expr | None"
    labels: tuple[str, ...]
    without: bool


@dataclass(frozen=True, slots=True)
class Matching:
    """How the sides of a binary operator find each other. on: labels are the only ones compared, else those ignored.

    include: the labels that group_left or group_right take from the side of which there is one.
    """

    card: Card
    on: bool
    labels: tuple[str, ...]
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary operator. matching is None unless both sides are vectors."""

    op: str
    lhs: "Expr"
    rhs: "Expr"
    return_bool: bool = False
    matching: Matching | None = None


@dataclass(frozen=True, slots=True)
class Negate:
    """Unary minus."""

    expr: "Expr"


Expr = Number | Text | Select | Window | Subquery | Call | Aggregate | Binary | Negate


def kind(expr: Expr) -> Kind:  # noqa: PLR0911 - one arm per node
    """Return the type of the expression's value."""
    match expr:
        case Number():
            return "scalar"
        case Text():
            return "string"
        case Window() | Subquery():
            return "matrix"
        case Call():
            return expr.kind
        case Negate():
            return kind(expr.expr)
        case Binary():
            return "vector" if "vector" in (kind(expr.lhs), kind(expr.rhs)) else "scalar"
        case _:
            return "vector"


def children(expr: Expr) -> "tuple[Expr, ...]":
    """Return the direct subexpressions."""
    match expr:
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case Binary():
            return (expr.lhs, expr.rhs)
        case Negate() | Subquery():
            return (expr.expr,)
        case Window():
            return (expr.select,)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield the expression and everything in it, parents first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def canonical(expr: Expr) -> str:
    """Return a text that is equal for equal trees only. The parser's own printer does not escape quotes in labels."""
    return repr(expr)

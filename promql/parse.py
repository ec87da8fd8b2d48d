"""From text to plan. promql-parser knows the grammar; what the evaluator does not know is refused here, by name."""

import re
from datetime import timedelta
from typing import Any

import promql_parser as pp

from promql.aggregate import AGGREGATIONS
from promql.columns import NAME, Matcher
from promql.errors import NESTING, PARSE, PromqlError, unsupported
from promql.functions import FUNCTIONS
from promql.match import compile_regex
from promql.plan import Aggregate, Binary, Call, Card, Expr, Matching, Negate, Number, Select, Text, Window, kind

MAX_DEPTH = 100
MAX_SYMBOLS = 1000

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`|#[^\n]*', re.DOTALL)
_SYMBOLS = re.compile(r"[-+*/%^<>=!(\[{,]|\b(?:and|or|unless|atan2)\b")
_ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
_COMPARISON = ("==", "!=", ">", "<", ">=", "<=")
_CARDS: dict[str, Card] = {
    "OneToOne": "one-to-one",
    "ManyToOne": "many-to-one",
    "OneToMany": "one-to-many",
    "ManyToMany": "many-to-many",
}
_OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def parse(text: str) -> Expr:
    """Return the plan of a query.

    Raises PromqlError: PARSE for a syntax or type error, NESTING for a text that is too deep or too long to parse,
    UNSUPPORTED for valid PromQL that is not supported, naming it.
    """
    _guard(text)
    try:
        tree = pp.parse(text)
    except ValueError as error:
        raise PromqlError(PARSE, f"invalid PromQL: {error}") from error
    return _expr(tree, 0)


def _guard(text: str) -> None:
    """Refuse what the parser cannot take: its time is quadratic in depth, and @ before 1970 makes it panic."""
    bare = _QUOTED.sub('""', text)
    symbols = len(_SYMBOLS.findall(bare))
    if symbols > MAX_SYMBOLS:
        raise PromqlError(NESTING, f"the query has {symbols} operators and brackets, more than {MAX_SYMBOLS}")
    depth = deepest = 0
    for char in bare:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise PromqlError(NESTING, f"the query nests {deepest} brackets, more than {MAX_DEPTH}")
    if "@" in bare:
        raise unsupported("the @ modifier")


def _expr(node: Any, depth: int) -> Expr:  # noqa: PLR0911 - one arm per node
    if depth > MAX_DEPTH:
        raise PromqlError(NESTING, f"the query nests more than {MAX_DEPTH} expressions")
    match node:
        case pp.NumberLiteral():
            return Number(node.val)
        case pp.StringLiteral():
            return Text(node.val)
        case pp.ParenExpr():
            return _expr(node.expr, depth + 1)
        case pp.UnaryExpr():
            return Negate(_expr(node.expr, depth + 1))
        case pp.VectorSelector():
            return _select(node)
        case pp.MatrixSelector():
            return Window(_select(node.vector_selector), _ms(node.range))
        case pp.Call():
            return _call(node, depth)
        case pp.AggregateExpr():
            return _aggregate(node, depth)
        case pp.BinaryExpr():
            return _binary(node, depth)
        case pp.SubqueryExpr():
            raise unsupported("a subquery")
    raise unsupported(f"the expression {type(node).__name__}")


def _word(member: object) -> str:
    """Return the name of a member of the parser's enums, which cannot be hashed."""
    return str(member).rpartition(".")[2]


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _select(node: Any) -> Select:
    if node.matchers.or_matchers:
        raise PromqlError(PARSE, "invalid PromQL: `or` between label matchers")
    metric = node.name or ""
    matchers: list[Matcher] = []
    for matcher in node.matchers.matchers:
        one = (matcher.name, _OPS[_word(matcher.op)], matcher.value)
        if one[0] == NAME and one[1] == "=" and not metric:
            metric = one[2]
            continue
        if one[1] in ("=~", "!~"):
            compile_regex(one[2])
        matchers.append(one)
    return Select(metric, tuple(sorted(set(matchers))), 0 if node.offset is None else _ms(node.offset))


def _call(node: Any, depth: int) -> Expr:
    name = node.func.name
    if name not in FUNCTIONS:
        raise unsupported(f"the function {name}()")
    args = tuple(_expr(arg, depth + 1) for arg in node.args)
    return Call(name, args, FUNCTIONS[name].kind)


def _aggregate(node: Any, depth: int) -> Expr:
    op = str(node.op)
    if op not in AGGREGATIONS:
        raise unsupported(f"the aggregation {op}")
    modifier = node.modifier
    labels = () if modifier is None else tuple(sorted(set(modifier.labels)))
    without = modifier is not None and modifier.type == pp.AggModifierType.Without
    param = None if node.param is None else _expr(node.param, depth + 1)
    return Aggregate(op, _expr(node.expr, depth + 1), param, labels, without)


def _binary(node: Any, depth: int) -> Expr:
    op = str(node.op)
    lhs, rhs = _expr(node.lhs, depth + 1), _expr(node.rhs, depth + 1)
    if op not in _ARITHMETIC and op not in _COMPARISON:
        raise unsupported(f"the operator {op}")
    modifier = node.modifier
    return_bool = modifier is not None and modifier.return_bool
    vectors = kind(lhs) == kind(rhs) == "vector"
    return Binary(op, lhs, rhs, return_bool, _matching(modifier) if vectors else None)


def _matching(modifier: Any) -> Matching:
    if modifier is None:
        return Matching("one-to-one", False, ())
    card = _CARDS[_word(modifier.card)]
    if card != "one-to-one":
        raise unsupported("group_left" if card == "many-to-one" else "group_right")
    fill = modifier.fill_values
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise unsupported("fill()")
    if modifier.matching is None:
        return Matching(card, False, ())
    on = modifier.matching.type == pp.LabelModifierType.Include
    return Matching(card, on, tuple(sorted(set(modifier.matching.labels))))

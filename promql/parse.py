"""From text to plan. promql-parser knows the grammar; what the evaluator does not know is refused here, by name."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import promql_parser as pp

from promql.aggregate import AGGREGATIONS
from promql.binary import ARITHMETIC, COMPARISON
from promql.columns import NAME, Matcher
from promql.errors import NESTING, PARSE, PromqlError, unsupported
from promql.functions import FUNCTIONS
from promql.match import compile_regex, matches_value
from promql.plan import (
    Aggregate,
    At,
    Binary,
    Call,
    Card,
    Expr,
    Matching,
    Negate,
    Number,
    Select,
    Subquery,
    Text,
    Window,
    kind,
)
from promql.sets import SETS
from promql.text import MAX_DEPTH, MAX_SYMBOLS, prepare

__all__ = ["MAX_DEPTH", "MAX_SYMBOLS", "parse"]

_CARDS: dict[str, Card] = {
    "OneToOne": "one-to-one",
    "ManyToOne": "many-to-one",
    "OneToMany": "one-to-many",
    "ManyToMany": "many-to-many",
}
_OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
# Prometheus counts a duration in int64 nanoseconds.
_LONGEST_MS = (1 << 63) // 1_000_000
_NATIVE = frozenset({"histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"})


def parse(text: str) -> Expr:
    """Return the plan of a query.

    Raises PromqlError: PARSE for a syntax or type error, NESTING for a text that is too deep or too long to parse,
    UNSUPPORTED for valid PromQL that is not supported, naming it.
    """
    try:
        prepared = prepare(text)
        return _Reader(prepared.at_ms, prepared.regexes).expr(_tree(prepared.text), 0)
    except (ValueError, OverflowError) as error:
        raise PromqlError(PARSE, f"invalid PromQL: {error}") from error


def _tree(text: str) -> Any:
    """Return the parser's tree. The parser is Rust; a panic of it is no Exception in Python."""
    try:
        return pp.parse(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise PromqlError(PARSE, f"invalid PromQL: the parser cannot take it: {str(error)[:200]}") from None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the parser's tree. at_ms, regexes: what stands in the text for itself, see promql.text."""

    at_ms: tuple[int, ...]
    regexes: dict[str, str]

    def expr(self, node: Any, depth: int) -> Expr:  # noqa: PLR0911 - one arm per node
        if depth > MAX_DEPTH:
            raise PromqlError(NESTING, f"the query nests more than {MAX_DEPTH} expressions")
        match node:
            case pp.NumberLiteral():
                return Number(node.val)
            case pp.StringLiteral():
                return Text(node.val)
            case pp.ParenExpr():
                return self.expr(node.expr, depth + 1)
            case pp.UnaryExpr():
                return Negate(self.expr(node.expr, depth + 1))
            case pp.VectorSelector():
                return self._select(node)
            case pp.MatrixSelector():
                return Window(self._select(node.vector_selector), _positive(node.range))
            case pp.SubqueryExpr():
                return self._subquery(node, depth)
            case pp.Call():
                return self._call(node, depth)
            case pp.AggregateExpr():
                return self._aggregate(node, depth)
            case pp.BinaryExpr():
                return self._binary(node, depth)
        raise unsupported(f"the expression {type(node).__name__}")

    def _select(self, node: Any) -> Select:
        if node.matchers.or_matchers:
            raise PromqlError(PARSE, "invalid PromQL: `or` between label matchers")
        metric = node.name or ""
        matchers: list[Matcher] = []
        for one in self._matchers(node):
            if one[0] == NAME and one[1] == "=" and one[2] and not metric:
                metric = one[2]
                continue
            if one[1] in ("=~", "!~"):
                compile_regex(one[2])
            matchers.append(one)
        if not metric and all(matches_value(op, value, "") for _, op, value in matchers):
            raise PromqlError(PARSE, "invalid PromQL: vector selector must contain at least one non-empty matcher")
        return Select(metric, tuple(sorted(set(matchers))), _offset(node), self._at(node))

    def _matchers(self, node: Any) -> list[Matcher]:
        found = []
        for matcher in node.matchers.matchers:
            op = _OPS[_word(matcher.op)]
            found.append(
                (matcher.name, op, self.regexes.get(matcher.value, "") if op in ("=~", "!~") else matcher.value)
            )
        return found

    def _absent_labels(self, node: Any) -> tuple[tuple[str, str], ...]:
        """Return what a selector says of the series it misses.

        As Prometheus (createLabelsForAbsentFunction): a name's first equality sets it, any other matcher deletes it.
        """
        while isinstance(node, pp.ParenExpr):
            node = node.expr
        if isinstance(node, pp.MatrixSelector):
            node = node.vector_selector
        if not isinstance(node, pp.VectorSelector):
            return ()
        said: dict[str, str] = {}
        seen = {NAME}
        for name, op, value in self._matchers(node):
            if op == "=" and name not in seen:
                said[name] = value
                seen.add(name)
            else:
                said.pop(name, None)
        return tuple((name, value) for name, value in said.items() if value)

    def _subquery(self, node: Any, depth: int) -> Subquery:
        step = 0 if node.step is None else _positive(node.step)
        inner = self.expr(node.expr, depth + 1)
        return Subquery(inner, _positive(node.range), step, _offset(node), self._at(node))

    def _at(self, node: Any) -> At:
        if node.at is None:
            return None
        match _word(node.at.type):
            case "Start":
                return "start"
            case "End":
                return "end"
        place: float = node.at.at.timestamp()
        return self.at_ms[round(place)]

    def _call(self, node: Any, depth: int) -> Expr:
        name = node.func.name
        if name in ("start", "end"):
            raise PromqlError(PARSE, f"invalid PromQL: {name}() stands after @ only")
        if name in _NATIVE:
            raise unsupported(f"the function {name}(), which is for native histograms,")
        if name not in FUNCTIONS:
            raise unsupported(f"the function {name}()")
        args = tuple(self.expr(arg, depth + 1) for arg in node.args)
        labels = self._absent_labels(node.args[0]) if name in ("absent", "absent_over_time") else ()
        return Call(name, args, FUNCTIONS[name].kind, labels)

    def _aggregate(self, node: Any, depth: int) -> Expr:
        op = str(node.op)
        if op not in AGGREGATIONS:
            raise unsupported(f"the aggregation {op}")
        modifier = node.modifier
        labels = () if modifier is None else tuple(sorted(set(modifier.labels)))
        without = modifier is not None and modifier.type == pp.AggModifierType.Without
        param = None if node.param is None else self.expr(node.param, depth + 1)
        return Aggregate(op, self.expr(node.expr, depth + 1), param, labels, without)

    def _binary(self, node: Any, depth: int) -> Expr:
        op = str(node.op)
        lhs, rhs = self.expr(node.lhs, depth + 1), self.expr(node.rhs, depth + 1)
        if op not in ARITHMETIC and op not in COMPARISON and op not in SETS:
            raise unsupported(f"the operator {op}")
        modifier = node.modifier
        return_bool = modifier is not None and modifier.return_bool
        vectors = kind(lhs) == kind(rhs) == "vector"
        return Binary(op, lhs, rhs, return_bool, _matching(modifier) if vectors else None)


def _word(member: object) -> str:
    """Return the name of a member of the parser's enums, which cannot be hashed."""
    return str(member).rpartition(".")[2]


def _ms(duration: timedelta) -> int:
    found = duration // timedelta(milliseconds=1)
    if abs(found) >= _LONGEST_MS:
        raise PromqlError(PARSE, "invalid PromQL: duration out of range")
    return found


def _positive(duration: timedelta) -> int:
    if duration <= timedelta(0):
        raise PromqlError(PARSE, "invalid PromQL: duration must be greater than 0")
    return max(_ms(duration), 1)


def _offset(node: Any) -> int:
    return 0 if node.offset is None else _ms(node.offset)


def _matching(modifier: Any) -> Matching:
    if modifier is None:
        return Matching("one-to-one", False, ())
    fill = modifier.fill_values
    if fill is not None and (fill.lhs is not None or fill.rhs is not None):
        raise unsupported("fill()")
    card = _CARDS[_word(modifier.card)]
    include = tuple(sorted(set(modifier.group_labels or ())))
    if modifier.matching is None:
        return Matching(card, False, (), include)
    on = modifier.matching.type == pp.LabelModifierType.Include
    return Matching(card, on, tuple(sorted(set(modifier.matching.labels))), include)

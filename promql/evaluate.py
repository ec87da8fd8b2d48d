"""From plan to answer: one walk over the tree, each node evaluated for all series and all steps at once."""

from dataclasses import dataclass, field

import numpy as np

from promql import binary
from promql.aggregate import aggregate
from promql.columns import Columns, Selector, Source
from promql.functions import FUNCTIONS
from promql.grid import Grid
from promql.match import matches
from promql.plan import Aggregate, Binary, Call, Expr, Negate, Number, Select, Text, Window, kind, walk
from promql.result import Matrix, Result, Scalar, String, Vector
from promql.series import distinct, drop_name, prune
from promql.windows import Windows, is_stale, without_stale

__all__ = ["LOOKBACK_MS", "Matrix", "Result", "Scalar", "String", "Vector", "evaluate", "matches", "selectors"]

LOOKBACK_MS = 300_000

Value = Vector | Scalar | String | Windows


def evaluate(
    expr: Expr, source: Source, start_ms: int, end_ms: int, step_ms: int, lookback_ms: int = LOOKBACK_MS
) -> Result:
    """Return the value of a plan at start, start + step, … up to end; an instant query has start = end.

    Times are ms since 1970 UTC. Series present at no step are left out. Raises PromqlError EXECUTION.
    A range selector alone gives a Matrix; the caller allows it at one step only.
    """
    grid = Grid(start_ms, end_ms, step_ms, lookback_ms)
    # NaN and Inf are ordinary values here.
    with np.errstate(all="ignore"):
        value = _Evaluation(source, grid).value(expr)
    if isinstance(value, Windows):
        return Matrix(value.trimmed())
    return prune(value) if isinstance(value, Vector) else value


def selectors(expr: Expr, start_ms: int = 0, end_ms: int = 0, lookback_ms: int = LOOKBACK_MS) -> list[Selector]:
    """Return what a plan reads for steps from start to end, each different selector once.

    With the default times the hulls are relative to the evaluation: -start_ms is how long samples must be kept.
    """
    found: dict[Selector, None] = {}
    windowed = {id(node.select) for node in walk(expr) if isinstance(node, Window)}
    for node in walk(expr):
        if isinstance(node, Window):
            found[_selector(node.select, start_ms, end_ms, node.range_ms)] = None
        elif isinstance(node, Select) and id(node) not in windowed:
            found[_selector(node, start_ms, end_ms, lookback_ms)] = None
    return list(found)


def _selector(select: Select, start_ms: int, end_ms: int, range_ms: int) -> Selector:
    start, end = start_ms - select.offset_ms - range_ms, end_ms - select.offset_ms
    return Selector(select.metric, select.matchers, start, end)


@dataclass(slots=True)
class _Evaluation:
    """One evaluation: the samples read so far, so that a selector used twice is read once."""

    source: Source
    grid: Grid
    _read: dict[Selector, Columns] = field(default_factory=dict)

    def value(self, expr: Expr) -> Value:  # noqa: PLR0911 - one arm per node
        match expr:
            case Number():
                return Scalar(np.full(self.grid.size, expr.value))
            case Text():
                return String(expr.value)
            case Select():
                return self._select(expr)
            case Window():
                return self._windows(expr.select, expr.range_ms)
            case Call():
                return FUNCTIONS[expr.function].apply(self.grid, *(self.value(arg) for arg in expr.args))
            case Aggregate():
                param = None if expr.param is None else self._scalar(expr.param)
                return aggregate(expr.op, self._vector(expr.expr), param, expr.labels, expr.without)
            case Negate():
                return self._negate(expr)
            case Binary():
                return self._binary(expr)

    def _vector(self, expr: Expr) -> Vector:
        value = self.value(expr)
        assert isinstance(value, Vector), kind(expr)
        return value

    def _scalar(self, expr: Expr) -> Scalar:
        value = self.value(expr)
        assert isinstance(value, Scalar), kind(expr)
        return value

    def _columns(self, select: Select, range_ms: int) -> Columns:
        selector = _selector(select, self.grid.start_ms, self.grid.last_ms, range_ms)
        if selector not in self._read:
            self._read[selector] = self.source.select(selector)
        return self._read[selector]

    def _windows(self, select: Select, range_ms: int) -> Windows:
        columns = without_stale(self._columns(select, range_ms))
        return Windows.cut(columns, self.grid, range_ms, select.offset_ms)

    def _select(self, select: Select) -> Vector:
        columns = self._columns(select, self.grid.lookback_ms)
        windows = Windows.cut(columns, self.grid, self.grid.lookback_ms, select.offset_ms)
        newest = np.where(windows.some, windows.high - 1, 0)
        if not len(columns.values):
            return Vector([], np.zeros((0, self.grid.size)), np.zeros((0, self.grid.size), np.bool_))
        # A staleness marker as the newest sample ends the series, however recent the one before it.
        present = windows.some & ~is_stale(columns.values)[newest]
        return prune(Vector(columns.labels, columns.values[newest], present))

    def _negate(self, expr: Negate) -> Value:
        value = self.value(expr.expr)
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector), kind(expr)
        return distinct(Vector(drop_name(value.labels), -value.values, value.present))

    def _binary(self, expr: Binary) -> Value:
        left, right = self.value(expr.lhs), self.value(expr.rhs)
        match left, right:
            case Scalar(), Scalar():
                return binary.scalars(expr.op, left, right)
            case Vector(), Scalar():
                return binary.vector_scalar(expr.op, left, right, False, expr.return_bool)
            case Scalar(), Vector():
                return binary.vector_scalar(expr.op, right, left, True, expr.return_bool)
            case Vector(), Vector():
                assert expr.matching is not None
                return binary.vector_vector(expr.op, left, right, expr.matching, expr.return_bool)
        raise AssertionError((left, right))

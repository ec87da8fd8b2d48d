"""From plan to answer: one walk over the tree, each node evaluated for all series and all steps at once."""

from dataclasses import dataclass

import numpy as np

from promql import binary
from promql.aggregate import aggregate
from promql.annotations import Annotations
from promql.columns import Columns, Floats, Int64s, Mask, Source
from promql.digested import over_digests
from promql.errors import EXECUTION, PromqlError
from promql.functions import FUNCTIONS
from promql.grid import Grid
from promql.holding import PAIRED, SAMPLE, SELECTED, VALUE, WINDOWED, Hold, Holding, unheld
from promql.instant import mapped
from promql.match import matches
from promql.once import Once, wholes
from promql.plan import Aggregate, At, Binary, Call, Expr, Negate, Number, Select, Subquery, Text, Window, kind
from promql.pushed import GridSource, over_grid, pushable
from promql.reads import LOOKBACK_MS, SUBQUERY_STEP_MS, at_ms, first_step, selector_of, selectors
from promql.result import Matrix, Result, Scalar, String, Vector
from promql.series import distinct, drop_name, prune
from promql.sets import SETS, sets
from promql.steps import invariant
from promql.tiers import RowSource, latest, over_rows
from promql.windows import Check, Windows, is_stale, repeated, samples_of, unchecked, without_stale

__all__ = [
    "LOOKBACK_MS",
    "MAX_CELLS",
    "Annotations",
    "Matrix",
    "Result",
    "Scalar",
    "String",
    "Vector",
    "evaluate",
    "matches",
    "selectors",
]

# Series times steps of one node: 400 MB for each of the few arrays it takes. Prometheus's limit of samples.
MAX_CELLS = 50_000_000

Value = Vector | Scalar | String | Windows


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a whole evaluation. start_ms, end_ms: the query's, for @ start() and @ end()."""

    start_ms: int
    end_ms: int
    subquery_step_ms: int
    max_cells: int
    check: Check
    holding: Holding


def evaluate(
    expr: Expr,
    source: Source,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    lookback_ms: int = LOOKBACK_MS,
    *,
    annotations: Annotations | None = None,
    subquery_step_ms: int = SUBQUERY_STEP_MS,
    max_cells: int = MAX_CELLS,
    tier: RowSource | None = None,
    grids: GridSource | None = None,
    check: Check = unchecked,
    hold: Hold = unheld,
) -> Result:
    """Return the value of a plan at start, start + step, … up to end; an instant query has start = end.

    Times are ms since 1970 UTC. Series present at no step are left out. annotations: collects warnings and infos.
    subquery_step_ms: of subqueries that name no step. max_cells: most series times steps of any node, subqueries
    included. tier: the rows that all selectors are answered from instead of source, where promql.tiers.answerable says
    that they can be. grids: what computes range functions where the samples are (promql.pushed). check: called for each
    node and each chunk of work, hold: with the bytes that its arrays take, about; what they raise ends the evaluation.
    A range selector alone gives a Matrix; the caller allows it at one step only. Raises PromqlError EXECUTION.
    """
    grid = Grid(start_ms, end_ms, step_ms, lookback_ms)
    limits = Limits(start_ms, end_ms, subquery_step_ms, max_cells, check, Holding(hold))
    notes = Annotations() if annotations is None else annotations
    once = Once(source, wholes(expr, start_ms, end_ms, step_ms, lookback_ms))
    # NaN and Inf are ordinary values here.
    evaluation = _Evaluation(once, grid, limits, notes, tier, grids)
    with np.errstate(all="ignore"):
        value = evaluation.value(expr)
    if isinstance(value, Windows):
        return Matrix(value.trimmed())
    if not isinstance(value, Vector):
        return value
    value = prune(value)
    # `or` and count_values give more series than were selected.
    evaluation.allow(len(value.labels))
    return value


@dataclass(slots=True)
class _Evaluation:
    """The evaluation of a grid, the query's or a subquery's."""

    source: Once
    grid: Grid
    limits: Limits
    notes: Annotations
    tier: RowSource | None = None
    grids: GridSource | None = None

    def value(self, expr: Expr) -> Value:
        """Return the value; what @ makes the same at every step is evaluated once."""
        self.limits.check()
        self.allow(1)
        if self.grid.size > 1 and invariant(expr):
            at = self.grid.start_ms
            once = self._on(Grid(at, at, 0, self.grid.lookback_ms))._value(expr)
            self.allow(_rows(once), SELECTED)
            return repeated(once, self.grid.size)
        return self._value(expr)

    def _value(self, expr: Expr) -> Value:  # noqa: PLR0911 - one arm per node
        match expr:
            case Number():
                return Scalar(np.full(self.grid.size, expr.value))
            case Text():
                return String(expr.value)
            case Select():
                return self._select(expr)
            case Window():
                columns = without_stale(self._columns(expr.select, expr.range_ms))
                return self._cut(columns, expr.range_ms, expr.select.offset_ms, expr.select.at, WINDOWED)
            case Subquery():
                return self._subquery(expr)
            case Call():
                return self._call(expr)
            case Aggregate():
                return self._aggregate(expr)
            case Negate():
                return self._negate(expr)
            case Binary():
                return self._binary(expr)

    def _on(self, grid: Grid) -> "_Evaluation":
        return _Evaluation(self.source, grid, self.limits, self.notes, self.tier, self.grids)

    def allow(self, series: int, cell: int = VALUE) -> None:
        """Raise PromqlError if so many series are too many for the grid; cell: bytes that each of their steps takes."""
        if series * self.grid.size > self.limits.max_cells:
            raise PromqlError(
                EXECUTION,
                f"query processing would load too many samples into memory: {series} series at {self.grid.size} steps, "
                f"more than {self.limits.max_cells} values",
            )
        self.limits.holding.need(series * self.grid.size * cell)

    def _steps(self, at: At) -> Grid:
        """Return when a selector or subquery is evaluated; with @ there is but one step, see value()."""
        if at is None:
            return self.grid
        time = at_ms(at, self.limits.start_ms, self.limits.end_ms)
        return Grid(time, time, 0, self.grid.lookback_ms)

    def _columns(self, select: Select, range_ms: int) -> Columns:
        steps = self._steps(select.at)
        return self.source.select(selector_of(select, steps.start_ms, steps.last_ms, range_ms))

    def _cut(self, columns: Columns, range_ms: int, offset_ms: int, at: At, cell: int) -> Windows:
        self.allow(len(columns.labels), cell)
        return Windows.cut(columns, self._steps(at), range_ms, offset_ms, self.limits.check)

    def _newest(self, select: Select) -> tuple[Columns, Int64s, Mask]:
        """Return the samples, the index of the newest within the lookback of each step, and where there is one."""
        columns = self._columns(select, self.grid.lookback_ms)
        windows = self._cut(columns, self.grid.lookback_ms, select.offset_ms, select.at, SELECTED)
        newest = np.where(windows.some, windows.high - 1, 0)
        if not len(columns.values):
            return columns, newest, windows.some
        # A staleness marker as the newest sample ends the series, however recent the one before it.
        return columns, newest, windows.some & ~is_stale(columns.values)[newest]

    def _select(self, select: Select, of_time: bool = False) -> Vector:
        if self.tier is not None:
            return latest(select, self.tier, self.grid)
        columns, newest, present = self._newest(select)
        values: Floats = columns.timestamps / 1000 if of_time else columns.values
        if not len(values):
            return Vector([], np.zeros((0, self.grid.size)), np.zeros((0, self.grid.size), np.bool_))
        return prune(Vector(columns.labels, values[newest], present))

    def _subquery(self, expr: Subquery) -> Windows:
        steps = self._steps(expr.at)
        step_ms = expr.step_ms or self.limits.subquery_step_ms
        first = first_step(steps.start_ms - expr.offset_ms - expr.range_ms, step_ms)
        last = steps.last_ms - expr.offset_ms
        value = Vector([], np.zeros((0, 0)), np.zeros((0, 0), np.bool_))
        times = np.zeros(0, np.int64)
        if first <= last:
            grid = Grid(first, last, step_ms, self.grid.lookback_ms)
            inner, times = self._on(grid).value(expr.expr), grid.times()
            assert isinstance(inner, Vector), kind(expr.expr)
            value = inner
        with self.limits.holding.beside(value.values.size * (VALUE + SAMPLE)):
            return self._cut(samples_of(value, times), expr.range_ms, expr.offset_ms, expr.at, WINDOWED)

    def _call(self, expr: Call) -> Value:
        match expr.args:
            case (Select() as select,) if expr.function == "timestamp":
                steps = self._steps(select.at)
                times = self._on(steps)._select(select, of_time=True)
                return repeated(mapped(times, times.values), self.grid.size // steps.size)
            case (Window() as window,) if self.tier is not None:
                return over_rows(expr.function, window, self.tier, self.grid, self.notes, self.limits.check)
            case (Number() as level, Window() as window) if self.tier is not None:
                return over_digests(level, window, self.tier, self.grid, self.notes)
            case (Window() as window,) if self.grids is not None and pushable(expr.function, window, self.grid):
                pushed = over_grid(expr.function, window, self.grids, self.grid)
                if pushed is not None:
                    return pushed
        function = FUNCTIONS[expr.function]
        arguments = [self.value(arg) for arg in expr.args]
        notes = {"notes": self.notes} if function.annotates else {}
        value = function.apply(self.grid, *arguments, **notes)
        if expr.labels and isinstance(value, Vector):
            return Vector([dict(expr.labels)], value.values, value.present)
        return value

    def _aggregate(self, expr: Aggregate) -> Vector:
        param = None if expr.param is None else self.value(expr.param)
        assert param is None or isinstance(param, Scalar | String), expr.op
        vector, check = self._vector(expr.expr), self.limits.check
        return aggregate(expr.op, vector, param, expr.labels, expr.without, self.notes, self.allow, check)

    def _vector(self, expr: Expr) -> Vector:
        value = self.value(expr)
        assert isinstance(value, Vector), kind(expr)
        return value

    def _negate(self, expr: Negate) -> Value:
        value = self.value(expr.expr)
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Vector), kind(expr)
        return distinct(Vector(drop_name(value.labels), -value.values, value.present))

    def _binary(self, expr: Binary) -> Value:
        left = self.value(expr.lhs)
        with self.limits.holding.beside(_rows(left) * self.grid.size * VALUE):
            right = self.value(expr.rhs)
        match left, right:
            case Scalar(), Scalar():
                return binary.scalars(expr.op, left, right)
            case Vector(), Scalar():
                return binary.vector_scalar(expr.op, left, right, False, expr.return_bool)
            case Scalar(), Vector():
                return binary.vector_scalar(expr.op, right, left, True, expr.return_bool)
            case Vector(), Vector():
                assert expr.matching is not None
                check = self.limits.check
                if expr.op in SETS:
                    self.limits.holding.need((len(left.labels) + len(right.labels)) * self.grid.size * PAIRED)
                    return sets(expr.op, left, right, expr.matching, check)
                return binary.vector_vector(
                    expr.op, left, right, expr.matching, expr.return_bool, lambda rows: self.allow(rows, PAIRED), check
                )
        raise AssertionError((left, right))


def _rows(value: Value) -> int:
    match value:
        case Vector():
            return len(value.labels)
        case Windows():
            return len(value.columns.labels)
    return 1

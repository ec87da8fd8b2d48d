"""Selectors and range functions answered by the rows of a rollup tier, exactly, where windows are unions of the tier's.

The tier's windows are (start, start + width], left-open as a range selector's, so that (t - range, t] is a number of
whole rows when t, range and offset are multiples of the width. What rows cannot tell (resets, quantiles, a subquery)
is not asked of them: see answerable(). Rows know neither NaN samples nor staleness markers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from promql.annotations import Annotations
from promql.columns import NAME, Columns, Floats, Int64s, Labels, Mask, Selector
from promql.grid import Grid
from promql.plan import Aggregate, Binary, Call, Expr, Negate, Number, Select, Text, Window, children
from promql.rate import Edges, extrapolated
from promql.result import Vector
from promql.series import distinct, drop_name, prune
from promql.windows import Check, Windows, unchecked

Cells = tuple[Floats, Mask]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of S series, N in all, laid out as the samples of Columns.

    ends: int64 [N], ms, where each row's window ends, rising within a series. fields: the columns asked for, [N] each;
    first_ts and last_ts in ms.
    """

    labels: list[Labels]
    offsets: Int64s
    ends: Int64s
    fields: Mapping[str, npt.NDArray[np.float64]]
    digests: "Digests | None" = None


@dataclass(frozen=True, slots=True)
class Digests:
    """Serialized digests of N rows, end to end: row i owns states[boundaries[i]:boundaries[i + 1]], in bytes."""

    states: npt.NDArray[np.uint8]
    boundaries: Int64s


class RowSource(Protocol):
    """Where a tier's rows come from. width_ms: of its windows."""

    width_ms: int

    def rows(self, selector: Selector, fields: frozenset[str]) -> Rows:
        """Return the rows of all matching series whose windows end in (start_ms, end_ms] of the selector.

        fields may name `digest`: it then comes as `digests`.
        """
        ...

    def quantiles(self, digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
        """Return the quantile, [C], of each group of digests of the rows [low, high), none of them empty."""
        ...


@dataclass(frozen=True, slots=True)
class Rolled:
    """The rows of every (series, step): windows over them by their ends."""

    windows: Windows
    fields: Mapping[str, Floats]
    digests: Digests | None = None

    def reduced(self, ufunc: np.ufunc, name: str) -> Floats:
        """Return the ufunc reduced over a field of each window's rows, [S, T]."""
        return self.windows.reduce(ufunc, self.fields[name])

    def first(self, name: str, where: Mask) -> Floats:
        """Return a field of each window's first row, 0 elsewhere."""
        return self.windows.take(self.fields[name], self.windows.low, where)

    def last(self, name: str, where: Mask) -> Floats:
        """Return a field of each window's last row, 0 elsewhere."""
        return self.windows.take(self.fields[name], self.windows.high - 1, where)

    @property
    def some(self) -> Mask:
        """Which windows hold a row: no row is without a sample."""
        return self.windows.some


def _mean(rolled: Rolled) -> Cells:
    count = rolled.reduced(np.add, "count")
    total = rolled.reduced(np.add, "sum")
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0), rolled.some


def _change(rolled: Rolled, counter: bool) -> Cells:
    windows = rolled.windows
    count = rolled.reduced(np.add, "count")
    present = count >= 2
    edges = Edges(
        count,
        rolled.first("first", present),
        rolled.last("last", present),
        rolled.first("first_ts", present),
        rolled.last("last_ts", present),
        windows.start_ms,
        windows.end_ms,
    )
    change = _grown(rolled) if counter else edges.last - edges.first
    return extrapolated(edges, change, present, counter)


def _grown(rolled: Rolled) -> Floats:
    """Return what a counter gained within the rows of each window and from one to the next; a fall is a reset."""
    first, last = rolled.fields["first"], rolled.fields["last"]
    step = np.zeros(len(first))
    step[1:] = first[1:] - last[:-1]
    step = np.where(step < 0, first, step)
    # A window's first row has no row before it; rows of other series are never in one window.
    between = rolled.windows.reduce(np.add, step, low=rolled.windows.low + 1)
    return rolled.reduced(np.add, "increase") + between


def _rate(rolled: Rolled) -> Cells:
    values, present = _change(rolled, counter=True)
    return values / ((rolled.windows.end_ms - rolled.windows.start_ms) / 1000), present


@dataclass(frozen=True, slots=True)
class Tiered:
    """A range function by rows: the fields it reads, and what it makes of them."""

    fields: frozenset[str]
    compute: Callable[[Rolled], Cells]
    keep_name: bool = False
    of_counters: bool = False


_EDGES = frozenset({"count", "first", "last", "first_ts", "last_ts"})

TIERED: Mapping[str, Tiered] = {
    "avg_over_time": Tiered(frozenset({"count", "sum"}), _mean),
    "count_over_time": Tiered(frozenset({"count"}), lambda rolled: (rolled.reduced(np.add, "count"), rolled.some)),
    "delta": Tiered(_EDGES, lambda rolled: _change(rolled, counter=False)),
    "increase": Tiered(_EDGES | {"increase"}, lambda rolled: _change(rolled, counter=True), of_counters=True),
    "last_over_time": Tiered(
        frozenset({"last"}), lambda rolled: (rolled.last("last", rolled.some), rolled.some), keep_name=True
    ),
    "max_over_time": Tiered(frozenset({"max"}), lambda rolled: (rolled.reduced(np.fmax, "max"), rolled.some)),
    "min_over_time": Tiered(frozenset({"min"}), lambda rolled: (rolled.reduced(np.fmin, "min"), rolled.some)),
    "present_over_time": Tiered(frozenset({"count"}), lambda rolled: (rolled.some.astype(np.float64), rolled.some)),
    "rate": Tiered(_EDGES | {"increase"}, _rate, of_counters=True),
    "sum_over_time": Tiered(frozenset({"sum"}), lambda rolled: (rolled.reduced(np.add, "sum"), rolled.some)),
}

_NEWEST = frozenset({"last", "last_ts"})


def answerable(expr: Expr, width_ms: int, start_ms: int, step_ms: int) -> bool:
    """Tell whether rows of windows of width_ms answer the plan exactly at start, start + step, … (step 0: at start)."""
    if start_ms % width_ms or step_ms % width_ms:
        return False
    return _reads(expr) and _answers(expr, width_ms)


def _reads(expr: Expr) -> bool:
    return isinstance(expr, Select) or any(_reads(child) for child in children(expr))


def _answers(expr: Expr, width_ms: int) -> bool:
    match expr:
        case Number() | Text():
            return True
        case Select():
            return expr.at is None and expr.offset_ms % width_ms == 0
        case (
            Call(args=(Window() as window,)) | Call(function="quantile_over_time", args=(Number(), Window() as window))
        ):
            return (expr.function in TIERED or len(expr.args) > 1) and _whole(window, width_ms)
        case Call(function="timestamp"):
            return False
        case Call() | Aggregate() | Binary() | Negate():
            return all(_answers(child, width_ms) for child in children(expr))
    return False


def _whole(window: Window, width_ms: int) -> bool:
    select = window.select
    return window.range_ms % width_ms == 0 and select.offset_ms % width_ms == 0 and select.at is None


def over_rows(function: str, window: Window, source: RowSource, grid: Grid, notes: Annotations, check: Check) -> Vector:
    """Return a range function of a selector, by rows; answerable() must have said that it can be."""
    tiered = TIERED[function]
    rolled = cut_rows(window.select, window.range_ms, source, grid, tiered.fields, check)
    labels = rolled.windows.columns.labels
    values, present = tiered.compute(rolled)
    if tiered.of_counters:
        for row in np.flatnonzero(present.any(axis=1)).tolist():
            notes.counter(labels[row].get(NAME, ""))
    return distinct(Vector(labels if tiered.keep_name else drop_name(labels), values, present))


def latest(select: Select, source: RowSource, grid: Grid) -> Vector:
    """Return an instant selector by rows: the last sample within the lookback."""
    wide = -(-grid.lookback_ms // source.width_ms) * source.width_ms
    rolled = cut_rows(select, wide, source, grid, _NEWEST)
    old = rolled.last("last_ts", rolled.some) <= rolled.windows.end_ms - grid.lookback_ms
    values = rolled.last("last", rolled.some)
    return prune(Vector(rolled.windows.columns.labels, values, rolled.some & ~old))


def cut_rows(
    select: Select, range_ms: int, source: RowSource, grid: Grid, fields: frozenset[str], check: Check = unchecked
) -> Rolled:
    """Return the rows of a selector, cut into the windows of the grid's steps."""
    start, end = grid.start_ms - select.offset_ms - range_ms, grid.last_ms - select.offset_ms
    rows = source.rows(Selector(select.metric, select.matchers, start, end), fields)
    columns = Columns(rows.labels, rows.offsets, rows.ends, np.empty(0))
    return Rolled(Windows.cut(columns, grid, range_ms, select.offset_ms, check), rows.fields, rows.digests)

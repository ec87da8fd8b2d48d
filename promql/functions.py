"""The functions of PromQL that are supported, by name. Adding one means writing it and adding its line here.

They are those that Prometheus 3.5 answers without a feature flag, less those of native histograms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from promql import absent, changes, dates, histogram, instant, instantaneous, over_time, rate, regression, relabel
from promql.annotations import Annotations
from promql.columns import NAME, Floats, Mask
from promql.grid import Grid
from promql.plan import Kind
from promql.result import Scalar, Vector
from promql.series import distinct, drop_name
from promql.windows import Windows

Apply = Callable[..., Vector | Scalar]


@dataclass(frozen=True, slots=True)
class Function:
    """kind: what it returns. apply(grid, *arguments): a matrix comes as Windows, a vector as Vector, and so on.

    annotates: apply takes the Annotations of the evaluation as well, by the name of notes.
    """

    kind: Kind
    apply: Apply
    annotates: bool = False


def _range(compute: Callable[[Windows], tuple[Floats, Mask]], keep_name: bool = False) -> Function:
    def apply(grid: Grid, windows: Windows) -> Vector:
        labels = windows.columns.labels
        return distinct(Vector(labels if keep_name else drop_name(labels), *compute(windows)))

    return Function("vector", apply)


def _each(compute: Callable[[Floats], Any]) -> Function:
    return Function("vector", lambda grid, vector: instant.mapped(vector, compute(vector.values)))


def _counter(compute: Callable[[Windows], tuple[Floats, Mask]]) -> Function:
    plain = _range(compute)

    def apply(grid: Grid, windows: Windows, notes: Annotations) -> Vector | Scalar:
        for row in np.flatnonzero((windows.count >= 2).any(axis=1)).tolist():
            notes.counter(windows.columns.labels[row].get(NAME, ""))
        return plain.apply(grid, windows)

    return Function("vector", apply, annotates=True)


def _quantile_over_time(grid: Grid, level: Scalar, windows: Windows, notes: Annotations) -> Vector:
    notes.levels(level.values[windows.some.any(axis=0)])
    values, present = over_time.quantile_over_time(windows, level.values)
    return distinct(Vector(drop_name(windows.columns.labels), values, present))


def _predict_linear(grid: Grid, windows: Windows, seconds: Scalar) -> Vector:
    values, present = regression.predict_linear(windows, seconds.values, grid.times())
    return distinct(Vector(drop_name(windows.columns.labels), values, present))


FUNCTIONS: dict[str, Function] = {
    "absent_over_time": Function("vector", absent.absent_over_time),
    "avg_over_time": _range(over_time.avg_over_time),
    "changes": _range(changes.changes),
    "count_over_time": _range(over_time.count_over_time),
    "delta": _range(rate.delta),
    "deriv": _range(regression.deriv),
    "idelta": _range(instantaneous.idelta),
    "increase": _counter(rate.increase),
    "irate": _range(instantaneous.irate),
    "last_over_time": _range(over_time.last_over_time, keep_name=True),
    "max_over_time": _range(over_time.max_over_time),
    "min_over_time": _range(over_time.min_over_time),
    "predict_linear": Function("vector", _predict_linear),
    "present_over_time": _range(over_time.present_over_time),
    "quantile_over_time": Function("vector", _quantile_over_time, annotates=True),
    "rate": _counter(rate.rate),
    "resets": _range(changes.resets),
    "stddev_over_time": _range(over_time.stddev_over_time),
    "stdvar_over_time": _range(over_time.stdvar_over_time),
    "sum_over_time": _range(over_time.sum_over_time),
    "histogram_fraction": Function("vector", histogram.histogram_fraction, annotates=True),
    "histogram_quantile": Function("vector", histogram.histogram_quantile, annotates=True),
    "label_join": Function("vector", relabel.label_join),
    "label_replace": Function("vector", relabel.label_replace),
    "absent": Function("vector", absent.absent),
    "abs": _each(np.abs),
    "acos": _each(np.arccos),
    "acosh": _each(np.arccosh),
    "asin": _each(np.arcsin),
    "asinh": _each(np.arcsinh),
    "atan": _each(np.arctan),
    "atanh": _each(np.arctanh),
    "ceil": _each(np.ceil),
    "cos": _each(np.cos),
    "cosh": _each(np.cosh),
    "deg": _each(instant.degrees),
    "exp": _each(np.exp),
    "floor": _each(np.floor),
    "ln": _each(np.log),
    "log10": _each(np.log10),
    "log2": _each(np.log2),
    "rad": _each(instant.radians),
    "sgn": _each(instant.sign),
    "sin": _each(np.sin),
    "sinh": _each(np.sinh),
    "sqrt": _each(np.sqrt),
    "tan": _each(np.tan),
    "tanh": _each(np.tanh),
    "clamp": Function("vector", instant.clamp),
    "clamp_max": Function("vector", instant.clamp_max),
    "clamp_min": Function("vector", instant.clamp_min),
    "round": Function("vector", instant.round_to),
    "sort": Function("vector", instant.sort),
    "sort_desc": Function("vector", instant.sort_desc),
    "timestamp": Function("vector", instant.timestamp),
    "vector": Function("vector", instant.vector_of),
    **{name: Function("vector", dates.part(name)) for name in dates.PARTS},
    "pi": Function("scalar", instant.pi),
    "scalar": Function("scalar", instant.scalar),
    "time": Function("scalar", instant.time),
}

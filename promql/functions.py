"""The functions of PromQL that are supported, by name. Adding one means writing it and adding its line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from promql import changes, instant, instantaneous, over_time, rate, regression
from promql.columns import Floats, Mask
from promql.grid import Grid
from promql.plan import Kind
from promql.result import Scalar, Vector
from promql.series import distinct, drop_name
from promql.windows import Windows

Apply = Callable[..., Vector | Scalar]


@dataclass(frozen=True, slots=True)
class Function:
    """kind: what it returns. apply(grid, *arguments): a matrix comes as Windows, a vector as Vector, and so on."""

    kind: Kind
    apply: Apply


def _range(compute: Callable[[Windows], tuple[Floats, Mask]], keep_name: bool = False) -> Function:
    def apply(grid: Grid, windows: Windows) -> Vector:
        labels = windows.columns.labels
        return distinct(Vector(labels if keep_name else drop_name(labels), *compute(windows)))

    return Function("vector", apply)


def _each(compute: Callable[[Floats], Any]) -> Function:
    return Function("vector", lambda grid, vector: instant.mapped(vector, compute(vector.values)))


def _quantile_over_time(grid: Grid, level: Scalar, windows: Windows) -> Vector:
    values, present = over_time.quantile_over_time(windows, level.values)
    return distinct(Vector(drop_name(windows.columns.labels), values, present))


def _predict_linear(grid: Grid, windows: Windows, seconds: Scalar) -> Vector:
    values, present = regression.predict_linear(windows, seconds.values, grid.times())
    return distinct(Vector(drop_name(windows.columns.labels), values, present))


FUNCTIONS: dict[str, Function] = {
    "avg_over_time": _range(over_time.avg_over_time),
    "changes": _range(changes.changes),
    "count_over_time": _range(over_time.count_over_time),
    "delta": _range(rate.delta),
    "deriv": _range(regression.deriv),
    "idelta": _range(instantaneous.idelta),
    "increase": _range(rate.increase),
    "irate": _range(instantaneous.irate),
    "last_over_time": _range(over_time.last_over_time, keep_name=True),
    "max_over_time": _range(over_time.max_over_time),
    "min_over_time": _range(over_time.min_over_time),
    "predict_linear": Function("vector", _predict_linear),
    "present_over_time": _range(over_time.present_over_time),
    "quantile_over_time": Function("vector", _quantile_over_time),
    "rate": _range(rate.rate),
    "resets": _range(changes.resets),
    "stddev_over_time": _range(over_time.stddev_over_time),
    "stdvar_over_time": _range(over_time.stdvar_over_time),
    "sum_over_time": _range(over_time.sum_over_time),
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
    "deg": _each(np.degrees),
    "exp": _each(np.exp),
    "floor": _each(np.floor),
    "ln": _each(np.log),
    "log10": _each(np.log10),
    "log2": _each(np.log2),
    "rad": _each(np.radians),
    "sgn": _each(np.sign),
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
    "vector": Function("vector", instant.vector_of),
    "pi": Function("scalar", instant.pi),
    "scalar": Function("scalar", instant.scalar),
    "time": Function("scalar", instant.time),
}

"""How table samples keeps a value: as digits and a divisor, in half the bytes that its float would take.

A value of few decimals is digits / divisor: one division of IEEE 754, of two numbers that floats hold exactly, gives
the float that such decimals are read as. Any other keeps its bits in digits, with divisor 0. The value comes back bit
by bit, which is checked here for each. ClickHouse then packs differences of neighbours (Delta, T64); it has no codec of
floats that does. docs/sizing.md has what they take.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.columns import Int64s
from schemas.nan import Floats
from schemas.runs import first_of_run
from sinks.coded import coded

DIVISORS = (1, 100, 1000)
# Whole numbers up to here are floats.
_EXACT = 2.0**53
_NONE = len(DIVISORS)

_NEEDED = frozenset(("tenant", "metric", "series_id", "value"))

Divisors = npt.NDArray[np.uint16]


def stored(rows: pa.Table) -> pa.Table:
    """Return rows of table samples, sorted as it is, with their values as the table keeps them.

    What lacks a column that this needs is for ClickHouse to refuse.
    """
    if not _NEEDED.issubset(rows.column_names):
        return rows
    values = rows["value"].to_numpy()
    names = first_of_run(*(coded(rows[name])[1] for name in ("tenant", "metric")))
    digits, divisors = split(values, names | first_of_run(rows["series_id"].to_numpy()), names)
    kept = rows.drop_columns(["value"])
    return kept.append_column("digits", pa.array(digits)).append_column("divisor", pa.array(divisors))


def split(values: Floats, series: npt.NDArray[np.bool_], names: npt.NDArray[np.bool_]) -> tuple[Int64s, Divisors]:
    """Return (digits, divisors) of values [N]. series, names: which rows begin another series, another metric.

    Differences of neighbours are small only where they have one divisor. So those of a metric have the largest that one
    of them needs, and all of a series' run are bits if one is: it will hardly be the last one. What is no number, as a
    stale marker, and -0 decide nothing.
    """
    whole, fits = _scaled(values, 1)
    if fits.all():
        return whole.astype(np.int64), np.ones(len(values), np.uint16)
    starts = np.flatnonzero(series)
    needs = np.where(np.isfinite(values) & (values != 0), _needs(values, fits), 0)
    most = np.maximum.reduceat(needs, starts)
    metrics = np.flatnonzero(names[starts])
    largest = np.maximum.reduceat(np.where(most < _NONE, most, 0), metrics)
    chosen = np.repeat(largest, np.diff(np.append(metrics, len(starts))))
    by_run = np.where(most < _NONE, np.array(DIVISORS)[chosen], 0)
    divisors = np.repeat(by_run, np.diff(np.append(starts, len(values)))).astype(np.uint16)
    scaled, fits = _scaled(values, divisors)
    digits = np.where(fits, scaled, 0).astype(np.int64)
    return np.where(fits, digits, values.view(np.int64)), np.where(fits, divisors, 0).astype(np.uint16)


def _needs(values: Floats, whole: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return the place of the first divisor that does for each value, _NONE if none; whole: the first one does."""
    needs = np.where(whole, 0, _NONE).astype(np.uint8)
    for place, divisor in enumerate(DIVISORS[1:], 1):
        left = np.flatnonzero(needs == _NONE)
        needs[left[_scaled(values[left], divisor)[1]]] = place
    return needs


def _scaled(values: Floats, divisors: int | Divisors) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the digits as floats, and of which values they are; of none where the divisor is 0."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # Adding 0 makes 0 of -0, whose sign digits cannot hold.
        digits = np.rint(values * divisors) + 0.0
        same = (digits / divisors).view(np.int64) == values.view(np.int64)
    return digits, same & (np.abs(digits) <= _EXACT) & (divisors != 0)

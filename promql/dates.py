"""Parts of a date, UTC: the functions hour, minute, month, year, day_of_* and days_in_month."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from promql.columns import Floats, Int64s
from promql.grid import Grid
from promql.instant import mapped, time, vector_of
from promql.result import Vector

# numpy counts dates in int64 days; beyond that there is no calendar.
_LIMIT_S = 9e18
Days = npt.NDArray[np.datetime64]


def _months(days: Days) -> Days:
    return days.astype("M8[M]")


def _count(dates: Days) -> Int64s:
    """Return days since 1970 of dates of any unit: of months and years their first day."""
    return dates.astype("M8[D]").astype(np.int64)


def _day_of_month(seconds: Int64s, days: Days) -> Int64s:
    return _count(days) - _count(_months(days)) + 1


def _day_of_year(seconds: Int64s, days: Days) -> Int64s:
    return _count(days) - _count(days.astype("M8[Y]")) + 1


def _days_in_month(seconds: Int64s, days: Days) -> Int64s:
    months = _months(days)
    return _count(months + 1) - _count(months)


def _day_of_week(seconds: Int64s, days: Days) -> Int64s:
    # 1970 began on a Thursday; Sunday is 0.
    return (days.astype(np.int64) + 4) % 7


def _month(seconds: Int64s, days: Days) -> Int64s:
    return _months(days).astype(np.int64) % 12 + 1


def _year(seconds: Int64s, days: Days) -> Int64s:
    return days.astype("M8[Y]").astype(np.int64) + 1970


def _hour(seconds: Int64s, days: Days) -> Int64s:
    return seconds // 3600 % 24


def _minute(seconds: Int64s, days: Days) -> Int64s:
    return seconds // 60 % 60


PARTS: dict[str, Callable[[Int64s, Days], Int64s]] = {
    "day_of_month": _day_of_month,
    "day_of_week": _day_of_week,
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
    "hour": _hour,
    "minute": _minute,
    "month": _month,
    "year": _year,
}


def part(name: str) -> Callable[..., Vector]:
    """Return the function of that name: of the values, seconds since 1970, or of the evaluation time without any."""

    def apply(grid: Grid, vector: Vector | None = None) -> Vector:
        vector = vector_of(grid, time(grid)) if vector is None else vector
        return mapped(vector, _part(name, vector.values))

    return apply


def _part(name: str, values: Floats) -> Floats:
    known = np.abs(values) < _LIMIT_S
    seconds = np.where(known, values, 0).astype(np.int64)
    found = PARTS[name](seconds, (seconds // 86400).astype("M8[D]"))
    return np.where(known, found, np.nan)

"""What a query answers: S series over T steps."""

from dataclasses import dataclass

from promql.columns import Columns, Floats, Labels, Mask


@dataclass(frozen=True, slots=True)
class Vector:
    """labels: S maps. values: float64 [S, T]. present: bool [S, T]; where it is false the value means nothing."""

    labels: list[Labels]
    values: Floats
    present: Mask


@dataclass(frozen=True, slots=True)
class Scalar:
    """values: float64 [T]."""

    values: Floats


@dataclass(frozen=True, slots=True)
class String:
    """A string, the same at every step."""

    value: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """The samples of a range selector asked for as such, at one time; staleness markers are gone."""

    columns: Columns


Result = Vector | Scalar | String | Matrix

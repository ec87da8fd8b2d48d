"""Runs of equal rows in columns: where each begins and ends."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.nan import Mask


def first_of_run(*columns: npt.NDArray[Any]) -> Mask:
    """Tell which rows differ from the one before in a column; the first does. At least one column, all (N,)."""
    found = np.ones(len(columns[0]), dtype=bool)
    found[1:] = _apart(columns)
    return found


def last_of_run(*columns: npt.NDArray[Any]) -> Mask:
    """Tell which rows differ from the one behind in a column; the last does. At least one column, all (N,)."""
    found = np.ones(len(columns[0]), dtype=bool)
    found[:-1] = _apart(columns)
    return found


def _apart(columns: tuple[npt.NDArray[Any], ...]) -> Mask:
    apart: Mask = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        apart |= column[1:] != column[:-1]
    return apart

"""Names as codes: lists of names brought together, so that columns of several frames share one list."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.integer[Any]]


def united(lists: Iterable[Sequence[str]]) -> tuple[list[str], list[Codes]]:
    """Return all names sorted, and for each list the position of its names among them."""
    lists = list(lists)
    names = sorted({name for one in lists for name in one})
    place = {name: code for code, name in enumerate(names)}
    return names, [np.array([place[name] for name in one], dtype=np.uint32) for one in lists]

"""Samples as the evaluator takes them: flat arrays with offsets per series, and the protocol that delivers them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Labels = dict[str, str]
Matcher = tuple[str, str, str]

NAME = "__name__"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which samples: metric ("" if no `=` fixes it), other matchers (name, op, value), start < ts <= end in ms."""

    metric: str
    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Samples of S series, N in all.

    labels: S maps, __name__ included, no empty values, all different. offsets: int64 [S + 1]; series i owns
    [offsets[i], offsets[i + 1]). timestamps: int64 [N], ms, strictly rising within a series. values: float64 [N],
    staleness markers included with their bits.
    """

    labels: list[Labels]
    offsets: Int64s
    timestamps: Int64s
    values: Floats


def runs(low: Int64s, sizes: Int64s) -> Int64s:
    """Return the places low, low + 1, … of every run, one run after the other; low, sizes: one a run."""
    before = np.cumsum(sizes) - sizes
    places: Int64s = np.arange(sizes.sum()) + np.repeat(low - before, sizes)
    return places


def rows_of(columns: Columns, rows: npt.NDArray[np.intp], low: Int64s, high: Int64s) -> Columns:
    """Return some series, each with its samples [low, high); low and high are int64 [S], of all series."""
    sizes = (high - low)[rows]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    samples = runs(low[rows], sizes)
    return Columns([columns.labels[row] for row in rows], offsets, columns.timestamps[samples], columns.values[samples])


class Source(Protocol):
    """Where samples come from."""

    def select(self, selector: Selector) -> Columns:
        """Return all samples of all series that match; samples outside the selector's time are allowed but wasted."""
        ...

"""The samples of every (series, step) as ranges into flat columns: what all range functions work on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from promql.columns import Columns, Floats, Int64s, Mask, rows_of, runs
from promql.grid import Grid
from promql.result import Scalar, String, Vector

# Prometheus, model/value/value.go. A quiet NaN of the FPU never has these bits.
STALE_BITS = 0x7FF0000000000002
# How many samples a chunk of expanded windows may hold: 4 MB of float64, and several times that on the way.
CHUNK = 1 << 19
# How many samples are reduced at once, which takes no memory: about 50 ms.
STRETCH = 1 << 26

# What an evaluation calls as it goes on. It raises where nobody waits for the answer any more.
Check = Callable[[], None]
Indices = npt.NDArray[np.intp]
Number = TypeVar("Number", np.int64, np.float64)


def unchecked() -> None:
    """Let an evaluation go on to its end."""


def is_stale(values: Floats) -> Mask:
    """Tell which samples are staleness markers."""
    mask: Mask = values.view(np.uint64) == STALE_BITS
    return mask


def without_stale(columns: Columns) -> Columns:
    """Return the columns less their staleness markers; range functions never see those."""
    stale = is_stale(columns.values)
    if not stale.any():
        return columns
    before = np.concatenate([[0], np.cumsum(stale)])
    return Columns(
        columns.labels,
        columns.offsets - before[columns.offsets],
        columns.timestamps[~stale],
        columns.values[~stale],
    )


def ends(columns: Columns, first_ms: int, step_ms: int, size: int) -> Int64s:
    """Return int64 [S, T]: the flat index behind the last sample of series s with timestamp <= first + t * step.

    One pass counts the samples per (series, step they first belong to); the sums of those counts are the
    indices. That is linear in samples + cells, where a search would pay a logarithm per cell.
    """
    series = len(columns.labels)
    owner = np.repeat(np.arange(series, dtype=np.int64), np.diff(columns.offsets))
    step = max(step_ms, 1)
    first_step = np.clip(-((first_ms - columns.timestamps) // step), 0, size)
    counts = np.bincount(owner * (size + 1) + first_step, minlength=series * (size + 1))
    within = np.cumsum(counts.reshape(series, size + 1)[:, :size], axis=1)
    result: Int64s = within + columns.offsets[:-1, None]
    return result


@dataclass(frozen=True)
class Windows:
    """Left-open windows (start, end] of S series at T steps over flat samples.

    low, high: int64 [S, T], samples [low, high) of the columns. start_ms, end_ms: int64 [T]. check: called for each
    chunk of windows: they overlap, so that their samples may be many times those of the columns.
    """

    columns: Columns
    low: Int64s
    high: Int64s
    start_ms: Int64s
    end_ms: Int64s
    check: Check = unchecked

    @classmethod
    def cut(cls, columns: Columns, grid: Grid, range_ms: int, offset_ms: int, check: Check = unchecked) -> "Windows":
        """Return the windows (t - offset - range, t - offset] of every step of the grid."""
        first, step, size = grid.start_ms - offset_ms, grid.step_ms, grid.size
        end_ms = grid.times() - offset_ms
        if step > 0 and range_ms % step == 0 and range_ms // step <= size:
            # Windows begin where others end: one pass for both.
            shift = range_ms // step
            edges = ends(columns, first - range_ms, step, size + shift)
            low, high = edges[:, :size], edges[:, shift:]
        else:
            low, high = ends(columns, first - range_ms, step, size), ends(columns, first, step, size)
        return cls(columns, low, high, start_ms=end_ms - range_ms, end_ms=end_ms, check=check)

    @cached_property
    def count(self) -> Int64s:
        """Samples per window, int64 [S, T]."""
        return self.high - self.low

    @property
    def some(self) -> Mask:
        """Which windows hold a sample."""
        mask: Mask = self.count > 0
        return mask

    def trimmed(self) -> Columns:
        """Return the samples of the first step's windows, series without any left out."""
        low, high = self.low[:, 0], self.high[:, 0]
        return rows_of(self.columns, np.flatnonzero(high > low), low, high)

    def take(self, values: npt.NDArray[Number], at: Int64s, present: Mask) -> npt.NDArray[Number]:
        """Return values[at] where present and 0 elsewhere, [S, T]."""
        if not len(values):
            return np.zeros(at.shape, values.dtype)
        out = values.take(at, mode="clip")
        out[~present] = 0
        return out

    def reduce(self, ufunc: np.ufunc, values: Floats, low: Int64s | None = None) -> Floats:
        """Return the ufunc reduced over each window, [S, T]; empty windows give 0. low may raise the windows' start."""
        low = self.low if low is None else low
        out = np.zeros(low.shape, values.dtype)
        some = self.high > low
        if some.any():
            # reduceat takes [a, b) for every even entry; the odd ones, [b, next a), are thrown away.
            bounds = np.stack([low[some], self.high[some]], axis=1)
            padded = np.append(values, values[-1:])
            parts = self._parts(bounds[:, 1] - bounds[:, 0], STRETCH)
            out[some] = np.concatenate([ufunc.reduceat(padded, bounds[part].reshape(-1))[::2] for part in parts])
        return out

    def chunks(self, least: int = 1) -> Iterator[tuple[Indices, Indices, Indices]]:
        """Yield (cells, sizes, samples) for the windows of at least `least` samples, chunk by chunk.

        cells: flat positions in [S, T]. sizes: samples per cell. samples: the flat samples of all cells, one
        cell after the other. For functions that reduceat cannot express.
        """
        cells = np.flatnonzero(self.count.reshape(-1) >= least)
        sizes = self.count.reshape(-1)[cells]
        low = self.low.reshape(-1)[cells]
        for part in self._parts(sizes, CHUNK):
            yield cells[part], sizes[part], runs(low[part], sizes[part])

    def _parts(self, sizes: Int64s, most: int) -> Iterator[slice]:
        """Yield slices of windows of these sizes, of one window or of so many samples at most."""
        if 0 < sizes.max(initial=0) * len(sizes) <= most:
            # Nearly always, and then sums would be a tenth of the work.
            self.check()
            yield slice(None)
            return
        total = np.cumsum(sizes)
        start = 0
        while start < len(sizes):
            self.check()
            done = total[start - 1] if start else 0
            stop = max(int(np.searchsorted(total, done + most, side="right")), start + 1)
            yield slice(start, stop)
            start = stop


def samples_of(vector: Vector, times: Int64s) -> Columns:
    """Return a vector's values at the times, [T] ms, as samples: what a subquery makes of an expression."""
    rows, steps = np.nonzero(vector.present)
    offsets = np.concatenate([[0], np.cumsum(vector.present.sum(axis=1))]).astype(np.int64)
    return Columns(vector.labels, offsets, times[steps], vector.values[rows, steps])


def repeated(value: Vector | Scalar | String | Windows, size: int) -> Vector | Scalar | String | Windows:
    """Return a value of one step as that of `size` steps."""
    match value:
        case Vector():
            return Vector(value.labels, np.repeat(value.values, size, axis=1), np.repeat(value.present, size, axis=1))
        case Scalar():
            return Scalar(np.repeat(value.values, size))
        case Windows():
            low, high = np.repeat(value.low, size, axis=1), np.repeat(value.high, size, axis=1)
            start_ms, end_ms = np.repeat(value.start_ms, size), np.repeat(value.end_ms, size)
            return Windows(value.columns, low, high, start_ms, end_ms, value.check)
    return value

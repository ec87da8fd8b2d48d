"""Whether what came out is what went in: exact comparison of columns with the oracle. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import oracle
from bench.hosts import Workload
from schemas.columns import Int64s, UInt64s
from schemas.ids import series_id
from schemas.nan import Floats

Columns = Mapping[str, npt.NDArray[Any]]

EXACT = ("min", "max", "first", "last")


@dataclass(frozen=True, slots=True)
class Generated:
    """All hosts' data side by side: metrics and ids (N,), values (rows, N)."""

    metrics: npt.NDArray[np.str_]
    ids: UInt64s
    timestamps: Int64s
    values: Floats

    @classmethod
    def of(cls, load: Workload) -> "Generated":
        """Return the workload's data; 8 bytes a sample."""
        hosts = [load.host(host) for host in range(load.sources)]
        series = [one for listed, _ in hosts for one in listed]
        return cls(
            np.array([one.name for one in series]),
            np.array([series_id(load.tenant, one.name, one.labels) for one in series], dtype=np.uint64),
            load.timestamps,
            np.concatenate([values for _, values in hosts], axis=1),
        )

    def metric(self, name: str) -> "Generated":
        """Return the series of one metric, ordered by id."""
        mine = np.flatnonzero(self.metrics == name)
        mine = mine[np.argsort(self.ids[mine])]
        return Generated(self.metrics[mine], self.ids[mine], self.timestamps, self.values[:, mine])


def samples(expected: Generated, got: Columns) -> list[str]:
    """Return what is wrong with the rows (series_id, ts in ms, value) of one metric, ordered by (series_id, ts)."""
    count = expected.values.size
    if len(got["value"]) != count:
        return [f"{len(got['value'])} samples instead of {count}"]
    wrong = []
    ids = np.repeat(expected.ids, len(expected.timestamps))
    wrong += _differing("series_id", got["series_id"], ids)
    wrong += _differing("ts", got["ts"], np.tile(expected.timestamps, len(expected.ids)))
    wrong += _differing("value", got["value"], expected.values.T.reshape(-1))
    return wrong


def rollups(expected: Generated, got: Columns, window_ms: int) -> list[str]:
    """Return what is wrong with the rollup rows of one metric, ordered by (series_id, ts)."""
    rows = oracle.rollup(expected.timestamps, expected.values, window_ms)
    count = len(rows.windows) * len(expected.ids)
    if len(got["count"]) != count:
        return [f"{len(got['count'])} rollup rows instead of {count}"]

    def flat(columns: Floats) -> Floats:
        return columns.T.reshape(-1)

    wrong = _differing("series_id", got["series_id"], np.repeat(expected.ids, len(rows.windows)))
    wrong += _differing("ts", got["ts"], np.tile(rows.windows, len(expected.ids)))
    wrong += _differing("count", got["count"], np.full(count, rows.count, np.uint64))
    for name in EXACT:
        wrong += _differing(name, got[name], flat(getattr(rows, name)))
    wrong += _apart("sum", got["sum"], flat(rows.sum), flat(rows.sum_bound))
    squares = flat(rows.sum_sq)
    wrong += _apart("sum_sq", got["sum_sq"], squares, (rows.count + 1) * np.finfo(np.float64).eps * squares)
    wrong += _apart("increase", got["increase"], flat(rows.increase), flat(rows.increase_bound))
    by_window = rows.values.transpose(2, 0, 1).reshape(count, rows.count)
    return wrong + _digests(got["digest"], got["digest_offsets"], by_window)


def quantiles(values: Floats, levels: Sequence[float], got: Floats, bound: float) -> list[str]:
    """Return which quantiles are off; values (T, N), got (N, levels), bound: share of the ranks.

    An estimate is right if some rank within `bound` of the level has it: a value's own ranks span its repeats.
    """
    wrong = []
    rows = len(values)
    ordered = np.sort(values, axis=0)
    for column, level in enumerate(levels):
        low = ordered[max(0, int(np.floor((level - bound) * (rows - 1)))), :]
        high = ordered[min(rows - 1, int(np.ceil((level + bound) * (rows - 1)))), :]
        # Digests keep Float32.
        slack = np.abs(high) * np.finfo(np.float32).eps
        off = (got[:, column] < low - slack) | (got[:, column] > high + slack)
        if off.any():
            first = int(np.flatnonzero(off)[0])
            wrong.append(
                f"quantile {level}: {off.sum()} of {len(off)} series off, "
                f"first {got[first, column]} not in [{low[first]}, {high[first]}]"
            )
    return wrong


def _differing(name: str, got: npt.NDArray[Any], expected: npt.NDArray[Any]) -> list[str]:
    off = np.flatnonzero(got != expected)
    if not len(off):
        return []
    return [f"{name}: {len(off)} of {len(got)} rows differ, first {got[off[0]]} instead of {expected[off[0]]}"]


def _apart(name: str, got: Floats, expected: Floats, bound: Floats) -> list[str]:
    off = np.flatnonzero(~(np.abs(got - expected) <= bound))
    if not len(off):
        return []
    return [f"{name}: {len(off)} of {len(got)} rows off, first {got[off[0]]!r} instead of {expected[off[0]]!r}"]


def _digests(states: npt.NDArray[np.uint8], offsets: Int64s, values: Floats) -> list[str]:
    expected_offsets, means, weights = oracle.centroids(values)
    sizes = np.diff(expected_offsets)
    off = np.flatnonzero(np.diff(offsets) != 1 + 8 * sizes)
    if len(off):
        lengths = np.diff(offsets)
        return [f"digest: {len(off)} of {len(sizes)} rows of another length, first {lengths[off[0]]} bytes"]
    # Fewer than 128 centroids: the count is one byte.
    place = offsets[:-1].astype(np.int64)
    wrong = _differing("digest size", states[place], sizes.astype(np.uint8))
    body = np.ones(len(states), dtype=bool)
    body[place] = False
    pairs = states[body].view("<f4").reshape(-1, 2).astype(np.float64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    pairs = pairs[np.lexsort((pairs[:, 0], rows))]
    wrong += _differing("digest mean", pairs[:, 0], means)
    return wrong + _differing("digest weight", pairs[:, 1], weights)

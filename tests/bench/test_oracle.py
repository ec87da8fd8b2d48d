import numpy as np
import pytest

from bench.cpu import difference, parse_stat, seconds, snapshot
from bench.oracle import centroids, rollup

STAMPS = np.arange(6, dtype=np.int64) * 10_000 + 130_000


def test_one_window_by_hand() -> None:
    values = np.array([[5.0, 1], [7, 1], [9, 1], [2, 1], [3, 1], [4, 1]])
    row = rollup(STAMPS, values, 60_000)
    assert row.windows.tolist() == [120_000]
    assert row.count == 6
    assert row.sum.tolist() == [[30, 6]]
    assert row.sum_sq.tolist() == [[25 + 49 + 81 + 4 + 9 + 16, 6]]
    assert (row.min[0, 0], row.max[0, 0], row.first[0, 0], row.last[0, 0]) == (2, 9, 5, 4)
    assert row.increase.tolist() == [[2 + 2 + 2 + 1 + 1, 0]]  # 9 to 2 is a restart at 0


def test_windows_that_are_not_full_are_refused() -> None:
    with pytest.raises(ValueError, match="not all are full"):
        rollup(STAMPS + 10_000, np.zeros((6, 1)), 60_000)


def test_the_bound_holds_for_any_order() -> None:
    rng = np.random.default_rng(1)
    values = np.round(rng.uniform(0, 1e6, (6, 1000)), 2)
    row = rollup(STAMPS, values, 60_000)
    for _ in range(20):
        total = np.zeros(1000)
        for place in rng.permutation(6):
            total += values[place]
        assert (np.abs(total - row.sum[0]) <= row.sum_bound[0]).all()


def test_centroids_are_the_distinct_values() -> None:
    offsets, means, weights = centroids(np.array([[1.0, 1, 2], [3, 4, 5], [6, 6, 6]]))
    assert offsets.tolist() == [0, 3, 6, 9]
    assert means.tolist() == [1, 1, 2, 3, 4, 5, 6, 6, 6]
    assert weights.tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 1]


def stat(pid: int, parent: int, own: int, reaped: int) -> str:
    return f"{pid} (a (b) c) S {parent} " + "0 " * 9 + f"{own} 0 {reaped} 0 20 0"


def test_cpu_of_a_tree() -> None:
    lines = {1: (0, 1, 0), 10: (1, 100, 200), 11: (10, 300, 0), 12: (11, 400, 0), 20: (10, 5000, 0)}
    processes = {pid: parse_stat(stat(pid, *line)) for pid, line in lines.items()}
    tick = processes[10].own
    used = seconds({"broker": 10, "query": 20, "gone": 99}, processes)
    assert used == {"broker": pytest.approx(10 * tick), "query": pytest.approx(50 * tick), "gone": 0.0}


def test_cpu_of_this_process_grows() -> None:
    import os

    before = seconds({"me": os.getpid()}, snapshot())
    sum(number * number for number in range(1_000_000))
    used = difference(before, seconds({"me": os.getpid()}, snapshot()))
    assert 0 < used["me"] < 60

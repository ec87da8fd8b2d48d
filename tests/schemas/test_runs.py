from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.runs import first_of_run, last_of_run

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12)


@given(ROWS)
def test_runs_are_those_of_groupby(rows: list[tuple[int, int]]) -> None:
    ids, stamps = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    sizes = [len(list(run)) for _, run in groupby(rows)]
    ends = np.cumsum(sizes).astype(int).tolist()
    assert np.flatnonzero(first_of_run(ids, stamps)).tolist() == [
        end - size for end, size in zip(ends, sizes, strict=True)
    ]
    assert np.flatnonzero(last_of_run(ids, stamps)).tolist() == [end - 1 for end in ends]


def test_one_column_is_enough() -> None:
    column = np.array([7, 7, 8], dtype=np.uint64)
    assert first_of_run(column).tolist() == [True, False, True]
    assert last_of_run(column).tolist() == [False, True, True]

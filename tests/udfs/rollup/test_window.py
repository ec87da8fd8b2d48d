"""Window alignment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import Frame
from schemas.tiers import MINUTE
from udfs.rollup.window import split, start_of

MINUTE_MS = MINUTE.width_ms

STARTS = [
    (0, -60_000),
    (1, 0),
    (59_999, 0),
    (60_000, 0),
    (60_001, 60_000),
    (-60_000, -120_000),
    (1_700_000_012_345, 1_699_999_980_000),
]


@pytest.mark.parametrize(("stamp", "start"), STARTS)
def test_start(stamp: int, start: int) -> None:
    assert start_of(np.array([stamp]), MINUTE_MS).tolist() == [start]


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=20), st.booleans())
def test_a_split_loses_nothing_and_puts_all_where_it_belongs(stamps: list[int], sparse: bool) -> None:
    values = np.arange(len(stamps) * 2, dtype=float).reshape(-1, 2)
    index = None
    if sparse:
        values, index = values[:, 0], np.zeros(len(stamps), dtype=np.uint32)
    frame = Frame(
        "t", 0, ["m"], np.zeros(2, np.uint32), np.arange(2).astype(np.uint64), np.array(stamps), values, index
    )
    parts = list(split(frame, MINUTE_MS))
    assert [window for window, _ in parts] == sorted({(stamp - 1) // MINUTE_MS * MINUTE_MS for stamp in stamps})
    for window, part in parts:
        assert ((part.timestamps - 1) // MINUTE_MS * MINUTE_MS == window).all()
    gathered = np.sort(np.concatenate([part.values.reshape(-1) for _, part in parts]))
    assert gathered.tolist() == np.sort(values.reshape(-1)).tolist()

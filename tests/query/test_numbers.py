import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.numbers import text, texts


# As Go prints them: strconv.AppendFloat 'f' -1, 'e' below 1e-6 and from 1e21 on.
@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (1e9, "1000000000"),
        (1e15, "1000000000000000"),
        (123456789012345680.0, "123456789012345680"),
        (1.5e17, "150000000000000000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.25e300, "-1.25e+300"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (9.5e-7, "9.5e-07"),
        (5e-324, "5e-324"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_printed_as_go_prints_them(value: float, want: str) -> None:
    assert text(value) == want
    assert texts(np.array([value, 1.0])).to_pylist() == [want, "1"]


@given(st.lists(st.floats(), max_size=20))
def test_many_are_printed_as_one(values: list[float]) -> None:
    assert texts(np.array(values, np.float64)).to_pylist() == [text(value) for value in values]


@given(st.floats(allow_nan=False))
def test_what_is_printed_reads_back(value: float) -> None:
    assert float(text(value)) == value

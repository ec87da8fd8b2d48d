"""The bars of bench.gate: three are limits above, one below."""

from math import nan

import pytest

from bench.gate import missed

MET = {"us_a_sample": 0.1, "hit_over_not_hit": 1.2, "folding_over_not_hit": 1.2, "new_series_a_second": 50_000.0}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"us_a_sample": 0.05, "new_series_a_second": 90_000.0, "us_a_new_series": 99.0}, []),
        ({"us_a_sample": 0.11}, ["us_a_sample 0.11, at most 0.1"]),
        ({"new_series_a_second": 49_999.0}, ["new_series_a_second 49999.0, at least 50000"]),
        ({"hit_over_not_hit": nan, "folding_over_not_hit": 9.0}, ["hit_over_not_hit", "folding_over_not_hit"]),
    ],
)
def test_bars(changed: dict[str, float], words: list[str]) -> None:
    lines = missed(MET | changed)
    assert len(lines) == len(words)
    assert all(line.startswith(word) for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize("name", MET)
def test_a_figure_that_is_not_there_is_no_bar_met(name: str) -> None:
    assert len(missed({key: value for key, value in MET.items() if key != name})) == 1

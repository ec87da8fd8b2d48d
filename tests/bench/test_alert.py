"""What bench.alert makes of the firings that it heard."""

from typing import Any

import pytest

from bench.alert import answered, carried, firings_of, missed

# Of rules 1 and 2, at seconds.
CROSSINGS = [(1, 1000), (2, 2000), (1, 11_000), (2, 12_000)]


@pytest.mark.parametrize(
    ("firings", "came"),
    [
        ([], [None, None, None, None]),
        ([(1, 1000, 1500.0), (2, 3000, 3100.0)], [1500.0, 3100.0, None, None]),
        # Late: by its start it is of the first crossing; one before all of them is of an earlier step.
        ([(1, 2000, 13_000.0), (2, 12_000, 13_000.0), (1, 900, 1.0), (7, 2000, 1.0)], [13_000.0, None, None, 13_000.0]),
        # A second event of one crossing does not stand for another.
        ([(1, 2000, 2100.0), (1, 3000, 3100.0)], [2100.0, None, None, None]),
    ],
)
def test_each_crossing_has_its_firing(firings: list[tuple[int, int, float]], came: list[float | None]) -> None:
    assert firings_of(CROSSINGS, firings) == came


def step(waits: list[float | None]) -> dict[str, Any]:
    return {"rate": 7000.0, "waits": waits, "behind_s": 0.0}


@pytest.mark.parametrize(
    ("waits", "is_carried", "words"),
    [
        ([0.5] * 300, True, []),
        ([0.5] * 299 + [None], True, ["1 of 300 crossings"]),
        ([0.5] + [None] * 499, False, ["499 of 500 crossings"]),
        ([None] * 9, False, ["9 of 9 crossings"]),
        ([2.1] * 300, False, ["p99 2.10 s"]),
        ([2.1] * 200 + [1.0] * 100, True, ["p99 2.10 s"]),
        ([], False, ["nothing was sent"]),
    ],
)
def test_what_never_fired_counts(waits: list[float | None], is_carried: bool, words: list[str]) -> None:
    found = step(waits)
    assert carried(found) == is_carried
    assert len(answered(found)) == len([one for one in waits if one is not None])
    lines = missed(found)
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


def test_no_load_that_is_carried_is_a_missed_bar() -> None:
    assert missed(None) == ["no load was carried"]

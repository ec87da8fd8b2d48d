"""A coarser tier is what all its samples give at once; order and repeats of the finer rows do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rollups import Rollups
from schemas.tiers import MINUTE, TIERS
from tests.udfs.rollup.test_rows import SAMPLES as _ONE_MINUTE
from tests.udfs.rollup.test_rows import Sample, as_dicts, frame_of
from udfs.rollup.digest import decode
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

HOUR = TIERS[2].width_ms
SAMPLES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, HOUR - 1), st.integers(-50, 50).map(float)), min_size=1, max_size=80
)


def minutes_of(samples: list[Sample]) -> list[Rollups]:
    made = [rollup([frame], window) for window, frame in split(frame_of(samples), MINUTE.width_ms)]
    return [one for one in made if one is not None]


@given(SAMPLES)
@settings(max_examples=200)
def test_an_hour_of_minutes_is_the_hour_at_once(samples: list[Sample]) -> None:
    at_once = rollup([frame_of(samples)], 0)
    assert as_dicts(merge(minutes_of(samples), 0)) == as_dicts(at_once)


@given(SAMPLES)
def test_by_way_of_five_minutes_too(samples: list[Sample]) -> None:
    fives: dict[int, list[Rollups]] = {}
    for part in minutes_of(samples):
        fives.setdefault(part.window - part.window % 300_000, []).append(part)
    merged = [merge(parts, window) for window, parts in fives.items()]
    assert as_dicts(merge(merged, 0)) == as_dicts(merge(minutes_of(samples), 0))


@given(SAMPLES, st.randoms(use_true_random=False))
def test_order_and_repeats_of_rows_do_not_matter(samples: list[Sample], random: "np.random.Generator") -> None:
    parts = minutes_of(samples)
    mixed = [*parts, *parts[:2]]
    random.shuffle(mixed)  # type: ignore[arg-type]  # hypothesis gives a random.Random
    assert as_dicts(merge(mixed, 0)) == as_dicts(merge(parts, 0))


@given(_ONE_MINUTE.map(lambda samples: list({one[:2]: one for one in samples}.values())), st.integers(1, 10))
def test_of_two_rows_for_one_window_the_fuller_stands(samples: list[Sample], cut: int) -> None:
    full, partial = rollup([frame_of(samples)], 0), rollup([frame_of(samples[:cut])], 0)
    if full is None or partial is None:
        return
    both, alone = merge([full, partial], 0), merge([full], 0)
    np.testing.assert_array_equal(both.count, alone.count)
    np.testing.assert_array_equal(both.sum, alone.sum)
    np.testing.assert_array_equal(both.digest, alone.digest)


@pytest.mark.parametrize(
    ("minutes", "increase"),
    [
        ("10 20 | 30 40", 30.0),  # the step between the minutes counts
        ("10 20 | 5 15", 25.0),  # a reset between them: 10, then from 0 to 5, then 10
        ("10 | 10 | 10", 0.0),
        ("1 | | 4", 3.0),
    ],
)
def test_the_step_between_windows_is_part_of_increase(minutes: str, increase: float) -> None:
    samples = [
        (0, minute * 60_000 + place * 1000, float(value))
        for minute, values in enumerate(minutes.split("|"))
        for place, value in enumerate(values.split())
    ]
    assert merge(minutes_of(samples), 0).increase.tolist() == [increase]


def test_digests_of_many_values_are_merged_not_averaged() -> None:
    rng = np.random.default_rng(7)
    values = rng.lognormal(size=(60, 300))
    samples = [
        (0, minute * 60_000 + place * 200, float(value))
        for minute, row in enumerate(values)
        for place, value in enumerate(row)
    ]
    hour = merge(minutes_of(samples), 0)
    digest = decode(hour.digest.tobytes())
    assert digest.weights.sum() == values.size
    middle = np.searchsorted(np.cumsum(digest.weights), values.size / 2)
    assert digest.means[middle] == pytest.approx(np.median(values), rel=0.02)

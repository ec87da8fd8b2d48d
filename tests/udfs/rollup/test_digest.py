"""t-digests: ClickHouse's bytes, and an algebra in which order and grouping do not count."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.rollup.digest import (
    COARSE,
    COMPRESSION,
    Centroids,
    Floats,
    Int64s,
    UInt8s,
    compress,
    decode,
    encode,
    merge,
    of_values,
    quantiles,
)

VALUES = st.lists(st.floats(width=32, allow_nan=False) | st.integers(0, 9).map(float), min_size=1, max_size=400)
SEEDS = st.integers(0, 2**32)


def one(values: Floats) -> Centroids:
    return of_values(np.array([0, len(values)]), values)


def states_of(parts: list[Floats]) -> tuple[UInt8s, Int64s]:
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    states, boundaries = encode(of_values(offsets, np.concatenate(parts)))
    return states, boundaries.astype(np.int64)


def bytes_of(digest: Centroids) -> bytes:
    return encode(digest)[0].tobytes()


def cut(values: Floats, seed: int) -> list[Floats]:
    """Return the values shuffled, in a random number of parts."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.integers(0, len(values) + 1, rng.integers(0, 6)))
    return np.split(rng.permutation(values), places)


@given(VALUES, SEEDS)
def test_order_of_values_does_not_count(values: list[float], seed: int) -> None:
    column = np.array(values)
    assert bytes_of(one(np.random.default_rng(seed).permutation(column))) == bytes_of(one(column))


@given(VALUES, SEEDS)
def test_order_of_states_does_not_count(values: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Enough values that both tiers compress, some of them the same.
    parts = [np.append(part, rng.normal(0, 1, 300).round(2)) for part in cut(np.array(values), seed)]
    shuffled = [parts[place] for place in rng.permutation(len(parts))]
    owner = np.zeros(len(parts), dtype=np.int64)
    merged = [bytes_of(merge(*states_of(order), owner, 1, COARSE)) for order in (parts, shuffled)]
    assert merged[0] == merged[1]


@given(st.lists(st.sampled_from([place / 8 for place in range(COARSE)]), min_size=1, max_size=2000), SEEDS)
def test_few_distinct_values_merge_to_the_state_of_their_union(values: list[float], seed: int) -> None:
    column = np.array(values)
    parts = cut(column, seed)
    merged = merge(*states_of(parts), np.zeros(len(parts), dtype=np.int64), 1, COARSE)
    assert bytes_of(merged) == bytes_of(one(column))
    means, counts = np.unique(column, return_counts=True)
    held = [merged.weights[merged.means == mean].sum() for mean in means]
    assert held == counts.tolist()


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), SEEDS)
def test_series_and_groups_do_not_touch_each_other(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.choice([rng.integers(0, 9, size).astype(float), rng.normal(0, 1, size)]) for size in sizes]
    state, bounds = states_of(columns)
    alone = [bytes_of(one(column)) for column in columns]
    assert [state[a:b].tobytes() for a, b in pairwise(bounds)] == alone
    groups = np.sort(rng.integers(0, 4, len(sizes)))
    merged, places = encode(merge(state, bounds, groups, 5, COARSE))
    for group in range(5):
        own = [columns[place] for place in np.flatnonzero(groups == group)]
        apart = bytes_of(merge(*states_of(own), np.zeros(len(own), np.int64), 1, COARSE)) if own else b"\0"
        assert merged[places[group] : places[group + 1]].tobytes() == apart


@given(VALUES)
def test_a_state_read_and_written_is_the_same(values: list[float]) -> None:
    state = bytes_of(one(np.array(values)))
    assert bytes_of(decode(state)) == state


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16_384, 65_536])
def test_the_count_is_a_varuint(size: int) -> None:
    digest = Centroids(np.array([0, size]), np.arange(size, dtype=float), np.ones(size))
    state = bytes_of(digest)
    assert decode(state).means.tolist() == digest.means.tolist()
    assert state[0] == (size & 0x7F | (0x80 if size > 127 else 0))


def test_an_empty_digest_is_one_zero_byte() -> None:
    assert bytes_of(one(np.empty(0))) == b"\0"
    assert (
        merge(np.empty(0, np.uint8), np.zeros(1, np.int64), np.empty(0, np.int64), 3, COARSE).offsets.tolist()
        == [0] * 4
    )


def pair(mean: float, count: float) -> bytes:
    return b"\1" + np.array([mean, count], dtype="<f4").tobytes()


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"\x80",
        b"\x01",
        b"\x01" + b"\0" * 7,
        b"\0\0",
        b"\x80\x80\x80\x80\x80\x01",
        b"\x81\x80\x04" + pair(1, 1)[1:] * 65_537,
        b"\x81\x80\x80\x3f" + pair(1, 1)[5:],
        pair(np.nan, 1),
        pair(1, 0),
        pair(1, -1),
        pair(1, 1.5),
        pair(1, np.nan),
        pair(1, np.inf),
        pair(1, 2.0**41),
    ],
)
def test_what_is_no_state_is_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="digest state"):
        decode(state)
    good = pair(1, 1)
    both = np.frombuffer(good + state, dtype=np.uint8)
    with pytest.raises(ValueError, match="digest state"):
        merge(both, np.array([0, len(good), len(both)]), np.array([0, 0]), 1, COARSE)


@pytest.mark.parametrize(
    ("boundaries", "groups"),
    [
        ([], []),
        ([0], []),
        ([1, 18], [0]),
        ([0, 9], [0]),
        ([0, 9, 9, 18], [0, 0, 0]),
        ([0, 9, 18], [0]),
        ([0, 9, 18], [1, 0]),
        ([0, 9, 18], [-1, 0]),
        ([0, 9, 18], [0, 2]),
    ],
)
def test_boundaries_and_groups_must_fit(boundaries: list[int], groups: list[int]) -> None:
    states = np.frombuffer(pair(1, 1) * 2, dtype=np.uint8)
    with pytest.raises(ValueError, match="digest states"):
        merge(states, np.array(boundaries, dtype=np.int64), np.array(groups, dtype=np.int64), 2, COARSE)


def test_minimum_and_maximum_stay_exact() -> None:
    values = np.random.default_rng(2).normal(0, 1, 200_000).astype(np.float32).astype(np.float64)
    states = states_of(np.split(values, 10))
    for digest in (one(values), merge(*states, np.zeros(10, dtype=np.int64), 1, COARSE)):
        assert (digest.means[0], digest.weights[0]) == (values.min(), 1)
        assert (digest.means[-1], digest.weights[-1]) == (values.max(), 1)
        assert len(digest.means) < 1.2 * COMPRESSION
        assert digest.weights.sum() == len(values)


def test_a_repeated_value_has_its_ends_cut_off() -> None:
    digest = one(np.array([0, 0, 0, 0, 0, 7, 7, 100.0]))
    assert digest.means.tolist() == [0, 0, 0, 7, 7, 100]
    assert digest.weights.tolist() == [1, 3, 1, 1, 1, 1]
    levels = np.array([0, 0.3, 0.6, 0.65, 0.85, 0.9, 1])
    assert quantiles(digest, levels).tolist() == [[0, 0, 0, 7, 7, 100, 100]]


def test_values_at_a_gap_stay_alone() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0, 1, 10_300), rng.normal(1e6, 1, 9_700)])
    digest = one(values)
    assert not ((digest.means > 10) & (digest.means < 1e6 - 10)).any()


def test_infinities_are_centroids() -> None:
    digest = one(np.concatenate([[np.inf, np.inf, -np.inf, 1e300], np.arange(500.0)]))
    assert digest.means[[0, -1]].tolist() == [-np.inf, np.inf]
    assert np.isfinite(digest.means[1:-3]).all()
    assert digest.weights[digest.means == np.inf].sum() == 3
    assert quantiles(digest, np.array([0, 0.5, 1]))[0, [0, 2]].tolist() == [-np.inf, np.inf]
    beside = of_values(np.array([0, 501, 502]), np.concatenate([np.arange(500.0), [np.inf, np.inf]]))
    assert beside.means[-2:].tolist() == [np.inf, np.inf]


def test_equal_means_are_united_exactly() -> None:
    digest = compress(Centroids(np.array([0, 3]), np.array([0.1, 0.1, 0.2]), np.array([1.0, 2, 4])))
    assert digest.means.tolist() == [0.1, 0.1, 0.1, 0.2]
    assert digest.weights.tolist() == [1, 1, 1, 4]


def test_an_empty_series_has_no_quantiles() -> None:
    got = quantiles(of_values(np.array([0, 0, 2, 2]), np.array([1.0, 3.0])), np.array([0.25, 0.75]))
    np.testing.assert_array_equal(got, np.array([[np.nan, np.nan], [1, 3], [np.nan, np.nan]]))


def test_both_zeros_are_one_value() -> None:
    assert bytes_of(one(np.array([-0.0, 0.0, -0.0]))) == bytes_of(one(np.zeros(3)))


def test_only_repeated_values_are_fenced() -> None:
    blend = Centroids(np.array([0, 2]), np.array([1.0, 2.0]), np.array([5.0, 5.0]))
    assert compress(blend).weights.tolist() == [5, 5]
    many = Centroids(np.array([0, 150]), np.arange(150.0), np.where(np.arange(150) == 70, 500.0, 1.0))
    assert (np.diff(compress(many).means) > 0).all()

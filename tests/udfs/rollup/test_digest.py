"""t-digests: ClickHouse's bytes, and the error that they may have."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.rollup.digest import COMPRESSION, Centroids, Floats, compress, decode, encode, merge_equal, of_values

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "uniform": lambda rng, n: rng.uniform(0, 1000, n),
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "pareto": lambda rng, n: rng.pareto(2, n),
    "bimodal": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(100, 1, n)),
    "constant": lambda rng, n: np.full(n, 7.0),
    "integers": lambda rng, n: rng.integers(0, 50, n).astype(float),
    "sorted": lambda rng, n: np.sort(rng.normal(0, 1, n)),
}


def quantile_rank(digest: Centroids, level: float) -> float:
    """Return the centroid at a level: where the cumulated weight passes it."""
    ends = np.cumsum(digest.weights)
    return float(digest.means[np.searchsorted(ends - digest.weights / 2, level * ends[-1]).clip(0, len(ends) - 1)])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize(("level", "bound"), [(0.5, 0.01), (0.95, 0.005), (0.99, 0.003)])
def test_rank_error_of_a_hundred_thousand_values(name: str, level: float, bound: float) -> None:
    values = DISTRIBUTIONS[name](np.random.default_rng(1), 100_000)
    digest = of_values(np.array([0, len(values)]), values)
    assert len(digest.means) <= COMPRESSION + 2
    assert digest.weights.sum() == len(values)
    answer = quantile_rank(digest, level)
    low, high = np.mean(values < answer - 1e-6), np.mean(values <= answer + 1e-6)
    assert low - bound <= level <= high + bound


def test_minimum_and_maximum_stay_exact() -> None:
    values = np.random.default_rng(2).normal(0, 1, 50_000).astype(np.float32).astype(np.float64)
    digest = of_values(np.array([0, len(values)]), values)
    assert (digest.means[0], digest.weights[0]) == (values.min(), 1)
    assert (digest.means[-1], digest.weights[-1]) == (values.max(), 1)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 2**32))
def test_series_do_not_touch_each_other(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, 9, size).astype(float) for size in sizes]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    state, bounds = encode(of_values(offsets, np.concatenate(columns)))
    for place, column in enumerate(columns):
        alone, _ = encode(of_values(np.array([0, len(column)]), column))
        assert state[bounds[place] : bounds[place + 1]].tobytes() == alone.tobytes()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16_384])
def test_the_count_is_a_varuint(size: int) -> None:
    digest = Centroids(np.array([0, size]), np.arange(size, dtype=float), np.ones(size))
    state, _ = encode(digest)
    again = decode(state.tobytes())
    assert again.means.tolist() == digest.means.tolist()
    assert state[0] == (size & 0x7F | (0x80 if size > 127 else 0))


def test_an_empty_digest_is_one_zero_byte() -> None:
    assert encode(of_values(np.array([0, 0]), np.empty(0)))[0].tobytes() == b"\0"


@pytest.mark.parametrize("state", [b"", b"\x80", b"\x01", b"\x01" + b"\0" * 7, b"\0\0", b"\x80\x80\x80\x80\x80\x01"])
def test_what_is_no_state_is_refused(state: bytes) -> None:
    with pytest.raises(ValueError, match="digest state"):
        decode(state)


def test_merging_keeps_weight_and_never_averages_equal_means_away() -> None:
    one = merge_equal(np.array([0, 4]), np.array([0.1, 0.1, 0.2, 0.1]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert one.means.tolist() == [float(np.float32(0.1)), float(np.float32(0.2))]
    assert one.weights.tolist() == [7.0, 3.0]
    assert compress(one) is one


def test_infinities_are_centroids() -> None:
    digest = of_values(np.array([0, 3]), np.array([np.inf, 1.0, -np.inf]))
    assert digest.means.tolist() == [-np.inf, 1.0, np.inf]

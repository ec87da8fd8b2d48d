"""Quantiles over time from digests: right within the bound that they state, and cached as they would be fresh."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.columns import Floats, Int64s
from promql.memory import MemoryRows
from promql.parse import parse
from promql.quantile import segment_quantiles
from promql.tiers import Digests
from query.blocks import Steps
from query.cache import NoCache
from query.completeness import Completeness
from query.digests import quantiles
from query.errors import QueryError
from query.memory import MemoryStore
from query.ranges import Ranges
from query.recent import Layered, Recent
from query.spent import Spent, begin
from query.view import DAY_MS
from schemas.tiers import Tier
from tests.query.test_guarantee import DictCache, body_of
from udfs.rollup.digest import encode, of_values

M, H = 60_000, 3_600_000
NOW = 1_800_000_000_000 // DAY_MS * DAY_MS
BOUNDS = {0.5: 0.005, 0.9: 0.005, 0.99: 0.001, 0.999: 0.0002}
KINDS = ("uniform", "normal", "lognormal", "few", "rising")


def drawn(kind: str, seed: int, size: int) -> Floats:
    rng = np.random.default_rng(seed)
    makers: dict[str, Callable[[], Floats]] = {
        "uniform": lambda: rng.uniform(0, 1, size),
        "normal": lambda: rng.normal(0, 1, size),
        "lognormal": lambda: rng.lognormal(0, 2, size),
        "few": lambda: rng.integers(0, 7, size).astype(np.float64),
        "rising": lambda: np.arange(size, dtype=np.float64),
    }
    made: Floats = makers[kind]()
    held: Floats = made.astype(np.float32).astype(np.float64)  # as digests hold means
    return held


def stored(values: Floats, sizes: list[int]) -> Digests:
    states, boundaries = encode(of_values(np.cumsum([0, *sizes]), values))
    return Digests(states, boundaries.astype(np.int64))


@given(st.sampled_from(KINDS), st.integers(0, 99), st.lists(st.integers(1, 400), min_size=1, max_size=30), st.data())
@settings(max_examples=150, deadline=None)
def test_merged_digests_are_right_within_the_bound(kind: str, seed: int, sizes: list[int], data: st.DataObject) -> None:
    values = drawn(kind, seed, sum(sizes))
    ends = np.cumsum([0, *sizes])
    low = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=5))
    high = [data.draw(st.integers(one + 1, len(sizes))) for one in low]
    level = data.draw(st.sampled_from(sorted(BOUNDS)))
    got = quantiles(stored(values, sizes), np.array(low), np.array(high), level)
    for value, first, last in zip(got, ends[low], ends[high], strict=True):
        held = np.sort(values[first:last])
        if len(held) <= 100:
            (want,) = segment_quantiles(held, np.array([len(held)]), np.array([level]))
            assert value == pytest.approx(want, rel=1e-12, abs=1e-12)
            continue
        # A value has the ranks of all its repeats. Of a few hundred or thousand values single ranks count as well
        # (docs/digest.md): one is the width of a sample's place, and three in 10,000 answers are off by up to one more.
        below, upto = np.searchsorted(held, value, "left"), np.searchsorted(held, value, "right")
        slack = BOUNDS[level] * len(held) + 3
        assert below - slack <= level * len(held) <= upto + slack


def test_windows_are_merged_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = stored(drawn("normal", 1, 4000), [100] * 40)
    low, high = np.arange(30), np.arange(30) + 10
    whole = quantiles(digests, low, high, 0.9)
    monkeypatch.setattr("query.digests.CHUNK", 25)
    assert quantiles(digests, low, high, 0.9).tolist() == whole.tolist()


class Coarse(MemoryRows):
    """Digests that are visibly not the samples."""

    def quantiles(self, digests: Digests, low: Int64s, high: Int64s, level: float) -> Floats:
        return super().quantiles(digests, low, high, level) + 1000


class Store(MemoryStore):
    def rolled(self, tenant: str, steps: int, tier: Tier) -> MemoryRows:
        return Coarse(super().rolled(tenant, steps, tier)._series, tier.width_ms)


def test_a_cached_quantile_knows_what_was_closed() -> None:
    store, recent = Store(), Recent(1 << 20)
    stamps = range(NOW - 40 * H, NOW - H, 10 * M)
    store.write("t", {"__name__": "m"}, [(at, float(at % 7)) for at in stamps], NOW)
    cached = Ranges(store, Layered(recent, DictCache()), 5 * M, 6 * M, tails=recent)
    plain = Ranges(store, NoCache(), 5 * M, 6 * M)
    steps = Steps(NOW - 40 * H, NOW, H)
    seen = set()
    for closed in (30, 20, 20, 10, 0):
        store.complete["t"] = Completeness(NOW - closed * H, 1, 1)
        text = "quantile_over_time(0.9, m[2h])"
        body = body_of(plain, text, steps, NOW)
        assert body_of(cached, text, steps, NOW) == body
        seen.add(body)
    assert len(seen) == 4


def test_the_answer_says_what_it_may_be_off_by() -> None:
    store = Store()
    store.write("t", {"__name__": "m"}, [(NOW - k * M, 1.0) for k in range(600)], NOW)
    store.complete["t"] = Completeness(NOW, 1, 1)
    answer = Ranges(store, NoCache(), 5 * M, 6 * M).answer(
        "t", parse("quantile_over_time(0.9, m[2h])"), Steps(NOW - 6 * H, NOW, H), NOW
    )
    assert [info.rpartition("[")[2] for info in answer.infos] == ["TG-digest-bound]"]


def test_merging_ends_with_the_time_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = stored(drawn("normal", 1, 4000), [100] * 40)
    low = np.arange(30)
    monkeypatch.setattr("query.digests.CHUNK", 25)
    # A second a look at the clock: the second piece is one too many.
    begin(Spent(2.5, map(float, itertools.count()).__next__))
    try:
        with pytest.raises(QueryError) as caught:
            quantiles(digests, low, low + 10, 0.9)
    finally:
        begin(None)
    assert caught.value.id == "TG-query-timeout"

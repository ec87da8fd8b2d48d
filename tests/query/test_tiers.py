"""Which tier answers, and that its answer is the one of the samples."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.columns import Selector
from promql.parse import parse
from promql.result import Scalar, Vector
from promql.series import signature
from query.blocks import Steps
from query.cache import NoCache
from query.chain import Chain
from query.clickhouse import ClickhouseStore
from query.completeness import Completeness
from query.memory import MemoryStore
from query.ranges import Ranges
from query.source import Limits
from query.tiers import chosen, short_infos
from query.view import DAY_MS, EVERYTHING, View
from schemas.batch import Series
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.retention import Class
from schemas.tiers import MINUTE, TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split, within

M, H = 60_000, 3_600_000
NOW = 1_800_000_000_000 // DAY_MS * DAY_MS
KEEPS = Class.model_validate({})  # raw 2 d, 1m 14 d, 5m 30 d, 1h 90 d, 1d 2 y
LIMITS = Limits(series=1000, samples=1_000_000, cells=1_000_000, timeout_s=20)

# query, days back to the first step and to the last, step, tiers
TABLE = [
    ("an hour at 15 s", "rate(m[5m])", 1 / 24, 0, 15_000, ()),
    ("a minute's step is raw's", "rate(m[5m])", 1 / 24, 0, M, ()),
    ("a day at 5 min", "rate(m[5m])", 1, 0, 5 * M, ("5m", "1m")),
    ("of a minute", "rate(m[1m])", 1, 0, 5 * M, ("1m",)),
    ("of an hour and more", "sum_over_time(m[2h])", 20, 0, H, ("1h", "5m")),
    ("of no whole minutes", "rate(m[90s])", 1, 0, 5 * M, ()),
    ("an instant selector", "m", 7, 0, 2 * H, ("1h", "1m")),
    ("a month at an hour", "rate(m[5m])", 29, 0, H, ("5m",)),
    ("a year", "max_over_time(m[1d])", 365, 0, DAY_MS, ("1d",)),
    ("older than raw, short steps", "rate(m[5m])", 4, 3, M, ("1m",)),
    ("older than minutes", "rate(m[5m])", 20, 19, 5 * M, ("5m",)),
    ("older than what can answer", "rate(m[5m])", 80, 79, H, ("5m",)),
    ("quantiles are in digests", "quantile_over_time(0.9, m[1h])", 7, 0, H, ("1h", "1m")),
    ("not on short ranges", "quantile_over_time(0.9, m[5m])", 1 / 24, 0, 15_000, ()),
    ("resets are not in rows", "resets(m[1h])", 7, 0, H, ()),
    ("neither are fixed times", "m @ 0", 7, 0, H, ()),
    ("nothing is read", "time()", 7, 0, H, ()),
]


@pytest.mark.parametrize(
    ("query", "first", "last", "step", "tiers"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_what_is_chosen(query: str, first: float, last: float, step: int, tiers: tuple[str, ...]) -> None:
    steps = Steps(NOW - int(first * DAY_MS), NOW - int(last * DAY_MS), step)
    assert tuple(tier.name for tier in chosen(parse(query), steps, 5 * M, NOW, KEEPS)) == tiers


def test_an_instant_is_raw_while_raw_has_it() -> None:
    def tiers(query: str, at: int) -> list[str]:
        return [tier.name for tier in chosen(parse(query), Steps(at, at, 1), 5 * M, NOW, KEEPS)]

    assert tiers("increase(m[1d])", NOW) == []
    assert tiers("increase(m[30d])", NOW) == ["1d", "5m"]
    assert tiers("increase(m[30d])", NOW + H) == ["1h", "5m"]
    assert tiers("increase(m[30d])", NOW + 1) == []


def test_what_is_gone_is_told() -> None:
    assert short_infos(NOW - DAY_MS, None, NOW, KEEPS) == []
    (raw,) = short_infos(NOW - 3 * DAY_MS, None, NOW, KEEPS)
    assert "raw is kept for 2 days" in raw
    assert "multiples of its width [TG-tier-kept]" in raw
    (tier,) = short_infos(NOW - 20 * DAY_MS, TIERS[0], NOW, KEEPS)
    assert tier == "1m is kept for 14 days (TIDEGAUGE_RETENTION), and earlier data are left out [TG-tier-kept]"


def cells(value: object) -> dict[object, list[float | None]]:
    assert isinstance(value, Vector)
    return {
        signature(labels): [float(v) if there else None for v, there in zip(one, present, strict=True)]
        for labels, one, present in zip(value.labels, value.values, value.present, strict=True)
    }


def alike(got: dict[object, list[float | None]], expected: dict[object, list[float | None]]) -> bool:
    def numbers(one: list[float | None]) -> list[float]:
        return [np.nan if value is None else value for value in one]

    return got.keys() == expected.keys() and all(
        np.allclose(numbers(got[key]), numbers(expected[key]), 1e-12, 1e-12, equal_nan=True) for key in got
    )


QUERIES = [
    "m",
    "rate(m[5m])",
    "sum(increase(m[10m]))",
    "max_over_time(m[5m] offset 5m)",
    "avg by (h) (m)",
    "m - on () group_left () min(m offset 10m)",
]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 240), st.integers(0, 99)), max_size=80),
    st.integers(-1, 130),
    st.sampled_from(QUERIES),
)
@settings(max_examples=150)
def test_tiers_and_samples_give_one_answer(found: list[tuple[int, int, int]], closed: int, query: str) -> None:
    store = MemoryStore()
    for host in range(3):
        mine = sorted({at * 30_000: float(value) for one, at, value in found if one == host}.items())
        store.write("t", {"__name__": "m", "h": str(host)}, [(NOW - 2 * H + at, value) for at, value in mine], NOW)
    if closed >= 0:
        store.complete["t"] = Completeness(NOW - 2 * H + closed * M, 1, 1)
    ranges = Ranges(store, NoCache(), 5 * M, 5 * M)
    steps = Steps(NOW - 2 * H, NOW, 5 * M)
    assert chosen(parse(query), steps, 5 * M, NOW, KEEPS)
    by_tiers = ranges.answer("t", parse(query), steps, NOW, EVERYTHING)
    by_samples = ranges.answer("t", parse(query), steps, NOW, View(late_data=True))
    assert alike(cells(by_tiers.value), cells(by_samples.value))


@pytest.mark.parametrize("query", ["scalar(m)", "time() - scalar(max(m))", "scalar(m) > bool 3"])
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_scalar_is_one_of_tiers_and_of_samples(query: str, closed: int) -> None:
    store = MemoryStore()
    store.write("t", {"__name__": "m"}, [(NOW - 2 * H + k * M, float(k)) for k in range(100)], NOW)
    store.complete["t"] = Completeness(NOW - 2 * H + closed * H, 1, 1)
    ranges, steps = Ranges(store, NoCache(), 5 * M, 5 * M), Steps(NOW - 2 * H, NOW, 5 * M)
    got = ranges.answer("t", parse(query), steps, NOW).value
    by_samples = ranges.answer("t", parse(query), steps, NOW, View(late_data=True)).value
    assert isinstance(got, Scalar) and isinstance(by_samples, Scalar)
    assert np.array_equal(got.values, by_samples.values, equal_nan=True)


@pytest.fixture(scope="module")
def store() -> Iterator[ClickhouseStore]:
    """Seven hours of three series as the jobs write them; two hours and ten minutes ago the last hour was closed."""
    apply(embedded.endpoint(), "default", "", "query_tiers")
    client = Clickhouse(embedded.endpoint(), database="query_tiers")
    rng = np.random.default_rng(7)
    start = begin()
    stamps = start + np.arange(1, 7 * 240 + 1, dtype=np.int64) * 15_000
    names = [Series("m", (("h", "a"), ("odd", "it's"))), Series("m", (("h", "b"),)), Series("n", (("h", "a"),))]
    ids = np.array([series_id("t", one.name, one.labels) for one in names], np.uint64)
    grown = np.cumsum(rng.integers(0, 9, (len(stamps), 3)), axis=0).astype(float)
    grown[800:] -= grown[800]  # a reset of all
    frame = Frame("t", 0, ["m", "n"], np.array([0, 0, 1], np.uint32), ids, stamps, grown)
    client.insert("series", rows.series("t", list(zip(ids.tolist(), names, strict=True)), start, int(stamps[-1])))
    client.insert("samples", rows.samples([frame]))
    made = [one for window, part in split(frame, M) if (one := rollup([part], window)) is not None]
    for tier in TIERS[:3]:
        if tier is not TIERS[0]:
            windows = sorted({within(one.window, tier.width_ms) for one in made})
            made = [merge([one for one in made if within(one.window, tier.width_ms) == w], w) for w in windows]
        closed = [one for one in made if one.window + tier.width_ms <= start + 7 * H - 20 * M]
        for one in closed:
            client.insert(tier.table, rows.rollup(one))
        last = max(one.window for one in closed)
        client.insert("completeness", rows.completeness("t", tier.name, last, np.array([1], np.uint64)))
    yield ClickhouseStore(client, LIMITS)
    client.close()


def begin() -> int:
    now = time.time_ns() // 1_000_000
    return now - now % H - 8 * H


@pytest.mark.parametrize(
    "query",
    [
        *QUERIES,
        "sum_over_time(n[1h])",
        'count_over_time({h="a"}[5m])',
        "rate(m[1h]) > 0",
        "last_over_time(m[5m])",
        "quantile_over_time(0.9, m[5m])",
    ],
)
def test_rows_of_clickhouse_answer_as_its_samples(store: ClickhouseStore, query: str) -> None:
    ranges = Ranges(store, NoCache(), 5 * M, 5 * M)
    steps = Steps(begin(), begin() + 7 * H + 30 * M, 5 * M if "1h" not in query else H)
    now = begin() + 8 * H
    tiers = chosen(parse(query), steps, 5 * M, now, KEEPS)
    assert tiers
    got = cells(ranges.answer("t", parse(query), steps, now, EVERYTHING).value)
    assert alike(got, cells(ranges.answer("t", parse(query), steps, now, View(late_data=True)).value))
    assert got
    # And it was they that answered.
    assert store.completeness("t", now, tiers[0]) is not None


def test_samples_make_the_digests_that_rows_have(store: ClickhouseStore) -> None:
    selector, minutes = Selector("m", (), begin(), begin() + 6 * H), store.rolled("t", 1, MINUTE)
    chain = Chain([(minutes, begin() + 3 * H)], store.source("t", 1))
    got, expected = (one.rows(selector, frozenset({"digest"})) for one in (chain, minutes))
    assert (got.labels, got.ends.tolist()) == (expected.labels, expected.ends.tolist())
    low = np.arange(0, len(got.ends), 30)
    for level in (0.5, 0.99):
        assert got.digests is not None and expected.digests is not None
        made = chain.quantiles(got.digests, low, low + 30, level)
        assert made.tolist() == minutes.quantiles(expected.digests, low, low + 30, level).tolist()

"""The window is a set of samples: what is appended in whatever order and how often, comes out once and sorted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from promql.columns import NAME, Selector
from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.nan import MISSING, STALE
from udfs.alert.source import WindowSource, _labels
from udfs.alert.window import CACHED_SERIES, Window, series_of

SERIES = [Series("up", (("host", name),)) for name in "abcd"]
IDS = np.array([series_id("acme", one.name, one.labels) for one in SERIES], np.uint64)

Sample = tuple[int, int, float]  # place in SERIES, timestamp, value

samples = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 6), st.sampled_from([0.0, 1.5, float("nan")])), max_size=20
)


def piece(rows: list[Sample], places: list[int] | None = None) -> Batch:
    places = list(range(len(SERIES))) if places is None else places
    return Batch(
        "acme",
        "test",
        0,
        encode_series_set(SERIES[place] for place in places),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([places.index(row[0]) for row in rows], np.uint32),
        IDS[places],
        0,
    )


def content(window: Window) -> set[tuple[str, int, int]]:
    """Return (host, timestamp, bits of the value), after checking what a window promises."""
    order = list(zip(window.codes.tolist(), window.timestamps.tolist(), strict=True))
    assert order == sorted(set(order))
    assert (np.diff(window.ids.astype(object)) > 0).all()
    assert set(window.codes.tolist()) == set(range(len(window.ids)))
    hosts = [dict(one.labels)["host"] for one in window.series]
    assert [series_id("acme", one.name, one.labels) for one in window.series] == window.ids.tolist()
    bits = window.values.view(np.uint64).tolist()
    return {(hosts[code], ts, bit) for (code, ts), bit in zip(order, bits, strict=True)}


@given(samples, samples, samples)
def test_append_is_a_union(first: list[Sample], second: list[Sample], third: list[Sample]) -> None:
    pieces = [piece(first), piece(second), piece(third)]
    empty = Window.empty("acme")
    one = content(empty.append(pieces))
    assert content(empty.append(pieces[::-1])) == one
    assert content(empty.append(pieces[:1]).append(pieces[1:]).append(pieces)) == one
    assert content(Window.decode(empty.append(pieces[:2]).encode()).append(pieces[2:])) == one
    assert {(host, ts) for host, ts, _ in one} == {("abcd"[place], ts) for place, ts, _ in first + second + third}


@given(samples, st.integers(0, 6))
def test_trim_leaves_what_is_newer(rows: list[Sample], floor: int) -> None:
    window = Window.empty("acme").append([piece(rows)])
    assert content(window.trim(floor)) == {one for one in content(window) if one[1] > floor}
    assert content(window.trim(floor).append([piece(rows)])) == content(window)


def test_staleness_markers_keep_their_bits_and_missing_cells_are_no_samples() -> None:
    cells = np.concatenate([STALE, MISSING, [1.0], MISSING])[np.newaxis, :]
    dense = Batch("acme", "t", 0, encode_series_set(SERIES), np.array([5]), cells, None, IDS, 0)
    stale = int(STALE.view(np.uint64)[0])
    window = Window.decode(Window.empty("acme").append([dense]).encode())
    assert content(window) == {("a", 5, stale), ("c", 5, int(np.array([1.0]).view(np.uint64)[0]))}


def test_sets_of_different_sources_are_united() -> None:
    window = Window.empty("acme").append([piece([(2, 1, 1.0)], [2, 0]), piece([(1, 1, 2.0), (3, 2, 3.0)], [3, 1])])
    assert {(host, ts) for host, ts, _ in content(window)} == {("c", 1), ("b", 1), ("d", 2)}


def test_a_source_selects_series_by_their_labels() -> None:
    window = Window.empty("acme").append([piece([(0, 1, 1.0), (1, 1, 2.0), (1, 2, 3.0), (3, 1, 4.0)])])
    source = WindowSource(window)
    some = source.select(Selector("up", (("host", "=~", "b|d"),), 0, 10))
    rows = {
        labels["host"]: some.values[low:high].tolist()
        for labels, low, high in zip(some.labels, some.offsets, some.offsets[1:], strict=False)
    }
    assert rows == {"b": [2.0, 3.0], "d": [4.0]}
    assert len(source.select(Selector("up", (), 0, 10)).labels) == 3
    assert source.select(Selector("up", (), 0, 10)).labels[0][NAME] == "up"
    none = source.select(Selector("down", (), 0, 10))
    assert none.labels == [] and none.offsets.tolist() == [0] and len(none.values) == 0


def test_decoded_sets_are_bounded_by_their_series_and_those_of_a_thousand_rules_stay() -> None:
    window = Window.empty("acme").append([piece([(0, 1, 1.0), (1, 1, 2.0), (3, 1, 4.0)])])
    for cache in (series_of, _labels):
        cache.cache_clear()
    for _ in range(2):
        WindowSource(window).select(Selector("up", (), 0, 10))
    for cache in (series_of, _labels):
        info = cache.cache_info()
        assert (info.misses, info.currsize) == (1, 4)
        assert info.maxsize == CACHED_SERIES > 1000 * (100 + 1)

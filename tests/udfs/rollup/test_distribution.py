"""Distributions against a slow, obvious reference; order, repeats, lateness and packing do not matter."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.distributions import Distributions
from schemas.frame import Frame
from schemas.tiers import MINUTE
from sinks.distributions import of_table, table_of
from tests.udfs.rollup.test_rows import as_dicts, frame_of, metric_of
from udfs.rollup import digest
from udfs.rollup.distribution import distinct, distributions, rollup
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup as roll_samples
from udfs.rollup.window import split

Entries = tuple[tuple[float, int], ...]  # (value, weight)
One = tuple[int, int, Entries]  # series id, ms, entries

VALUES = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6))
WEIGHTS = st.one_of(st.integers(1, 3), st.integers(1, 2**20))
ENTRIES = st.lists(st.tuples(VALUES, WEIGHTS), min_size=1, max_size=12)
STAMPS = st.integers(0, 59).map(lambda second: second * 1000)
ONES = st.lists(st.tuples(st.integers(0, 3), STAMPS, ENTRIES.map(tuple)), min_size=1, max_size=20)


def weighted(ones: list[One]) -> Frame:
    """Return one frame of distributions, its entries dealt out in turn."""
    ids = list(dict.fromkeys(series for series, _, _ in ones))
    metrics = list(dict.fromkeys(metric_of(series) for series in ids))
    turns = itertools.zip_longest(*([(s, t, *entry) for entry in entries] for s, t, entries in ones))
    flat = [entry for turn in turns for entry in turn if entry is not None]
    return Frame(
        "acme",
        0,
        metrics,
        np.array([metrics.index(metric_of(series)) for series in ids], dtype=np.uint32),
        np.array(ids, dtype=np.uint64),
        np.array([stamp for _, stamp, _, _ in flat], dtype=np.int64),
        np.array([value for _, _, value, _ in flat]),
        np.array([ids.index(series) for series, _, _, _ in flat], dtype=np.uint32),
        np.array([weight for _, _, _, weight in flat], dtype=np.uint32),
    )


def made(frames: list[Frame]) -> Distributions:
    found = distributions(frames)
    assert found is not None
    return found


def comparable(rows: Distributions) -> list[tuple[object, ...]]:
    bounds = itertools.pairwise(rows.digest_offsets.tolist())
    states = [rows.digest[begin:end].tobytes() for begin, end in bounds]
    numbers = (rows.series_ids, rows.timestamps, rows.count, rows.sum, rows.sum_sq, rows.min, rows.max, rows.version)
    names = [rows.metrics[code] for code in rows.metric_codes]
    return list(zip(names, *(column.tolist() for column in numbers), states, strict=True))


def rolled(rows: Distributions) -> str:
    # As text, since NaN is not itself.
    return repr(as_dicts(rollup(rows, 0)))


@given(ONES, st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_order_and_repeats_and_frames_do_not_matter(ones: list[One], random: object) -> None:
    once = made([weighted([one]) for one in ones])
    again = [(series, stamp, tuple(random.sample(entries, len(entries)))) for series, stamp, entries in [*ones, *ones]]  # type: ignore[attr-defined]  # hypothesis types its randoms as object
    random.shuffle(again)  # type: ignore[attr-defined]  # as above
    other = made([weighted([one]) for one in again])
    assert comparable(other) == comparable(once)
    assert rolled(other) == rolled(once)


@given(ONES, st.data())
@settings(max_examples=100)
def test_what_is_stored_in_pieces_is_what_came_at_once(ones: list[One], data: st.DataObject) -> None:
    whole = made([weighted([one]) for one in ones])
    pieces = [made([weighted([one])]) for one in data.draw(st.permutations(ones))]
    # As in the table: rows of several writes, repeats and superseded ones too.
    table = of_table(pa.concat_tables(map(table_of, pieces)).unify_dictionaries(), "acme")
    assert comparable(distinct(table)) == comparable(whole)
    assert rolled(table) == rolled(whole)


@given(ONES)
@settings(max_examples=100)
@example([(0, 0, ((1.0, 2),)), (0, 0, ((9.0, 1),)), (0, 1000, ((-2.0, 3),))])
def test_a_window_is_what_its_distributions_sum_to(ones: list[One]) -> None:
    kept: dict[tuple[int, int], Entries] = {}
    for series, stamp, entries in ones:
        old = kept.get((series, stamp))
        counts = [sum(weight for _, weight in each) for each in (entries, old or ())]
        if counts[0] == counts[1] and sorted(entries) != sorted(old or ()):
            return  # a hash decides: test_of_equal_counts_one_stands
        kept[series, stamp] = entries if counts[0] > counts[1] else old or entries
    rows = as_dicts(rollup(made([weighted([one]) for one in ones]), 0))
    assert set(rows) == {series for series, _ in kept}
    for series, row in rows.items():
        mine = {stamp: entries for (owner, stamp), entries in kept.items() if owner == series}
        values = np.array([value for entries in mine.values() for value, _ in entries])
        weights = np.array([weight for entries in mine.values() for _, weight in entries], dtype=float)
        assert row["count"] == weights.sum()
        scale = float(np.abs(values * weights).sum())
        assert row["sum"] == pytest.approx((values * weights).sum(), abs=1e-9 * scale)
        assert row["sum_sq"] == pytest.approx((values * values * weights).sum(), rel=1e-9)
        assert (row["min"], row["max"]) == (values.min(), values.max())
        assert (row["first_ts"], row["last_ts"]) == (min(mine), max(mine))
        assert {str(row[name]) for name in ("first", "last", "increase")} == {"nan"}
        assert row["metric"] == metric_of(series)


def test_of_equal_counts_one_stands_whatever_the_order() -> None:
    # Equal counts, sums, squares and ends: only the values tell them apart.
    one: One = (0, 0, tuple((float(v), 1) for v in (0, 1, 5, 6, 20)))
    two: One = (0, 0, tuple((float(v), 1) for v in (0, 2, 3, 7, 20)))
    seen = {comparable(made([weighted([first]), weighted([second])]))[0] for first, second in ((one, two), (two, one))}
    assert len(seen) == 1
    alone = [comparable(made([weighted([each])]))[0] for each in (one, two)]
    assert alone[0][:-2] == alone[1][:-2]
    assert seen == {max(alone, key=lambda row: row[-2])}  # type: ignore[arg-type, return-value]  # a column's value


@given(st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=90))
@settings(max_examples=100)
def test_many_values_of_weight_one_are_as_many_plain_samples(values: list[float]) -> None:
    plain = roll_samples([frame_of([(1, place, value) for place, value in enumerate(values)])], 0)
    assert plain is not None
    many = rollup(made([weighted([(1, 0, tuple((value, 1) for value in values))])]), 0)
    for name in ("count", "sum", "sum_sq", "min", "max", "series_ids"):
        np.testing.assert_array_equal(getattr(many, name), getattr(plain, name))
    levels = np.array([0.0, 0.25, 0.5, 0.99, 1.0])
    one, other = (digest.quantiles(digest.decode(rows.digest.tobytes()), levels) for rows in (plain, many))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_digest_of_values_is_within_the_bound_of_the_values() -> None:
    rng = np.random.default_rng(5)
    values = rng.lognormal(size=50_000)
    frames = []
    for second, part in enumerate(np.split(values, 50)):
        ready = digest.of_values(np.array([0, len(part)]), part)
        entries = zip(ready.means.tolist(), ready.weights.astype(int).tolist(), strict=True)
        frames.append(weighted([(1, second * 1000, tuple(entries))]))
    row = rollup(made(frames), 0)
    assert row.count.tolist() == [50_000]
    np.testing.assert_allclose(row.sum, values.sum(), rtol=1e-5)
    np.testing.assert_allclose([row.min[0], row.max[0]], [values.min(), values.max()], rtol=1e-6)
    hour = merge([row], 0)
    for level, bound in ((0.5, 0.005), (0.99, 0.001), (0.999, 0.0002)):
        found = digest.quantiles(digest.decode(hour.digest.tobytes()), np.array([level]))[0, 0]
        assert abs((values <= found).mean() - level) <= bound + 1 / len(values), level


def test_no_value_survives_the_coarser_tiers() -> None:
    ones: list[One] = [(1, 0, ((1.0, 3),)), (1, 61_000, ((2.0, 4), (5.0, 1)))]
    minutes = [rollup(made([part]), window) for window, part in split(weighted(ones), MINUTE.width_ms)]
    five = as_dicts(merge(minutes, 0))[1]
    assert (five["count"], five["sum"], five["sum_sq"], five["min"], five["max"]) == (8, 16.0, 44.0, 1.0, 5.0)
    assert {str(five[name]) for name in ("first", "last", "increase")} == {"nan"}
    assert repr(as_dicts(merge([merge(minutes, 0)], 0))) == repr(as_dicts(merge(minutes[::-1], 0)))


def test_more_than_a_centroid_holds_does_not_stop_the_tiers() -> None:
    heavy = made([weighted([(1, second * 1000, ((7.0, 2**32 - 1),))]) for second in range(60)])
    parts = [rollup(heavy, window * 60_000) for window in range(60)]
    day = merge([merge(parts, 0)], 0)
    assert day.count.tolist() == [3600 * (2**32 - 1)]
    assert digest.quantiles(digest.decode(day.digest.tobytes()), np.array([0.5])).tolist() == [[7.0]]


def test_numbers_beyond_the_types_become_infinite_without_a_word() -> None:
    row = rollup(made([weighted([(1, 0, ((1e308, 2**30), (-1e308, 2**30)))])]), 0)
    assert (row.count.tolist(), row.min.tolist(), row.max.tolist()) == ([2**31], [-1e308], [1e308])

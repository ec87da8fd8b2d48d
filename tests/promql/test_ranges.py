"""Range functions on random series, against the reference, and instant against range."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.columns import Columns, Selector
from promql.evaluate import Vector, evaluate
from promql.memory import MemorySource, Series
from promql.parse import parse
from schemas.nan import STALE, is_stale
from tests.promql.reference import NUMBERS, WITH_NAN, Samples, subquery, window

STALE_AT = -12345.0  # stands for the marker until the values are an array

values = st.one_of(st.integers(-5, 50).map(float), st.floats(-1e6, 1e6), st.just(STALE_AT))
odd_values = st.one_of(values, st.just(math.nan))


def all_series(one_value: st.SearchStrategy[float]) -> st.SearchStrategy[list[Series]]:
    sample = st.tuples(st.integers(0, 400), one_value)
    series = st.lists(sample, max_size=25, unique_by=lambda pair: pair[0]).map(sorted)
    return st.lists(series, min_size=1, max_size=4).map(lambda rows: [_series(i, row) for i, row in enumerate(rows)])


def _series(number: int, samples: Samples) -> Series:
    held = np.array([value for _, value in samples], np.float64)
    held[held == STALE_AT] = STALE
    return {"__name__": "m", "i": str(number)}, np.array([at * 1000 for at, _ in samples], np.int64), held


grids = st.tuples(st.integers(0, 200), st.integers(0, 12), st.integers(1, 60), st.integers(1, 200))


def check(text: str, series: list[Series], grid: tuple[int, int, int, int], table: dict[str, object]) -> None:
    start, steps, step, length = grid
    expr = parse(text.format(r=f"{length}s"))
    found = evaluate(expr, MemorySource(series), start * 1000, (start + steps * step) * 1000, step * 1000)
    assert isinstance(found, Vector)
    rows = {labels["i"]: row for row, labels in enumerate(found.labels)}
    for labels, stamps, held in series:
        clean = ~is_stale(held)
        samples = list(zip(stamps[clean].tolist(), held[clean].tolist(), strict=True))
        for number in range(steps + 1):
            end = (start + number * step) * 1000
            want = table[text](window(samples, end, length * 1000), end, length * 1000)  # type: ignore[operator] # a Reference
            row = rows.get(labels["i"])
            there = row is not None and bool(found.present[row, number])
            assert there == (want is not None), (text, labels, end)
            if want is not None:
                assert row is not None
                np.testing.assert_allclose(found.values[row, number], want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("text", WITH_NAN)
@given(series=all_series(odd_values), grid=grids)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference_whatever_the_values(
    text: str, series: list[Series], grid: tuple[int, int, int, int]
) -> None:
    check(text, series, grid, dict(WITH_NAN))


@pytest.mark.parametrize("text", NUMBERS)
@given(series=all_series(values), grid=grids)
@settings(max_examples=40, deadline=None)
def test_equals_the_reference_on_numbers(text: str, series: list[Series], grid: tuple[int, int, int, int]) -> None:
    check(text, series, grid, dict(NUMBERS))


@given(
    series=all_series(odd_values),
    grid=grids,
    inner=st.integers(1, 90),
    offset=st.integers(-50, 50),
    at=st.one_of(st.none(), st.integers(-100, 300)),
)
@settings(max_examples=80, deadline=None)
def test_a_subquery_sees_its_steps(
    series: list[Series], grid: tuple[int, int, int, int], inner: int, offset: int, at: int | None
) -> None:
    start, steps, step, length = grid
    text = f"last_over_time(m[{length}s:{inner}s] offset {offset}s {'' if at is None else f'@ {at}'})"
    expr = parse(f"{text} + 1000 * count_over_time{text.removeprefix('last_over_time')}")
    found = evaluate(expr, MemorySource(series), start * 1000, (start + steps * step) * 1000, step * 1000)
    assert isinstance(found, Vector)
    rows = {labels["i"]: row for row, labels in enumerate(found.labels)}
    for labels, stamps, held in series:
        # The reference knows a marker by its place: a float on its way through a list may lose its bits.
        marks = [(at_ms, float(i)) for i, at_ms in enumerate(stamps.tolist())]
        gone = set(np.flatnonzero(is_stale(held)).tolist())
        for number in range(steps + 1):
            end = (start + number * step if at is None else at) - offset
            seen = subquery(marks, end * 1000, length * 1000, inner * 1000, gone.__contains__)
            row = rows.get(labels["i"])
            assert (row is not None and bool(found.present[row, number])) == bool(seen)
            if row is not None and seen:
                want = held[int(seen[-1][1])] + 1000 * len(seen)
                np.testing.assert_allclose(found.values[row, number], want)


@given(series=all_series(values), grid=grids, at=st.integers(-100, 500))
@settings(max_examples=40, deadline=None)
def test_a_fixed_time_is_an_instant_query_of_that_time(
    series: list[Series], grid: tuple[int, int, int, int], at: int
) -> None:
    start, steps, step, length = grid
    source = MemorySource(series)
    for plain, fixed in ((f"rate(m[{length}s])", f"rate(m[{length}s] @ {at})"), ("sum(m)", f"sum(m @ {at})")):
        one = evaluate(parse(plain), source, at * 1000, at * 1000, 0)
        many = evaluate(parse(fixed), source, start * 1000, (start + steps * step) * 1000, step * 1000)
        assert isinstance(one, Vector) and isinstance(many, Vector)
        assert many.labels == one.labels
        assert many.present.all()
        np.testing.assert_array_equal(many.values, np.repeat(one.values, steps + 1, axis=1))


QUERIES = (
    "m",
    "rate(m[70s])",
    "sum(m)",
    "avg by (i) (m)",
    "sum(avg_over_time(m[90s]))",
    "topk(1, m)",
    "quantile(0.7, m)",
    "stddev(m)",
    "m > 3",
    "m / m",
    "1 - m",
    "stdvar_over_time(m[2m])",
    "sum_over_time(m[3m] offset 30s)",
    "m and on(i) (m > 3)",
    "m or -m",
    "m unless m > 3",
    "m * on(i) group_left m",
    "sum_over_time(m[2m:20s])",
    "rate(sum(m)[3m:7s] offset 10s)",
    "max_over_time(m[2m:20s] @ 100)",
    "m @ 77 + m",
    "absent(m)",
    "absent_over_time(m[20s])",
    "timestamp(m)",
    "count_values('v', m)",
    "label_replace(m, 'x', '$1', 'i', '(.*)')",
    "day_of_year(m * 1e5)",
    "predict_linear(m[2m], 30)",
    "histogram_quantile(0.4, sum by (le) (label_replace(abs(m), 'le', '$1', 'i', '(.*)')))",
)


@pytest.mark.parametrize("text", QUERIES)
@given(series=all_series(odd_values), grid=grids)
@settings(max_examples=30, deadline=None)
def test_a_range_query_is_its_instant_queries_bit_by_bit(
    text: str, series: list[Series], grid: tuple[int, int, int, int]
) -> None:
    start, steps, step, _ = grid
    expr, source = parse(text), MemorySource(series)
    whole = evaluate(expr, source, start * 1000, (start + steps * step) * 1000, step * 1000)
    assert isinstance(whole, Vector)
    for number in range(steps + 1):
        at = (start + number * step) * 1000
        one = evaluate(expr, source, at, at, 0)
        assert isinstance(one, Vector)
        here = {
            str(sorted(labels.items())): whole.values[row, number].tobytes()
            for row, labels in enumerate(whole.labels)
            if whole.present[row, number]
        }
        alone = {str(sorted(labels.items())): one.values[row, 0].tobytes() for row, labels in enumerate(one.labels)}
        assert here == alone


def test_absent_series_change_no_bit_of_a_sum() -> None:
    rng = np.random.default_rng(7)
    series: list[Series] = [
        ({"__name__": "m", "i": str(i)}, np.arange(i % 7, 40 + i % 11) * 60_000, rng.normal(size=40 + i % 11 - i % 7))
        for i in range(300)
    ]
    for text in ("sum(m)", "avg(m)", "stddev(m)"):
        expr, source = parse(text), MemorySource(series)
        whole = evaluate(expr, source, 0, 60 * 60_000, 60_000)
        assert isinstance(whole, Vector)
        for number in range(0, 52, 3):
            one = evaluate(expr, source, number * 60_000, number * 60_000, 0)
            assert isinstance(one, Vector)
            assert whole.values[0, number].tobytes() == one.values[0, 0].tobytes(), (text, number)


class Wasteful:
    """A source that returns more than it was asked for, as the protocol allows."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def select(self, selector: Selector) -> Columns:
        return self._columns


@given(series=all_series(odd_values), grid=grids)
@settings(max_examples=50, deadline=None)
def test_samples_outside_the_selectors_time_change_nothing(
    series: list[Series], grid: tuple[int, int, int, int]
) -> None:
    start, steps, step, length = grid
    exact = MemorySource(series)
    everything = Wasteful(exact.select(Selector("m", (), -(10**9), 10**9)))
    for text in ("m", f"sum_over_time(m[{length}s])", f"rate(m[{length}s])"):
        one, other = (
            evaluate(parse(text), source, start * 1000, (start + steps * step) * 1000, step * 1000)
            for source in (exact, everything)
        )
        assert isinstance(one, Vector) and isinstance(other, Vector)
        assert one.labels == other.labels
        assert one.present.tolist() == other.present.tolist()
        np.testing.assert_array_equal(one.values[one.present], other.values[other.present])

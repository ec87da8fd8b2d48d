"""Operators, count_values and histograms on random vectors, against a reference that takes step by step."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promql.errors import PromqlError
from promql.evaluate import Vector, evaluate
from promql.memory import MemorySource, Series
from promql.parse import parse
from tests.promql import reference_vectors as slow
from tests.promql.reference_vectors import Instant, Key, Refused

STEP = 600_000  # beyond the lookback: every step has its own samples
STEPS = 4

labels = st.fixed_dictionaries(
    {"__name__": st.sampled_from(["a", "b"])},
    optional={"x": st.sampled_from("12"), "y": st.sampled_from("12"), "z": st.sampled_from("12")},
)
cells = st.lists(st.one_of(st.none(), st.integers(-3, 3).map(float)), min_size=STEPS, max_size=STEPS)
populations = st.lists(
    st.tuples(labels, cells), min_size=1, max_size=8, unique_by=lambda pair: tuple(sorted(pair[0].items()))
)
Population = list[tuple[dict[str, str], list[float | None]]]


def source(population: Population) -> MemorySource:
    return MemorySource(series_of(one, held) for one, held in population)


def series_of(one: dict[str, str], held: list[float | None]) -> Series:
    there = [(step * STEP, value) for step, value in enumerate(held) if value is not None]
    return one, np.array([at for at, _ in there], np.int64), np.array([value for _, value in there], np.float64)


def at_step(population: Population, metric: str, step: int) -> Instant:
    return {
        tuple(sorted(one.items())): value
        for one, held in population
        if one["__name__"] == metric and (value := held[step]) is not None
    }


def steps_of(text: str, population: Population) -> list[Instant]:
    found = evaluate(parse(text), source(population), 0, (STEPS - 1) * STEP, STEP)
    assert isinstance(found, Vector)
    answers: list[Instant] = [{} for _ in range(STEPS)]
    for row, one in enumerate(found.labels):
        for step in np.flatnonzero(found.present[row]).tolist():
            key: Key = tuple(sorted(one.items()))
            assert key not in answers[step]
            answers[step][key] = float(found.values[row, step])
    return answers


def check(text: str, population: Population, wanted: Callable[[int], Instant]) -> None:
    try:
        want = [wanted(step) for step in range(STEPS)]
    except Refused:
        with pytest.raises(PromqlError):
            steps_of(text, population)
        return
    assert steps_of(text, population) == want


matchings = st.tuples(st.sampled_from(["on", "ignoring"]), st.lists(st.sampled_from("xyz"), unique=True))


@given(op=st.sampled_from(["and", "or", "unless"]), matching=matchings, population=populations)
@settings(max_examples=100, deadline=None)
def test_set_operators(op: str, matching: tuple[str, list[str]], population: Population) -> None:
    word, names = matching
    check(
        f"a {op} {word}({', '.join(names)}) b",
        population,
        lambda step: slow.sets(op, at_step(population, "a", step), at_step(population, "b", step), word == "on", names),
    )


COMPUTE: dict[str, tuple[Callable[[float, float], float | None], bool]] = {
    "-": (lambda left, right: left - right, True),
    "<": (lambda left, right: left if left < right else None, False),
    "< bool": (lambda left, right: float(left < right), True),
}


@given(
    op=st.sampled_from(sorted(COMPUTE)),
    matching=matchings,
    card=st.sampled_from(["", "group_left", "group_right"]),
    include=st.lists(st.sampled_from("xyz"), unique=True),
    population=populations,
)
@settings(max_examples=200, deadline=None)
def test_matching(
    op: str, matching: tuple[str, list[str]], card: str, include: list[str], population: Population
) -> None:
    word, names = matching
    include = [name for name in include if card and not (word == "on" and name in names)]
    compute, drops_name = COMPUTE[op]
    grouping = f"{card}({', '.join(include)})" if card else ""
    check(
        f"a {op} {word}({', '.join(names)}) {grouping} b",
        population,
        lambda step: slow.matched(
            compute,
            drops_name,
            at_step(population, "a", step),
            at_step(population, "b", step),
            word == "on",
            names,
            card,
            include,
        ),
    )


@given(population=populations, names=st.lists(st.sampled_from("xyz"), unique=True), without=st.booleans())
@settings(max_examples=60, deadline=None)
def test_count_values(population: Population, names: list[str], without: bool) -> None:
    def want(step: int) -> Instant:
        counts: Instant = {}
        for key, value in at_step(population, "a", step).items():
            kept = dict(slow.group(key, not without, names))
            if not (without and "z" in names):
                kept["z"] = f"{value:g}"
            found = tuple(sorted(kept.items()))
            counts[found] = counts.get(found, 0) + 1
        return counts

    word = "without" if without else "by"
    check(f'count_values {word} ({", ".join(names)}) ("z", a)', population, want)


bounds = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 5.0, math.inf]), min_size=1, unique=True)
counts = st.lists(st.one_of(st.none(), st.integers(0, 9).map(float)), min_size=STEPS, max_size=STEPS)


@given(
    histograms=st.lists(
        bounds.flatmap(lambda some: st.tuples(*(st.tuples(st.just(b), counts) for b in some))), max_size=4
    ),
    level=st.sampled_from([-1, 0, 0.1, 0.5, 0.95, 1, 2, math.nan]),
    ends=st.tuples(st.sampled_from([-math.inf, -1.5, 0, 0.7, 1]), st.sampled_from([-2, 0.2, 1, 3, math.inf])),
)
@settings(max_examples=100, deadline=None)
def test_histograms(
    histograms: list[tuple[tuple[float, list[float | None]], ...]], level: float, ends: tuple[float, float]
) -> None:
    population: Population = [
        ({"__name__": "h_bucket", "i": str(number), "le": str(bound)}, held)
        for number, one in enumerate(histograms)
        for bound, held in one
    ]

    def each(compute: Callable[[dict[float, float]], float]) -> list[dict[str, float]]:
        answers: list[dict[str, float]] = []
        for step in range(STEPS):
            found = [{b: value for b, held in one if (value := held[step]) is not None} for one in histograms]
            answers.append({str(number): compute(some) for number, some in enumerate(found) if some})
        return answers

    def fraction(buckets: dict[float, float]) -> float:
        low, high = ends
        if max(buckets) != math.inf or buckets[math.inf] == 0:
            return math.nan
        return 0.0 if low >= high else (slow.below(high, buckets) - slow.below(low, buckets)) / buckets[math.inf]

    for text, want in (
        (f"histogram_quantile({level}, h_bucket)", each(lambda buckets: slow.quantile(level, buckets))),
        (f"histogram_fraction({ends[0]}, {ends[1]}, h_bucket)", each(fraction)),
    ):
        got = [{dict(key)["i"]: value for key, value in one.items()} for one in steps_of(text, population)]
        assert [sorted(one) for one in got] == [sorted(one) for one in want]
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose([one[i] for i in sorted(one)], [other[i] for i in sorted(one)], rtol=1e-9)


# By Go's expressions, to the last bit: v * pi / 180, v * 180 / pi. repr tells -0 from 0.
@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("rad(m)", [value * math.pi / 180 for value in (0.1, 1.5, 1234.5)]),
        ("deg(m)", [value * 180 / math.pi for value in (0.1, 1.5, 1234.5)]),
        ("sgn(zero)", [-0.0, 0.0, -1.0]),
        ("sgn(m)", [1.0, 1.0, 1.0]),
        ("sum_over_time(zero[1s])", [0.0, 0.0, -7.0]),
        ("avg_over_time(zero[1s])", [0.0, 0.0, -7.0]),
    ],
)
def test_to_the_last_bit(text: str, want: list[float]) -> None:
    data = source([({"__name__": "m"}, [0.1, 1.5, 1234.5]), ({"__name__": "zero"}, [-0.0, 0.0, -7.0])])
    got = evaluate(parse(text), data, 0, 2 * STEP, STEP)
    assert isinstance(got, Vector)
    assert repr(got.values[0].tolist()) == repr(want)

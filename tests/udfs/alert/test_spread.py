"""A rule judged bucket by bucket gives what it gives whole."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promql.columns import NAME
from promql.errors import PromqlError
from promql.evaluate import Vector, evaluate
from promql.memory import MemorySource
from promql.parse import parse
from schemas.batch import Series
from udfs.alert.expression import check_expression
from udfs.alert.rule import RuleFault
from udfs.alert.spread import BUCKETS, Spread, spread_of

CASES = [
    ("up == 0", "without ()"),
    ("-abs(up) < 0", "without ()"),
    ("rate(up[5m]) > 1", "without ()"),
    ("time() - up > 300", "without ()"),
    ("sum by (job, host) (up) > 1", "by (host, job)"),
    ("max by (job) (sum by (job, host) (up))", "by (job)"),
    ("sum by (host) (up) / count by (job) (up)", "by ()"),
    ("sum without (cpu) (up)", "without (cpu)"),
    ("max by (job, cpu) (sum without (cpu) (up))", "by (job)"),
    ("max without (job) (sum by (job, host) (up))", "by (host)"),
    ("up / other", "without ()"),
    ("up / on (host) other", "by (host)"),
    ("up / ignoring (cpu) other", "without (cpu)"),
    ("sum by (host) (up) - on (host) other", "by (host)"),
    ("count(up)", "by ()"),
    ("up > scalar(other)", "by ()"),
    ("up + vector(1)", "by ()"),
    ("up or hour()", "by ()"),
    ("up or other", "without ()"),
    ("up unless on (host) other", "by (host)"),
    ("up * on (host) group_left () other", "by (host)"),
    ('count_values by (host) ("value", up)', "by (host)"),
    ('count_values by (host) ("host", up)', "by ()"),
    ('count_values without (cpu) ("value", up)', "without (cpu, value)"),
    ("max_over_time(up[2m:1m])", "by ()"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_which_labels_keep_series_together(text: str, expected: str) -> None:
    assert str(spread_of(parse(text))) == expected


def _population() -> list[
    tuple[dict[str, str], np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]]]
]:
    random = np.random.default_rng(7)
    stamps = np.arange(1, 7, dtype=np.int64) * 60_000
    hosts = [{"job": f"j{n % 3}", "host": f"h{n % 10}", "cpu": str(n // 10)} for n in range(30)]
    series = [({NAME: "up", **labels}, stamps, np.cumsum(random.integers(0, 9, 6)).astype(float)) for labels in hosts]
    single = [labels for labels in hosts if labels["cpu"] == "0"]
    return series + [({NAME: "other", **labels}, stamps, random.random(6)) for labels in single]


@pytest.mark.parametrize("text", [text for text, _ in CASES if "on (host) other" not in text or text.startswith("sum")])
def test_buckets_together_give_the_whole(text: str) -> None:
    expression = check_expression(text)
    population = _population()

    def answer(some: list[int]) -> set[tuple[str, float]]:
        result = evaluate(expression.plan, MemorySource(population[place] for place in some), 360_000, 360_000, 60_000)
        assert isinstance(result, Vector)
        pairs = zip(result.labels, result.values[:, 0].tolist(), strict=True)
        return {(str(sorted(labels.items())), round(value, 9)) for labels, value in pairs}

    buckets: dict[int, list[int]] = {}
    for place, (labels, _, _) in enumerate(population):
        one = Series(labels[NAME], tuple((name, value) for name, value in labels.items() if name != NAME))
        buckets.setdefault(expression.spread.bucket(one), []).append(place)
    assert set(buckets) <= set(range(BUCKETS))
    parts = [answer(some) for some in buckets.values()]
    assert set().union(*parts) == answer(list(range(len(population))))
    assert sum(map(len, parts)) == len(set().union(*parts))


_some = st.lists(st.sampled_from("abv"), max_size=2, unique=True).map(", ".join)
_kept = st.tuples(st.sampled_from(["by", "without"]), _some)
_on = st.tuples(st.sampled_from(["on", "ignoring"]), _some)
_leaf = st.sampled_from(["m", "n", 'm{a="1"}', 'n{b!="2"}', "max_over_time(m[5m])"])
_label = st.lists(st.sampled_from("12"), min_size=3, max_size=3)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{0} {1[0]} ({1[1]}) ({2})".format, st.sampled_from(["sum", "max", "count"]), _kept, inner),
        st.builds('count_values {0[0]} ({0[1]}) ("{1}", {2})'.format, _kept, st.sampled_from("av"), inner),
        st.builds("({0}) {1} {2[0]} ({2[1]}) ({3})".format, inner, st.sampled_from(["and", "or", "*"]), _on, inner),
        st.builds("({0}) * {1[0]} ({1[1]}) group_left () ({2})".format, inner, _on, inner),
        st.builds("abs({0}) > 1".format, inner),
    )


_ROWS = [("m", list(row)) for row in product("12", repeat=3)]


@example('count_values by (v) ("v", m)', _ROWS)
@example('max(count_values without (a) ("v", m)) by (v)', _ROWS)
@given(st.recursive(_leaf, _larger, max_leaves=4), st.lists(st.tuples(st.sampled_from("mn"), _label), max_size=9))
def test_random_expressions_give_bucket_by_bucket_what_they_give_whole(
    text: str, rows: list[tuple[str, list[str]]]
) -> None:
    spread, plan = spread_of(parse(text)), parse(text)
    population = {(name, tuple(zip("abv", row, strict=True))): float(1 + at % 3) for at, (name, row) in enumerate(rows)}

    def answer(some: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> list[tuple[list[tuple[str, str]], float]]:
        at = np.array([60_000], np.int64)
        series = [({NAME: name, **dict(labels)}, at, np.array([value])) for (name, labels), value in some.items()]
        found = evaluate(plan, MemorySource(series), 60_000, 60_000, 0)
        assert isinstance(found, Vector)
        cells = zip(found.labels, found.values[:, 0].tolist(), found.present[:, 0].tolist(), strict=True)
        return sorted((sorted(labels.items()), value) for labels, value, present in cells if present)

    buckets: dict[int, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for one, value in population.items():
        buckets.setdefault(spread.bucket(Series(*one), 8), {})[one] = value
    try:
        whole = answer(population)
    except PromqlError:
        return
    assert sorted(row for some in buckets.values() for row in answer(some)) == whole


@pytest.mark.parametrize("text", ["up @ 5", "up > up @ start()", "max_over_time(up[5m:1m] @ end())"])
def test_a_fixed_time_is_refused(text: str) -> None:
    with pytest.raises(RuleFault, match="TG-rule-unsupported"):
        check_expression(text)


def test_labels_without_a_value_are_no_labels() -> None:
    spread = Spread(True, frozenset({"host", "zone"}))
    assert spread.bucket(Series("up", (("host", "a"), ("zone", "")))) == spread.bucket(Series("x", (("host", "a"),)))


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("up > 1", "up > 2", True),
        ("rate(up[1m]) > 1", "rate(up[5m]) > 1", True),
        ("up > 1", 'up{a="b"} > 1', False),
        ("sum by (a) (up) > 1", "sum by (b) (up) > 1", False),
    ],
)
def test_the_shape_is_what_the_key_depends_on(text: str, other: str, same: bool) -> None:
    assert (check_expression(text).shape == check_expression(other).shape) is same


@pytest.mark.parametrize(
    ("text", "span_s"),
    [("up", 300), ("rate(up[1m])", 60), ("rate(up[1m] offset 5m)", 360), ("up offset 1h == rate(up[10m])", 3900)],
)
def test_how_far_back_an_expression_reads(text: str, span_s: int) -> None:
    assert check_expression(text).span_ms == span_s * 1000

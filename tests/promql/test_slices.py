"""Aggregations and joins go on in pieces: of any size they give the same, and the time is looked at between them."""

import numpy as np
import pytest

from promql import aggregate, count_values
from promql.columns import Columns, Selector
from promql.errors import PromqlError
from promql.evaluate import Vector, evaluate
from promql.memory import MemorySource
from promql.parse import parse

S = 1000
SERIES, STEPS = 12, 9


class Random:
    """SERIES series with gaps; every value of them doubtful in a sum."""

    def select(self, selector: Selector) -> Columns:
        chance = np.random.default_rng(7)
        labels = [{"__name__": selector.metric, "i": str(i), "g": str(i % 3)} for i in range(SERIES)]
        there = chance.random((SERIES, STEPS)) < 0.7
        values = np.round(chance.normal(size=(SERIES, STEPS)), 1) + np.where(np.arange(SERIES) % 2, 1e9, -1e9)[:, None]
        offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return Columns(labels, offsets, 600 * S * np.nonzero(there)[1], values[there])


def asked(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Vector, int]:
    looks = 0

    def check() -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(aggregate, "SLICE", size)
    monkeypatch.setattr(count_values, "SLICE", size)
    found = evaluate(parse(text), Random(), 0, 600 * S * (STEPS - 1), 600 * S, check=check)
    assert isinstance(found, Vector)
    return found, looks


@pytest.mark.parametrize(
    "text",
    [
        *(f"{op} by (g) (m)" for op in ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")),
        *("topk by (g) (2, m)", "bottomk(3, m)", "quantile without (i) (0.3, m)", "count_values by (g) ('v', m % 3)"),
    ],
)
def test_slices_make_the_whole(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, once = asked(text, 1 << 20, monkeypatch)
    sliced, often = asked(text, 2 * SERIES, monkeypatch)
    assert sliced.labels == whole.labels
    assert sliced.present.tolist() == whole.present.tolist()
    assert sliced.values[sliced.present].tobytes() == whole.values[whole.present].tobytes()
    assert often >= once + 4


@pytest.mark.parametrize(
    ("text", "least"),
    [("a + b", 3 + 6), ("a * on (i) group_left () b", 3 + 6), ("a or b", 3 + 2), ("a unless b", 3 + 1)],
)
def test_joins_look_at_the_time(text: str, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(text, 1 << 20, monkeypatch)[1] >= least


def test_pairs_of_many_series_have_a_limit_before_they_take_memory() -> None:
    """100 series of one group, each there at one step only, and 100 that meet all of them."""
    ones = [({"__name__": "b", "x": str(i)}, np.array([600 * S * i]), np.array([1.0])) for i in range(100)]
    times = 600 * S * np.arange(100)
    many = [({"__name__": "a", "i": str(i)}, times, np.ones(100)) for i in range(100)]
    with pytest.raises(PromqlError, match="10000 series at 100 steps"):
        evaluate(
            parse("count(a * on() group_left(x) b)"),
            MemorySource([*ones, *many]),
            0,
            600 * S * 99,
            600 * S,
            max_cells=20_000,
        )


def test_what_is_the_same_at_every_step_has_a_limit_too() -> None:
    source = MemorySource([({"__name__": "m", "i": str(i)}, np.array([0]), np.array([1.0])) for i in range(20)])
    with pytest.raises(PromqlError, match="20 series at 1000 steps"):
        evaluate(parse("count(max_over_time((m @ 0)[1000s:1s]))"), source, 1000 * S, 1000 * S, 0, max_cells=10_000)


# (query, bytes a cell at the most).
@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("m", 40),
        ("rate(m[5m])", 120),
        ("a + b", 64),
        ("sum(m)", 40),
        ("a + (a + (a + a))", 3 * 9 + 40),
        ("a + a + a + a", 64),
    ],
)
def test_what_an_evaluation_holds(text: str, cell: int) -> None:
    told: list[int] = []
    evaluate(parse(text), Random(), 0, 600 * S * (STEPS - 1), 600 * S, hold=told.append)
    assert max(told) == pytest.approx(cell * SERIES * STEPS, rel=0.25)

"""Rows of a tier answer what samples answer, wherever they are asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promql.columns import Labels
from promql.evaluate import evaluate
from promql.memory import MemoryRows, MemorySource
from promql.parse import parse
from promql.result import Vector
from promql.tiers import TIERED, answerable

WIDTH = 60_000
Samples = list[tuple[int, float]]
Population = list[tuple[Labels, Samples]]


SERIES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 50)), min_size=0, max_size=40, unique_by=lambda one: one[0]
).map(lambda found: [(at * 15_000, float(value)) for at, value in sorted(found)])
POPULATION = st.lists(SERIES, min_size=1, max_size=4).map(
    lambda found: [
        ({"__name__": "m", "host": f"h{place}", "odd": str(place % 2)}, one) for place, one in enumerate(found)
    ]
)

QUERIES = [
    *(f"{function}(m[{minutes}m])" for function in TIERED for minutes in (1, 3)),
    "m",
    "sum by (odd) (rate(m[2m]))",
    'max(m{host!="h0"}) - min(m offset 1m)',
    "sum_over_time(m[2m] offset 1m) / count_over_time(m[2m] offset 1m)",
    "topk(1, increase(m[4m]))",
    "-avg_over_time(m[1m]) * 3",
    *(f"quantile_over_time({level}, m[3m])" for level in (0, 0.5, 0.9, 1, 1.1, "NaN")),
    "max(quantile_over_time(0.3, m[2m] offset 1m))",
]


def answers(query: str, population: Population, rows: MemoryRows | None) -> dict[str, list[float | None]]:
    source = MemorySource(
        (labels, np.array([at for at, _ in samples]), np.array([value for _, value in samples]))
        for labels, samples in population
    )
    value = evaluate(parse(query), source if rows is None else MemorySource([]), 120_000, 720_000, 60_000, tier=rows)
    assert isinstance(value, Vector)
    return {
        str(sorted(labels.items())): [
            float(cell) if there else None for cell, there in zip(cells, present, strict=True)
        ]
        for labels, cells, present in zip(value.labels, value.values, value.present, strict=True)
    }


@pytest.mark.parametrize("query", QUERIES)
@given(population=POPULATION)
def test_rows_answer_as_samples_do(query: str, population: Population) -> None:
    assert answerable(parse(query), WIDTH, 120_000, 60_000)
    expected = answers(query, population, None)
    got = answers(query, population, MemoryRows(population, WIDTH))
    assert got.keys() == expected.keys()
    for labels, cells in expected.items():
        assert [cell is None for cell in got[labels]] == [cell is None for cell in cells]
        assert [cell for cell in got[labels] if cell is not None] == pytest.approx(
            [cell for cell in cells if cell is not None], rel=1e-12, abs=1e-12, nan_ok=True
        )


@pytest.mark.parametrize(
    ("query", "start", "step", "answered"),
    [
        ("rate(m[1m])", 0, 60_000, True),
        ("rate(m[1m])", 0, 0, True),
        ("rate(m[90s])", 0, 60_000, False),
        ("rate(m[1m])", 30_000, 60_000, False),
        ("rate(m[1m])", 0, 90_000, False),
        ("rate(m[2m] offset 30s)", 0, 60_000, False),
        ("m offset 30s", 0, 60_000, False),
        ("m offset 1m", 0, 60_000, True),
        ("m @ 60", 0, 60_000, False),
        ("rate(m[1m] @ 60)", 0, 60_000, False),
        ("resets(m[1m])", 0, 60_000, False),
        ("quantile_over_time(0.9, m[1m])", 0, 60_000, True),
        ("quantile_over_time(0.9, m[90s])", 0, 60_000, False),
        ("quantile_over_time(scalar(m), m[1m])", 0, 60_000, False),
        ("quantile_over_time(0.9, m[1m] @ 60)", 0, 60_000, False),
        ("quantile_over_time(0.9, m[5m:1m])", 0, 60_000, False),
        ("max_over_time(m[5m:1m])", 0, 60_000, False),
        ("max_over_time(rate(m[1m])[5m:1m])", 0, 60_000, False),
        ("timestamp(m)", 0, 60_000, False),
        ("absent_over_time(m[1m])", 0, 60_000, False),
        ("m[1m]", 0, 0, False),
        ("1 + 1", 0, 60_000, False),
        ("m + time()", 0, 60_000, True),
        ("m and on () vector(1) > irate(m[1m])", 0, 60_000, False),
    ],
)
def test_what_rows_can_answer(query: str, start: int, step: int, answered: bool) -> None:
    assert answerable(parse(query), WIDTH, start, step) is answered

"""Range functions that ClickHouse computes equal those of the engine on the samples, bit by bit."""

from collections.abc import Iterator

import numpy as np
import pytest

from promql import pushed
from promql.annotations import Annotations
from promql.evaluate import evaluate
from promql.grid import Grid
from promql.parse import parse
from promql.plan import Call, Window
from promql.pushed import FUNCTIONS, pushable
from promql.result import Vector
from query import sql
from query.clickhouse import ClickhouseStore
from query.metrics import PUSHED
from query.source import Limits
from query.view import View
from schemas.nan import STALE
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from tests import embedded
from tests.notation import Series
from tests.query.test_store import write

M = 60_000
START = 1_714_608_000_000
SPAN = 400  # samples of a series without gaps, one in 15 s
LIMITS = Limits(series=1000, samples=1_000_000, cells=1_000_000, timeout_s=60)


def random_series(rng: np.random.Generator, number: int) -> Series:
    """A counter or a gauge with gaps, jitter, resets, large and small values, NaN, infinities and staleness."""
    at = START + np.arange(1, SPAN + 1, dtype=np.int64) * 15_000
    at += rng.integers(0, 900, SPAN) if number % 3 else 0
    values = np.cumsum(rng.integers(0, 9, SPAN) * rng.random(SPAN)) if number % 2 else rng.normal(0, 10, SPAN)
    if number % 2:
        values -= np.where(np.arange(SPAN) >= rng.integers(SPAN), values[rng.integers(SPAN)], 0)
        values = np.abs(values)
    if number % 4 == 3:
        values *= 10.0 ** rng.integers(-12, 15, SPAN)
    if number > 3:
        values[rng.random(SPAN) < 0.05] = np.nan
        values[rng.random(SPAN) < 0.05] = STALE
        values[rng.random(SPAN) < 0.02] = np.inf
        values[rng.random(SPAN) < 0.02] = -np.inf
    keep = rng.random(SPAN) < rng.choice([0.05, 0.5, 1.0])
    gap = rng.integers(SPAN)
    keep[gap : gap + rng.integers(1, 120)] = False
    keep[rng.integers(SPAN)] = True
    return {"__name__": "x_total", "i": str(number)}, at[keep], values[keep]


@pytest.fixture(autouse=True)
def any_step(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "yes" not in request.fixturenames:
        monkeypatch.setattr(pushed, "LEAST_STEP_MS", 1)


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "query_grids")
    client = Clickhouse(embedded.endpoint(), database="query_grids")
    rng = np.random.default_rng(11)
    for number in range(24):
        labels, at, values = random_series(rng, number)
        write(client, "default", [(labels, at, values)])
        if number % 5 == 1:  # some again: as they were, and corrected
            write(client, "default", [(labels, at[::2], values[::2])])
            write(client, "default", [(labels, at[::7], np.arange(len(at[::7]), dtype=float))])
    yield client
    client.close()


@pytest.fixture(scope="module")
def store(clickhouse: Clickhouse) -> ClickhouseStore:
    return ClickhouseStore(clickhouse, LIMITS)


def both(store: ClickhouseStore, text: str, first: int, last: int, step: int) -> tuple[Vector, Vector, bool]:
    """Return the answer with and without ClickHouse's functions, and whether their notes are the same.

    Steps too short to be worth it are pushed here as well.
    """
    answers, notes = [], []
    before = PUSHED._value.get()
    for grids in (store.grids("default"), None):
        said = Annotations()
        source = store.source("default", 1)
        value = evaluate(parse(text), source, first, last, step, annotations=said, grids=grids)
        assert isinstance(value, Vector)
        answers.append(value)
        notes.append((said.infos, said.warnings))
    assert PUSHED._value.get() > before
    return answers[0], answers[1], notes[0] == notes[1]


def same(one: Vector, other: Vector, rounded: bool = False) -> bool:
    """Whether labels, their order, presence and every present value are equal; any NaN is NaN."""
    if one.labels != other.labels or not np.array_equal(one.present, other.present):
        return False
    return np.allclose(
        one.values[one.present], other.values[other.present], rtol=4e-15 if rounded else 0, atol=0, equal_nan=True
    )


# first step after START in ms, step, range, offset
GRIDS = [
    (10 * M, M, 5 * M, ""),
    (0, M, 5 * M, ""),
    (7 * M + 1234, 2 * M, M, ""),
    (5 * M, 7 * M, 20 * M, " offset 3m"),
    (30 * M, 10 * M, 30_000, " offset -1m"),
    (15 * M, M, 15_000, ""),
]


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@pytest.mark.parametrize(("first", "step", "span", "offset"), GRIDS)
def test_clickhouse_computes_what_the_engine_does(
    store: ClickhouseStore, function: str, first: int, step: int, span: int, offset: str
) -> None:
    text = f"{function}(x_total[{span // 1000}s]{offset})"
    got, fetched, noted = both(store, text, START + first, START + 110 * M, step)
    assert fetched.labels
    # Of these two the last bit may differ: the divisions come in another order.
    assert same(got, fetched, rounded=function in ("delta", "irate"))
    assert noted


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_step_is_the_same_in_every_range(store: ClickhouseStore, function: str) -> None:
    text = f"{function}(x_total[10m])"
    whole, _, _ = both(store, text, START, START + 100 * M, M)
    rows = {labels["i"]: row for row, labels in enumerate(whole.labels)}
    for first, last in ((20, 40), (33, 33), (61, 99)):
        part, _, _ = both(store, text, START + first * M, START + last * M, M)
        for row, labels in enumerate(part.labels):
            there = whole.present[rows[labels["i"]], first : last + 1]
            assert np.array_equal(part.present[row], there)
            cells = whole.values[rows[labels["i"]], first : last + 1]
            assert np.array_equal(part.values[row][there], cells[there], equal_nan=True)


@pytest.mark.parametrize(
    "text",
    [
        "sum by (i) (resets(x_total[5m]))",
        "topk(3, max_over_time(x_total[5m]))",
        'count(changes(x_total{i=~"1.*"}[5m]) > 0)',
        "max_over_time(changes(x_total[5m])[30m:5m])",
        'idelta({__name__=~"x_.*", i!="3"}[5m])',
        'resets(x_total{i="none"}[5m]) or vector(1)',
    ],
)
def test_within_a_query(store: ClickhouseStore, text: str) -> None:
    got, fetched, noted = both(store, text, START, START + 100 * M, 5 * M) if "none" not in text else (
        *(evaluate(parse(text), store.source("default", 1), START, START + 100 * M, M, grids=one)
          for one in (store.grids("default"), None)), True)  # fmt: skip
    assert isinstance(got, Vector) and isinstance(fetched, Vector)
    assert same(got, fetched)
    assert noted


def test_an_instant_over_a_long_range(store: ClickhouseStore) -> None:
    got, fetched, _ = both(store, "max_over_time(x_total[1h])", START + 90 * M, START + 90 * M, 0)
    assert same(got, fetched)


@pytest.mark.parametrize(
    ("text", "step", "yes"),
    [
        ("irate(x[5m])", 300_000, True),
        ("irate(x[5m])", 299_000, False),
        ("irate(x[5m])", 300_001, False),
        ("irate(x[500ms])", 300_000, False),
        ("irate(x[5m] @ 1)", 300_000, False),
        ("irate(x[5m] offset 1ms)", 300_000, True),
        ("irate(x[5m])", 0, False),
        ("irate(x[30m])", 0, True),
        ("avg_over_time(x[5m])", 300_000, False),
        ("rate(x[5m])", 300_000, False),
    ],
)
def test_what_is_pushed(text: str, step: int, yes: bool) -> None:
    plan = parse(text)
    assert isinstance(plan, Call) and isinstance(plan.args[0], Window)
    assert pushable(plan.function, plan.args[0], Grid(START, START + 10 * step, step, 1)) == yes


def test_what_was_known_is_not_pushed(store: ClickhouseStore) -> None:
    assert store.grids("default", View(as_of_ms=START)) is None


def test_a_server_without_the_functions_is_asked_once(clickhouse: Clickhouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "GRID_SETTINGS", {"enable_time_series_aggregate_functions": "0"})
    older = ClickhouseStore(clickhouse, LIMITS)
    value = evaluate(
        parse("changes(x_total[5m])"),
        older.source("default", 1),
        START,
        START + 10 * M,
        M,
        grids=older.grids("default"),
    )
    assert isinstance(value, Vector) and value.labels
    there = older.grids("default")
    assert there is not None and not older._able

"""Parts of a metric that is read whole are taken from it, and are what reading them would have given."""

import numpy as np
import pytest

from promql.columns import Columns, Selector
from promql.evaluate import Vector, evaluate
from promql.memory import MemorySource
from promql.once import Once
from promql.parse import parse

S = 1000
END = 3600 * S
RNG = np.random.default_rng(7)
SERIES = [
    (
        {"__name__": name, "code": code, "host": f"h{host}"},
        np.sort(RNG.choice(np.arange(1, END), 200, replace=False)),
        RNG.integers(0, 100, 200).astype(float),
    )
    for name in ("http", "other")
    for host in range(4)
    for code in ("200", "404", "500")
]


class Counting:
    """Notes what is read."""

    def __init__(self) -> None:
        self.read: list[Selector] = []
        self._source = MemorySource(SERIES)

    def select(self, selector: Selector) -> Columns:
        self.read.append(selector)
        return self._source.select(selector)


@pytest.mark.parametrize(
    ("query", "step_s", "reads"),
    [
        ('sum(rate(http{code="500"}[5m])) / sum(rate(http[5m]))', 15, 1),
        ('sum(rate(http[5m])) - sum(rate(http{code!="200", host=~"h[12]"}[5m]))', 15, 1),
        ('http{code="500"} / on (host) group_left () http{code="200"} or http', 15, 1),
        ('sum(rate(http{code="500"}[5m])) / sum(rate(http[1h]))', 15, 2),  # over other times
        ('sum(rate(http{code="500"}[5m] offset 1m)) / sum(rate(http[5m]))', 15, 2),
        ('sum(rate(http{code="500"}[5m])) / sum(rate(other[5m]))', 15, 2),
        ('http{code="500"} / on (host) http{code="200"}', 15, 2),  # nobody reads it whole
        ('sum({code="500"}) / sum({host="h1"})', 15, 2),
        ('sum(irate(http{code="500"}[5m])) / sum(irate(http[5m]))', 300, 2),  # may be computed elsewhere
        ('sum(rate(http{code="500"}[5m])) / sum(rate(http[5m]))', 0, 2),
    ],
)
def test_a_metric_is_read_once(query: str, step_s: int, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expr, start = Counting(), parse(query), END - 1200 * S * (step_s > 0)
    got = evaluate(expr, source, start, END, step_s * S)
    assert len(source.read) == reads
    monkeypatch.setattr("promql.evaluate.wholes", lambda *_: frozenset())
    expected = evaluate(expr, Counting(), start, END, step_s * S)
    assert isinstance(got, Vector) and isinstance(expected, Vector)
    assert got.labels == expected.labels
    assert got.labels
    np.testing.assert_array_equal(got.present, expected.present)
    np.testing.assert_array_equal(got.values, expected.values)


def test_what_matches_nothing_is_empty() -> None:
    whole = Selector("http", (), 0, END)
    part = Once(MemorySource(SERIES), frozenset({whole})).select(Selector("http", (("code", "=", "1"),), 0, END))
    assert (part.labels, part.offsets.tolist(), len(part.values)) == ([], [0], 0)

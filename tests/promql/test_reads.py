"""What a plan reads, and what its value at a step depends on."""

import pytest

from promql import windows
from promql.columns import Columns, Selector
from promql.errors import PromqlError
from promql.evaluate import Vector, evaluate, selectors
from promql.memory import MemorySource
from promql.parse import parse
from promql.steps import invariant, pinned, stepwise
from tests.notation import parse_series

S = 1000


# (query, hulls in seconds of a range query from 1000 s to 2000 s)
@pytest.mark.parametrize(
    ("text", "hulls"),
    [
        ("m", [(700, 2000)]),
        ("m offset -1m", [(760, 2060)]),
        ("m @ 500", [(200, 500)]),
        ("m @ 500 offset 1m", [(140, 440)]),
        ("rate(m[10m] @ start())", [(400, 1000)]),
        ("m @ end()", [(1700, 2000)]),
        ("m + m @ 500", [(700, 2000), (200, 500)]),
        ("max_over_time(m[10m:1m])", [(100, 2000)]),
        ("max_over_time(m[10m:1m] offset 5m)", [(-200, 1700)]),
        ("max_over_time(rate(m[1m] offset 1m)[10m:1m] @ 500)", [(-220, 440)]),
        ("max_over_time((m @ end())[10m:1m])", [(1700, 2000)]),
        ("max_over_time((m @ end())[10m:1m] @ start())", [(1700, 2000)]),
        ("max_over_time(max_over_time(m[5m:])[10m:])", [(-200, 2000)]),
        ("absent(m) or label_replace(m, 'x', '', '', '')", [(700, 2000)]),
        ("time()", []),
    ],
)
def test_hulls(text: str, hulls: list[tuple[int, int]]) -> None:
    want = [Selector("m", (), start * S, end * S) for start, end in hulls]
    assert selectors(parse(text), 1000 * S, 2000 * S) == want


class Listening(MemorySource):
    """Remembers what was asked."""

    def __init__(self, line: str) -> None:
        super().__init__([parse_series(line, 30 * S)])
        self.asked: list[Selector] = []

    def select(self, selector: Selector) -> Columns:
        self.asked.append(selector)
        return super().select(selector)


@pytest.mark.parametrize(
    "text",
    [
        "m + m offset 1m + rate(m[5m])",
        "m @ 777 + m @ start() + m @ end()",
        "max_over_time(m[10m:1m])",
        "max_over_time(m[10m:7s] offset 13s) + m",
        "sum_over_time(max_over_time(m[2m:20s] @ end())[5m:50s] @ 1234)",
        "max_over_time(m[1m:10m])",
    ],
)
@pytest.mark.parametrize(("start", "end", "step"), [(1000, 1000, 0), (1000, 2000, 60), (1001, 1999, 77)])
def test_nothing_is_read_beyond_the_hulls_or_twice(text: str, start: int, end: int, step: int) -> None:
    source, expr = Listening("m 0+1x100"), parse(text)
    evaluate(expr, source, start * S, end * S, step * S)
    hulls = selectors(expr, start * S, end * S)
    for one in source.asked:
        assert any(hull.start_ms <= one.start_ms and one.end_ms <= hull.end_ms for hull in hulls), one
    assert len(set(source.asked)) == len(source.asked)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("sum(rate(m[5m])) or vector(0)", True),
        ("m @ 5 + m", True),
        ("max_over_time(m[5m:1m])", True),
        ("topk(3, a) and b", True),
        ("-m", True),
        ("m @ start()", False),
        ("rate(m[5m] @ end())", False),
        ("max_over_time(m[5m:1m] @ end())", False),
        ("max_over_time((m @ start())[5m:1m])", False),
        ("label_replace(m, 'a', 'b', 'c', 'd')", False),
        ("sum(label_join(m, 'a', 'b', 'c'))", False),
        ("-(a or b)", False),
        ("max_over_time((a or b)[5m:1m])", False),
        ('rate({job="x"}[5m])', False),
        ('-count_values("__name__", m)', False),
        ('-count_values("v", m)', True),
    ],
)
def test_whether_a_step_stands_for_itself(text: str, want: bool) -> None:
    assert stepwise(parse(text)) is want


@pytest.mark.parametrize(
    ("text", "fixed", "same"),
    [
        ("m", False, False),
        ("m @ 5", True, True),
        ("sum(rate(m[5m] @ end())) > 3", True, True),
        ("m @ 5 + m", True, False),
        ("max_over_time((m @ 5)[5m:1m])", True, False),
        ("max_over_time(m[5m:1m] @ 5)", True, True),
        ("timestamp(m @ 5)", True, False),
        ("predict_linear(m[5m] @ 5, 60)", True, False),
        ("hour()", False, False),
        ("vector(1)", False, True),
        ('up{mail="a@b"}', False, False),
    ],
)
def test_what_at_fixes(text: str, fixed: bool, same: bool) -> None:
    assert (pinned(parse(text)), invariant(parse(text))) == (fixed, same)


@pytest.mark.parametrize(
    "text", ["m", "sum(max_over_time(m[1h:1s]))", "m + on() vector(time())", "sum_over_time(vector(1)[10y:1ms])"]
)
def test_an_evaluation_has_a_limit(text: str) -> None:
    with pytest.raises(PromqlError, match="TG-promql-execution") as caught:
        evaluate(parse(text), Listening("m 0+1x100"), 0, 1000 * S, S, max_cells=1000)
    assert "would load too many samples into memory" in str(caught.value)
    assert isinstance(evaluate(parse("m"), Listening("m 0+1x100"), 0, 1000 * S, S, max_cells=1001), Vector)


def test_an_answer_has_the_same_limit() -> None:
    with pytest.raises(PromqlError, match="2 series at 1001 steps"):
        evaluate(
            parse("m or on(x) label_replace(m, 'x', 'y', '', '')"),
            Listening("m 0+1x100"),
            0,
            1000 * S,
            S,
            max_cells=1001,
        )


def test_values_that_are_counted_have_it_before_they_take_memory() -> None:
    """One series of 34 values is 34 series."""
    with pytest.raises(PromqlError, match="34 series at 1001 steps"):
        evaluate(parse("count(count_values('v', m))"), Listening("m 0+1x1000"), 0, 1000 * S, S, max_cells=10_000)


# (query, how often it is asked whether to go on), in parts of 50 samples: windows of up to 20 at 11 steps hold 157.
@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("m + sum(m) * 2", 6 + 1 + 6),
        ("quantile_over_time(0.5, m[10m])", 1 + 2 + 4),
        ("stddev_over_time(m[10m])", 1 + 1 + 4),
        ("deriv(m[10m])", 1 + 1 + 4),
        ("max_over_time(m[10m])", 1 + 1 + 4),
        ("max_over_time(m[10m] @ end())", 1 + 1 + 1),
        # Sums of 0 are added again, one by one.
        ("sum_over_time(((-1) ^ (m % 2))[10m:30s])", 22),
        ("increase(((m == bool 0) * 1e9 + m)[10m:30s])", 18 + 6),
    ],
)
def test_an_evaluation_may_be_ended(text: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "CHUNK", 50)
    monkeypatch.setattr(windows, "STRETCH", 50)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > count:
            raise TimeoutError

    source = Listening("m 0+1x100")
    evaluate(parse(text), source, 0, 1000 * S, 100 * S, check=check)
    assert asked == count
    with pytest.raises(TimeoutError):
        evaluate(parse(text), source, 0, 1000 * S, 100 * S, check=check)


def test_the_step_of_a_subquery_without_one_is_an_argument() -> None:
    found = evaluate(
        parse("count_over_time(m[5m:])"), Listening("m 0+1x100"), 600 * S, 600 * S, 0, subquery_step_ms=100 * S
    )
    assert isinstance(found, Vector)
    assert found.values.tolist() == [[3.0]]

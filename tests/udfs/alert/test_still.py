"""Between two scrapes a tick has the answer of the one before: events and series are those of judging every tick."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from promql.parse import parse
from tests.udfs.alert.fakeflink import FakeFlink
from tests.udfs.alert.scenario import T0
from tests.udfs.alert.stream import sample
from udfs.alert.evaluator import Evaluator
from udfs.alert.rule import Rule
from udfs.alert.still import sights

EXPRESSIONS = [
    "load > 5",
    "max by (host) (load offset 7s) > 5",
    "avg_over_time(load[23s]) > 4",
    "absent(load) or sum(load) > 9",
    "changes(load[40s]) > 1",
    "load > 5 unless on() count_over_time(load[31s]) < 3",
    "sort(rate(load[1m])) > 0.1",
    "load > 5 and on() vector(time()) % 9 < 3",
    "timestamp(load) % 7 < 5",
]


class EveryTick(Evaluator):
    """Judges each tick on its samples."""

    def still(self, *_: object) -> bool:
        return False


def run(rule: Rule, cells: dict[str, list[float | None]], always: bool) -> FakeFlink:
    job = FakeFlink()
    job.rule(rule.key, rule.encode())
    if always:
        held = job._judge._evaluator
        job._judge._evaluator = EveryTick(held.budget, held.clock, held.hindsight)
    for second in range(-1, 350):
        at = T0 + second * 1000
        for offset, (host, values) in enumerate(cells.items()):
            place, rest = divmod(second - 3 * offset, 15)
            if rest == 0 and 0 <= place < len(values) and (value := values[place]) is not None:
                job.batch(sample(host, at, value), at)
        job.advance(at)
    return job


CELLS = st.lists(st.sampled_from([1.0, 9.0, 9.0, None, np.nan]), min_size=2, max_size=3)


@settings(max_examples=12, deadline=None, phases=[Phase.reuse, Phase.generate])  # each run takes half a second
@given(
    expr=st.sampled_from(EXPRESSIONS),
    for_s=st.sampled_from([0, 20]),
    keep_s=st.sampled_from([0, 11]),
    offset_s=st.sampled_from([0, 4]),
    record=st.booleans(),
    rows=st.tuples(CELLS, CELLS),
)
def test_events_and_series_are_those_of_judging_every_tick(
    expr: str, for_s: float, keep_s: float, offset_s: float, record: bool, rows: tuple[list[float | None], ...]
) -> None:
    rule = Rule("acme", "g/A", "g", "A", expr, 1, for_s, keep_s, query_offset_s=offset_s)
    if record:
        rule = Rule("acme", "g/A", "g", "", expr, 1, record="r", query_offset_s=offset_s)
    cells = dict(zip("ab", rows, strict=True))
    fast, slow = run(rule, cells, False), run(rule, cells, True)
    assert fast.sent == slow.sent
    assert told(fast) == told(slow)


def told(job: FakeFlink) -> list[tuple[bytes, bytes, bytes]]:
    """Return what was recorded, without what evaluations cost."""
    rows = [(one.series_set, one.timestamps.tobytes(), one.values.tobytes()) for one in job.recorded]
    return [row for row in rows if b"evaluation_seconds_total" not in row[0]]


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("load > 5", {(0, 300_000, True)}),
        ("avg_over_time(load[1m] offset 2m) > 5 or -sum(load)", {(120_000, 60_000, False), (0, 300_000, True)}),
        ("rate(load[1m])", None),
        ("sum(load) > time()", None),
        ("max_over_time(load[5m:1m])", None),
        ("predict_linear(load[5m], 60) > 1", None),
    ],
)
def test_what_looks_at_the_clock_is_never_still(expr: str, found: set[object] | None) -> None:
    assert sights(parse(expr)) == found

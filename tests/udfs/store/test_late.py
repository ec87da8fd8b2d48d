"""Late samples keep their arrival: exactly those, whatever the shape of the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, Series, encode_series_set
from schemas.frame import Frame
from schemas.nan import MISSING
from sinks import rows
from tests.udfs.alert.fakeflink import Metrics
from udfs.store.flink.store import StoreFunction
from udfs.store.late import late

ARRIVED, AFTER = 100_000, 30_000
IDS = np.array([9, 7], np.uint64)


def frame(stamps: list[int], values: list[list[float]] | list[float], index: list[int] | None = None) -> Frame:
    sparse = None if index is None else np.array(index, np.uint32)
    cells = np.array(values) if sparse is not None else np.array(values).reshape(len(stamps), 2)
    return Frame("t", 0, ["a", "b"], np.array([1, 0], np.uint32), IDS, np.array(stamps, np.int64), cells, sparse)


@pytest.mark.parametrize(
    ("stamp", "is_late"),
    [(ARRIVED, False), (ARRIVED + 9, False), (ARRIVED - AFTER, False), (ARRIVED - AFTER - 1, True), (0, True)],
)
def test_where_late_begins(stamp: int, is_late: bool) -> None:
    assert (late(frame([stamp], [[1.0, 2.0]]), ARRIVED, AFTER) is not None) == is_late


def test_nothing_is_late_in_an_empty_batch_or_where_the_gate_did_not_tell() -> None:
    assert late(frame([], []), ARRIVED, AFTER) is None
    assert late(frame([0], [[1.0, 2.0]]), None, AFTER) is None


STAMPS = st.lists(st.integers(ARRIVED - 2 * AFTER, ARRIVED + AFTER), max_size=12)


@given(STAMPS, st.booleans(), st.integers(0, 99))
def test_the_late_samples_are_those_of_a_loop_over_all(stamps: list[int], dense: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    if dense:
        cells = np.where(rng.random((len(stamps), 2)) < 0.3, MISSING[0], 1.0)
        one = frame(stamps, cells.tolist())
    else:
        one = frame(stamps, [1.0] * len(stamps), rng.integers(0, 2, len(stamps)).tolist())
    want = sorted(
        (["b", "a"][where], int(IDS[where]), stamp)
        for where, stamp, _ in zip(*one.points(), strict=True)
        if stamp < ARRIVED - AFTER
    )
    behind = late(one, ARRIVED, AFTER)
    found = [] if behind is None else rows.late_samples(behind, ARRIVED).to_pylist()
    assert [(row["metric"], row["series_id"], round(row["ts"].timestamp() * 1000)) for row in found] == want
    assert {row["arrived"].timestamp() for row in found} <= {ARRIVED / 1000}


class Subtask:
    """What a function asks of its runtime context when it opens."""

    def get_index_of_this_subtask(self) -> int:
        return 0

    def get_metrics_group(self) -> Metrics:
        return Metrics()


def payloads(stamps: list[int], received_at: int | None) -> list[tuple[str, int]]:
    function = StoreFunction(1, AFTER)
    function.open(Subtask())
    series_set = encode_series_set([Series("b", (("i", "0"),)), Series("a")])
    cells = np.ones((len(stamps), 2))
    batch = Batch("t", "s", 1, series_set, np.array(stamps), cells, None, IDS, 0, received_at)
    return [(address, count) for address, count, _ in function.process_element((batch.encode(),), None)]


def test_what_must_be_seen_before_the_samples_is_on_its_way_before_them() -> None:
    assert payloads([0, ARRIVED], ARRIVED) == [("late_samples/0", 2), ("series/0", 2), ("samples/0", 4)]
    assert payloads([0, ARRIVED - AFTER], ARRIVED)[0] == ("late_samples/0", 2)
    assert payloads([ARRIVED], ARRIVED) == [("series/0", 2), ("samples/0", 2)]


def test_of_a_late_distribution_one_entry_tells() -> None:
    one = frame([0, ARRIVED, 0, 0, 1], [1.0, 1.0, 2.0, 3.0, 4.0], [0, 0, 0, 1, 0])
    one.weights = np.ones(5, np.uint32)
    behind = late(one, ARRIVED, AFTER)
    assert behind is not None
    assert behind.weights is None
    found = rows.late_samples(behind, ARRIVED).to_pylist()
    assert [(row["series_id"], row["ts"].timestamp()) for row in found] == [(7, 0.0), (9, 0.0), (9, 0.001)]


def test_a_distribution_goes_to_its_own_table_one_row_a_timestamp() -> None:
    function = StoreFunction(1, AFTER)
    function.open(Subtask())
    series_set = encode_series_set([Series("b", (("i", "0"),), "distribution")])
    stamps, index = np.array([ARRIVED, ARRIVED, ARRIVED + 1]), np.zeros(3, np.uint32)
    batch = Batch("t", "s", 1, series_set, stamps, np.array([1.0, 2.0, 3.0]), index, IDS[:1], 0, ARRIVED)
    batch.weights = np.array([1, 9, 1], np.uint32)
    sent = list(function.process_element((batch.encode(),), None))
    assert [(address, count) for address, count, _ in sent] == [("series/0", 1), ("distributions/0", 2)]
    table = rows.block("distributions", [sent[1][2], sent[1][2]])
    assert (table["count"].to_pylist(), table["sum"].to_pylist()) == ([10, 10, 1, 1], [19.0, 19.0, 3.0, 3.0])

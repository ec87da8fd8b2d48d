"""Columns as ClickHouse takes them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Series
from schemas.frame import Frame
from schemas.spans import SPAN_MS
from sinks import rows

TIMES = st.integers(0, 5) | st.sampled_from([SPAN_MS - 1, SPAN_MS, 5 * SPAN_MS])
SAMPLE = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), TIMES, st.floats(allow_nan=False))


def frame_of(tenant: str, samples: list[tuple[str, int, int, float]]) -> Frame:
    """Return a frame whose series id is 10 * id + the metric's place, so that an id has one metric."""
    metrics = sorted({one[0] for one in samples})
    keys = sorted({(one[0], one[1]) for one in samples}, reverse=True)
    return Frame(
        tenant,
        0,
        metrics,
        np.array([metrics.index(metric) for metric, _ in keys], dtype=np.uint32),
        np.array([identity * 10 + ord(metric) for metric, identity in keys], dtype=np.uint64),
        np.array([one[2] for one in samples], dtype=np.int64),
        np.array([one[3] for one in samples]),
        np.array([keys.index((one[0], one[1])) for one in samples], dtype=np.uint32),
    )


@given(
    st.lists(st.tuples(st.sampled_from(["t", "u"]), st.lists(SAMPLE, min_size=1, max_size=8)), min_size=1, max_size=4)
)
def test_samples_keep_every_point_in_the_tables_order(
    parts: list[tuple[str, list[tuple[str, int, int, float]]]],
) -> None:
    table = rows.samples([frame_of(tenant, samples) for tenant, samples in parts])
    found = [
        (row["tenant"], row["metric"], row["series_id"], round(row["ts"].timestamp() * 1000), row["value"])
        for row in table.to_pylist()
    ]
    expected = [(tenant, m, i * 10 + ord(m), t, v) for tenant, samples in parts for m, i, t, v in samples]
    assert sorted(found) == sorted(expected)
    in_order = [(tenant, metric, at // SPAN_MS, series, at) for tenant, metric, series, at, _ in found]
    assert in_order == sorted(in_order)


def test_extreme_times_do_not_overflow_the_sort() -> None:
    samples = [("a", 1, -(2**60), 1.0), ("a", 1, 2**60, 2.0), ("a", 0, 0, 3.0)]
    table = rows.samples([frame_of("t", samples)])
    assert table["value"].to_pylist() == [1.0, 3.0, 2.0]
    by_series = rows.samples([frame_of("t", samples)], by_span=False)
    assert by_series["value"].to_pylist() == [3.0, 1.0, 2.0]


def test_series_carry_their_labels_sorted() -> None:
    table = rows.series("acme", [(7, Series("up", (("b", "2"), ("a", "1")), "gauge", ""))], 5, 6)
    assert table["labels"].to_pylist() == [[("a", "1"), ("b", "2")]]
    assert table["series_id"].to_pylist() == [7]


def test_tables_survive_the_way_through_state() -> None:
    one = rows.series("acme", [(7, Series("up"))], 5, 6)
    two = rows.series("acme", [(8, Series("down"))], 5, 6)
    both = rows.unpack([rows.pack(one), rows.pack(two)])
    assert both["metric"].to_pylist() == ["up", "down"]
    assert both["series_id"].to_pylist() == [7, 8]

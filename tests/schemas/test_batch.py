"""Batches as columns: nothing is lost or blurred on the way through Avro."""

from io import BytesIO

import numpy as np
import pytest
from fastavro import schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, BatchBuilder, Series, decode_series_set, encode_series_set
from schemas.codec import CodecError, codec, load_schema
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.nan import MISSING, NORMAL, STALE, canonical, is_missing, is_stale

BITS = st.integers(0, 2**64 - 1)


@given(st.lists(BITS, max_size=20))
def test_every_bit_pattern_of_a_value_survives_the_codec(patterns: list[int]) -> None:
    values = np.array(patterns, dtype=np.uint64).view(np.float64)
    index = np.arange(len(values), dtype=np.uint32)
    batch = Batch("t", "s", 1, b"", np.arange(len(values)), values, index)
    assert Batch.decode(batch.encode()).values.tobytes() == values.tobytes()


@given(st.lists(BITS, max_size=20))
def test_canonical_keeps_numbers_and_markers_and_unifies_other_nans(patterns: list[int]) -> None:
    values = np.array(patterns, dtype=np.uint64).view(np.float64)
    kept = canonical(values).view(np.uint64)
    special = {int(one.view(np.uint64)[0]) for one in (MISSING, STALE, NORMAL)}
    for before, after in zip(values.view(np.uint64), kept, strict=True):
        number = not np.isnan(np.array([before]).view(np.float64))[0]
        assert after == (before if number or int(before) in special else NORMAL.view(np.uint64)[0])


def test_a_missing_cell_and_a_staleness_marker_stay_apart() -> None:
    values = np.concatenate([MISSING, STALE, NORMAL, [1.0]]).reshape(2, 2)
    batch = Batch("t", "s", 1, b"", np.array([10, 20]), values)
    index, stamps, points = Batch.decode(batch.encode()).points()
    assert (index.tolist(), stamps.tolist()) == ([1, 0, 1], [10, 20, 20])
    assert is_stale(points).tolist() == [True, False, False]
    assert not is_missing(points).any()


UP, LOAD = Series("up", (("job", "node"),)), Series("node_load1", (("host", "a"),), "gauge")


def test_builder_rows_are_scrapes_and_columns_are_series() -> None:
    builder = BatchBuilder("t", "web-1")
    builder.add_scrape(1000, [(UP, 1.0)])
    builder.add_scrape(2000, [(LOAD, 0.5), (UP, 0.0)])
    assert len(builder) == 3
    batch = builder.build(sent_at=2100)
    assert decode_series_set(batch.series_set) == [UP, LOAD]
    assert batch.timestamps.tolist() == [1000, 2000]
    assert is_missing(batch.values).tolist() == [[False, True], [False, False]]
    assert batch.values[1].tolist() == [0.0, 0.5]


def test_an_unchanged_source_keeps_equal_set_bytes_whatever_the_order_of_its_samples() -> None:
    builder = BatchBuilder("t", "web-1")
    builder.add_scrape(1000, [(UP, 1.0), (LOAD, 1.0)])
    first = builder.build(1000).series_set
    builder.add_scrape(2000, [(LOAD, 2.0), (UP, 2.0)])
    second = builder.build(2000)
    assert second.series_set == first
    assert len(builder) == 0


LATENCY = Series("latency_seconds", (("handler", "/"),), "distribution")


def test_a_batch_with_a_distribution_is_sparse_and_keeps_its_samples() -> None:
    builder = BatchBuilder("t", "web-1")
    builder.add_scrape(1000, [(UP, 1.0)])
    builder.add_distribution(2000, LATENCY, [0.5, 0.25])
    builder.add_distribution(3000, LATENCY, np.array([0.1]), [4_294_967_295])
    builder.add_scrape(4000, [(LOAD, 7.0)])
    assert len(builder) == 5
    batch = Batch.decode(builder.build(5000).encode())
    assert decode_series_set(batch.series_set) == [UP, LATENCY, LOAD]
    assert batch.weights is not None
    rows = zip(*(column.tolist() for column in (*batch.points(), batch.weights)), strict=True)
    assert list(rows) == [
        (0, 1000, 1.0, 1),
        (2, 4000, 7.0, 1),
        (1, 2000, 0.5, 1),
        (1, 2000, 0.25, 1),
        (1, 3000, 0.1, 4_294_967_295),
    ]
    assert len(builder) == 0
    builder.add_scrape(6000, [(UP, 1.0)])
    plain = builder.build(6000)
    assert (plain.index, plain.weights) == (None, None)


@pytest.mark.parametrize("weights", [[0], [-1], [0.5], [2**32], [float("nan")], [1, 1]])
def test_a_weight_that_is_no_whole_number_is_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"TG-weight|TG-column-length"):
        BatchBuilder("t", "s").add_distribution(1, LATENCY, [0.5], weights)


def test_only_a_series_of_type_distribution_takes_one() -> None:
    with pytest.raises(ValueError, match="TG-distribution-type: 'node_load1' is of type 'gauge'"):
        BatchBuilder("t", "s").add_distribution(1, LOAD, [0.5])


MISFITS = [
    ("half a timestamp", {"timestamps": b"\0" * 12}),
    ("values without a row", {"timestamps": b"", "values": b"\0" * 8}),
    ("values that fill no rows", {"timestamps": b"\0" * 16, "values": b"\0" * 24}),
    ("sparse columns of unequal length", {"series_index": b"\0" * 4, "values": b"\0" * 16}),
    ("half an index", {"series_index": b"\0" * 6}),
    ("half a weight", {"series_index": b"\0" * 4, "weights": b"\0" * 6}),
    ("weights for fewer samples", {"series_index": b"\0" * 4, "weights": b""}),
    ("weights of dense rows", {"weights": b"\0" * 4}),
]


@pytest.mark.parametrize("change", [row[1] for row in MISFITS], ids=[row[0] for row in MISFITS])
def test_columns_that_do_not_fit_are_refused(change: dict[str, bytes]) -> None:
    record = {
        "tenant": "t",
        "source": "s",
        "sent_at": 1,
        "series_set": b"",
        "timestamps": b"\0" * 8,
        "values": b"\0" * 8,
        "series_index": None,
        "series_ids": None,
        "shard": None,
        "received_at": None,
        "weights": None,
    }
    with pytest.raises(CodecError) as caught:
        Batch.decode(codec("metric_batch").encode({**record, **change}))
    assert caught.value.kind == "length"


def test_frames_keep_dense_and_sparse_columns() -> None:
    ids = np.array([7, 2**64 - 1], dtype=np.uint64)
    codes = np.array([0, 0], dtype=np.uint32)
    dense = Frame("t", 3, ["up"], codes, ids, np.array([1, 2]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    sparse = Frame("t", 3, ["up"], codes, ids, np.array([1]), np.array([9.0]), np.array([1], dtype=np.uint32))
    many = Frame("t", 3, ["up"], codes, ids, np.array([1, 1]), np.array([9.0, 8.0]), np.zeros(2, np.uint32))
    many.weights = np.array([3, 2**32 - 1], dtype=np.uint32)
    decoded = Frame.decode(many.encode()).weights
    assert decoded is not None
    assert decoded.tolist() == [3, 2**32 - 1]
    for frame in (dense, sparse, many):
        again = Frame.decode(frame.encode())
        assert again.series_ids.tolist() == ids.tolist()
        assert [column.tolist() for column in again.points()] == [column.tolist() for column in frame.points()]


TEXT = st.text(min_size=1, max_size=5)


@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=4), st.randoms())
def test_the_id_does_not_depend_on_the_order_of_labels(name: str, labels: dict[str, str], random: object) -> None:
    pairs = list(labels.items())
    random.shuffle(pairs)  # type: ignore[attr-defined]  # hypothesis types its randoms as object
    assert series_id("t", name, pairs) == series_id("t", name, labels.items())


DIFFERENT = [
    ("tenant", ("u", "m", [("a", "b")])),
    ("name", ("t", "n", [("a", "b")])),
    ("value", ("t", "m", [("a", "c")])),
    ("name and value swapped", ("t", "m", [("b", "a")])),
    ("boundary moved", ("t", "m", [("ab", "")])),
    ("boundary moved into the name", ("t", "ma", [("", "b")])),
]


@pytest.mark.parametrize("other", [row[1] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_the_id_depends_on_everything_else(other: tuple[str, str, list[tuple[str, str]]]) -> None:
    assert series_id(*other) != series_id("t", "m", [("a", "b")])


def test_an_empty_label_is_no_label() -> None:
    assert series_id("t", "m", [("a", "b"), ("c", "")]) == series_id("t", "m", [("a", "b")])


@given(st.lists(st.builds(Series, TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)), max_size=5))
def test_series_sets_survive_the_codec(series: list[Series]) -> None:
    assert decode_series_set(encode_series_set(series)) == series


@given(
    st.lists(
        st.builds(
            Series,
            st.text(max_size=300),
            st.lists(st.tuples(st.text(max_size=5), st.text(max_size=300)), max_size=3).map(tuple),
            st.sampled_from(["unknown", "gauge", "distribution"]),
            st.text(max_size=3),
        ),
        max_size=70,
    )
)
def test_a_series_set_is_written_as_fastavro_writes_it(series: list[Series]) -> None:
    rows = [
        {
            "name": one.name,
            "type": one.type,
            "unit": one.unit,
            "labels": [{"name": name, "value": value} for name, value in one.labels],
        }
        for one in series
    ]
    written = BytesIO()
    schemaless_writer(written, load_schema("series_set"), rows, strict=True)
    assert encode_series_set(series) == written.getvalue()
    assert decode_series_set(encode_series_set(series)) == series


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'odd' is no metric type; there are: unknown, gauge"):
        encode_series_set([Series("m", (), "odd")])

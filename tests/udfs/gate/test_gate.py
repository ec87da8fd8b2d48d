"""The gate as a table: what goes in, what passes, what is refused and why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batch import Batch, BatchBuilder, Series, decode_series_set, encode_series_set
from schemas.codec import MAGIC, codec
from schemas.ids import series_id
from schemas.nan import MISSING, STALE
from schemas.reason import Reason
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.limits import Limits

NOW = 1_800_000_000_000
LIMITS = Limits(max_record_bytes=1 << 20, max_series_per_batch=50, max_labels=3, max_label_value_length=20)
GOOD = Series("up", (("job", "node"),))


def judged(record: bytes, shards: int = 4) -> tuple[list[Passed], list[Refused]]:
    outcomes = list(Gate.open(shards, LIMITS).judge(record, NOW))
    return [o for o in outcomes if isinstance(o, Passed)], [o for o in outcomes if isinstance(o, Refused)]


def batch_of(series: list[Series], stamps: list[int], tenant: str = "acme") -> Batch:
    values = np.arange(len(stamps) * len(series), dtype=np.float64).reshape(len(stamps), len(series))
    return Batch(tenant, "web-1", NOW, encode_series_set(series), np.array(stamps), values)


def samples(passed: list[Passed]) -> dict[tuple[int, int], float]:
    """Return what passed as {(series id, timestamp): value}."""
    found = {}
    for one in passed:
        assert one.batch.series_ids is not None
        index, stamps, values = one.batch.points()
        for where, stamp, value in zip(index, stamps, values, strict=True):
            found[int(one.batch.series_ids[where]), int(stamp)] = float(value)
    return found


def test_a_good_batch_passes_whole_split_by_shard() -> None:
    series = [Series("m", (("i", str(i)),)) for i in range(40)]
    batch = batch_of(series, [NOW - 1000, NOW])
    batch.received_at = 1  # a producer's word, which does not count
    passed, refused = judged(batch.encode())
    assert not refused
    assert len(samples(passed)) == 80
    for one in passed:
        assert one.batch.series_ids is not None
        assert one.key == f"acme/{one.batch.shard}"
        assert {int(i) % 4 for i in one.batch.series_ids} == {one.batch.shard}
        names = decode_series_set(one.batch.series_set)
        assert [series_id("acme", s.name, s.labels) for s in names] == one.batch.series_ids.tolist()
        assert one.event_time == NOW
        assert one.batch.received_at == NOW


def test_a_single_metric_record_passes_as_a_batch() -> None:
    point = {"tenant": "acme", "source": "s", "name": "up", "labels": {"job": "node"}, "timestamp": NOW, "value": 3.0}
    passed, refused = judged(codec("metric").encode({**point, "type": "odd", "unit": ""}))
    assert not refused
    assert samples(passed) == {(series_id("acme", "up", [("job", "node")]), NOW): 3.0}


BAD_SERIES = [
    (Reason.NAME, Series("", ())),
    (Reason.NAME, Series("9lives", ())),
    (Reason.NAME, Series("with space", ())),
    (Reason.NAME, Series("m" * 201, ())),
    (Reason.NAME, Series("naïve", ())),
    (Reason.LABEL_NAME, Series("m", (("", "x"),))),
    (Reason.LABEL_NAME, Series("m", (("a-b", "x"),))),
    (Reason.LABEL_NAME, Series("m", (("__name__", "x"),))),
    (Reason.LABEL_VALUE, Series("m", (("a", "x" * (1 << 20)),))),
    (Reason.LABEL_VALUE, Series("m", (("a", "x\0"),))),
    (Reason.LABEL_COUNT, Series("m", tuple((f"l{i}", "x") for i in range(4)))),
    (Reason.LABEL_DUPLICATE, Series("m", (("a", "1"), ("a", "2")))),
    (Reason.SERIES_DUPLICATE, Series("up", (("job", "node"), ("empty", "")))),
]


@pytest.mark.parametrize(("reason", "bad"), BAD_SERIES, ids=[f"{r.id} {s.name[:9]}" for r, s in BAD_SERIES])
def test_a_bad_series_is_named_and_its_neighbours_pass(reason: Reason, bad: Series) -> None:
    limits = Limits(max_record_bytes=4 << 20, max_labels=3, max_label_value_length=20)
    record = batch_of([GOOD, bad, Series("node_load1", ())], [NOW - 10, NOW]).encode()
    outcomes = list(Gate.open(4, limits).judge(record, NOW))
    refused = [o for o in outcomes if isinstance(o, Refused)]
    assert [(o.refusal.reason, o.refusal.series, o.refusal.samples) for o in refused] == [(reason, 1, 2)]
    assert len(samples([o for o in outcomes if isinstance(o, Passed)])) == 4
    said = codec("rejected").decode(refused[0].refusal.encode("acme", "web-1", NOW))
    assert said["id"] == reason.id
    assert len(said["message"]) < 1000
    assert len(said["sample"]) <= 512


BAD_TIMES = [
    (Reason.TOO_OLD, 0),
    (Reason.TOO_OLD, -(2**63)),
    (Reason.TOO_OLD, NOW - 7_200_001),
    (Reason.TOO_FUTURE, NOW + 600_001),
    (Reason.TOO_FUTURE, 4_102_444_800_000),
    (Reason.TOO_FUTURE, 2**63 - 1),
]


@pytest.mark.parametrize(("reason", "stamp"), BAD_TIMES)
def test_a_bad_time_is_named_and_moves_no_event_time(reason: Reason, stamp: int) -> None:
    passed, refused = judged(batch_of([GOOD], [NOW - 5000, stamp]).encode())
    assert [(o.refusal.reason, o.refusal.samples) for o in refused] == [(reason, 1)]
    assert [stamp for _, stamp in samples(passed)] == [NOW - 5000]
    assert [one.event_time for one in passed] == [NOW - 5000]


@pytest.mark.parametrize("stamp", [NOW - 7_200_000, NOW + 600_000])
def test_the_limits_themselves_are_inside(stamp: int) -> None:
    passed, refused = judged(batch_of([GOOD], [stamp]).encode())
    assert (len(passed), len(refused)) == (1, 0)


def test_a_fast_clock_never_moves_event_time_past_the_broker() -> None:
    passed, _ = judged(batch_of([GOOD], [NOW + 300_000]).encode())
    assert passed[0].event_time == NOW


WHOLE = batch_of([GOOD], [NOW]).encode()
BAD_RECORDS = [
    (Reason.TRUNCATED, b""),
    (Reason.TRUNCATED, WHOLE[:-3]),
    (Reason.NOT_AVRO, b'{"metric": "up"}'),
    (Reason.UNKNOWN_SCHEMA, MAGIC + b"12345678" + WHOLE[10:]),
    (Reason.MALFORMED, WHOLE + b"\0"),
    (Reason.OVERSIZED, WHOLE + b"\0" * (1 << 20)),
    (Reason.TRUNCATED, WHOLE[:10] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"),
    (Reason.TENANT, batch_of([GOOD], [NOW], tenant="").encode()),
    (Reason.TENANT, batch_of([GOOD], [NOW], tenant="a/b").encode()),
    (Reason.SERIES_COUNT, batch_of([Series(f"m{i}") for i in range(51)], [NOW]).encode()),
    (Reason.COLUMN_LENGTH, Batch("t", "s", NOW, encode_series_set([GOOD]), np.array([NOW]), np.ones((1, 2))).encode()),
    (Reason.TRUNCATED, Batch("t", "s", 1, b"\x02", np.array([NOW]), np.ones((1, 1))).encode()),
]


@pytest.mark.parametrize(("reason", "record"), BAD_RECORDS, ids=[row[0].id for row in BAD_RECORDS])
def test_a_bad_record_is_refused_whole(reason: Reason, record: bytes) -> None:
    passed, refused = judged(record)
    assert (passed, [o.refusal.reason for o in refused]) == ([], [reason])


def test_a_stray_index_costs_its_own_sample_only() -> None:
    index = np.array([0, 7, 0], dtype=np.uint32)
    stamps = np.array([NOW - 2, NOW - 1, NOW])
    batch = Batch("acme", "s", NOW, encode_series_set([GOOD]), stamps, np.array([1.0, 2.0, 3.0]), index)
    passed, refused = judged(batch.encode())
    assert [(o.refusal.reason, o.refusal.samples) for o in refused] == [(Reason.SERIES_INDEX, 1)]
    assert sorted(samples(passed).values()) == [1.0, 3.0]


def test_odd_nans_become_one_and_markers_stay() -> None:
    odd = np.array([0x7FF80000DEADBEEF], dtype=np.uint64).view(np.float64)
    values = np.concatenate([odd, STALE, MISSING]).reshape(3, 1)
    batch = Batch("acme", "s", NOW, encode_series_set([GOOD]), np.array([NOW - 2, NOW - 1, NOW]), values)
    passed, _ = judged(batch.encode())
    bits = passed[0].batch.values.view(np.uint64).reshape(-1).tolist()
    assert bits == [0x7FF8000000000001, 0x7FF0000000000002, 0x7FF0000000000001]


@given(st.integers(1, 9), st.integers(0, 2**32), st.booleans())
@settings(max_examples=50)
def test_every_sample_is_passed_or_refused(shards: int, seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    pool = [GOOD, Series("bad name"), Series("m", (("a", "1"),)), Series("m", (("a", "2"),)), Series("ok.dots")]
    series = [pool[i] for i in rng.integers(0, len(pool), rng.integers(1, 8))]
    stamps = NOW + rng.integers(-8_000_000, 800_000, 6)
    if sparse:
        index = rng.integers(0, len(series) + 1, 6).astype(np.uint32)
        batch = Batch("acme", "s", NOW, encode_series_set(series), stamps, rng.normal(size=6), index)
    else:
        values = rng.normal(size=(6, len(series)))
        values[rng.random(values.shape) < 0.2] = MISSING[0]
        batch = Batch("acme", "s", NOW, encode_series_set(series), stamps, values)
    passed, refused = judged(batch.encode(), shards)
    through = sum(len(one.batch.points()[0]) for one in passed)
    assert through + sum(o.refusal.samples for o in refused) == len(batch.points()[0])


def test_the_builder_and_the_gate_agree() -> None:
    builder = BatchBuilder("acme", "web-1")
    builder.add_scrape(NOW, [(GOOD, 1.0)])
    builder.add_scrape(NOW + 1000, [(Series("node_load1"), 2.0)])
    passed, refused = judged(builder.build(NOW).encode())
    assert not refused
    assert sorted(samples(passed).values()) == [1.0, 2.0]

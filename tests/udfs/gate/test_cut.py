"""Large batches in pieces: nothing is lost, no timestamp is parted, and event time follows."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Batch, Series, decode_series_set, encode_series_set
from udfs.gate.cut import CELLS, cut
from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits

NOW = 1_800_000_000_000
SERIES = [Series("m", (("i", str(number)),)) for number in range(5)]
SET = encode_series_set(SERIES)


def drawn(seed: int, rows: int, sparse: bool) -> Batch:
    rng = np.random.default_rng(seed)
    stamps = NOW + rng.integers(0, 12, rows)
    if not sparse:
        return Batch("acme", "s", NOW, SET, stamps, rng.normal(size=(rows, len(SERIES))))
    index = rng.integers(0, len(SERIES), rows).astype(np.uint32)
    return Batch("acme", "s", NOW, SET, stamps, rng.normal(size=rows), index, weights=index + np.uint32(1))


@given(st.integers(0, 2**32), st.integers(1, 60), st.booleans(), st.integers(1, 80))
def test_pieces_are_the_batch_in_the_order_of_time(seed: int, rows: int, sparse: bool, most: int) -> None:
    batch = drawn(seed, rows, sparse)
    pieces = list(cut(batch, most))
    if batch.values.size <= most:
        assert pieces == [batch]
        return
    order = np.argsort(batch.timestamps, kind="stable")
    for name in ("timestamps", "values", *(("index", "weights") if sparse else ())):
        column = np.concatenate([getattr(piece, name) for piece in pieces])
        assert np.array_equal(column, getattr(batch, name)[order])
    for one, other in pairwise(pieces):
        assert one.timestamps[-1] < other.timestamps[0]
    for piece in pieces:
        assert piece.values.size <= most or len(set(piece.timestamps.tolist())) == 1


def test_a_large_batch_passes_as_records_of_ascending_event_time() -> None:
    series = [Series("m", (("i", str(number)),)) for number in range(200)]
    stamps = NOW - 1000 * np.arange(1000)[::-1]
    values = np.arange(200_000, dtype=np.float64).reshape(1000, 200)
    batch = Batch("acme", "s", NOW, encode_series_set(series), stamps, values)
    passed = [one for one in Gate.open(4, Limits()).judge(batch.encode(), NOW) if isinstance(one, Passed)]
    assert sum(one.batch.values.size for one in passed) == 200_000
    assert max(one.batch.values.size for one in passed) <= CELLS
    assert [one.event_time for one in passed] == sorted(int(one.batch.timestamps.max()) for one in passed)
    assert {one.event_time for one in passed if one.key == "acme/0"} == {int(stamps[at]) for at in (326, 653, 980, 999)}


def test_a_set_of_many_labels_passes_as_several_of_a_shard() -> None:
    series = [Series("m", (("i", str(number)), ("text", "x" * 1000))) for number in range(2000)]
    batch = Batch("acme", "s", NOW, encode_series_set(series), np.array([NOW]), np.arange(2000.0).reshape(1, -1))
    passed = [one for one in Gate.open(4, Limits()).judge(batch.encode(), NOW) if isinstance(one, Passed)]
    assert max(len(one.batch.series_set) for one in passed) <= 256 << 10
    assert {one.key for one in passed} == {f"acme/{shard}" for shard in range(4)}
    assert len(passed) > 4
    found: dict[str, float] = {}
    for one in passed:
        assert one.batch.series_ids is not None
        assert {int(identity) % 4 for identity in one.batch.series_ids} == {one.batch.shard}
        names = decode_series_set(one.batch.series_set)
        found |= {one.labels[0][1]: value for one, value in zip(names, one.batch.values[0].tolist(), strict=True)}
    assert found == {str(number): float(number) for number in range(2000)}

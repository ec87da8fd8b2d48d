"""What a target's batches look like from round to round."""

import numpy as np
import pytest

from agent.rows import Rows
from schemas.batch import Batch, Series, decode_series_set
from schemas.nan import is_missing, is_stale


def read(batch: Batch) -> str:
    """Return the row as `name=value`, with - for no sample and stale for a marker."""
    # Through the wire, so that the NaN's bits are those a reader sees.
    batch = Batch.decode(batch.encode())
    values = batch.values[0]
    cells = np.where(is_missing(values), "-", np.where(is_stale(values), "stale", values.astype("U32")))
    names = [series.name for series in decode_series_set(batch.series_set)]
    return " ".join(f"{name}={cell}" for name, cell in zip(names, cells, strict=True))


def samples(text: str, kind: str = "gauge") -> list[tuple[Series, float]]:
    return [(Series(part.split("=")[0], (), kind), float(part.split("=")[1])) for part in text.split()]


def one(rows: Rows, at: int, row: list[tuple[Series, float]]) -> Batch:
    """Return the round's batch; there is exactly one."""
    (batch,) = rows.batches(at, row, 0)
    return batch


@pytest.mark.parametrize(
    ("scrapes", "expected"),
    [
        (["a=1 b=2", "b=3 a=4"], ["a=1.0 b=2.0", "a=4.0 b=3.0"]),
        (["a=1 b=2", "b=3", "b=4", "a=5 b=6"], ["a=1.0 b=2.0", "a=stale b=3.0", "a=- b=4.0", "a=5.0 b=6.0"]),
        (["a=1 b=1", "b=1", "b=1", "a=2 b=1"], ["a=1.0 b=1.0", "a=stale b=1.0", "a=- b=1.0", "a=2.0 b=1.0"]),
        (["a=1", "a=1 c=2"], ["a=1.0", "a=1.0 c=2.0"]),
    ],
)
def test_rows(scrapes: list[str], expected: list[str]) -> None:
    rows = Rows("t", "s")
    assert [read(one(rows, 1000 * n, samples(text))) for n, text in enumerate(scrapes)] == expected


def test_the_series_set_stays_the_same_bytes() -> None:
    rows = Rows("t", "s")
    sets = [one(rows, n, samples(text)).series_set for n, text in enumerate(["a=1 b=1", "b=1", "b=1 a=1"])]
    assert len(set(sets)) == 1


def test_series_long_gone_leave_the_set() -> None:
    rows = Rows("t", "s", forget_after=3)
    scrapes = ["a=1 b=1", "b=2", *["b=3"] * 6]
    seen = [read(one(rows, n, samples(text))) for n, text in enumerate(scrapes)]
    assert seen[1] == "a=stale b=2.0"
    assert seen[3] == "a=- b=3.0"
    assert seen[-1] == "b=3.0"


def test_a_type_that_changes_never_stands_beside_the_old_one() -> None:
    rows = Rows("t", "s")
    one(rows, 0, samples("a=1 b=1"))
    batch = one(rows, 1, [*samples("a=2", "counter"), *samples("b=2")])
    assert [(s.name, s.type) for s in decode_series_set(batch.series_set)] == [("a", "counter"), ("b", "gauge")]


def test_every_sample_carries_the_time_of_the_round() -> None:
    (batch,) = Rows("t", "s").batches(170_000, samples("a=1 b=2"), 171_234)
    assert (batch.timestamps.tolist(), batch.sent_at, batch.tenant, batch.source) == ([170_000], 171_234, "t", "s")


def test_a_round_without_samples_is_no_batch() -> None:
    rows = Rows("t", "s")
    assert [len(rows.batches(n, samples(text), 0)) for n, text in enumerate(["", "a=1", "", "", "a=1"])] == [
        0, 1, 1, 0, 1,
    ]  # fmt: skip


def test_where_series_come_and_go_the_set_stays_small() -> None:
    """Two hundred stay, fifty are new in each of three hundred rounds."""
    rows = Rows("t", "s")
    stay = [(Series("pod", (("n", str(n)),), "gauge"), 1.0) for n in range(200)]
    most = 0
    for n in range(300):
        new = [(Series("pod", (("n", f"{n}-{number}"),), "gauge"), 1.0) for number in range(50)]
        most = max(most, one(rows, n, [*stay, *new]).values.shape[1])
    assert most <= 200 + 50 * 61


def test_a_large_target_is_several_batches_of_whole_sets() -> None:
    rows = Rows("t", "s", set_series=2)
    first, second, third = rows.batches(0, samples("a=1 b=2 c=3 d=4 e=5"), 0)
    assert [read(batch) for batch in (first, second, third)] == ["a=1.0 b=2.0", "c=3.0 d=4.0", "e=5.0"]
    again = rows.batches(1, samples("e=6 d=7 f=8"), 0)
    assert [read(batch) for batch in again] == ["a=stale b=stale", "c=stale d=7.0", "e=6.0 f=8.0"]
    assert again[1].series_set == second.series_set
    assert [read(batch) for batch in rows.batches(2, samples("e=6 d=7 f=8"), 0)] == ["c=- d=7.0", "e=6.0 f=8.0"]


def test_sets_are_bounded_in_bytes_too() -> None:
    rows = Rows("t", "s", set_bytes=1000)
    wide = [(Series("m", (("path", "x" * 400 + str(n)),)), 1.0) for n in range(5)]
    assert [batch.values.shape[1] for batch in rows.batches(0, wide, 0)] == [2, 2, 1]


def test_bytes_are_counted_as_they_are_sent() -> None:
    rows = Rows("t", "s")
    wide = [(Series("m", (("path", "日本語" * 600 + str(n)),)), 1.0) for n in range(2000)]
    assert max(len(batch.encode()) for batch in rows.batches(0, wide, 0)) < 5 << 20

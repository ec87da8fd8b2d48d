"""A window recomputed from stored and late samples is the window as if all had come in time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batch import Frame
from udfs.reroll.dirty import unite
from udfs.rollup.rows import rollup

SAMPLES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 59_999), st.integers(-9, 9).map(float)), min_size=1, max_size=40
)


def frame_of(samples: list[tuple[int, int, float]]) -> Frame:
    ids = sorted({one[0] for one in samples})
    metrics = sorted({f"m{one % 3}" for one in ids})
    return Frame(
        "acme",
        0,
        metrics,
        np.array([metrics.index(f"m{one % 3}") for one in ids], dtype=np.uint32),
        np.array(ids, dtype=np.uint64),
        np.array([one[1] for one in samples], dtype=np.int64),
        np.array([one[2] for one in samples]),
        np.array([ids.index(one[0]) for one in samples], dtype=np.uint32),
    )


@given(SAMPLES, SAMPLES, st.integers(1, 3))
@settings(max_examples=200)
def test_late_plus_stored_is_as_if_in_time(
    stored: list[tuple[int, int, float]], late: list[tuple[int, int, float]], parts: int
) -> None:
    united = unite([frame_of(late[part::parts]) for part in range(parts) if late[part::parts]])
    dirty = set(united.series_ids.tolist())
    known = [one for one in stored if one[0] in dirty]
    corrected = rollup([united, frame_of(known)] if known else [united], 0)
    in_time = rollup([frame_of(stored + late)], 0)
    assert corrected is not None
    assert in_time is not None
    place = {series: at for at, series in enumerate(in_time.series_ids.tolist())}
    for at, series in enumerate(corrected.series_ids.tolist()):
        for name in ("count", "sum", "min", "max", "first", "last", "first_ts", "last_ts", "increase"):
            assert getattr(corrected, name)[at] == getattr(in_time, name)[place[series]], name


@given(SAMPLES, SAMPLES)
def test_version_by_count_never_falls_when_samples_are_added(
    some: list[tuple[int, int, float]], more: list[tuple[int, int, float]]
) -> None:
    before, after = rollup([frame_of(some)], 0), rollup([frame_of(some + more)], 0)
    assert before is not None
    assert after is not None
    counts = dict(zip(after.series_ids.tolist(), after.count.tolist(), strict=True))
    for series, count in zip(before.series_ids.tolist(), before.count.tolist(), strict=True):
        assert counts[series] >= count

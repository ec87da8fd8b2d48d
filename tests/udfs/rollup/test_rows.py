"""A closed window against a slow, obvious reference; and: order, repeats and packing of samples do not matter."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.frame import Frame
from schemas.nan import STALE
from schemas.rollups import Rollups
from udfs.rollup.digest import decode
from udfs.rollup.rows import rollup

Sample = tuple[int, int, float]  # series id, ms, value

VALUES = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf")))
SAMPLES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 59_999), VALUES), min_size=1, max_size=60)


def metric_of(series: int) -> str:
    return f"m{series % 2}"


def frame_of(samples: list[Sample]) -> Frame:
    """Return one sparse frame, its series in order of first sight."""
    ids = list(dict.fromkeys(series for series, _, _ in samples))
    metrics = list(dict.fromkeys(metric_of(series) for series in ids))
    return Frame(
        "acme",
        0,
        metrics,
        np.array([metrics.index(metric_of(series)) for series in ids], dtype=np.uint32),
        np.array(ids, dtype=np.uint64),
        np.array([stamp for _, stamp, _ in samples], dtype=np.int64),
        np.array([value for _, _, value in samples]),
        np.array([ids.index(series) for series, _, _ in samples], dtype=np.uint32),
    )


def as_dicts(rows: Rollups | None) -> dict[int, dict[str, object]]:
    if rows is None:
        return {}
    names = ("count", "sum", "min", "max", "first", "last", "first_ts", "last_ts", "increase", "sum_sq")
    found = {}
    for place, series in enumerate(rows.series_ids.tolist()):
        row: dict[str, object] = {name: getattr(rows, name)[place].item() for name in names}
        row["metric"] = rows.metrics[rows.metric_codes[place]]
        begin, end = rows.digest_offsets[place : place + 2]
        row["digest"] = rows.digest[begin:end].tobytes()
        found[series] = row
    return found


def reference(samples: list[Sample]) -> dict[int, dict[str, object]]:
    """Return the same by plain Python, one series at a time."""
    kept: dict[int, dict[int, float]] = {}
    for series, stamp, value in samples:
        if not math.isnan(value):
            column = kept.setdefault(series, {})
            column[stamp] = max(column.get(stamp, value), value)
    found: dict[int, dict[str, object]] = {}
    for series, column in kept.items():
        stamps = sorted(column)
        values = [column[stamp] for stamp in stamps]
        increase = 0.0
        for before, after in itertools.pairwise(values):
            increase += after - before if not after < before else after
        found[series] = {
            "count": len(values),
            "sum": sum(values),
            "sum_sq": sum(v * v for v in values),
            "min": min(values),
            "max": max(values),
            "first": values[0],
            "last": values[-1],
            "first_ts": stamps[0],
            "last_ts": stamps[-1],
            "increase": increase,
            "metric": metric_of(series),
        }
    return found


@given(SAMPLES)
@settings(max_examples=200)
def test_every_column_is_the_reference(samples: list[Sample]) -> None:
    found, expected = as_dicts(rollup([frame_of(samples)], 0)), reference(samples)
    assert found.keys() == expected.keys()
    for series, row in expected.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert found[series][name] == pytest.approx(value, rel=1e-12, abs=1e-9, nan_ok=True), name
            else:
                assert found[series][name] == value, name


@given(SAMPLES, st.integers(1, 4), st.integers(0, 2**32))
@example([(0, 0, 0.0), (0, 0, -0.0)], 1, 0)
@settings(max_examples=1000)
def test_order_repeats_and_packing_do_not_matter(samples: list[Sample], parts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [samples[i] for i in rng.permutation(len(samples))]
    repeated = shuffled + [samples[i] for i in rng.integers(0, len(samples), 5)]
    frames = [frame_of(repeated[part::parts]) for part in range(parts) if repeated[part::parts]]
    np.testing.assert_equal(as_dicts(rollup(frames, 0)), as_dicts(rollup([frame_of(samples)], 0)))


def test_a_counter_reset_is_growth_from_zero() -> None:
    rows = rollup([frame_of([(1, 0, 10.0), (1, 10, 15.0), (1, 20, 3.0), (1, 30, 4.0)])], 0)
    assert rows is not None
    assert rows.increase.tolist() == [5.0 + 3.0 + 1.0]


def test_staleness_markers_are_no_values() -> None:
    assert rollup([frame_of([(1, 0, float(STALE[0]))])], 0) is None
    rows = rollup([frame_of([(1, 0, 2.0), (1, 10, float(STALE[0]))])], 0)
    assert rows is not None
    assert (rows.count.tolist(), rows.last.tolist(), rows.last_ts.tolist()) == ([1], [2.0], [0])


def test_rows_are_ordered_as_the_table() -> None:
    rows = rollup([frame_of([(3, 0, 1.0), (2, 0, 1.0), (1, 0, 1.0), (0, 0, 1.0)])], 0)
    assert rows is not None
    keys = [(rows.metrics[code], series) for code, series in zip(rows.metric_codes, rows.series_ids, strict=True)]
    assert keys == sorted(keys)


@given(SAMPLES)
def test_the_digest_of_a_few_values_holds_them_exactly(samples: list[Sample]) -> None:
    finite = [sample for sample in samples if abs(sample[2]) < 1e30]
    if not finite:
        return
    for series, row in as_dicts(rollup([frame_of(finite)], 0)).items():
        column: dict[int, float] = {}
        for owner, stamp, value in finite:
            if owner == series:
                column[stamp] = max(column.get(stamp, value), value)
        expected: dict[float, int] = {}
        for value in column.values():
            shown = float(np.float32(value))
            expected[shown] = expected.get(shown, 0) + 1
        state = row["digest"]
        assert isinstance(state, bytes)
        digest = decode(state)
        held: dict[float, float] = {}
        for mean, weight in zip(digest.means.tolist(), digest.weights.tolist(), strict=True):
            held[mean] = held.get(mean, 0) + weight
        assert held == expected

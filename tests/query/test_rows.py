"""Rows as table samples has them, by spans, come as columns have them, by series."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from query.rows import by_series, grouped
from schemas.spans import SPAN_MS

KNOWN = [70, 3, 50, 4]  # as listed: by metric, not by id
ROWS = st.lists(st.tuples(st.sampled_from([*KNOWN, 99]), st.integers(0, 3 * SPAN_MS)), unique=True, max_size=40)


@given(ROWS)
def test_rows_by_spans_come_by_series_and_time(drawn: list[tuple[int, int]]) -> None:
    known = np.array(KNOWN, np.uint64)
    stored = sorted(drawn, key=lambda row: (row[1] // SPAN_MS, row[0], row[1]))
    ids = np.array([row[0] for row in stored], np.uint64)
    ms = np.array([row[1] for row in stored], np.int64)
    got = by_series(known, ids, ms, ms.astype(np.float64))
    expected = sorted((row for row in drawn if row[0] in KNOWN), key=lambda row: (KNOWN.index(row[0]), row[1]))
    found = list(zip(got[0].tolist(), got[1].tolist(), strict=True))
    assert found[: len(expected)] == expected
    assert {one for one, _ in found[len(expected) :]} <= {99}
    assert (got[1] == got[2]).all()
    columns = grouped(known, [{"id": str(one)} for one in KNOWN], *got)
    held = {
        (int(labels["id"]), at)
        for labels, low, high in zip(columns.labels, columns.offsets, columns.offsets[1:], strict=False)
        for at in columns.timestamps[low:high].tolist()
    }
    assert held == set(expected)
    assert len(columns.labels) == len({one for one, _ in expected})

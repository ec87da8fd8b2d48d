"""Which (metric, hour) pairs a write touches."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import Frame
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.versions import pairs, raise_versions, touched
from tests import embedded

HOUR = 3_600_000


def frame(tenant: str, metrics: list[str], stamps: list[int]) -> Frame:
    count = len(metrics)
    codes = np.arange(count, dtype=np.uint32)
    values = np.ones((len(stamps), count))
    return Frame(tenant, 0, metrics, codes, codes.astype(np.uint64), np.array(stamps, dtype=np.int64), values)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, {"a": [("m", 0), ("m", 3600), ("n", 0), ("n", 3600)], "b": [("n", 0), ("n", 3600)]}),
        (HOUR, {"a": [("m", 0), ("n", 0)], "b": [("n", 0)]}),
        (HOUR + 1, {"a": [("m", 0), ("m", 3600), ("n", 0), ("n", 3600)], "b": [("n", 0)]}),
        (0, {}),
    ],
)
def test_of_a_block(before: int | None, expected: dict[str, list[tuple[str, int]]]) -> None:
    frames = [frame("a", ["m", "n"], [0, HOUR - 1, HOUR]), frame("b", ["n"], [1, 2 * HOUR - 1])]
    whole = rows.samples(frames)
    in_chunks = pa.concat_tables([rows.samples([one]) for one in frames])
    names = {name: whole[name].cast(pa.string()) for name in ("tenant", "metric")}
    plain = pa.table({**names, "ts": whole["ts"]})
    for block in (whole, in_chunks, plain):
        assert touched(block, before) == expected
    assert touched(whole.slice(0, 0)) == {}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2**32 * 1000 - 1)), max_size=30))
def test_pairs_are_those_of_a_loop(samples: list[tuple[int, int]]) -> None:
    codes = np.array([code for code, _ in samples], dtype=np.uint32)
    stamps = np.array([stamp for _, stamp in samples], dtype=np.int64)
    names = ["b", "a", "c"]
    assert pairs(names, codes, stamps) == sorted({(names[code], stamp // HOUR * 3600) for code, stamp in samples})


def test_the_highest_version_stands() -> None:
    apply(embedded.endpoint(), "default", "", "versions")
    clickhouse = Clickhouse(embedded.endpoint(), database="versions")
    for now in (5, 9, 7):
        raise_versions(clickhouse, "t", [("m", 0), ("m", 2**32 - 3600 - 2**32 % 3600)], now)
    raise_versions(clickhouse, "t", [], 99)
    got = clickhouse.query("SELECT version FROM data_versions FINAL")["version"].to_pylist()
    clickhouse.close()
    assert got == [9, 9]

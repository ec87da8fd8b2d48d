"""Which (metric, hour) pairs a write touches, and how their versions rise."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import Frame
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.refusal import Unavailable
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


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Clickhouse]:
    apply(embedded.endpoint(), "default", "", "versions")
    client = Clickhouse(embedded.endpoint(), database="versions")
    yield client
    client.close()


def standing(clickhouse: Clickhouse, tenant: str) -> dict[tuple[str, int], int]:
    """Return the versions of a tenant's pairs, as they are read."""
    asked = (
        "SELECT metric, toUnixTimestamp(block) AS at, max(version) AS version FROM data_versions"
        " WHERE tenant = {tenant:String} GROUP BY metric, block"
    )
    return {
        (row["metric"], row["at"]): row["version"] for row in clickhouse.query(asked, {"tenant": tenant}).to_pylist()
    }


def test_every_write_raises_a_version_whatever_its_clock(clickhouse: Clickhouse) -> None:
    """An hour behind, or one of two machines whose clocks differ: the query cache kept old answers for a day."""
    last = 2**32 - 3600 - 2**32 % 3600
    seen = []
    for now in (5, 9, 7, 9, 1_000, 0):
        raise_versions(clickhouse, {"t": [("m", 0), ("m", last)]}, now)
        raise_versions(clickhouse, {"t": []}, 99)
        seen.append(standing(clickhouse, "t"))
    assert seen == [{("m", 0): version, ("m", last): version} for version in (5, 9, 10, 11, 1_000, 1_001)]
    clickhouse.command("OPTIMIZE TABLE data_versions FINAL")
    assert standing(clickhouse, "t") == seen[-1]


def test_each_pair_is_raised_above_its_own_version(clickhouse: Clickhouse) -> None:
    metrics = [f"it's_{number}" for number in range(450)]
    raise_versions(clickhouse, {"other": [(metrics[0], 3600)]}, 500)
    raise_versions(clickhouse, {"many": [(metrics[0], 3600), (metrics[449], 7200)]}, 100)
    raise_versions(clickhouse, {"many": [(metrics[449], 3600)]}, 2**64 - 1)
    raise_versions(clickhouse, {"many": [(metric, hour) for metric in metrics for hour in (3600, 7200)]}, 50)
    got = standing(clickhouse, "many")
    odd = {(metrics[0], 3600): 101, (metrics[449], 7200): 101, (metrics[449], 3600): 2**64 - 1}
    assert got == {(metric, hour): 50 for metric in metrics for hour in (3600, 7200)} | odd


def test_tenants_of_one_write_are_raised_each_above_its_own(clickhouse: Clickhouse) -> None:
    names = [f"m{number}" for number in range(150)]
    raise_versions(clickhouse, {"one": [("m0", 0)], "two": [("m0", 3600)], "three": [("m149", 0)]}, 100)
    raise_versions(clickhouse, {tenant: [(name, 0) for name in names] for tenant in ("one", "two", "three")}, 50)
    want = {(name, 0): 50 for name in names}
    assert standing(clickhouse, "one") == want | {("m0", 0): 101}
    assert standing(clickhouse, "two") == want | {("m0", 3600): 100}
    assert standing(clickhouse, "three") == want | {("m149", 0): 101}


def test_a_version_that_cannot_be_looked_up_waits_for_the_server(clickhouse: Clickhouse) -> None:
    client = Clickhouse(clickhouse.endpoint, "default", "of yesterday", "versions", attempts=2, sleep=lambda _: None)
    with pytest.raises(Unavailable, match="TG-clickhouse-auth"):
        raise_versions(client, {"t": [("m", 0)]}, 1)
    client.close()

"""How large an answer may be, what it takes to make it, and that the time is looked at meanwhile."""

import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest

from promql.columns import Columns
from promql.result import Matrix, Vector
from query import encode
from query.app import build
from query.cache import NoCache
from query.errors import QueryError
from query.memory import MemoryStore
from query.settings import QuerySettings
from query.spent import Spent, begin
from query.tenants import OpenTenants
from tests.query.client import Client, ask

NOW = 1_714_608_000_000
STEPS = 1000


def wide(series: int, share: float = 1.0) -> Vector:
    chance = np.random.default_rng(1)
    labels = [{"__name__": "m", "i": f"{series - i:05d}"} for i in range(series)]
    return Vector(labels, chance.random((series, STEPS)), chance.random((series, STEPS)) < share)


def times() -> Any:
    return NOW + 1000 * np.arange(STEPS)


def expected(value: Vector) -> list[Any]:
    """Return the result point by point."""
    rows = sorted(zip((one["i"] for one in value.labels), value.values, value.present, strict=True), key=lambda x: x[0])
    return [
        {"metric": {"__name__": "m", "i": i},
         "values": [[NOW // 1000 + k, repr(float(values[k]))] for k in np.flatnonzero(present).tolist()]}
        for i, values, present in rows if present.any()
    ]  # fmt: skip


@pytest.mark.parametrize("share", [1.0, 0.6, 0.0005])
def test_slices_make_the_whole(share: float) -> None:
    value = wide(120, share)
    value.values[:] = np.round(value.values, 3) + 1.0005
    assert orjson.loads(encode.matrix(value, times()))["result"] == expected(value)


def test_series_of_any_length_make_slices() -> None:
    # The longest is larger than a slice.
    counts = np.array([0, 3, 70_000, 0, 40_000, 1, 0])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    stamps = np.concatenate([NOW + 1000 * np.arange(count) for count in counts])
    columns = Columns([{"i": str(i)} for i in range(7)], offsets, stamps, np.arange(len(stamps)) + 0.5)
    found = orjson.loads(encode.instant(Matrix(columns), NOW, False))["result"]
    assert [(one["metric"]["i"], len(one["values"])) for one in found] == [
        ("1", 3),
        ("2", 70_000),
        ("4", 40_000),
        ("5", 1),
    ]
    assert found[2]["values"][0] == [NOW // 1000, "70003.5"]


def test_the_time_is_looked_at_between_slices() -> None:
    looks = 0

    def ticks() -> float:
        nonlocal looks
        looks += 1
        return float(looks)

    begin(Spent(8, ticks))
    with pytest.raises(QueryError) as caught:
        encode.matrix(wide(400), times())
    assert caught.value.id == "TG-query-timeout"


def test_text_is_made_of_a_few_points_at_a_time() -> None:
    value = wide(1000)
    tracemalloc.start()
    data = encode.matrix(value, times())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The slices and what is made of them.
    assert most < 2.5 * len(data)


def served(**settings: Any) -> Client:
    store = MemoryStore()
    for i in range(50):
        store.write("default", {"__name__": "m", "i": str(i)}, [(NOW - 1000 * k, 1.0) for k in range(100)], NOW)
    return Client(build(QuerySettings(**settings), store, NoCache(), OpenTenants("default"), lambda: NOW))


RANGE = {"query": "m", "start": NOW / 1000 - 99, "end": NOW / 1000, "step": 1}


def test_what_is_too_large_is_refused_before_it_is_made() -> None:
    with served(query_max_bytes=100_000) as api:
        status, body = ask(api, "/api/v1/query_range", **RANGE)
        assert (status, body["errorType"]) == (422, "execution")
        for part in ("160,000", "100,000", "TIDEGAUGE_QUERY_MAX_BYTES", "[TG-query-bytes]"):
            assert part in body["error"]
        status, body = ask(api, "/api/v1/query", query="m[100s]")
        assert status == 422 and "[TG-query-bytes]" in body["error"]
        assert ask(api, "/api/v1/query_range", **RANGE | {"limit": 30})[0] == 200
        assert ask(api, "/api/v1/query", query="m")[0] == 200
    with served() as api:
        assert ask(api, "/api/v1/query_range", **RANGE)[0] == 200


def test_long_labels_count_too() -> None:
    store = MemoryStore()
    for i in range(9000):
        store.write("default", {"__name__": "m", "i": str(i), "long": "x" * 100}, [(NOW, 1.0)], NOW)
    settings = QuerySettings(query_max_bytes=1_000_000)
    with Client(build(settings, store, NoCache(), OpenTenants("default"), lambda: NOW)) as api:
        status, body = ask(api, "/api/v1/query_range", **RANGE | {"start": NOW / 1000})
        assert status == 422 and "[TG-query-bytes]" in body["error"]

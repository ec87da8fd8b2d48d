"""Whole answers: the same question costs one look at what was written, and only the same question gets them."""

from typing import Any

import pytest

from query.app import build
from query.bodies import Bodies, Body
from query.cache import NoCache
from query.memory import MemoryStore
from query.metrics import BODIES
from query.settings import QuerySettings
from query.tenants import OpenTenants
from tests.query.client import Client
from tests.query.test_cache import KEY

M, H = 60_000, 3_600_000
NOW = 1_714_608_000_000
ASKED = {"query": "sum by (i) (m)", "start": (NOW - H) / 1000, "end": NOW / 1000, "step": 60}


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for tenant, value in (("default", 1.0), ("other", 2.0)):
        for i in "ab":
            store.write(tenant, {"__name__": "m", "i": i}, [(NOW - k * M, value) for k in range(90)], NOW)
    return store


def hits() -> float:
    return float(BODIES.labels("hit")._value.get())


def ask(store: MemoryStore, *more: dict[str, Any], memory: int = 1 << 20) -> list[tuple[bytes, float, int]]:
    """Ask one service one after the other; return (body, answers that were kept, reads of the store) of each."""
    settings = QuerySettings(query_cache_memory=memory)
    found = []
    with Client(build(settings, store, NoCache(), OpenTenants("default"), lambda: NOW)) as api:
        for one in more:
            kept, reads = hits(), store.reads
            if "write" in one:
                store.write("default", {"__name__": "m", "i": "a"}, [(NOW - M, 9.0)], NOW)
            headers = {"X-Scope-OrgID": one.get("tenant", "default")}
            asked = ASKED | {name: value for name, value in one.items() if name not in ("write", "tenant")}
            answer = api.get("/api/v1/query_range", params=asked, headers=headers)
            assert answer.status_code == 200, answer.text
            found.append((answer.content, hits() - kept, store.reads - reads))
    return found


def test_the_same_question_gets_the_same_bytes_and_reads_nothing(store: MemoryStore) -> None:
    first, again, form = ask(store, {}, {}, {"query": "sum  by(i)(m)"})
    assert first[1:] == (0, 1)
    assert again == form == (first[0], 1, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"limit": 1},
        {"tenant": "other"},
        {"query": "sum by (i) (m offset 1m)"},
        {"step": 120},
        {"end": NOW / 1000 - 60},
        {"lookback_delta": "30s"},
        {"include_late_data": "1"},
        {"as_of": NOW / 1000},
        {"write": True},
    ],
    ids=str,
)
def test_another_question_does_not(store: MemoryStore, other: dict[str, Any]) -> None:
    _, got = ask(store, {}, other)
    (plain,) = ask(store, {name: value for name, value in other.items() if name != "write"}, memory=0)
    assert got[0] == plain[0]
    assert got[1] == 0


def test_stats_and_infos_are_those_of_the_request(store: MemoryStore) -> None:
    first, again = ask(store, {}, {"stats": "all"})
    assert b"stats" not in first[0] and b'"stats":{"timings"' in again[0]
    assert again[1] == 1


def test_the_oldest_go_first() -> None:
    bodies = Bodies(3 * Body(b"x").size)
    keys = [(str(number), (), KEY) for number in range(4)]
    for key in keys:
        bodies.put(key, Body(b"x"), Body(b"x").size)
    assert [bodies.get(key) is not None for key in keys] == [False, True, True, True]
    bodies.put(keys[0], Body(b"x" * 10_000), 10_000)
    assert bodies.get(keys[0]) is None

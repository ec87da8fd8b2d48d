"""What all requests may hold together: what is small never waits, what is large waits for room and holds none then."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.app import build
from query.cache import NoCache
from query.errors import QueryError
from query.memory import MemoryStore
from query.room import Held, Larger, Room
from query.sending import Sending
from query.settings import QuerySettings
from query.spent import Spent, begin, keep, most, reach, scope, work
from query.tenants import OpenTenants
from tests.query.client import Client, ask

NOW = 1_714_608_000_000
ALL = 1600  # four places have 100 each, and 1,200 are for whoever needs more


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_share_is_always_there() -> None:
    room = Room(ALL, 4)
    large, small = Held(room, "a"), Held(room, "b")
    large.keep(1300)
    small.keep(100)
    with pytest.raises(Larger) as caught:
        small.work(1)
    assert caught.value.size == 101
    large.leave()
    large.leave()
    small.work(1)


def test_more_than_all_is_refused() -> None:
    with pytest.raises(QueryError, match=r"1,301 bytes.*1,600 bytes \(TIDEGAUGE_QUERY_MEMORY\)") as caught:
        Held(Room(ALL, 4), "a").keep(1301)
    assert (caught.value.status, caught.value.id) == (422, "TG-query-memory")


def test_who_waits_is_served_when_there_is_room_and_the_tenant_that_holds_least_first() -> None:
    async def test() -> None:
        room, order = Room(ALL, 4), []
        first, second = Held(room, "a"), Held(room, "a")
        first.keep(700)
        second.keep(500)

        async def more(tenant: str, size: int) -> None:
            held = Held(room, tenant)
            await held.more(size, 10)
            order.append((tenant, size))

        waiting = [asyncio.create_task(more(*one)) for one in (("a", 400), ("b", 500))]
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(Larger):
            # There is room for it, but others wait.
            Held(room, "c").keep(150)
        second.leave()
        await waiting[1]
        first.leave()
        await waiting[0]
        assert order == [("b", 500), ("a", 400)]
        assert room.take("a", 500)
        assert not room.take("a", 1)

    run(test)


def test_who_waits_too_long_is_told_and_leaves_the_queue() -> None:
    async def test() -> None:
        room = Room(ALL, 4)
        first, second, third = (Held(room, "a") for _ in range(3))
        first.keep(1000)
        with pytest.raises(QueryError, match="TIDEGAUGE_QUERY_MEMORY") as caught:
            await second.more(800, 0.01)
        assert (caught.value.status, caught.value.id) == (503, "TG-query-queue")
        waiting = asyncio.create_task(second.more(800, 10))
        await asyncio.sleep(0)
        second.withdraw()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        # Nobody waits any more, nor has anything gone astray.
        third.keep(400)
        first.leave()
        third.keep(900)

    run(test)


def test_what_came_back_for_more_keeps_it() -> None:
    async def test() -> None:
        held = Held(Room(ALL, 4), "a")
        await held.more(600, 1)
        held.keep(500)
        held.keep(-500)
        held.settle()
        assert held.reach(10) == 600
        await held.more(601, 1)
        assert held.reach(10) == 1200  # twice as much: so often can it come
        held.only(300)
        assert held.reach(0) == 0

    run(test)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["keep", "work", "reach", "settle", "leave"]),
                          st.integers(0, 900))))  # fmt: skip
def test_no_byte_is_held_twice_or_lost(steps: list[tuple[int, str, int]]) -> None:
    room = Room(ALL, 4)
    holds = [Held(room, str(one)) for one in range(4)]
    for who, what, size in steps:
        try:
            getattr(holds[who], what)(*([] if what in ("settle", "leave") else [size]))
        except (Larger, QueryError):
            holds[who].leave()
    for held in holds:
        held.leave()
    assert room.take("a", 1200)
    assert not room.take("a", 1)


def test_a_request_counts_in_scopes() -> None:
    spent = Spent(10, lambda: 0.0)
    begin(spent)
    assert (reach(5), most(5)) == (5, 5)
    spent.held = Held(Room(ALL, 4), "a")
    keep(10)
    with scope():
        keep(500)
        work(700)
        assert most(10**6) == 90
    assert most(10**6) == 1290


def app(**settings: Any) -> Any:
    store = MemoryStore()
    for i in range(50):
        store.write(
            "default", {"__name__": "m", "i": str(i)}, [(NOW - 1000 * k, 1.0 / (k + 1)) for k in range(100)], NOW
        )
    given_ = QuerySettings(query_cache_memory=0, **settings)
    return build(given_, store, NoCache(), OpenTenants("default"), lambda: NOW)


# 5,000 cells: windows take 600,000 bytes, the text twice 160,000.
RANGE: dict[str, Any] = {"query": "max_over_time(m[5s])", "start": NOW / 1000 - 99, "end": NOW / 1000, "step": 1}


def test_a_query_that_needs_more_than_all_is_refused() -> None:
    with Client(app(query_memory=500_000, query_threads=2)) as api:
        status, body = ask(api, "/api/v1/query_range", **RANGE)
        assert (status, body["errorType"]) == (422, "execution")
        assert "[TG-query-memory]" in body["error"]
        assert ask(api, "/api/v1/query", query="m")[0] == 200


def test_large_queries_at_once_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    came = 0
    more = Held.more

    async def counting(held: Held, size: int, within_s: float) -> None:
        nonlocal came
        came += 1
        await more(held, size, within_s)

    monkeypatch.setattr(Held, "more", counting)

    async def test() -> None:
        transport = httpx.ASGITransport(app(query_memory=1_000_000, query_threads=8))
        async with httpx.AsyncClient(transport=transport, base_url="http://query", timeout=60) as client:
            first = await client.get("/api/v1/query_range", params=RANGE)
            answers = await asyncio.gather(*(client.get("/api/v1/query_range", params=RANGE) for _ in range(8)))
            assert {answer.content for answer in answers} == {first.content}
            assert first.status_code == 200
            # Of what was sent nothing is held.
            came_before = came
            assert (await client.get("/api/v1/query_range", params=RANGE)).status_code == 200
            assert came == came_before

    run(test)


def test_who_takes_no_answer_is_given_up() -> None:
    gone: list[bool] = []
    pieces: list[dict[str, Any]] = []

    async def never(message: Any) -> None:
        pieces.append(message)
        if len(pieces) == 3:
            await asyncio.Event().wait()

    async def quick(message: Any) -> None:
        pieces.append(message)

    async def receive() -> Any:
        raise AssertionError

    async def test() -> None:
        await Sending(b"x" * 200_000, 200, None, 0.01, lambda: gone.append(True))({"type": "http"}, receive, never)
        assert gone == [True]
        assert [one.get("more_body") for one in pieces] == [None, True, True]
        pieces.clear()
        await Sending(b"y" * 200_000, 200, None, 60, lambda: gone.append(True))({"type": "http"}, receive, quick)
        assert gone == [True, True]
        assert b"".join(one["body"] for one in pieces[1:]) == b"y" * 200_000
        assert [one["more_body"] for one in pieces[1:]] == [True, True, True, False]
        pieces.clear()
        await Sending(b"", 200, None, 60)({"type": "http"}, receive, quick)
        assert pieces[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]

    run(test)

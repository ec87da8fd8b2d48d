"""Places per tenant, deadlines and the slow-query log, over HTTP."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from query.app import build
from query.cache import NoCache
from query.errors import QueryError
from query.memory import MemoryStore
from query.metrics import REGISTRY
from query.places import Places
from query.settings import QuerySettings
from query.spent import Spent, check, current
from query.tenants import OpenTenants
from query.view import EVERYTHING, View
from tests.query.client import Client

NOW = 1_714_608_000_000


class Held(MemoryStore):
    """A store whose queries wait until they are let go, and then look at their deadline as a statement does."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)
        self.ended: list[str] = []

    def source(self, tenant: str, steps: int, view: View = EVERYTHING) -> Any:
        self.entered.release()
        self.go.wait(20)
        try:
            check()
            self.ended.append("answered")
        except QueryError as error:
            self.ended.append(error.id)
            raise
        return super().source(tenant, steps, view)


def app(store: MemoryStore, **settings: Any) -> Any:
    return build(QuerySettings(**settings), store, NoCache(), OpenTenants("default"), lambda: NOW)


async def ask(client: httpx.AsyncClient, tenant: str, **params: str) -> tuple[int, str]:
    answer = await client.get("/api/v1/query", params={"query": "m", **params}, headers={"X-Scope-OrgID": tenant})
    return answer.status_code, answer.json().get("error", "").rpartition("[")[2].rstrip("]")


def test_one_tenant_takes_its_own_places_only() -> None:
    store = Held()

    async def run() -> tuple[list[tuple[int, str]], tuple[int, str], tuple[int, str]]:
        transport = httpx.ASGITransport(app(store, query_concurrency=2, query_waiting=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
            first = [asyncio.create_task(ask(client, "a")) for _ in range(3)]
            for _ in range(2):
                await asyncio.to_thread(store.entered.acquire)
            refused = await ask(client, "a")
            other = asyncio.create_task(ask(client, "b"))
            await asyncio.to_thread(store.entered.acquire)
            store.go.set()
            return [await one for one in first], refused, await other

    answered, refused, other = asyncio.run(run())
    assert answered == [(200, "")] * 3
    assert refused == (503, "TG-query-busy")
    assert other == (200, "")


def test_who_waits_too_long_for_a_place_is_told() -> None:
    async def run() -> None:
        places = Places(1, 5)
        await places.enter("a", 1)
        with pytest.raises(QueryError, match="query timed out in query queue") as caught:
            await places.enter("a", 0.01)
        assert (caught.value.status, caught.value.id) == (503, "TG-query-queue")
        places.leave("a")
        await places.enter("a", 0.01)
        places.leave("a")
        assert len(places) == 0

    asyncio.run(run())


def test_a_place_is_free_when_its_work_has_ended_and_not_before() -> None:
    store = Held()

    async def run() -> list[tuple[int, str]]:
        transport = httpx.ASGITransport(app(store, query_concurrency=1, query_waiting=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
            found = [await ask(client, "a", timeout="0.2")]
            # The first one's thread still runs.
            found.append(await ask(client, "a", timeout="0.2"))
            store.go.set()
            found.append(await ask(client, "a", timeout="10s"))
            return found

    assert asyncio.run(run()) == [(503, "TG-query-timeout"), (503, "TG-query-queue"), (200, "")]
    assert store.ended == ["TG-query-timeout", "answered"]


def test_an_evaluation_ends_by_its_time_too() -> None:
    # Without a sample, 249 M values to sort.
    long = "sum_over_time(quantile_over_time(0.5, (vector(1) * time())[1d:1s])[2d:1m])"

    async def run() -> list[tuple[int, str]]:
        transport = httpx.ASGITransport(app(MemoryStore(), query_concurrency=1))
        async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
            return [await ask(client, "a", query=long, timeout="0.3"), await ask(client, "a", query="1", timeout="8")]

    assert asyncio.run(run()) == [(503, "TG-query-timeout"), (200, "")]


@pytest.mark.parametrize(("asked", "status"), [("0.05", 503), ("50ms", 503), ("-1", 400), ("soon", 400), ("0", 400)])
def test_the_parameter_timeout(asked: str, status: int) -> None:
    store = Held()
    threading.Timer(0.4, store.go.set).start()
    with Client(app(store)) as api:
        assert api.get("/api/v1/query", params={"query": "m", "timeout": asked}).status_code == status


def test_nobody_gets_more_time_than_the_setting() -> None:
    store = Held()
    threading.Timer(0.4, store.go.set).start()
    with Client(app(store, query_timeout_s=0.1)) as api:
        body = api.get("/api/v1/query", params={"query": "m", "timeout": "1h"}).json()
    assert "0.1 s" in body["error"]


def test_a_slow_query_is_logged_with_its_cost(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.write("t", {"__name__": "m"}, [(NOW - 1000, 1.0)], NOW)
    before = REGISTRY.get_sample_value("tidegauge_query_slow_total") or 0.0
    with caplog.at_level(logging.WARNING, "query.slow"), Client(app(store, query_slow_s=0)) as api:
        api.get("/api/v1/query", params={"query": "m", "x": "y" * 9000}, headers={"X-Scope-OrgID": "t"})
        api.get("/api/v1/query", params={"query": "m ("})
    told, failed = (orjson.loads(record.message) for record in caplog.records)
    assert (told["tenant"], told["handler"], told["status"]) == ("t", "/api/v1/query", 200)
    assert told["params"]["query"] == "m" and len(told["params"]["x"]) == 2000
    assert (failed["status"], failed["error"]) == (400, "TG-promql-parse")
    assert REGISTRY.get_sample_value("tidegauge_query_slow_total") == before + 2


def test_a_fast_query_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "query.slow"), Client(app(MemoryStore())) as api:
        api.get("/api/v1/query", params={"query": "m"})
    assert not caplog.records


def test_a_request_counts_down() -> None:
    now = [100.0]
    spent = Spent(10, lambda: now[0])
    now[0] += 4
    assert spent.left_s() == 6
    now[0] += 6
    with pytest.raises(QueryError, match="10 s"):
        spent.left_s()
    assert current() is None


def scope(method: str, *headers: tuple[bytes, bytes], query: bytes = b"") -> dict[str, Any]:
    """Return a request of /api/v1/query as a server gives it to the application."""
    return {"type": "http", "http_version": "1.1", "method": method, "path": "/api/v1/query", "headers": list(headers),
            "query_string": query, "root_path": "", "scheme": "http", "server": ("q", 80)}  # fmt: skip


def test_a_client_that_goes_away_ends_its_query() -> None:
    store = Held()
    sent: list[Any] = []

    async def run() -> None:
        waiting = asyncio.Event()
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": b"", "more_body": False}
            await waiting.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        asked = asyncio.ensure_future(app(store)(scope("GET", query=b"query=m"), receive, send))
        await asyncio.to_thread(store.entered.acquire)
        waiting.set()
        await asked
        store.go.set()
        while not store.ended:
            await asyncio.sleep(0.01)

    asyncio.run(run())
    assert sent[0]["status"] == 499 and b"TG-query-canceled" in sent[1]["body"]
    assert store.ended == ["TG-query-timeout"]


def test_clients_that_went_away_hold_no_place_in_the_queue() -> None:
    store = Held()
    sent: list[Any] = []

    async def run() -> tuple[int, str]:
        leaving = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        served = app(store, query_concurrency=1, query_waiting=2)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://query") as client:
            first = asyncio.create_task(ask(client, "default"))
            await asyncio.to_thread(store.entered.acquire)
            waiting = [asyncio.ensure_future(served(scope("GET", query=b"query=m"), receive, send)) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert await ask(client, "default") == (503, "TG-query-busy")
            leaving.set()
            done, _ = await asyncio.wait(waiting, timeout=5)
            assert len(done) == 2
            last = asyncio.create_task(ask(client, "default"))
            await asyncio.sleep(0.05)
            store.go.set()
            assert await first == (200, "")
            return await last

    assert asyncio.run(run()) == (200, "")
    assert [one["status"] for one in sent if "status" in one] == [499, 499]
    # Nobody evaluated what they had asked.
    assert store.ended == ["answered", "answered"]


def test_who_is_cut_off_while_waiting_gives_his_place_back() -> None:
    store = Held()

    async def run() -> None:
        served = app(store, query_concurrency=1, query_waiting=1)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://query") as client:
            first = asyncio.create_task(ask(client, "a"))
            await asyncio.to_thread(store.entered.acquire)
            for _ in range(3):
                waits = asyncio.create_task(ask(client, "a"))
                await asyncio.sleep(0.02)
                waits.cancel()
                await asyncio.wait({waits})
            last = asyncio.create_task(ask(client, "a"))
            await asyncio.sleep(0.02)
            store.go.set()
            assert [await first, await last] == [(200, "")] * 2

    asyncio.run(run())


def test_a_client_that_goes_away_in_the_middle_of_its_form_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Any] = []
    parts: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"query=", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(parts)

    async def send(message: Any) -> None:
        sent.append(message)

    form = scope("POST", (b"content-type", b"application/x-www-form-urlencoded"))
    asyncio.run(app(MemoryStore())(form, receive, send))
    assert sent[0]["status"] == 499 and b"TG-query-canceled" in sent[1]["body"]
    assert not caplog.records


def test_statements_at_the_same_time_take_their_time_once() -> None:
    now = [0.0]
    spent = Spent(10, lambda: now[0])
    with spent.statement():
        now[0] = 1.0
        with spent.statement():
            now[0] = 3.0
    now[0] = 5.0
    with spent.statement():
        now[0] = 6.0
    assert (spent.statements, spent.store_s) == (3, 4.0)
    assert spent.stats()["timings"]["innerEvalTime"] == 2.0

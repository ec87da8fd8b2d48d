"""From an HTTP request to its answer: a place, a thread, a deadline, and the account of it all."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from promql.errors import PromqlError
from query import encode, params
from query.answers import Reply, Request
from query.errors import QueryError, bad_data, canceled, of_promql, timeout
from query.metrics import ERRORS, REQUESTS, RUNNING, SECONDS, SLOW, WAITED
from query.places import Places
from query.room import Held, Larger, Room
from query.sending import Sending
from query.size import allow
from query.spent import Spent, begin
from query.store import Store
from query.tenants import Tenants

log = logging.getLogger(__name__)
slow_log = logging.getLogger("query.slow")

Answer = Callable[[Request], Reply]
Clock = Callable[[], int]

_FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 1 << 20
# Of a parameter, in the slow-query log.
SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Service:
    """What every request shares. clock: ms since 1970 UTC; ticks: monotonic seconds."""

    store: Store
    tenants: Tenants
    clock: Clock
    ticks: Callable[[], float]
    timeout_s: float
    slow_s: float
    max_bytes: int
    places: Places
    room: Room
    threads: int
    send_s: float
    _pool: list[ThreadPoolExecutor] = field(default_factory=list)

    async def answer(self, http: HttpRequest, handler: str, work: Answer) -> Response:
        """Answer a request by one endpoint."""
        spent = Spent(self.timeout_s, self.ticks)
        request, status, error_id = None, 200, ""
        try:
            request = await self._request(http)
            body = await self._run(work, request, spent, http)
        except (PromqlError, QueryError) as error:
            refusal = of_promql(error) if isinstance(error, PromqlError) else error
            status, body, error_id = refusal.status, encode.failure(refusal), refusal.id
        except Exception:
            log.exception("TG-query-internal: %s", handler)
            broken = QueryError(500, "internal", "TG-query-internal", "the query failed; the service's log says why")
            status, body, error_id = broken.status, encode.failure(broken), broken.id
        if error_id:
            ERRORS.labels(error_id).inc()
        REQUESTS.labels(handler, str(status)).inc()
        SECONDS.labels(handler).observe(spent.elapsed_s)
        if spent.elapsed_s >= self.slow_s:
            _tell_slow(handler, request, spent, status, error_id)
        # RFC 9110: a 401 says what is asked for.
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return Sending(body, status, headers, within_s=self.send_s, sent=spent.held.leave if spent.held else None)

    async def _request(self, http: HttpRequest) -> Request:
        pairs = _pairs(http.url.query)
        if http.method == "POST" and _type(http) == _FORM:
            pairs = _pairs((await _body(http)).decode("utf-8", "replace")) + pairs
        # The first of equal parameters counts, and the body's come before the address's, as in Go.
        named = dict(reversed(pairs))
        lists: dict[str, list[str]] = {}
        for name, value in pairs:
            if name.endswith("[]"):
                lists.setdefault(name, []).append(value)
        return Request(self.tenants.of(http.headers), named, lists, self.clock())

    async def _run(self, work: Answer, request: Request, spent: Spent, http: HttpRequest) -> bytes:
        spent.limit_s = params.timeout_s(request.params, self.timeout_s)
        gone = asyncio.ensure_future(_gone(http))
        try:
            await self._enter(request.tenant, spent.left_s(), gone)
            return await self._work(work, request, spent, gone)
        finally:
            gone.cancel()

    async def _enter(self, tenant: str, left_s: float, gone: "asyncio.Future[None]") -> None:
        """Take a place. Who has gone waits for none, so that nobody is refused for the sake of him."""
        entering = asyncio.ensure_future(self.places.enter(tenant, left_s))
        entered = False
        try:
            await asyncio.wait({entering, gone}, return_when=asyncio.FIRST_COMPLETED)
            entered = entering.done()
        finally:
            if not entered:
                entering.cancel()
                entering.add_done_callback(partial(self._unused, tenant))
        if not entered:
            raise canceled()
        entering.result()

    def _unused(self, tenant: str, entering: "asyncio.Future[None]") -> None:
        # A place may be given at the very moment at which nobody wants it any more.
        if not entering.cancelled() and entering.exception() is None:
            self.places.leave(tenant)

    async def _work(self, work: Answer, request: Request, spent: Spent, gone: "asyncio.Future[None]") -> bytes:
        """Answer in a place that is taken, and see that it is given back."""
        spent.queued_s = spent.elapsed_s
        WAITED.observe(spent.queued_s)
        spent.held = Held(self.room, request.tenant)
        running = asyncio.ensure_future(self._in_place(work, request, spent))
        # Seen, whether or not anybody still waits for it.
        running.add_done_callback(lambda one: one.cancelled() or one.exception())
        left_s = spent.limit_s - spent.elapsed_s
        try:
            both: set[asyncio.Future[Any]] = {running, gone}
            done, _ = await asyncio.wait(both, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if running in done:
                return running.result()
        finally:
            # The thread ends at its next statement, a running statement by its max_execution_time.
            spent.cancelled = True
            spent.held.withdraw()
        if gone in done:
            raise canceled()
        raise timeout(spent.limit_s)

    async def _in_place(self, work: Answer, request: Request, spent: Spent) -> bytes:
        """Answer, anew with more memory where it needs it; give the place back.

        It is free when the thread has ended, not when somebody has lost patience.
        """

        def counted() -> bytes:
            begin(spent)
            allow(self.max_bytes)
            with RUNNING.track_inprogress():
                reply = work(request)
                return encode.success(reply.data, reply.infos, reply.warnings)

        held, answered = spent.held, 0
        assert held is not None
        try:
            while True:
                try:
                    body = await asyncio.get_running_loop().run_in_executor(
                        self._executor(), copy_context().run, counted
                    )
                except Larger as larger:
                    began_s = spent.elapsed_s
                    await held.more(larger.size, spent.left_s())
                    spent.again()
                    spent.queued_s += spent.elapsed_s - began_s
                else:
                    # Until it is sent.
                    answered = 0 if spent.cancelled else len(body)
                    return body
        finally:
            held.only(answered)
            self.places.leave(request.tenant)

    def _executor(self) -> ThreadPoolExecutor:
        if not self._pool:
            self._pool.append(ThreadPoolExecutor(self.threads, "query"))
        return self._pool[0]


def _tell_slow(handler: str, request: Request | None, spent: Spent, status: int, error_id: str) -> None:
    SLOW.inc()
    shown = {} if request is None else {name: value[:SHOWN] for name, value in sorted(request.params.items())}
    told = {
        "tenant": "" if request is None else request.tenant,
        "handler": handler,
        "params": shown,
        "seconds": round(spent.elapsed_s, 3),
        "queued_s": round(spent.queued_s, 3),
        "clickhouse_s": round(spent.store_s, 3),
        "statements": spent.statements,
        "series": spent.series,
        "samples": spent.samples,
        "cached_blocks": spent.cached_blocks,
        "status": status,
        "error": error_id,
    }
    slow_log.warning("%s", orjson.dumps(told).decode())


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=10_000)
    except ValueError as error:
        raise bad_data("TG-query-form", f"the parameters cannot be read: {error}") from None


def _type(http: HttpRequest) -> str:
    """Return the media type of a request's body, which has no case (RFC 9110)."""
    return http.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _gone(http: HttpRequest) -> None:
    """Return when the client has closed its connection."""
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _body(http: HttpRequest) -> bytes:
    parts = bytearray()
    try:
        async for chunk in http.stream():
            parts += chunk
            if len(parts) > MAX_FORM_BYTES:
                raise bad_data("TG-query-text", f"the form is larger than {MAX_FORM_BYTES} bytes")
    except ClientDisconnect:
        raise canceled() from None
    return bytes(parts)

"""The HTTP service: starlette around the API. The wall clock is read here and nowhere else in query/."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from promql.errors import PromqlError
from query import encode
from query.api import Api, Reply, Request
from query.cache import Cache, NoCache, RedisCache
from query.errors import QueryError, bad_data, of_promql, timeout
from query.metrics import ERRORS, REGISTRY, REQUESTS, RUNNING, SECONDS
from query.ranges import Ranges
from query.settings import QuerySettings
from query.store import ClickhouseStore, Limits, Store
from query.tenants import KeyTenants, OpenTenants, Tenants
from schemas.retention import Policy
from sinks.clickhouse import Clickhouse
from sinks.retention import RetentionSettings

log = logging.getLogger(__name__)

Answer = Callable[[Request], Reply]
Clock = Callable[[], int]

_FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 1 << 20


def wall_clock() -> int:
    """Return ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Service:
    """What every request shares."""

    api: Api
    store: Store
    tenants: Tenants
    clock: Clock
    timeout_s: float
    places: anyio.CapacityLimiter

    async def answer(self, http: HttpRequest, handler: str, work: Answer) -> Response:
        """Run one endpoint in a thread and wrap what comes out."""
        started = time.perf_counter()
        status, body = 200, b""
        try:
            request = await self._request(http)
            reply = await self._run(work, request)
            body = encode.success(reply.data, reply.infos)
        except PromqlError as error:
            refusal = of_promql(error)
            status, body = refusal.status, encode.failure(refusal)
            ERRORS.labels(refusal.id).inc()
        except QueryError as error:
            status, body = error.status, encode.failure(error)
            ERRORS.labels(error.id).inc()
        except Exception:
            log.exception("TG-query-internal: %s", handler)
            broken = QueryError(500, "internal", "TG-query-internal", "the query failed; the service's log says why")
            status, body = broken.status, encode.failure(broken)
            ERRORS.labels(broken.id).inc()
        REQUESTS.labels(handler, str(status)).inc()
        SECONDS.labels(handler).observe(time.perf_counter() - started)
        return Response(body, status, media_type="application/json")

    async def _request(self, http: HttpRequest) -> Request:
        pairs = parse_qsl(http.url.query, keep_blank_values=True)
        if http.method == "POST" and http.headers.get("content-type", "").partition(";")[0].strip() == _FORM:
            pairs = parse_qsl((await _body(http)).decode("utf-8", "replace"), keep_blank_values=True) + pairs
        # The first of equal parameters counts, and the body's come before the address's, as in Go.
        named = dict(reversed(pairs))
        matches = [value for name, value in pairs if name == "match[]"]
        return Request(self.tenants.of(http.headers), named, matches, self.clock())

    async def _run(self, work: Answer, request: Request) -> Reply:
        def counted() -> Reply:
            with RUNNING.track_inprogress():
                return work(request)

        try:
            with anyio.fail_after(self.timeout_s):
                # An abandoned thread ends by ClickHouse's own max_execution_time.
                return await anyio.to_thread.run_sync(counted, abandon_on_cancel=True, limiter=self.places)
        except TimeoutError:
            raise timeout(self.timeout_s) from None


async def _body(http: HttpRequest) -> bytes:
    parts = bytearray()
    async for chunk in http.stream():
        parts += chunk
        if len(parts) > MAX_FORM_BYTES:
            raise bad_data("TG-query-text", f"the form is larger than {MAX_FORM_BYTES} bytes")
    return bytes(parts)


def routes(service: Service) -> list[Route]:
    """Return the endpoints."""
    api = service.api

    def endpoint(path: str, work: Answer, *methods: str) -> Route:
        async def handle(http: HttpRequest) -> Response:
            return await service.answer(http, path, work)

        return Route(path, handle, methods=list(methods))

    async def values(http: HttpRequest) -> Response:
        label: str = http.path_params["label"]
        return await service.answer(http, "/api/v1/label/values", partial(api.label_values, label=label))

    async def ready(http: HttpRequest) -> Response:
        try:
            await anyio.to_thread.run_sync(service.store.ready, abandon_on_cancel=True)
        except QueryError as error:
            return PlainTextResponse(f"{error.message}\n", 503)
        return PlainTextResponse("Tidegauge is ready.\n")

    async def healthy(http: HttpRequest) -> Response:
        return PlainTextResponse("Tidegauge is healthy.\n")

    async def metrics(http: HttpRequest) -> Response:
        return Response(generate_latest(REGISTRY), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        endpoint("/api/v1/query", api.query, "GET", "POST"),
        endpoint("/api/v1/query_range", api.query_range, "GET", "POST"),
        endpoint("/v1/metrics/query", api.metrics_query, "GET"),
        endpoint("/api/v1/series", api.series, "GET", "POST"),
        endpoint("/api/v1/labels", api.labels, "GET", "POST"),
        Route("/api/v1/label/{label}/values", values, methods=["GET"]),
        endpoint("/api/v1/status/buildinfo", api.buildinfo, "GET"),
        Route("/-/ready", ready),
        Route("/-/healthy", healthy),
        Route("/metrics", metrics),
    ]


def build(
    settings: QuerySettings,
    store: Store,
    cache: Cache,
    tenants: Tenants,
    clock: Clock,
    retention: Policy = RetentionSettings.BUILT_IN,
) -> Starlette:
    """Return the application over its parts."""
    lookback_ms = round(settings.query_lookback_s * 1000)
    settled_ms = round((settings.fresh_tail_s + settings.query_cache_margin_s) * 1000)
    api = Api(
        store,
        Ranges(store, cache, lookback_ms, settled_ms),
        lookback_ms,
        settings.query_max_text,
        settings.query_max_points,
        round(settings.store_late_after_s * 1000),
        retention,
    )
    places = anyio.CapacityLimiter(settings.query_concurrency)
    return Starlette(routes=routes(Service(api, store, tenants, clock, settings.query_timeout_s, places)))


def of_settings(settings: QuerySettings, clock: Clock = wall_clock) -> Starlette:
    """Return the application over ClickHouse and Redis; raises ConfigError."""
    clickhouse = Clickhouse(
        settings.clickhouse,
        settings.clickhouse_user,
        settings.clickhouse_password.get_secret_value(),
        settings.clickhouse_database,
        # People wait; the store itself decides what is worth a second attempt.
        attempts=1,
        timeout_s=settings.query_timeout_s,
    )
    limits = Limits(
        settings.query_max_series, settings.query_max_samples, settings.query_max_cells, settings.query_timeout_s
    )
    cache: Cache = NoCache()
    if settings.redis:
        cache = RedisCache(
            settings.redis,
            settings.query_cache_timeout_s,
            settings.query_cache_ttl_s,
            settings.query_cache_max_bytes,
        )
    tenants: Tenants = OpenTenants(settings.query_tenant)
    if settings.query_auth == "key":
        tenants = KeyTenants.read(settings.query_keys)
    retention = RetentionSettings(retention=settings.retention).policy()
    return build(settings, ClickhouseStore(clickhouse, limits), cache, tenants, clock, retention)

"""The HTTP service: starlette around the API. The clocks are read here and nowhere else in query/."""

import time
from collections.abc import Callable
from functools import partial

import anyio.to_thread
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from query.answers import Reply, Request
from query.api import Api
from query.cache import Cache, NoCache, RedisCache
from query.catalog import Catalog
from query.clickhouse import SAID, ClickhouseStore
from query.errors import QueryError
from query.front import front
from query.guard import Guard
from query.metrics import REGISTRY
from query.places import Places
from query.pulse import PROBE_S, Pulse, answers
from query.ranges import Ranges
from query.reach import connect, limits
from query.recent import Layered, Lru, Recent
from query.room import Room
from query.service import Clock, Service
from query.settings import QuerySettings
from query.sql import GRID_SETTINGS
from query.status import VERSION, Status
from query.store import Store
from query.tenants import KeyFile, OpenTenants, Tenants
from schemas.retention import Policy
from sinks.retention import RetentionSettings

Answer = Callable[[Request], Reply]


def wall_clock() -> int:
    """Return ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def routes(service: Service, api: Api, catalog: Catalog, status: Status) -> list[Route]:
    """Return the endpoints."""

    def endpoint(path: str, work: Answer, *methods: str) -> Route:
        async def handle(http: HttpRequest) -> Response:
            return await service.answer(http, path, work)

        return Route(path, handle, methods=list(methods))

    async def values(http: HttpRequest) -> Response:
        label: str = http.path_params["label"]
        return await service.answer(http, "/api/v1/label/values", partial(catalog.label_values, label=label))

    return [
        endpoint("/api/v1/query", api.query, "GET", "POST"),
        endpoint("/api/v1/query_range", api.query_range, "GET", "POST"),
        endpoint("/v1/metrics/query", api.metrics_query, "GET"),
        endpoint("/api/v1/series", catalog.series, "GET", "POST"),
        endpoint("/api/v1/labels", catalog.labels, "GET", "POST"),
        Route("/api/v1/label/{label}/values", values, methods=["GET"]),
        endpoint("/api/v1/metadata", catalog.metadata, "GET"),
        endpoint("/api/v1/query_exemplars", catalog.exemplars, "GET", "POST"),
        endpoint("/api/v1/format_query", status.format_query, "GET", "POST"),
        endpoint("/api/v1/rules", status.rules, "GET"),
        endpoint("/api/v1/alerts", status.alerts, "GET"),
        endpoint("/api/v1/status/buildinfo", status.buildinfo, "GET"),
        endpoint("/api/v1/status/tsdb", status.tsdb, "GET"),
        *_own(service.store),
    ]


def _own(store: Store) -> list[Route]:
    async def ready(http: HttpRequest) -> Response:
        try:
            await anyio.to_thread.run_sync(store.ready, abandon_on_cancel=True)
        except QueryError as error:
            return PlainTextResponse(f"{error.message}\n", 503)
        return PlainTextResponse("Tidegauge is ready.\n")

    async def healthy(http: HttpRequest) -> Response:
        return PlainTextResponse("Tidegauge is healthy.\n")

    async def metrics(http: HttpRequest) -> Response:
        return Response(generate_latest(REGISTRY), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def root(http: HttpRequest) -> Response:
        # Clients ask here whether anyone is there.
        return PlainTextResponse("Tidegauge answers Prometheus's queries at /api/v1/query and beside it.\n")

    return [
        Route("/", root),
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
    guard = Guard(settings.query_max_text, settings.query_max_regex)
    memory = settings.query_cache_memory
    recent = Recent(memory - memory // 4) if memory else None
    api = Api(
        store,
        Ranges(
            store,
            cache if recent is None else Layered(recent, cache),
            lookback_ms,
            settled_ms,
            settings.query_max_cells,
            retention,
            tails=recent,
            bodies=Lru(memory // 4) if memory else None,
        ),
        guard,
        lookback_ms,
        settings.query_max_points,
        settings.query_max_cells,
        round(settings.store_late_after_s * 1000),
        retention,
    )
    service = Service(
        store=store,
        tenants=tenants,
        clock=clock,
        ticks=time.monotonic,
        timeout_s=settings.query_timeout_s,
        slow_s=settings.query_slow_s,
        max_bytes=settings.query_max_bytes,
        places=Places(settings.query_concurrency, settings.query_waiting),
        room=Room(settings.query_memory, settings.query_threads),
        threads=settings.query_threads,
        send_s=settings.query_send_s,
    )
    catalog = Catalog(store, guard, settings.query_max_series)
    return Starlette(routes=routes(service, api, catalog, Status(store, guard)), middleware=front(settings))


def of_settings(settings: QuerySettings, clock: Clock = wall_clock) -> Starlette:
    """Return the application over ClickHouse and Redis; raises ConfigError."""
    # People wait; the store itself decides what is worth a second attempt. Of functions that this user may not have it
    # is told.
    clickhouse = connect(settings, 1, settings.query_timeout_s, SAID | GRID_SETTINGS.keys())
    cache: Cache = NoCache()
    if settings.redis:
        cache = RedisCache(
            settings.redis,
            settings.query_cache_timeout_s,
            settings.query_cache_ttl_s,
            settings.query_cache_max_bytes,
            (settings.clickhouse, settings.clickhouse_database, VERSION),
        )
    tenants: Tenants = OpenTenants(settings.query_tenant)
    if settings.query_auth == "key":
        tenants = KeyFile(settings.query_keys, time.monotonic)
    retention = RetentionSettings(retention=settings.retention).policy()
    pulse = Pulse(partial(answers, connect(settings, 1, PROBE_S)), time.monotonic)
    store = ClickhouseStore(clickhouse, limits(settings), settings.query_compression, pulse)
    return build(settings, store, cache, tenants, clock, retention)

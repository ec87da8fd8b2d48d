"""The service's own metrics, all of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

REGISTRY = CollectorRegistry()
# A _created series beside every counter would double what is scraped.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no types here

# handler is the route, code the HTTP status.
REQUESTS = Counter("tidegauge_query_requests", "Requests answered", ["handler", "code"], registry=REGISTRY)
SECONDS = Histogram(
    "tidegauge_query_duration_seconds",
    "Time to answer",
    ["handler"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
RUNNING = Gauge("tidegauge_query_running", "Evaluations running now", registry=REGISTRY)
ERRORS = Counter("tidegauge_query_errors", "Requests refused or failed, by stable id", ["id"], registry=REGISTRY)
SAMPLES_READ = Counter("tidegauge_query_samples_read", "Samples read from ClickHouse", registry=REGISTRY)
ROWS_READ = Counter("tidegauge_query_rows_read", "Rollup rows read from ClickHouse", ["tier"], registry=REGISTRY)
PUSHED = Counter("tidegauge_query_pushed", "Range functions that ClickHouse computed", registry=REGISTRY)
ESTIMATES = Counter("tidegauge_query_estimates", "Selectors whose cost was asked before", registry=REGISTRY)
WAITED = Histogram(
    "tidegauge_query_queue_seconds",
    "Time that a request waited for a place",
    buckets=(0.001, 0.01, 0.1, 1, 10, 30),
    registry=REGISTRY,
)
UNSENT = Counter("tidegauge_query_unsent", "Answers that a client did not take in time", registry=REGISTRY)
SLOW = Counter("tidegauge_query_slow", "Requests in the slow-query log", registry=REGISTRY)
# outcome: led (evaluated, perhaps for others too), joined (took another request's block), left (that one failed).
FLIGHTS = Counter("tidegauge_query_flights", "Blocks that were not in the cache", ["outcome"], registry=REGISTRY)
STALE_BLOCKS = Counter("tidegauge_query_stale_blocks", "Blocks served while ClickHouse was away", registry=REGISTRY)
# outcome: hit, miss, or error (Redis absent, slow, or an entry that is not whole), per block.
CACHE = Counter("tidegauge_query_cache_blocks", "Blocks asked of the cache", ["outcome"], registry=REGISTRY)
# outcome: hit, miss.
BODIES = Counter(
    "tidegauge_query_bodies", "Whole answers asked of the service's memory", ["outcome"], registry=REGISTRY
)
CACHE_STORED = Counter("tidegauge_query_cache_stored_bytes", "Bytes written to the cache", registry=REGISTRY)

"""A dashboard's data and its ten panels. Pure and seeded.

2,000 counters of one metric, the panels' mainstay, and beside them gauges and a classic histogram of the same hosts. A
sample each 15 s for the raw hours; before them one each five minutes, of which only rollups are left, as after weeks.
Samples lie beside the steps, so that windows mean the same to Prometheus 2, whose ranges are closed.
"""

from dataclasses import dataclass, field

import numpy as np

from bench.hosts import walk
from schemas.batch import Series
from schemas.columns import Int64s, UInt32s, UInt64s
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.nan import Floats

HOUR_MS = 3_600_000
SCRAPE_MS, OLD_SCRAPE_MS = 15_000, 300_000
PHASE_MS = 5_000
HOSTS, ROUTES, CODES = 100, 5, ("200", "302", "404", "500")
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")
BUCKET_HOSTS = 20
OLD_DAYS = 30


@dataclass(frozen=True, slots=True)
class Panel:
    """A range query: the last span_ms at step_ms, as a dashboard refreshes it."""

    name: str
    query: str
    span_ms: int
    step_ms: int
    raw: bool = True  # all that it reads is in raw, so that Prometheus has it too

    def range(self, now_ms: int) -> dict[str, str]:
        """Return the parameters at a time, whole steps."""
        end = now_ms - now_ms % self.step_ms
        times = {"start": str((end - self.span_ms) / 1000), "end": str(end / 1000)}
        return {"query": self.query, **times, "step": str(self.step_ms / 1000)}


_RATE = "rate(http_requests_total[5m])"
_ERRORS = 'rate(http_requests_total{code="500"}[5m])'
_BUCKETS = "rate(http_request_duration_seconds_bucket[5m])"
HOST = "host-003"

PANELS = (
    Panel("requests by route, 1 h", f"sum by (route) ({_RATE})", HOUR_MS, 15_000),
    Panel("top five hosts, 1 h", f"topk(5, sum by (host) ({_RATE}))", HOUR_MS, 15_000),
    Panel("share of errors, 1 h", f"sum({_ERRORS}) / sum({_RATE})", HOUR_MS, 15_000),
    Panel("errors by host, 1 h", f"sum by (host) ({_ERRORS})", HOUR_MS, 15_000),
    Panel("p99 latency, 1 h", f"histogram_quantile(0.99, sum by (le) ({_BUCKETS}))", HOUR_MS, 15_000),
    Panel("mean load, 1 h", "avg(node_load1)", HOUR_MS, 15_000),
    Panel("least memory, 6 h", "bottomk(3, node_memory_free_bytes)", 6 * HOUR_MS, 60_000),
    Panel("load of a host, 6 h", f'node_load1{{host="{HOST}"}}', 6 * HOUR_MS, 60_000),
    Panel("highest load, 24 h", "max by (host) (max_over_time(node_load1[5m]))", 24 * HOUR_MS, 300_000),
    Panel(
        "a host's requests, 30 d",
        f'sum by (route) (rate(http_requests_total{{host="{HOST}"}}[1h]))',
        30 * 24 * HOUR_MS,
        HOUR_MS,
        raw=False,
    ),
)
# Not one of the ten: what a table of everything would ask, half a million points.
WIDE = Panel("2,000 series whole, 1 h", _RATE, HOUR_MS, 15_000)
# The bars' panels: 2,000 series at 15 s, and a month from the tier.
FINE, MONTH = PANELS[0], PANELS[-1]


def all_series() -> list[Series]:
    """Return the 2,400 series."""
    hosts = [f"host-{host:03d}" for host in range(HOSTS)]
    counters = [
        Series("http_requests_total", (("code", code), ("host", host), ("route", f"/r{route}")), "counter")
        for host in hosts
        for route in range(ROUTES)
        for code in CODES
    ]
    gauges = [
        Series(name, (("host", host),), "gauge") for name in ("node_load1", "node_memory_free_bytes") for host in hosts
    ]
    buckets = [
        Series("http_request_duration_seconds_bucket", (("host", host), ("le", le)), "counter")
        for host in hosts[:BUCKET_HOSTS]
        for le in BUCKETS
    ]
    return counters + gauges + buckets


@dataclass(slots=True)
class Data:
    """stamps (T,), values (T, S): the raw hours. old_stamps, old_values: the time before. ms since 1970 UTC."""

    tenant: str
    stamps: Int64s
    old_stamps: Int64s
    values: Floats = field(init=False)
    old_values: Floats = field(init=False)
    series: list[Series] = field(default_factory=all_series)
    metrics: list[str] = field(init=False)
    codes: UInt32s = field(init=False)
    ids: UInt64s = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = sorted({one.name for one in self.series})
        self.codes = np.array([self.metrics.index(one.name) for one in self.series], np.uint32)
        self.ids = np.array([series_id(self.tenant, one.name, one.labels) for one in self.series], np.uint64)
        whole = _values(self.series, len(self.old_stamps) + len(self.stamps))
        self.old_values, self.values = np.split(whole, [len(self.old_stamps)])

    def frame(self, start_ms: int, end_ms: int) -> Frame:
        """Return the dense frame of (start, end], of raw time or of the time before, never of both."""
        old = end_ms <= self.stamps[0]
        stamps, values = (self.old_stamps, self.old_values) if old else (self.stamps, self.values)
        low, high = np.searchsorted(stamps, [start_ms, end_ms], side="right")
        return Frame(self.tenant, 0, self.metrics, self.codes, self.ids, stamps[low:high], values[low:high])


def data(tenant: str, samples: int, end_ms: int) -> Data:
    """Return about so many samples, in whole hours from an hour's start; end_ms: of the last."""
    hours = max(2, round(samples * SCRAPE_MS / (HOUR_MS * len(all_series()))))
    begin = end_ms // HOUR_MS * HOUR_MS - (hours - 1) * HOUR_MS
    stamps = np.arange(begin + PHASE_MS, end_ms + 1, SCRAPE_MS, dtype=np.int64)
    old = np.arange(begin - OLD_DAYS * 24 * HOUR_MS + PHASE_MS, begin, OLD_SCRAPE_MS, dtype=np.int64)
    return Data(tenant, stamps, old)


def _values(series: list[Series], rows: int) -> Floats:
    """Return the values of every series: whole numbers, so that sums are exact in any order."""
    rng = np.random.default_rng(1)
    gauge = np.array([one.type == "gauge" for one in series])
    bucket = np.array([one.name.endswith("_bucket") for one in series])
    values = np.empty((rows, len(series)))
    counter = ~gauge & ~bucket
    values[:, counter] = np.cumsum(rng.integers(40, 60, (rows, int(counter.sum()))), axis=0)
    values[:, gauge] = np.floor(walk(rng, rows, int(gauge.sum())))
    # A bucket counts all faster requests too.
    fresh = rng.integers(0, 20, (rows, int(bucket.sum()) // len(BUCKETS), len(BUCKETS)))
    values[:, bucket] = np.cumsum(np.cumsum(fresh, axis=2), axis=0).reshape(rows, -1)
    return values

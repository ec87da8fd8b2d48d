"""The benchmark's data: hosts with a node exporter's series, values as TSBS walks them. Pure and seeded.

TSBS (timescale/tsbs, cmd/tsbs_generate_data): gauges are random walks of N(0, 1) steps held in 0..100, counters grow by
N(50, 1) a step. A few hosts restart in between, so that counters fall.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from schemas.batch import Batch, Series, encode_series_set
from schemas.columns import Int64s
from schemas.nan import Floats

Values = Literal["integers", "decimals"]

_MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
_GAUGES = (
    "node_load1",
    "node_load5",
    "node_load15",
    "node_memory_MemTotal_bytes",
    "node_memory_MemFree_bytes",
    "node_memory_MemAvailable_bytes",
    "node_memory_Buffers_bytes",
    "node_memory_Cached_bytes",
    "node_memory_SwapFree_bytes",
    "node_procs_running",
)
_DISK = ("reads_completed_total", "writes_completed_total", "read_bytes_total", "written_bytes_total", "io_now")
_NETWORK = (
    "receive_bytes_total",
    "transmit_bytes_total",
    "receive_packets_total",
    "transmit_packets_total",
    "receive_errs_total",
    "receive_drop_total",
)
_FILESYSTEM = ("size_bytes", "avail_bytes", "free_bytes", "files", "files_free")
_RESTART_EVERY = 10  # one host in ten restarts once


def host_series(host: int, count: int) -> list[Series]:
    """Return `count` series of one host, ordered by name and labels as an exporter prints them."""
    base = (("host", f"host-{host:03d}"), ("instance", f"host-{host:03d}:9100"), ("job", "node"))

    def one(name: str, **labels: str) -> Series:
        kind = "counter" if name.endswith("_total") else "gauge"
        unit = next((u for u in ("seconds", "bytes") if u in name.split("_")), "")
        return Series(name, tuple(sorted((*base, *labels.items()))), kind, unit)

    series = [one(name) for name in _GAUGES]
    device = 0
    while len(series) < count:
        series += [one("node_cpu_seconds_total", cpu=str(device), mode=mode) for mode in _MODES]
        series += [one(f"node_disk_{name}", device=f"nvme{device}n1") for name in _DISK]
        series += [one(f"node_network_{name}", device=f"eth{device}") for name in _NETWORK]
        mount = {"device": f"/dev/nvme{device}n1", "fstype": "ext4", "mountpoint": f"/data/{device}"}
        series += [one(f"node_filesystem_{name}", **mount) for name in _FILESYSTEM]
        device += 1
    return sorted(series[:count], key=lambda s: (s.name, s.labels))


@dataclass(frozen=True, slots=True)
class Workload:
    """What is produced: `rows` scrapes of `sources` hosts, each of `series` series, the last one at end_ms.

    rows is a multiple of the samples of a minute, and start and end lie on minutes: every window is full.
    """

    tenant: str
    sources: int
    series: int
    rows: int
    interval_ms: int
    end_ms: int
    values: Values
    seed: int = 1

    @classmethod
    def of_samples(
        cls, samples: int, sources: int, series: int, interval_ms: int, end_ms: int, values: Values, tenant: str
    ) -> "Workload":
        """Return the workload nearest to `samples` samples; raises ValueError if minutes cannot be filled."""
        if 60_000 % interval_ms or end_ms % 60_000:
            raise ValueError(f"interval {interval_ms} ms must divide a minute, and {end_ms} must lie on one")
        per_minute = 60_000 // interval_ms
        minutes = max(1, round(samples / (sources * series * per_minute)))
        return cls(tenant, sources, series, minutes * per_minute, interval_ms, end_ms, values)

    @property
    def samples(self) -> int:
        """How many samples there are, without the closing rows."""
        return self.sources * self.series * self.rows

    @property
    def span_ms(self) -> int:
        """How long the data last, ms."""
        return self.rows * self.interval_ms

    @property
    def timestamps(self) -> Int64s:
        """Shape (rows,), ms since 1970 UTC."""
        return self.end_ms + self.interval_ms * np.arange(1 - self.rows, 1, dtype=np.int64)

    def host(self, host: int) -> tuple[list[Series], Floats]:
        """Return the series of a host and their values, shape (rows, series): the same for the same seed."""
        series = host_series(host, self.series)
        rng = np.random.default_rng([self.seed, host])
        counter = np.array([one.type == "counter" for one in series])
        values = np.empty((self.rows, self.series))
        values[:, counter] = self._counters(rng, int(counter.sum()), host)
        values[:, ~counter] = walk(rng, self.rows, int((~counter).sum()))
        return series, np.floor(values) if self.values == "integers" else np.round(values, 2)

    def _counters(self, rng: np.random.Generator, count: int, host: int) -> Floats:
        grown = np.cumsum(np.maximum(rng.normal(50, 1, (self.rows, count)), 0), axis=0)
        grown += rng.uniform(0, 1e6, count)
        if host % _RESTART_EVERY == 0:
            # In the middle of a minute, so that a window holds the fall.
            restart = min(self.rows - 1, self.rows // 2 + 3)
            grown[restart:] -= grown[restart] - 10
        counters: Floats = grown
        return counters

    def batches(self, rows_per_batch: int) -> Iterator[Batch]:
        """Yield dense batches, sources interleaved by time as they would send."""
        hosts = [self.host(host) for host in range(self.sources)]
        sets = [encode_series_set(series) for series, _ in hosts]
        stamps = self.timestamps
        for start in range(0, self.rows, rows_per_batch):
            rows = slice(start, start + rows_per_batch)
            for host, (_, values) in enumerate(hosts):
                sent_at = int(stamps[rows][-1])
                yield Batch(self.tenant, f"host-{host:03d}", sent_at, sets[host], stamps[rows], values[rows])

    def closing(self, at_ms: int) -> Iterator[Batch]:
        """Yield one later row of every host, which moves the watermarks of all shards past the last window."""
        for host in range(self.sources):
            series = host_series(host, self.series)
            values = np.zeros((1, self.series))
            yield Batch(self.tenant, f"host-{host:03d}", at_ms, encode_series_set(series), np.array([at_ms]), values)


def walk(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """Return random walks between 0 and 100, reflected at both ends, shape (rows, count)."""
    free = rng.uniform(0, 100, count) + np.cumsum(rng.normal(0, 1, (rows, count)), axis=0)
    folded = np.abs(free) % 200
    held: Floats = np.where(folded > 100, 200 - folded, folded)
    return held

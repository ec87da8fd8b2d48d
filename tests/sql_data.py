"""What the queries of docs/sql.md are asked about: forty minutes of samples, rollups, distributions and refusals."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schemas.batch import Series
from schemas.columns import Int64s
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.nan import STALE, Floats
from schemas.tiers import TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.distributions import table_of
from udfs.rollup.distribution import distributions
from udfs.rollup.distribution import rollup as roll_distributions
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

MINUTES = 40
REFUSED = [
    ("TG-too-old", "TIDEGAUGE_GATE_TOLERANCE_S", 5),
    ("TG-too-old", "TIDEGAUGE_GATE_TOLERANCE_S", 7),
    ("TG-tenant", "", 3),
]


@dataclass
class Data:
    """What was written: per (name, labels) its timestamps and values."""

    base: int
    series: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Int64s, Floats]] = field(default_factory=dict)
    many: dict[str, list[tuple[int, Floats]]] = field(default_factory=dict)

    def add(self, name: str, values: Floats, step_ms: int, **labels: str) -> None:
        stamps = self.base + np.arange(len(values), dtype=np.int64) * step_ms
        self.series[(name, tuple(sorted(labels.items())))] = (stamps, values)

    def of(self, name: str) -> list[tuple[dict[str, str], Int64s, Floats]]:
        return [(dict(labels), *points) for (own, labels), points in self.series.items() if own == name]

    def write(self, clickhouse: Clickhouse) -> None:
        names = sorted({name for name, _ in self.series})
        keys = list(self.series)
        ids = np.array([series_id("default", name, labels) for name, labels in keys], dtype=np.uint64)
        codes = np.array([names.index(name) for name, _ in keys], dtype=np.uint32)
        index = np.repeat(np.arange(len(keys), dtype=np.uint32), [len(s) for s, _ in self.series.values()])
        stamps = np.concatenate([s for s, _ in self.series.values()])
        values = np.concatenate([v for _, v in self.series.values()])
        frame = Frame("default", 0, names, codes, ids, stamps, values, index)
        known = [(int(one), Series(name, labels)) for one, (name, labels) in zip(ids, keys, strict=True)]
        clickhouse.insert("series", rows.series("default", known, self.base, int(stamps.max())))
        # Twice and unmerged: what a replay leaves behind.
        for _ in range(2):
            clickhouse.insert("samples", rows.samples([frame]))
        for window in np.unique((stamps - 1) // 60_000 * 60_000):
            mine = (stamps - 1) // 60_000 * 60_000 == window
            half = mine & (np.cumsum(mine) % 2 == 0)
            for part in (half, mine):  # a half-filled row first, superseded by the whole one
                cut = Frame("default", 0, names, codes, ids, stamps[part], values[part], index[part])
                if (made := rollup([cut], int(window))) is not None:
                    clickhouse.insert("rollup_1m", rows.rollup(made))
        for tier in TIERS[1:]:
            for window in np.unique((stamps - 1) // tier.width_ms * tier.width_ms):
                mine = (stamps - 1) // tier.width_ms * tier.width_ms == window
                cut = Frame("default", 0, names, codes, ids, stamps[mine], values[mine], index[mine])
                if (made := rollup([cut], int(window))) is not None:
                    clickhouse.insert(tier.table, rows.rollup(made))
        self.write_distributions(clickhouse)
        for number in range(MINUTES):
            # Of four sources one was gone in the minutes 20 to 24; the hour has seen all.
            sources = [1, 2, 3] if 20 <= number < 25 else [1, 2, 3, 4]
            at = self.base + number * 60_000
            for one in (sources[:2], sources):  # from two writers, merged when read
                clickhouse.insert("completeness", rows.completeness("default", "1m", at, np.array(one, np.uint64)))

    def write_distributions(self, clickhouse: Clickhouse) -> None:
        for host, measured in self.many.items():
            series = Series("rpc_latency_seconds", (("instance", host),), "distribution")
            identity = series_id("default", series.name, series.labels)
            clickhouse.insert("series", rows.series("default", [(identity, series)], self.base, self.base))
            stamps = np.concatenate([np.full(len(values), at) for at, values in measured])
            frame = Frame(
                "default",
                0,
                [series.name],
                np.zeros(1, np.uint32),
                np.array([identity], np.uint64),
                stamps,
                np.concatenate([values for _, values in measured]),
                np.zeros(len(stamps), np.uint32),
                np.ones(len(stamps), np.uint32),
            )
            for window, part in split(frame, 60_000):
                many = distributions([part])
                assert many is not None
                clickhouse.insert("distributions", table_of(many))
                clickhouse.insert("rollup_1m", rows.rollup(roll_distributions(many, window)))


def seen(now: int) -> Data:
    """Return the data of three hosts up to two minutes before `now` (seconds)."""
    rng = np.random.default_rng(11)
    found = Data((now // 60 - MINUTES - 2) * 60_000)
    for host in ("web-1", "web-2", "db-1"):
        found.add("node_load1", np.round(rng.random(MINUTES * 6) * 4, 2), 10_000, instance=host)
        for mode in ("idle", "user"):
            counter = np.cumsum(rng.integers(0, 50, MINUTES * 6)) / 10
            counter[120:] -= counter[120]  # the host was restarted
            found.add("node_cpu_seconds_total", counter, 10_000, instance=host, mode=mode, cpu="0")
        for handler in ("/", "/api"):
            slow = rng.exponential(0.2 if handler == "/" else 0.5, MINUTES * 60)
            found.add("request_duration_seconds", slow, 1000, instance=host, handler=handler)
    for pid in range(12):
        found.add(
            "node_process_resident_memory_bytes", rng.integers(1, 1 << 33, MINUTES * 6) * 1.0, 10_000, pid=f"{pid}"
        )
    for host in ("web-1", "web-2"):
        for step in range(MINUTES * 3):
            measured = rng.exponential(0.3, 50)
            found.many.setdefault(host, []).append((found.base + step * 20_000, measured))
    stopped = found.series[("node_load1", (("instance", "db-1"),))][1]
    stopped[-1:] = STALE
    return found


def rejections(now: int) -> pa.Table:
    records = [
        {
            "tenant": "default",
            "source": "s",
            "id": one,
            "message": f"why {one}",
            "value": "",
            "limit": "",
            "sample": b"",
        }
        | {"setting": setting, "series": 1, "samples": samples, "key": key}
        for key, (one, setting, samples) in enumerate(REFUSED)
    ]
    stamps = pa.array([(now - 60) * 1000] * len(records)).cast(pa.timestamp("ms", tz="UTC"))
    return pa.concat_tables([pa.Table.from_pylist(records).append_column("received_at", stamps)] * 2)

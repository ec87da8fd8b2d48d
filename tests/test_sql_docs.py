"""Every query of docs/sql.md, run on a real server by the user who may only read, against numpy."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from schemas.batch import Frame, Int64s, Series
from schemas.ids import series_id
from schemas.nan import STALE, Floats
from schemas.tiers import TIERS
from sinks import rows
from sinks.clickhouse import Clickhouse
from sinks.ddl import apply
from sinks.distributions import table_of
from tests import embedded
from udfs.rollup.distribution import distributions
from udfs.rollup.distribution import rollup as roll_distributions
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

DATABASE = "sql_docs"
MINUTES = 40
QUERIES = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```sql\n(.*?)```", (Path("docs") / "sql.md").read_text(), re.M | re.S)
)


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


@pytest.fixture(scope="module")
def data() -> Iterator[Data]:
    rng = np.random.default_rng(11)
    found = Data((int(time.time()) // 60 - MINUTES - 2) * 60_000)
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
    apply(embedded.endpoint(), "default", "", DATABASE)
    writer = Clickhouse(embedded.endpoint(), database=DATABASE)
    found.write(writer)
    writer.insert("rejections", rejections(int(time.time())))
    yield found
    writer.close()


REFUSED = [
    ("TG-too-old", "TIDEGAUGE_GATE_TOLERANCE_S", 5),
    ("TG-too-old", "TIDEGAUGE_GATE_TOLERANCE_S", 7),
    ("TG-tenant", "", 3),
]


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


def answer(heading: str) -> pa.Table:
    user, password = embedded.VIEWER
    reader = Clickhouse(embedded.endpoint(), user, password, DATABASE)
    try:
        return reader.query(QUERIES[heading])
    finally:
        reader.close()


def test_eight_queries_are_documented() -> None:
    assert len(QUERIES) == 8


def test_the_latest_value_of_each_host(data: Data) -> None:
    expected = []
    for labels, stamps, values in sorted(data.of("node_load1"), key=lambda one: one[0]["instance"]):
        last = np.flatnonzero(np.isfinite(values))[-1]
        expected.append((labels["instance"], values[last], int(stamps[last])))
    got = answer("The latest value of each host").to_pylist()
    assert [(row["instance"], row["load1"], int(row["at"].timestamp() * 1000)) for row in got] == expected


def test_a_rate_from_increases(data: Data) -> None:
    expected: dict[tuple[int, str], float] = {}
    for labels, stamps, values in data.of("node_cpu_seconds_total"):
        steps = np.diff(values, prepend=values[0])
        steps = np.where(steps < 0, values, steps)
        for at in np.unique((stamps - 1) // 300_000 * 300):
            key = (int(at), labels["mode"])
            expected[key] = expected.get(key, 0.0) + float(steps[(stamps - 1) // 300_000 * 300 == at].sum()) / 300
    got = {(r["at"], r["mode"]): r["cpus"] for r in answer("A rate from increases").to_pylist()}
    assert got == pytest.approx(expected)
    assert len(got) >= 2 * MINUTES // 5


def test_percentiles_of_an_hour(data: Data) -> None:
    got = answer("Percentiles of an hour, by merging digests").to_pylist()
    assert [row["handler"] for row in got] == ["/", "/api"]
    for row in got:
        values = np.concatenate(
            [v for labels, _, v in data.of("request_duration_seconds") if labels["handler"] == row["handler"]]
        )
        assert row["measured"] == len(values)
        for level, found in zip((0.9, 0.99, 0.999), row["p90_p99_p999"], strict=True):
            # A digest answers to within a share of the rank, finest at the ends.
            assert (values <= found).mean() == pytest.approx(level, abs=0.2 * level * (1 - level) + 1 / len(values))


def test_a_percentile_of_a_day(data: Data) -> None:
    got = answer("A percentile of a day, from hours").to_pylist()
    assert [row["handler"] for row in got] == ["/", "/api"]
    for row in got:
        values = np.concatenate(
            [v for labels, _, v in data.of("request_duration_seconds") if labels["handler"] == row["handler"]]
        )
        assert row["measured"] == len(values)
        assert (values <= row["p99"]).mean() == pytest.approx(0.99, abs=0.002 + 1 / len(values))


def test_percentiles_of_a_distribution_over_time(data: Data) -> None:
    got = answer("Percentiles of a distribution over time").to_pylist()
    points: dict[int, list[Floats]] = {}
    for measured in data.many.values():
        for at, values in measured:
            points.setdefault((at - 1) // 300_000 * 300, []).append(values)
    assert [row["at"] for row in got] == sorted(points)
    for row in got:
        values = np.concatenate(points[row["at"]])
        assert (row["measured"], row["mean"]) == (len(values), pytest.approx(values.mean()))
        for level, found, bound in zip((0.5, 0.99), row["p50_p99"], (0.005, 0.001), strict=True):
            assert abs((values <= found).mean() - level) <= bound + 1 / len(values)


def test_completeness_of_the_last_hour(data: Data) -> None:
    (row,) = answer("Completeness of the last hour").to_pylist()
    assert row["until"] * 1000 == data.base + MINUTES * 60_000
    assert (row["worst"], row["windows_with_gaps"]) == (0.75, 5)
    assert row["at"] * 1000 in range(data.base + 20 * 60_000, data.base + 25 * 60_000, 60_000)


def test_expected_are_the_sources_of_the_hour_that_ends_with_the_window(data: Data) -> None:
    hour = 3600
    seen = {("1m", 0): [1, 2], ("1m", hour - 60): [1], ("1m", hour): [3], ("1h", 0): [1], ("1h", 23 * hour): [2],
            ("1h", 24 * hour): [3], ("1d", 0): [1], ("1d", 24 * hour): [1, 2]}  # fmt: skip
    start = data.base // 86_400_000 * 86_400
    one = Clickhouse(embedded.endpoint(), database=DATABASE)
    for (tier, at), sources in seen.items():
        made = rows.completeness("other", tier, (start + at) * 1000, np.array(sources, np.uint64))
        one.insert("completeness", made)
    asked = "SELECT tier, time, complete_until, seen, expected FROM v_completeness WHERE tenant = 'other'"
    got = {
        (row["tier"], row["time"] - start): (
            row["complete_until"] - row["time"], row["seen"], row["expected"]
        )
        for row in one.query(asked).to_pylist()
    }  # fmt: skip
    one.close()
    assert got == {
        ("1m", 0): (60, 2, 2), ("1m", hour - 60): (60, 1, 2), ("1m", hour): (60, 1, 2), ("1h", 0): (3600, 1, 1),
        ("1h", 23 * hour): (3600, 1, 2), ("1h", 24 * hour): (3600, 1, 2), ("1d", 0): (86_400, 1, 1),
        ("1d", 24 * hour): (86_400, 2, 2),
    }  # fmt: skip


def test_the_processes_that_hold_the_most_memory(data: Data) -> None:
    peaks = sorted(
        ((v.max(), labels) for labels, _, v in data.of("node_process_resident_memory_bytes")), key=lambda p: -p[0]
    )
    got = answer("The processes that hold the most memory").to_pylist()
    assert [(row["bytes"], dict(row["labels"])) for row in got] == peaks[:5]


def test_what_was_refused(data: Data) -> None:
    assert answer("What was refused, and what to change").to_pylist() == [
        {"id": "TG-too-old", "setting": "TIDEGAUGE_GATE_TOLERANCE_S", "refused": 12, "example": "why TG-too-old"},
        {"id": "TG-tenant", "setting": "", "refused": 3, "example": "why TG-tenant"},
    ]


@pytest.mark.parametrize("view", ["v_samples", "v_distributions", "v_rollup_1m", "v_rollup_1d", "v_series"])
def test_a_name_reaches_the_primary_key(data: Data, view: str) -> None:
    reader = Clickhouse(embedded.endpoint(), database=DATABASE)
    plan = reader.command(f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE tenant = 'default' AND name = 'node_load1'")
    reader.close()
    conditions = re.findall(r"PrimaryKey.*?Condition: (.*?)\\n|PrimaryKey.*?Condition: (.*?)\n", plan, re.S)
    assert len(conditions) == (1 if view == "v_series" else 2)
    for condition in map("".join, conditions):
        assert "metric in" in condition
        assert "tenant in" in condition


def test_columns_are_as_documented(data: Data) -> None:
    table = re.findall(r"^\| `(v_\w+)` \|[^|]+\| ([^|]+) \|$", (Path("docs") / "sql.md").read_text(), re.M)
    assert len(table) == 13
    reader = Clickhouse(embedded.endpoint(), database=DATABASE)
    for view, columns in table:
        names = [line.split("\t")[0] for line in reader.command(f"DESCRIBE TABLE {view}").splitlines()]
        assert names == columns.split(", "), view
    reader.close()

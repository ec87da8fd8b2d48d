"""How many bytes does a sample take on disk, and a rollup row of each tier? python -m bench.storage [--json FILE].

The real tables on the embedded ClickHouse, no stack: blocks as the store job writes them, then OPTIMIZE FINAL, all
columns and files counted. Prometheus stands beside it where promtool is found on PATH or in $PEERS. See docs/sizing.md.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench import cpu, peers, program
from bench.hosts import Values, Workload, walk
from bench.report import Progress, verdict
from schemas.columns import UInt64s
from schemas.frame import Frame
from schemas.ids import series_id
from schemas.nan import Floats
from schemas.tiers import TIERS
from sinks import ddl, rows
from sinks.clickhouse import Clickhouse
from stack.whole import whole
from udfs.rollup.rows import rollup

DATABASE = "storage"
TENANT = "default"
HOSTS, STEP_MS, HOUR_MS = 100, 10_000, 3_600_000
BARS = {"integers": 0.8, "decimals": 1.7}
# TSBS cpu-only (cmd/tsbs_generate_data): ten gauges of 0 … 100 a host, steps of N(0, 1).
CPU = tuple(
    f"cpu_usage_{name}"
    for name in ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
)

Labelled = tuple[str, dict[str, str]]


class Data:
    """One data set: names, labels, ids of (S,) series, values (T, S), times (T,) in ms."""

    def __init__(self, series: list[Labelled], values: Floats, end_ms: int) -> None:
        self.series, self.values = series, values
        self.stamps = end_ms + STEP_MS * np.arange(-len(values), 0, dtype=np.int64)
        self.metrics = sorted({name for name, _ in series})
        place = {name: code for code, name in enumerate(self.metrics)}
        self.codes = np.array([place[name] for name, _ in series], dtype=np.uint32)
        self.ids: UInt64s = np.array(
            [series_id(TENANT, name, tuple(sorted(labels.items()))) for name, labels in series], dtype=np.uint64
        )

    def frame(self, start_ms: int, width_ms: int) -> Frame:
        """Return the dense frame of [start, start + width)."""
        first, last = np.searchsorted(self.stamps, [start_ms, start_ms + width_ms])
        return Frame(TENANT, 0, self.metrics, self.codes, self.ids, self.stamps[first:last], self.values[first:last])


def tsbs(kind: Values, hours: int, end_ms: int) -> Data:
    """Return TSBS's cpu-only data: integers as TSBS prints them, or two decimals."""
    series = [(name, {"hostname": f"host_{host}"}) for host in range(HOSTS) for name in CPU]
    values = walk(np.random.default_rng(1), hours * HOUR_MS // STEP_MS, len(series))
    return Data(series, np.floor(values) if kind == "integers" else np.round(values, 2), end_ms)


def node(kind: Values, hours: int, end_ms: int) -> Data:
    """Return a node exporter's series, three of four of them counters, of ten hosts."""
    load = Workload(TENANT, 10, 100, hours * HOUR_MS // STEP_MS, STEP_MS, end_ms, kind)
    hosts = [load.host(host) for host in range(load.sources)]
    series = [(one.name, dict(one.labels)) for listed, _ in hosts for one in listed]
    return Data(series, np.concatenate([values for _, values in hosts], axis=1), end_ms)


@contextmanager
def server(path: str) -> Iterator[tuple[int, str]]:
    """Run the embedded ClickHouse; yield its pid and endpoint."""
    command = [sys.executable, "-m", "stack.clickhouse", "--path", path, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://(\S+)/", process.stdout.readline())
        if found is None:
            raise RuntimeError("TG-bench-clickhouse: the embedded ClickHouse did not start")
        yield process.pid, found.group(1)
    finally:
        program.end(process)


class Bench:
    """One server on which data sets are written, merged and measured, one after the other."""

    def __init__(self, pid: int, endpoint: str) -> None:
        self.pid, self.endpoint = pid, endpoint

    def cpu_s(self) -> float:
        return cpu.seconds({"clickhouse": self.pid}, cpu.snapshot())["clickhouse"]

    def run(self, data: Data, codec: str, tiers: bool) -> dict[str, Any]:
        """Write a data set into fresh tables; codec: of column digits, empty for that of the schema."""
        clickhouse = Clickhouse(self.endpoint, database=DATABASE)
        clickhouse_default = Clickhouse(self.endpoint, database="")
        try:
            clickhouse_default.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
            ddl.apply(self.endpoint, "default", "", DATABASE)
            if codec:
                # From the command line of whoever runs the benchmark, on a server of its own.
                clickhouse.command(f"ALTER TABLE samples MODIFY COLUMN digits CODEC({codec})")
            return self._fill(clickhouse, data, tiers)
        finally:
            clickhouse.close()
            clickhouse_default.close()

    def _fill(self, clickhouse: Clickhouse, data: Data, tiers: bool) -> dict[str, Any]:
        blocks = [rows.samples([data.frame(int(at), HOUR_MS)]) for at in np.unique(data.stamps // HOUR_MS * HOUR_MS)]
        before = self.cpu_s()
        for block in blocks:
            clickhouse.insert("samples", block)
        inserted = self.cpu_s() - before
        figures = {"samples": data.values.size, **measured(clickhouse, "samples")}
        figures["insert_us_per_row"] = round(inserted / data.values.size * 1e6, 3)
        before = self.cpu_s()
        for _ in range(3):
            clickhouse.command("SELECT sum(value) FROM samples")
        figures["scan_ns_per_row"] = round((self.cpu_s() - before) / 3 / data.values.size * 1e9, 2)
        if tiers:
            figures["tiers"] = {tier.name: self._tier(clickhouse, data, tier.width_ms, tier.table) for tier in TIERS}
        return figures

    def _tier(self, clickhouse: Clickhouse, data: Data, width_ms: int, table: str) -> dict[str, Any]:
        made: list[pa.Table] = []
        for at in np.unique(data.stamps // width_ms * width_ms):
            if (one := rollup([data.frame(int(at), width_ms)], int(at))) is not None:
                made.append(rows.rollup(one))
        # An hour of minutes a block, sorted as the store job does it.
        for start in range(0, len(made), 60):
            clickhouse.insert(table, rows.ordered(pa.concat_tables(made[start : start + 60]).unify_dictionaries()))
        return measured(clickhouse, table)


def measured(clickhouse: Clickhouse, table: str) -> dict[str, Any]:
    """Merge a table and return its rows and bytes a row: all files, and compressed by column."""
    clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
    where = "database = {database:String} AND table = {table:String} AND active"
    params = {"database": clickhouse.database, "table": table}
    asked = f"SELECT sum(rows) AS n, sum(bytes_on_disk) AS bytes FROM system.parts WHERE {where}"
    (total,) = clickhouse.query(asked, params).to_pylist()
    by_column = clickhouse.query(
        f"SELECT column, sum(column_bytes_on_disk) AS bytes FROM system.parts_columns WHERE {where} GROUP BY column",
        params,
    ).to_pylist()
    columns = {row["column"]: round(row["bytes"] / total["n"], 3) for row in by_column}
    return {
        "rows": total["n"],
        "bytes_per_row": round(total["bytes"] / total["n"], 3),
        "columns": dict(sorted(columns.items(), key=lambda item: -item[1])),
    }


def report(name: str, codec: str, got: dict[str, Any]) -> str:
    """Return one run for people."""
    top = ", ".join(f"{column} {size}" for column, size in list(got["columns"].items())[:3])
    lines = [
        f"{name:<14} {codec or 'schema':<22} {got['bytes_per_row']:.3f} bytes a sample ({top}); insert "
        f"{got['insert_us_per_row']} us, scan {got['scan_ns_per_row']} ns of CPU a row"
    ]
    for tier, one in got.get("tiers", {}).items():
        lines.append(f"  rollup_{tier:<4} {one['bytes_per_row']:.1f} bytes a row, digest {one['columns']['digest']}")
    return "\n".join(lines)


def lost(name: str, data: Data, got: dict[str, Any]) -> list[str]:
    """Return the tables that do not hold a row a sample, or a window and series: their bytes a row say nothing."""
    wanted = {"samples": (got["rows"], data.values.size)}
    for tier in TIERS if "tiers" in got else ():
        windows = len(np.unique(data.stamps // tier.width_ms))
        wanted[tier.table] = got["tiers"][tier.name]["rows"], windows * len(data.series)
    return [f"{name}: {table} has {rows} rows, not {wants}" for table, (rows, wants) in wanted.items() if rows != wants]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a bar is missed or a row is lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--hours", type=whole(1, 10_000), default=24, help="hours of data; default 24")
    parser.add_argument("--codec", action="append", default=[], help="also with this codec of digits; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    # Whole days, so that 1d rows are full; recent, so that nothing is told apart by age.
    end_ms = int(time.time()) // 86_400 * 86_400_000
    figures: dict[str, Any] = {}
    missed = []
    with program.folder("storage") as home, server(f"{home}/clickhouse") as (pid, at):
        bench = Bench(pid, at)
        for shape, make in (("tsbs", tsbs), ("node", node)):
            for kind in ("integers", "decimals"):
                data, name = make(kind, options.hours, end_ms), f"{shape} {kind}"
                for codec in ("", *options.codec):
                    got = bench.run(data, codec, tiers=not codec)
                    figures[f"{name} {codec}".strip()] = got
                    print(report(name, codec, got), flush=True)
                    missed += lost(name, data, got)
                    if shape == "tsbs" and not codec and got["bytes_per_row"] > BARS[kind]:
                        missed.append(f"{name}: {got['bytes_per_row']} bytes a sample, the bar is {BARS[kind]}")
                beside = peers.prometheus(data.series, data.stamps, data.values, home)
                figures[f"{name} prometheus"] = beside
                print(f"{name:<14} {peers.said(beside)}", flush=True)
    if not missed:
        print("both bars are met, all rows are there", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return verdict(missed, Progress())


if __name__ == "__main__":
    program.run(main)

"""How right, how large and how fast are digests? Ours beside crick, DDSketch and ClickHouse's own, in one table.

Each kind of data is a day of one series: 1,440 one-minute windows, a state each, merged into one. Errors are in ranks,
the worst of all kinds, in percent. Run: python -m bench.digest [--per-minute N].
"""

import argparse
import importlib
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import chdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import program
from bench.report import Progress, verdict
from stack.whole import whole
from udfs.rollup import digest
from udfs.rollup.digest import Floats, Int64s, UInt8s

WINDOWS = 1440
LEVELS = np.array([0.5, 0.99, 0.999])
BARS = np.array([0.005, 0.001, 0.0002])
SQL_LEVELS = ", ".join(map(str, LEVELS))

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "uniform": lambda rng, n: rng.uniform(0, 1000, n),
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "pareto": lambda rng, n: rng.pareto(1.5, n) + 1,
    "bimodal": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(0, 1, n), rng.normal(100, 1, n)),
    "constant": lambda rng, n: np.full(n, 7.0),
    "tiny sets": lambda rng, n: rng.choice([1.0, 2, 3, 50, 1000], n, p=[0.4, 0.3, 0.2, 0.09, 0.01]),
    "sorted": lambda rng, n: np.sort(rng.normal(0, 1, n)),
    "reversed": lambda rng, n: -np.sort(rng.exponential(1, n)),
    "spikes": lambda rng, n: np.where(rng.random(n) < 0.02, rng.lognormal(6, 1, n), 0.0),
    "latency": lambda rng, n: np.round(np.where(rng.random(n) < 0.97, rng.gamma(4, 5, n), rng.gamma(2, 400, n)), 1),
    "integers": lambda rng, n: rng.poisson(200, n).astype(float),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one implementation made of a day: values at LEVELS, bytes of the minutes' states and of the day's."""

    values: Floats
    minute_bytes: float
    day_bytes: int
    seconds: float


def rank_error(values: Floats, answers: Floats, levels: Floats = LEVELS) -> Floats:
    """Return by what share of the ranks each answer is off; values sorted.

    A value has the ranks of all its repeats, what lies between two values the rank between; Float32 is the precision.
    """
    slack = np.abs(answers) * 2 * np.finfo(np.float32).eps
    low = np.searchsorted(values, answers - slack, "left") / len(values)
    high = np.searchsorted(values, answers + slack, "right") / len(values)
    return np.maximum(0.0, np.maximum(low - levels, levels - high))


def minutes(values: Floats) -> tuple[UInt8s, Int64s]:
    """Return the states of WINDOWS windows of values and their boundaries."""
    states, ends = digest.encode(digest.of_values(np.linspace(0, len(values), WINDOWS + 1).astype(np.int64), values))
    return states, ends.astype(np.int64)


def united(states: UInt8s, ends: Int64s, groups: int) -> tuple[UInt8s, Int64s]:
    """Return the states of equally many neighbouring states each."""
    owner = np.arange(len(ends) - 1) * groups // (len(ends) - 1)
    out, places = digest.encode(digest.merge(states, ends, owner, groups, digest.COARSE))
    return out, places.astype(np.int64)


def ours(values: Floats, path: Path) -> Answer:
    del path
    begin = time.perf_counter()
    states, ends = minutes(values)
    hours, hour_ends = united(states, ends, 24)
    day, _ = united(hours, hour_ends, 1)
    found = digest.quantiles(digest.decode(day.tobytes()), LEVELS)[0]
    return Answer(found, len(states) / WINDOWS, len(day), time.perf_counter() - begin)


def merged_in_sql(states: UInt8s, ends: Int64s, path: Path) -> Floats:
    """Return what quantilesTDigestMerge makes of states."""
    rows = [states[a:b].tobytes() for a, b in pairwise(ends)]
    pq.write_table(pa.table({"state": pa.array(rows, pa.binary())}), path)
    kind = f"AggregateFunction(quantilesTDigest({SQL_LEVELS}), Float64)"
    row = _query(f"SELECT quantilesTDigestMerge({SQL_LEVELS})(CAST(state AS {kind})) AS q FROM file('{path}')")
    return np.array(row["q"])


def ours_in_sql(values: Floats, path: Path) -> Answer:
    states, ends = minutes(values)
    begin = time.perf_counter()
    found = merged_in_sql(states, ends, path)
    return Answer(found, len(states) / WINDOWS, 0, time.perf_counter() - begin)


def clickhouse(values: Floats, path: Path) -> Answer:
    window = np.arange(len(values)) * WINDOWS // len(values)
    pq.write_table(pa.table({"window": window, "value": values}), path)
    state = f"quantilesTDigestState({SQL_LEVELS})(value) AS state"
    begin = time.perf_counter()
    row = _query(
        f"SELECT quantilesTDigestMerge({SQL_LEVELS})(state) AS q, avg(length(CAST(state AS String))) AS minute, "
        f"length(CAST(quantilesTDigestMergeState({SQL_LEVELS})(state) AS String)) AS day "
        f"FROM (SELECT {state} FROM file('{path}') GROUP BY window) SETTINGS max_threads = 1"
    )
    return Answer(np.array(row["q"]), row["minute"], int(row["day"]), time.perf_counter() - begin)


def crick(values: Floats, path: Path) -> Answer:
    del path
    make = importlib.import_module("crick").TDigest
    begin = time.perf_counter()
    parts = []
    for window in np.split(values, WINDOWS):
        parts.append(make(digest.COMPRESSION))
        parts[-1].update(window)
    day = make(digest.COARSE)
    day.merge(*parts)
    found = np.array([day.quantile(level) for level in LEVELS])
    seconds = time.perf_counter() - begin
    # A centroid is two Float64.
    return Answer(found, sum(16 * len(p.centroids()) for p in parts) / WINDOWS, 16 * len(day.centroids()), seconds)


def ddsketch(values: Floats, path: Path) -> Answer:
    del path
    make = importlib.import_module("ddsketch").DDSketch

    def size(sketch: Any) -> int:
        # A bin is a Float64.
        return 8 * (len(sketch._store.bins) + len(sketch._negative_store.bins))

    begin = time.perf_counter()
    parts, day = [], make(0.01)
    for window in np.split(values, WINDOWS):
        parts.append(make(0.01))
        for value in window.tolist():
            parts[-1].add(value)
        day.merge(parts[-1])
    found = np.array([day.get_quantile_value(level) for level in LEVELS])
    return Answer(found, sum(map(size, parts)) / WINDOWS, size(day), time.perf_counter() - begin)


RUNS: dict[str, Callable[[Floats, Path], Answer]] = {
    "ours, 1m > 1h > 1d": ours,
    "ours, 1,440 states merged in SQL": ours_in_sql,
    "ClickHouse quantilesTDigest": clickhouse,
    "crick TDigest(100)": crick,
    "DDSketch(1 %)": ddsketch,
}
PACKAGES = {"crick TDigest(100)": "crick", "DDSketch(1 %)": "ddsketch"}


def _query(sql: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = json.loads(str(chdb.query(sql, "JSON")))["data"]
    return rows[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if ours misses a bar."""
    parser = argparse.ArgumentParser(description="Digests: rank errors, bytes, time.")
    parser.add_argument(
        "--per-minute", type=whole(1, 100_000), default=100, metavar="N", help="values a window; default 100"
    )
    per_minute = parser.parse_args(argv).per_minute
    print(f"{len(DISTRIBUTIONS)} kinds of data, {WINDOWS} windows of {per_minute} values; worst rank error in percent")
    print(f"{'':34} {'p50':>7} {'p99':>7} {'p99.9':>7} {'B/minute':>9} {'B/day':>7} {'ns/value':>9}")
    print(f"{'bar':34} " + " ".join(f"{100 * bar:7.4f}" for bar in BARS))
    missed: list[str] = []
    for name, run in RUNS.items():
        if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
            print(f"{name:34} skipped: the package {PACKAGES[name]} is not installed")
            continue
        errors, answers = _over_all(run, per_minute)
        if run is ours:
            missed += [
                f"{100 * error:.4f} % at {level:g}, at most {100 * bar:g}"
                for level, error, bar in zip(LEVELS, errors, BARS, strict=True)
                if not error <= bar
            ]
        shown = " ".join(f"{100 * error:7.4f}" for error in errors)
        bytes_ = [np.mean([a.minute_bytes for a in answers]), np.mean([a.day_bytes for a in answers])]
        pace = sum(a.seconds for a in answers) / (len(answers) * WINDOWS * per_minute) * 1e9
        print(f"{name:34} {shown} {bytes_[0]:9.0f} {f'{bytes_[1]:.0f}' if bytes_[1] else '-':>7} {pace:9.0f}")
    return verdict(missed, Progress())


def _over_all(run: Callable[[Floats, Path], Answer], per_minute: int) -> tuple[Floats, list[Answer]]:
    worst, answers = np.zeros(len(LEVELS)), []
    with tempfile.TemporaryDirectory(prefix="tidegauge-digest-") as home:
        for place, draw in enumerate(DISTRIBUTIONS.values()):
            values = draw(np.random.default_rng(place), WINDOWS * per_minute)
            answers.append(run(values, Path(home, "rows.parquet")))
            worst = np.maximum(worst, rank_error(np.sort(values), answers[-1].values))
    return worst, answers


if __name__ == "__main__":
    program.run(main)

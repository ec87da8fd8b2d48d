"""A whole fleet comes back after an hour's silence: how fast is the backlog worked off, and do fresh windows wait?

An hour of some series comes in time; then as many samples again come late, between the others, while a small source
goes on in real time. The clock runs from the first late record until every tier up to 1h holds every sample: counts and
sums are compared with numpy's. Run: python -m bench.late [--samples N] [--json FILE].
"""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench import cpu, program
from bench.beside import Beside
from bench.cluster import Cluster, ClusterError
from bench.produce import produce
from bench.report import Progress, conclude
from schemas.batch import Batch, Series, encode_series_set
from schemas.columns import Int64s
from schemas.nan import Floats
from sinks.clickhouse import Clickhouse
from stack.whole import whole

TENANT = "late"
HOUR_MS = 3_600_000
TABLES = ("rollup_1m", "rollup_5m", "rollup_1h")
_STALL_S = 300
_FRESH = "SELECT toUnixTimestamp(max(ts)) AS newest FROM completeness WHERE tenant = 'fresh' AND tier = '1m'"
_SUMS = (
    "SELECT count() AS rows, sum(count) AS count, sum(sum) AS sum FROM {table} FINAL WHERE tenant = {{tenant:String}}"
)


class Fleet:
    """`series` series over `sources` hosts, an hour that ended with the last full hour."""

    def __init__(self, samples: int, sources: int, series: int, now_ms: int) -> None:
        self.sources, self.series = sources, series
        self.rows = samples // series
        # Two samples of a series are two milliseconds apart at least: the late ones lie between.
        if series % sources or not 1 <= self.rows <= HOUR_MS // 2:
            raise ValueError(
                f"TG-bench-fleet: {samples} samples of {series} series over {sources} hosts: --series must be a "
                f"multiple of --sources, and --samples from 1 to {HOUR_MS // 2} times --series"
            )
        self.start = now_ms // HOUR_MS * HOUR_MS - HOUR_MS
        self.step = HOUR_MS // self.rows
        share = series // sources
        self._sets = [
            encode_series_set([Series(f"metric_{n % 20}", (("host", f"h{host}"), ("n", str(n)))) for n in range(share)])
            for host in range(sources)
        ]

    def stamps(self, shift: int) -> Int64s:
        """Return the times of one half: shift 0 in time, step // 2 late."""
        return self.start + shift + np.arange(self.rows, dtype=np.int64) * self.step

    def batches(self, shift: int) -> Iterator[Batch]:
        """Yield one half, ten scrapes a batch, all hosts side by side."""
        stamps = self.stamps(shift)
        for first in range(0, len(stamps), 10):
            mine = stamps[first : first + 10]
            for host, encoded in enumerate(self._sets):
                values = self.values(mine, host)
                yield Batch(TENANT, f"h{host}", int(mine[-1]), encoded, mine, values)

    def values(self, stamps: Int64s, host: int) -> Floats:
        """Return whole numbers, so that every order of adding gives one sum."""
        seconds = (stamps // 1000 % 1000)[:, None]
        cells: Floats = (seconds + host + np.arange(self.series // self.sources)[None, :] % 50).astype(np.float64)
        return cells

    def total(self, *shifts: int) -> tuple[int, float]:
        """Return (count, sum) of the halves."""
        sums = [self.values(self.stamps(shift), host).sum() for shift in shifts for host in range(self.sources)]
        return self.rows * self.series * len(shifts), float(sum(sums))


def await_sums(client: Clickhouse, wanted: tuple[int, float], since: float, progress: Progress) -> float:
    """Wait until every rollup table counts and adds up to wanted; return the seconds since `since`.

    The coarsest is written last and is small: the others are asked when it is whole, not to measure the asking.
    """
    seen, moved = (0, 0.0), time.monotonic()
    while True:
        found = _sums(client, TABLES[-1])
        now = time.monotonic()
        if found == wanted and all(_sums(client, table) == wanted for table in TABLES):
            return round(now - since, 1)
        progress(f"{TABLES[-1]} {found[0]:,} of {wanted[0]:,}")
        if found != seen:
            seen, moved = found, now
        if now - moved > _STALL_S:
            raise ClusterError(f"TG-bench-stall: no change for {_STALL_S} s at {found}, wanted {wanted}")
        time.sleep(0.5)


def _sums(client: Clickhouse, table: str) -> tuple[int, float]:
    row = client.query(_SUMS.format(table=table), {"tenant": TENANT}).to_pylist()[0]
    return row["count"], row["sum"]


def beat(kafka: str, lags: list[float], client: Clickhouse, done: threading.Event) -> None:
    """Send a fresh sample a second, and note how far behind the clock its newest closed minute is."""
    encoded = encode_series_set([Series("beat")])
    while not done.wait(1.0):
        now = time.time_ns() // 1_000_000
        produce(kafka, [Batch("fresh", "beat", now, encoded, np.array([now]), np.array([[1.0]]))], lambda _: None)
        newest = client.query(_FRESH).to_pylist()[0]["newest"]
        if newest:
            lags.append(now / 1000 - newest - 60)


def await_fresh(fresh: Beside, lags: list[float], progress: Progress) -> None:
    """Wait until a fresh minute has closed: before, nobody could see whether the next ones wait."""
    began = time.monotonic()
    while not lags:
        fresh.check()
        progress("no fresh minute has closed")
        if time.monotonic() - began > _STALL_S:
            raise ClusterError(f"TG-bench-stall: no fresh minute has closed for {_STALL_S} s")
        time.sleep(0.5)


def run(fleet: Fleet, options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return the figures."""
    progress.say("starting a stack of its own")
    with Cluster({"TIDEGAUGE_GATE_TOLERANCE_S": str(4 * 3600)}, options.without, options.keep) as cluster:
        cluster.submit(("gate", "store", "rollup", "reroll"))
        client = Clickhouse(cluster.endpoints["clickhouse"])
        kafka, quiet = cluster.endpoints["kafka"], lambda _: None
        produce(kafka, fleet.batches(0), quiet)
        lags: list[float] = []
        with Beside("the fresh source", partial(beat, kafka, lags, client)) as fresh:
            in_time = await_sums(client, fleet.total(0), time.monotonic(), progress)
            progress.say(f"in time: every tier closed after {in_time:.0f} s")
            await_fresh(fresh, lags, progress)
            lags.clear()
            before, started = cluster.cpu(), time.monotonic()
            produce(kafka, fleet.batches(fleet.step // 2), quiet)
            produced = time.monotonic() - started
            wanted = fleet.total(0, fleet.step // 2)
            healed = await_sums(client, wanted, started, progress)
            used = cpu.difference(before, cluster.cpu())
        late = fleet.rows * fleet.series
        return {
            "late_samples": late,
            "produced_s": round(produced, 1),
            "healed_s": healed,
            "late_per_s": round(late / healed),
            "cpu_s": used,
            "fresh_lag_s": {"max": round(max(lags), 1), "median": round(float(np.median(lags)), 1)} if lags else {},
        }


def missed(figures: dict[str, Any]) -> list[str]:
    """Return what was not measured; that all is healed is what the run itself waits for."""
    return [] if figures["fresh_lag_s"] else ["no fresh minute was seen while the fleet healed"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if every tier healed."""
    parser = argparse.ArgumentParser(prog="python -m bench.late", description=__doc__)
    parser.add_argument(
        "--samples", type=program.millions, default=1, metavar="N", help="millions of late samples (default 1)"
    )
    parser.add_argument("--sources", type=whole(1, 1_000_000), default=20, help="hosts (default 20)")
    parser.add_argument(
        "--series", type=whole(1, 1_000_000), default=10_000, help="series of all hosts (default 10,000)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--without", action="append", default=["query"], metavar="PART", help="as in `tidegauge up`")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    options = parser.parse_args(argv)
    try:
        fleet = Fleet(int(options.samples * 1e6), options.sources, options.series, time.time_ns() // 1_000_000)
    except ValueError as error:
        Progress().say(str(error))
        return 2
    return conclude(partial(run, fleet), options, missed)


if __name__ == "__main__":
    program.run(main)

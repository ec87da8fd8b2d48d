"""How many samples does the whole path carry per second and per CPU second, and is every number right?

Kafka → gate → store → ClickHouse samples, and → rollup → ClickHouse rollup_1m, on a stack of its own. The clock runs
from the first produced record until both tables hold everything; then each row is compared with numpy's. See README.md.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench import cpu, program
from bench.cluster import Cluster, ClusterError
from bench.compare import Generated
from bench.hosts import Workload
from bench.lag import await_read
from bench.produce import produce
from bench.reference import cpu_seconds
from bench.report import Progress, report
from bench.results import Results
from schemas import topics
from schemas.tiers import TIERS
from stack.whole import whole

JOBS = ("gate", "store", "rollup")
TENANT = "bench"
MINUTE_MS = 60_000
_MARGIN_MS = 2 * MINUTE_MS
# The jobs' SQL takes lateness as an interval of two-digit minutes.
_MOST_LATENESS_MS = 99 * MINUTE_MS
_STALL_S = 120
_LOOK_S = 10


def workload(options: argparse.Namespace, now_ms: int) -> tuple[Workload, int, dict[str, str]]:
    """Return what is to be produced, the time of the closing rows (ms), and the settings that it needs.

    Hours of data come within seconds, so the jobs see the hosts apart by what one gate reads ahead of the other:
    seconds of the broker's clock, all of the data's. Windows stay open for as long as the data last, therefore, and the
    closing rows, which event time follows only up to the broker's clock, come that much later.
    """
    closing = now_ms - now_ms % MINUTE_MS
    asked = int(options.samples * 1e6), options.sources, options.series, options.interval * 1000
    span = Workload.of_samples(*asked, closing, options.values, TENANT).span_ms
    if span > _MOST_LATENESS_MS:
        raise ValueError(
            f"TG-bench-span: {span // MINUTE_MS} minutes of data in disorder, the limit is "
            f"{_MOST_LATENESS_MS // MINUTE_MS}; raise --sources or --series with --samples"
        )
    load = Workload.of_samples(*asked, closing - span - _MARGIN_MS, options.values, TENANT)
    return (
        load,
        closing,
        {
            "TIDEGAUGE_ROLLUP_LATENESS_S": str(span // 1000),
            "TIDEGAUGE_ROLLUP_COARSEST": options.coarsest,
            "TIDEGAUGE_GATE_TOLERANCE_S": str((3 * span + _MARGIN_MS) // 1000 + 3600),
            # The gate's own series are of now, and would close the windows of data from before.
            "TIDEGAUGE_GATE_USAGE_TENANT": "",
            # Else each sample would be written down as a late arrival too, and raise data versions.
            "TIDEGAUGE_STORE_LATE_AFTER_S": str((3 * span + _MARGIN_MS) // 1000 + 3600),
            "TIDEGAUGE_FRESH_TAIL_S": str((3 * span + _MARGIN_MS) // 1000 + 3600),
        },
    )


def fill(cluster: Cluster, load: Workload, options: argparse.Namespace, progress: Progress) -> dict[str, float]:
    """Produce everything but the closing rows; returns seconds and megabytes."""
    started = time.monotonic()
    total = -(-load.rows // options.rows) * load.sources
    sent = produce(
        cluster.endpoints["kafka"],
        load.batches(options.rows),
        lambda done: progress(f"producing {done} of {total} batches"),
    )
    seconds = time.monotonic() - started
    progress.say(f"produced {load.samples:,} samples in {seconds:.1f} s, {sent / 1e6:.0f} MB")
    return {"produce_s": round(seconds, 2), "produced_mb": round(sent / 1e6, 1)}


def failed(trouble: Sequence[str]) -> bool:
    """Tell whether one of the jobs in trouble (Cluster.tasks) has ended; others begin again by themselves."""
    return any("FAILED" in line for line in trouble)


def submit(cluster: Cluster, progress: Progress, wait: bool, stored: bool = True) -> dict[str, float]:
    """Submit the jobs; returns seconds, and the CPU seconds of the client that only submits."""
    started = time.monotonic()
    jobs = JOBS if stored else ("gate", "rollup")
    progress.say(f"submitting {', '.join(jobs)}")
    client = cluster.submit(jobs)
    while wait:
        running, tasks, trouble = cluster.tasks()
        if failed(trouble) or time.monotonic() - started > _STALL_S:
            raise ClusterError(f"TG-bench-jobs: {running} of {tasks} tasks run, {'; '.join(trouble)}")
        if running == tasks:
            break
        time.sleep(0.5)
    return {"submit_s": round(time.monotonic() - started, 2), "submit_client_cpu_s": round(client, 2)}


def await_rows(
    cluster: Cluster, results: Results, load: Workload, expected: Mapping[str, int], progress: Progress
) -> float:
    """Wait until the tables hold as many rows as expected; returns when the first one was seen, in monotonic seconds.

    Rows may repeat until merged, so this is a lower bound; the check afterwards counts distinct keys.
    """
    seen, moved, first = dict.fromkeys(expected, -1), 0.0, 0.0
    while True:
        found = {table: results.rows(table, load.tenant) for table in expected}
        now = time.monotonic()
        if found != seen:
            seen, moved = found, now
        if any(found.values()):
            first = first or now
        progress(", ".join(f"{table} {found[table]:,} of {wanted:,}" for table, wanted in expected.items()))
        if all(found[table] >= wanted for table, wanted in expected.items()):
            return first
        if now - moved > _LOOK_S:
            _, _, trouble = cluster.tasks()
            if now - moved > _STALL_S or failed(trouble):
                raise ClusterError(
                    f"TG-bench-stall: no new row for {now - moved:.0f} s at {found} of {dict(expected)}; {trouble}"
                )
        time.sleep(0.5)


def await_through(
    cluster: Cluster, results: Results, load: Workload, options: argparse.Namespace, progress: Progress
) -> float:
    """Wait until every sample is stored, or read by the rollup job if none is to be; as await_rows."""
    if not options.only_rollup:
        return await_rows(cluster, results, load, {"samples": load.samples}, progress)
    for group, topic in (("tidegauge-gate", topics.RAW), ("tidegauge-rollup", topics.VALID)):
        await_read(cluster.endpoints["kafka"], group, topic, progress)
    return time.monotonic()


def warm_up(
    cluster: Cluster, results: Results, load: Workload, options: argparse.Namespace, progress: Progress
) -> None:
    """Run other samples, older than the data and of another tenant, through the jobs: start-up is not what is asked.

    Their windows close with the data's, inside what is measured.
    """
    if options.warmup:
        shape = load.sources, load.series, load.interval_ms
        warm = Workload.of_samples(int(options.warmup * 1e6), *shape, load.end_ms - load.span_ms, load.values, "warm")
        produce(cluster.endpoints["kafka"], warm.batches(options.rows), lambda done: progress(f"warming up {done}"))
        await_through(cluster, results, warm, options, progress)


def measure(
    cluster: Cluster, load: Workload, closing: int, options: argparse.Namespace, progress: Progress
) -> dict[str, Any]:
    """Run the data through the jobs and return the figures of time and CPU."""
    results = Results(cluster.endpoints["clickhouse"], "tidegauge", "default", "")
    figures: dict[str, Any] = {}
    if not options.prefill:
        figures |= submit(cluster, progress, wait=True, stored=not options.only_rollup)
        warm_up(cluster, results, load, options, progress)
    reference = cpu_seconds()
    before, started = cluster.cpu(), time.monotonic()
    figures |= fill(cluster, load, options, progress)
    if options.prefill:
        figures |= submit(cluster, progress, wait=False, stored=not options.only_rollup)
    first = await_through(cluster, results, load, options, progress)
    # Not earlier: through a partition that is read ahead they would close the windows of those still behind.
    produce(cluster.endpoints["kafka"], load.closing(closing), lambda done: None)
    await_rows(cluster, results, load, {"rollup_1m": load.samples * load.interval_ms // MINUTE_MS}, progress)
    done = time.monotonic()
    wall, flowing = done - started, done - first
    used = cpu.difference(before, cluster.cpu())
    total = sum(used.values())
    reference = (reference + cpu_seconds()) / 2
    return figures | {
        "reference_cpu_s": round(reference, 2),
        "samples_per_reference": round(load.samples / total * reference),
        "wall_s": round(wall, 2),
        "flow_s": round(flowing, 2),
        "samples_per_s": round(load.samples / wall),
        "samples_per_flow_s": round(load.samples / max(flowing, 0.5)),
        "cpu_s": used,
        "cpu_total_s": round(total, 2),
        "samples_per_cpu_s": round(load.samples / total),
    }


def inspect(cluster: Cluster, load: Workload, progress: Progress, stored: bool = True) -> dict[str, Any]:
    """Compare every row with the oracle and return what is wrong, and the bytes on disk."""
    results = Results(cluster.endpoints["clickhouse"], "tidegauge", "default", "")
    before = cluster.cpu()
    disk = {}
    tables = ("samples", "rollup_1m") if stored else ("rollup_1m",)
    for table in tables:
        progress.say(f"optimizing {table}")
        results.optimize(table)
        rows, size, columns = results.disk(table)
        disk[table] = {
            "rows": rows,
            "bytes": size,
            "bytes_per_row": round(size / max(rows, 1), 3),
            "bytes_per_row_by_column": {name: round(used / max(rows, 1), 3) for name, used in columns.items()},
        }
    merging = cpu.difference(before, cluster.cpu())["clickhouse"]
    wrong = results.check(Generated.of(load), load.tenant, load.end_ms, progress, stored)
    return {"optimize_cpu_s": merging, "disk": disk, "wrong": wrong}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument(
        "--samples", type=program.millions, default=10, metavar="N", help="millions of samples (default 10)"
    )
    parser.add_argument("--sources", type=whole(1, 1_000_000), default=20, help="hosts (default 20)")
    parser.add_argument("--series", type=whole(1, 1_000_000), default=1000, help="series of each host (default 1000)")
    parser.add_argument("--interval", type=whole(1, 1_000_000), default=10, help="seconds between scrapes (default 10)")
    parser.add_argument(
        "--values", choices=["integers", "decimals"], default="decimals", help="two decimals by default"
    )
    parser.add_argument(
        "--rows", type=whole(1, 1_000_000), default=10, metavar="R", help="scrapes in one batch (default 10)"
    )
    parser.add_argument(
        "--prefill", action="store_true", help="produce everything, then start the jobs, and count that"
    )
    parser.add_argument(
        "--coarsest", choices=[tier.name for tier in TIERS], default="1d", help="the last tier that is kept"
    )
    parser.add_argument("--only-rollup", action="store_true", help="gate and rollup alone: no sample is stored")
    parser.add_argument("--warmup", type=float, default=2, metavar="N", help="millions of samples before (default 2)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--without", action="append", default=[], metavar="PART", help="as in `tidegauge up`: query")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if every row is right."""
    options = parse(argv)
    progress = Progress()
    try:
        load, closing, env = workload(options, time.time_ns() // 1_000_000)
    except ValueError as error:
        progress.say(str(error))
        return 2
    progress.say("starting a stack of its own")
    with Cluster(env, options.without, options.keep) as cluster:
        figures: dict[str, Any] = {
            "samples": load.samples,
            "values": load.values,
            "mode": "prefill" if options.prefill else "stream",
            "rows_per_batch": options.rows,
            "series": load.sources * load.series,
        }
        figures |= measure(cluster, load, closing, options, progress)
        figures |= inspect(cluster, load, progress, not options.only_rollup)
    progress.say(report(figures))
    if options.json:
        with open(options.json, "w") as out:
            json.dump(figures, out, indent=1)
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    program.run(main)

"""ClickHouse is away for minutes while samples keep coming: is anything lost, how fast is the backlog worked off?

The jobs reach ClickHouse through a gate of ours, which refuses connections during the outage; the benchmark's own
queries go past it. Run: python -m bench.outage [--seconds N] [--json FILE].
"""

import argparse
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from bench import program
from bench.beside import Beside
from bench.cluster import Cluster, ClusterError
from bench.hosts import host_series
from bench.produce import produce
from bench.report import Progress, conclude
from schemas.batch import Batch, encode_series_set
from sinks.clickhouse import Clickhouse
from stack.whole import whole

TENANT = "outage"
# What was read in disorder behind the outage comes late to its windows: reroll heals them.
JOBS = ("gate", "store", "rollup", "reroll")
_HELD = {
    "samples": "SELECT count() AS n, sum(value) AS s FROM samples FINAL WHERE tenant = {tenant:String}",
    "rollup_1m": "SELECT sum(count) AS n, sum(sum) AS s FROM rollup_1m FINAL WHERE tenant = {tenant:String}",
}
_LIMIT_S = 900
_LEAST_TIMES = 3
# Under it there is no backlog to speak of: six seconds count as none.
_LEAST_S = 30
_MOST_MB = 1500  # -Xmx of both, first touched when there is much to hold (docs/sizing.md)

Send = Callable[[Iterable[Batch]], object]


class Door:
    """A TCP forwarder on a port of its own; closed, it ends what runs and refuses what comes."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.open = threading.Event()
        self.open.set()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Begin the outage."""
        self.open.clear()
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            if not self.open.is_set():
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._ends |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._ends.discard(end)


class Inflow(Beside):
    """A scrape a second of every host while the `with` block lasts; counts and adds up what it has sent."""

    def __init__(self, send: Send, sources: int, series: int) -> None:
        super().__init__("the inflow", self._flow)
        self._send, self._series = send, series
        self._sets = [encode_series_set(host_series(host, series)) for host in range(sources)]
        self.a_second = sources * series
        self.samples, self.total = 0, 0.0
        self._began = time.monotonic()

    @property
    def rate(self) -> float:
        """Samples a second as they were sent, not as they were due."""
        return self.samples / (time.monotonic() - self._began)

    def scrape(self, tenant: str, second: int) -> float:
        """Send one sample of every series; return the sum of their values."""
        values = (np.arange(self._series) % 97 + second % 89).astype(np.float64).reshape(1, -1)
        stamps = np.array([second * 1000])
        self._send(
            Batch(tenant, f"host-{host}", second * 1000, encoded, stamps, values)
            for host, encoded in enumerate(self._sets)
        )
        return float(values.sum()) * len(self._sets)

    def _flow(self, done: threading.Event) -> None:
        second = time.time_ns() // 1_000_000_000
        while not done.is_set():
            second += 1
            done.wait(max(0.0, second - time.time()))
            self.total += self.scrape(TENANT, second)
            self.samples += self.a_second


def until(what: str, ask: Callable[[], bool], progress: Progress, shown: Callable[[], str]) -> float:
    """Wait until ask says yes; return the seconds."""
    began = time.monotonic()
    while not ask():
        progress(f"{what}: {shown()}")
        if time.monotonic() - began > _LIMIT_S:
            raise ClusterError(f"TG-bench-stall: {what} took over {_LIMIT_S} s: {shown()}")
        time.sleep(1.0)
    return time.monotonic() - began


def memory_mb(cluster: Cluster) -> float:
    """Return the TaskManagers' resident memory, MB."""
    processes = cluster.status()["processes"]
    return float(round(sum(int(processes[f"taskmanager-{n}"]["rss"]) for n in (1, 2)) / 1e6))


def outage(cluster: Cluster, door: Door, seconds: int) -> tuple[float, float]:
    """Close the door for so long; return how long it was, s, and the most memory seen meanwhile, MB."""
    began = time.monotonic()
    door.close()
    peak = 0.0
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(10.0, left))
        peak = max(peak, memory_mb(cluster))
    door.open.set()
    return time.monotonic() - began, peak


def held(client: Clickhouse) -> dict[str, tuple[int, float]]:
    """Return (count, sum) of the samples that each table holds."""
    found = {table: client.query(sql, {"tenant": TENANT}).to_pylist()[0] for table, sql in _HELD.items()}
    return {table: (row["n"] or 0, row["s"] or 0.0) for table, row in found.items()}


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return the figures."""
    progress.say("starting a stack of its own")
    with Cluster({}, ["query"], options.keep) as cluster:
        client = Clickhouse(cluster.endpoints["clickhouse"])
        door = Door(cluster.endpoints["clickhouse"])
        cluster.reach("clickhouse", door.address)
        cluster.submit(JOBS)
        kafka = cluster.endpoints["kafka"]
        inflow = Inflow(lambda batches: produce(kafka, batches, lambda _: None), options.sources, options.series)

        def stored() -> int:
            return int(client.query(_HELD["samples"], {"tenant": TENANT})["n"][0].as_py())

        def behind() -> int:
            inflow.check()
            return inflow.samples - stored()

        caught_up = 6 * inflow.a_second
        with inflow:
            until("begin", lambda: stored() > 0 and behind() < caught_up, progress, lambda: f"{behind():,} behind")
            before = memory_mb(cluster)
            progress.say(f"ClickHouse is away for {options.seconds} s at {inflow.rate:,.0f} samples/s")
            lasted, peak = outage(cluster, door, options.seconds)
            backlog, at_first = behind(), stored()
            progress.say(f"ClickHouse is back, {backlog:,} samples behind")
            took = until("catching up", lambda: behind() < caught_up, progress, lambda: f"{behind():,} behind")
            worked_off, rate = stored() - at_first, inflow.rate
        counts = settled(inflow, client, progress)
        return {
            "inflow_per_s": round(rate),
            "outage_s": round(lasted, 1),
            "backlog": backlog,
            "caught_up_s": round(took, 1),
            "times_the_inflow": round(worked_off / took / rate, 1),
            "sent": inflow.samples,
            "held": counts,
            "taskmanagers_mb": {"before": before, "peak": max(peak, memory_mb(cluster))},
        }


def settled(inflow: Inflow, client: Clickhouse, progress: Progress) -> dict[str, int]:
    """Wait until every table holds all that was sent; return the samples in each."""
    sent = (inflow.samples, inflow.total)
    seen: dict[str, tuple[int, float]] = {}

    def closed() -> bool:
        # Windows close by what comes after them: of another tenant, so that nothing is added to what is counted.
        inflow.scrape("closing", time.time_ns() // 1_000_000_000)
        seen.update(held(client))
        return all(one == sent for one in seen.values())

    until("the rest", closed, progress, lambda: f"{seen} of {sent}")
    return {table: count for table, (count, _) in seen.items()}


def missed(figures: dict[str, Any]) -> list[str]:
    """Return the bars that were missed; that nothing is lost is what the run itself waits for."""
    grown = figures["taskmanagers_mb"]["peak"] - figures["taskmanagers_mb"]["before"]
    found = []
    if figures["times_the_inflow"] < _LEAST_TIMES:
        found.append(f"caught up at {figures['times_the_inflow']} times the inflow, at least {_LEAST_TIMES} is wanted")
    if grown > _MOST_MB:
        found.append(f"the TaskManagers grew by {grown:.0f} MB, at most {_MOST_MB} is wanted")
    return found


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage", description=__doc__)
    parser.add_argument(
        "--seconds", type=whole(_LEAST_S, 86_400), default=300, help="length of the outage (default 300)"
    )
    parser.add_argument("--sources", type=whole(1, 100_000), default=20, help="hosts (default 20)")
    parser.add_argument("--series", type=whole(1, 100_000), default=500, help="series of each host (default 500)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if nothing was lost, the backlog soon gone and the memory bounded."""
    return conclude(run, parse(argv), missed)


if __name__ == "__main__":
    program.run(main)

"""ClickHouse is away for minutes while samples keep coming: is anything lost, and how fast is the backlog worked off?

The jobs reach ClickHouse through a gate of ours, which refuses connections during the outage; the benchmark's own
queries go past it. Run: python -m bench.outage [--seconds N] [--json FILE].
"""

import argparse
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.cluster import Cluster, ClusterError
from bench.hosts import host_series
from bench.produce import produce
from bench.report import Progress, conclude
from schemas.batch import Batch, encode_series_set
from sinks.clickhouse import Clickhouse

TENANT = "outage"
JOBS = ("gate", "store", "rollup")
_COUNT = "SELECT count() AS n, sum(value) AS s FROM samples FINAL WHERE tenant = {tenant:String}"
_ROLLED = "SELECT sum(count) AS n, sum(sum) AS s FROM rollup_1m FINAL WHERE tenant = {tenant:String}"
_LIMIT_S = 900
_LEAST_TIMES = 3
_MOST_MB = 1500  # -Xmx of both, first touched when there is much to hold (docs/sizing.md)


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


class Inflow:
    """A scrape a second of every host, until stopped; counts and adds up what it has sent."""

    def __init__(self, kafka: str, sources: int, series: int) -> None:
        self._kafka, self._sources, self._series = kafka, sources, series
        self._sets = [encode_series_set(host_series(host, series)) for host in range(sources)]
        self._done = threading.Event()
        self.rate = sources * series
        self.samples, self.total = 0, 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        second = time.time_ns() // 1_000_000_000
        while not self._done.is_set():
            second += 1
            self._done.wait(max(0.0, second - time.time()))
            stamps = np.array([second * 1000])
            values = (np.arange(self._series) % 97 + second % 89).astype(np.float64).reshape(1, -1)
            batches = [
                Batch(TENANT, f"host-{host}", second * 1000, encoded, stamps, values)
                for host, encoded in enumerate(self._sets)
            ]
            produce(self._kafka, batches, lambda _: None)
            self.samples += self.rate
            self.total += float(values.sum()) * self._sources

    def stop(self) -> None:
        """End it; then samples and total are final."""
        self._done.set()
        self._thread.join()


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


def run(options: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Return the figures."""
    progress.say("starting a stack of its own")
    with Cluster({}, ["query"], options.keep) as cluster:
        client = Clickhouse(cluster.endpoints["clickhouse"])
        door = Door(cluster.endpoints["clickhouse"])
        cluster.reach("clickhouse", door.address)
        cluster.submit(JOBS)
        inflow = Inflow(cluster.endpoints["kafka"], options.sources, options.series)

        def stored() -> int:
            return int(client.query(_COUNT, {"tenant": TENANT})["n"][0].as_py())

        def behind() -> int:
            return inflow.samples - stored()

        try:
            caught_up = 6 * inflow.rate
            until("begin", lambda: stored() > 0 and behind() < caught_up, progress, lambda: f"{behind():,} behind")
            before = memory_mb(cluster)
            progress.say(f"ClickHouse is away for {options.seconds} s at {inflow.rate:,} samples/s")
            door.close()
            peak = before
            for _ in range(options.seconds // 10):
                time.sleep(10)
                peak = max(peak, memory_mb(cluster))
            backlog = behind()
            door.open.set()
            progress.say(f"ClickHouse is back, {backlog:,} samples behind")
            took = until("catching up", lambda: behind() < caught_up, progress, lambda: f"{behind():,} behind")
        finally:
            inflow.stop()
        wanted = (inflow.samples, inflow.total)
        seen: dict[str, Any] = {}

        def whole() -> bool:
            for name, sql in (("raw", _COUNT), ("1m", _ROLLED)):
                row = client.query(sql, {"tenant": TENANT}).to_pylist()[0]
                seen[name] = (row["n"], row["s"])
            return bool(seen["raw"] == wanted)

        until("the rest", whole, progress, lambda: f"{seen} of {wanted}")
        return {
            "inflow_per_s": inflow.rate,
            "outage_s": options.seconds,
            "backlog": backlog,
            "caught_up_s": round(took, 1),
            # What came meanwhile was worked off too.
            "times_the_inflow": round((backlog + took * inflow.rate) / took / inflow.rate, 1),
            "sent": inflow.samples,
            "stored": seen["raw"][0],
            "taskmanagers_mb": {"before": before, "peak": peak},
        }


def missed(figures: dict[str, Any]) -> list[str]:
    """Return the bars that were missed; that nothing is lost is what the run itself waits for."""
    grown = figures["taskmanagers_mb"]["peak"] - figures["taskmanagers_mb"]["before"]
    found = []
    if figures["times_the_inflow"] < _LEAST_TIMES:
        found.append(f"caught up at {figures['times_the_inflow']} times the inflow, at least {_LEAST_TIMES} is wanted")
    if grown > _MOST_MB:
        found.append(f"the TaskManagers grew by {grown:.0f} MB, at most {_MOST_MB} is wanted")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 if nothing was lost, the backlog soon gone and the memory bounded."""
    parser = argparse.ArgumentParser(prog="python -m bench.outage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="length of the outage (default 300)")
    parser.add_argument("--sources", type=int, default=20, help="hosts (default 20)")
    parser.add_argument("--series", type=int, default=500, help="series of each host (default 500)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    return conclude(run, parser.parse_args(argv), missed)


if __name__ == "__main__":
    sys.exit(main())

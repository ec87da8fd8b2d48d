"""The stack's own Prometheus endpoint: its processes, and Flink's metrics read from the REST API.

Not by Flink's reporter: it listens on every address of the machine and cannot be told otherwise (2.3.0), and has every
metric of every subtask, by ids that are new after each restart. Its names are kept, a counter's with _total behind it.
In the local stack the supervisor serves this, in docker-compose `python -m stack.metrics`: there it is the same of
Flink, and nothing of processes, which no supervisor runs.
"""

import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from schemas.setting import faults
from sinks.bounded import Bounded
from stack.ports import HOST
from stack.rest import FlinkError, FlinkRest
from stack.state import State

JVM = ("Memory.Heap.Used", "Memory.Heap.Max", "Memory.NonHeap.Used", "Memory.Direct.MemoryUsed", "CPU.Load")
"""Gauges of each JVM, under Status.JVM in Flink."""

JOB = ("numRestarts", "lastCheckpointDuration", "lastCheckpointSize", "numberOfCompletedCheckpoints",
       "numberOfFailedCheckpoints", "uptime")  # fmt: skip
"""Gauges of each job, as Flink names them; durations in ms, sizes in bytes."""

TASK = {"read-records": "numRecordsIn", "write-records": "numRecordsOut",
        "accumulated-backpressured-time": "accumulateBackPressuredTimeMs",
        "accumulated-busy-time": "accumulateBusyTimeMs"}  # fmt: skip
"""Counters of each task: the REST API's name and the reporter's."""

OPERATORS = ("gate", "owner")
"""Steps that count samples, series and refusals (docs/gate.md); all that they count is given out."""

GET_CHARS = 3000
"""Ids asked for at once: Flink's REST API takes a request line of 4096 bytes, path and all."""

_TENANTS = re.compile(r"tenant\.(.+)\.((?:series|samples_per_second)(?:_limit)?)")
"""Gauges of a tenant, by the same steps; the tenant is a label."""

COUNTED = re.compile(r"(?:samples|series|records|rejected|refusals|policies)_\w+")


def of_processes(state: State) -> Iterator[Metric]:
    """Yield what the supervisor knows of its processes."""
    up = GaugeMetricFamily("tidegauge_process_up", "1 if the process is ready.", labels=["process"])
    restarts = CounterMetricFamily("tidegauge_process_restarts", "Unwanted ends of the process.", labels=["process"])
    rss = GaugeMetricFamily("tidegauge_process_resident_memory_bytes", "Resident memory.", labels=["process"])
    cpu = CounterMetricFamily("tidegauge_process_cpu_seconds", "CPU time, user and system.", labels=["process"])
    for name, one in state.processes.items():
        if one.state == "off":
            continue
        up.add_metric([name], 1.0 if one.state in ("up", "done") else 0.0)
        restarts.add_metric([name], one.restarts)
        if one.pid is not None and psutil.pid_exists(one.pid):
            try:
                process = psutil.Process(one.pid)
                rss.add_metric([name], process.memory_info().rss)
                cpu.add_metric([name], sum(process.cpu_times()[:2]))
            except psutil.NoSuchProcess:
                continue
    yield from (up, restarts, rss, cpu)


def groups(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, joined by commas, in groups of at most GET_CHARS; a longer name is a group of its own."""
    group = ""
    for name in names:
        if group and len(group) + 1 + len(name) > GET_CHARS:
            yield group
            group = ""
        group = f"{group},{name}" if group else name
    if group:
        yield group


def _values(rest: FlinkRest, path: str, names: Iterable[str], of: str = "value") -> dict[str, float]:
    """Return what is asked for by id; path ends where the names go, of: the key of the number."""
    return {one["id"]: float(one[of]) for group in groups(names) for one in rest.call(f"{path}get={group}")}


def of_flink(rest: FlinkRest) -> Iterator[Metric]:
    """Yield Flink's metrics; raises FlinkError."""
    names = [f"Status.JVM.{name}" for name in JVM]
    hosts = {"jobmanager": {"": _values(rest, "/jobmanager/metrics?", names)}, "taskmanager": {}}
    for one in rest.call("/taskmanagers")["taskmanagers"]:
        hosts["taskmanager"][one["id"]] = _values(rest, f"/taskmanagers/{one['id']}/metrics?", names)
    for kind, values in hosts.items():
        for name in names:
            family = GaugeMetricFamily(
                f"flink_{kind}_{name.replace('.', '_')}", f"{name} of the {kind}.", labels=["tm_id"]
            )
            for identity, found in values.items():
                if name in found:
                    family.add_metric([identity], found[name])
            yield family
    yield from _of_jobs(rest)


def _of_jobs(rest: FlinkRest) -> Iterator[Metric]:
    gauges = {name: GaugeMetricFamily(f"flink_jobmanager_job_{name}", name, labels=["job_name"]) for name in JOB}
    labels = ["job_name", "task_name"]
    counters = {
        name: CounterMetricFamily(f"flink_taskmanager_job_task_{reported}", reported, labels=labels)
        for name, reported in TASK.items()
    }
    operators: dict[str, CounterMetricFamily] = {}
    tenants: dict[str, GaugeMetricFamily] = {}
    for job in rest.jobs().values():
        for name, value in _values(rest, f"/jobs/{job.id}/metrics?", JOB).items():
            gauges[name].add_metric([job.name], value)
        for vertex in rest.call(f"/jobs/{job.id}")["vertices"]:
            for name, family in counters.items():
                value = vertex["metrics"].get(name)
                if value is not None and value == value:  # noqa: PLR0124 - NaN until a task has reported
                    family.add_metric([job.name, vertex["name"][:120]], float(value))
            word = vertex["name"].partition(" ")[0]
            if word in OPERATORS:
                counted: dict[str, float] = {}
                with suppress(FlinkError):  # one vertex that does not answer takes no other's metrics along
                    counted = _of_operator(rest, f"/jobs/{job.id}/vertices/{vertex['id']}", word)
                for name, value in counted.items():
                    if of_tenant := _TENANTS.fullmatch(name):
                        _of_tenant(tenants, of_tenant).add_metric([job.name, word, of_tenant[1]], value)
                        continue
                    family = operators.setdefault(
                        name,
                        CounterMetricFamily(
                            f"flink_taskmanager_job_task_operator_{name}", name, labels=["job_name", "operator_name"]
                        ),
                    )
                    family.add_metric([job.name, word], value)
    yield from gauges.values()
    yield from counters.values()
    yield from operators.values()
    yield from tenants.values()


def _of_tenant(families: dict[str, GaugeMetricFamily], named: re.Match[str]) -> GaugeMetricFamily:
    """Return the family of a tenant's gauge, as Flink's reporter names it."""
    name = f"flink_taskmanager_job_task_operator_tenant_{named[2]}"
    labels = ["job_name", "operator_name", "tenant"]
    return families.setdefault(name, GaugeMetricFamily(name, f"{named[2]} of the tenant.", labels=labels))


def _of_operator(rest: FlinkRest, vertex: str, word: str) -> dict[str, float]:
    """Return the operator's own counters and its tenants' gauges, summed over its subtasks: a tenant has one."""
    path = f"{vertex}/subtasks/metrics"
    there = [one["id"] for one in rest.call(path)]
    named = [(one, one.partition(".")[2]) for one in there if one.startswith(f"{word}.")]
    ours = [one for one, name in named if COUNTED.fullmatch(name) or _TENANTS.fullmatch(name)]
    return {one.partition(".")[2]: value for one, value in _values(rest, f"{path}?agg=sum&", ours, "sum").items()}


class Collector:
    """What one scrape sees. tidegauge_flink_up is 0 while the JobManager does not answer."""

    def __init__(self, state: State, flink: str) -> None:
        self.state = state
        self.rest = FlinkRest(flink, timeout_s=2.0)

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from of_processes(self.state)
        try:
            flink = list(of_flink(self.rest))
        except FlinkError:
            flink = []
        yield GaugeMetricFamily("tidegauge_flink_up", "1 if the JobManager answers.", value=float(bool(flink)))
        yield from flink


class Server(ThreadingHTTPServer):
    """One thread a scrape."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell what ended a scrape; one whose client has hung up is nothing to tell."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as socketserver calls it


def serve(state: State, flink: str, port: int, host: str = HOST) -> ThreadingHTTPServer:
    """Serve GET /metrics from a thread; close it by shutdown() and server_close()."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(state, flink))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = generate_latest(registry) if self.path == "/metrics" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
            return

    server = Server((host, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class MetricsSettings(Bounded):
    """What python -m stack.metrics needs to know."""

    model_config = SettingsConfigDict(env_prefix="TIDEGAUGE_", extra="forbid")

    flink: str = Field("127.0.0.1:8081", description="REST address of the JobManager, host:port.")
    metrics: str = Field("127.0.0.1:9100", pattern=r"^[^:]+:\d{1,5}$", description="host:port to bind.")


def main() -> int:
    """Serve Flink's metrics until SIGTERM or SIGINT; return the exit code."""
    try:
        settings = MetricsSettings()
    except ValidationError as error:
        print("\n".join(faults(error)), file=sys.stderr)
        return 2
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    host, _, port = settings.metrics.partition(":")
    server = serve(State(), settings.flink, int(port), host)
    stopping.wait()
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

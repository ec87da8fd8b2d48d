"""The query service and its Redis for one run, without a stack; and a client that times panels."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.panels import Panel
from bench.program import end
from stack.ports import free_ports
from stack.redis import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
_START_S = 60


class Client:
    """One connection to a Prometheus API."""

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(endpoint, timeout=120)
        self.endpoint = endpoint

    def get(self, path: str, **params: str) -> bytes:
        """Return the body of an answer."""
        address = f"{path}?{urlencode(params)}"
        try:
            self._connection.request("GET", address)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # Servers close what is idle for some seconds; the next request opens another.
            self._connection.close()
            self._connection.request("GET", address)
            answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"TG-bench-query: {self.endpoint} answers {answer.status}: {body[:300]!r}")
        return body

    def ms(self, panel: Panel, at_ms: int) -> float:
        """Return how long a panel takes, its newest step at or before at_ms."""
        params = panel.range(at_ms)
        begun = time.perf_counter()
        self.get("/api/v1/query_range", **params)
        return (time.perf_counter() - begun) * 1000


@contextmanager
def query_service(clickhouse: str, redis: str, home: Path) -> Iterator[str]:
    """Run a query service; yield its host:port. redis: empty for no cache at all."""
    (port,) = free_ports(1)
    endpoint = f"127.0.0.1:{port}"
    # Settings of the caller's own stack must not reach it.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    env = {"TIDEGAUGE_QUERY": endpoint, "TIDEGAUGE_CLICKHOUSE": clickhouse, "TIDEGAUGE_REDIS": redis}
    if not redis:
        env["TIDEGAUGE_QUERY_CACHE_MEMORY"] = "0"
    with _running([sys.executable, "-m", "query"], home / f"query-{port}.log", port, {**clean, **env}):
        yield endpoint


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """Run a Redis as the stack does; yield its host:port."""
    (port,) = free_ports(1)
    program = str(Path(sys.executable).parent / "redis-server")
    settings = [part for name, value in SETTINGS.items() for part in (f"--{name}", value)]
    with _running([program, *settings, "--port", str(port), "--dir", str(home)], home / "redis.log", port):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], log: Path, port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"TG-bench-start: {command[0]} does not listen on {port}: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield
    finally:
        end(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

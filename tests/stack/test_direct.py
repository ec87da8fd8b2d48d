"""What asks a part of the stack asks it, and no proxy that the environment names."""

import json
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from jobs.__main__ import running
from stack import flink, state
from stack.home import ROOT, Home
from stack.ports import DEFAULTS, HOST, free_ports
from stack.process import answers
from stack.rest import FlinkError, FlinkRest
from stack.run import promql
from stack.status import status, text

ANSWER = {
    "jobs": [{"jid": "1", "name": "tidegauge-gate", "state": "RUNNING", "tasks": {"running": 1, "total": 1}}],
    "taskmanagers": [{"id": "taskmanager-1", "slotsNumber": 1}],
    "data": {"result": [{"metric": {}, "value": [0, "7"]}]},
}


class Answering(BaseHTTPRequestHandler):
    answer: ClassVar[Mapping[str, object]] = ANSWER

    def do_GET(self) -> None:
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that answers, in an environment whose proxy does not."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{HOST}:{free_ports(1)[0]}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # Else it remembers the proxies of whoever asked first.
    urllib.request.install_opener(None)
    with serving(Answering) as number:
        yield number
    urllib.request.install_opener(None)


ASKED: list[tuple[Callable[[int], object], object]] = [
    (lambda port: answers(port, "/ping", b"jobs")(), True),
    (lambda port: flink.taskmanager("taskmanager-1", Home(Path()), {"flink": port}, {}, ()).ready(), True),
    (lambda port: [job.name for job in FlinkRest(f"{HOST}:{port}").jobs().values()], ["gate"]),
    (lambda port: promql(f"{HOST}:{port}", "up"), "{}  7"),
    (lambda port: running(f"{HOST}:{port}"), {"tidegauge-gate"}),
]


@pytest.mark.parametrize(("ask", "answer"), ASKED)
def test_no_proxy_comes_between(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[int], object], answer: object
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask(port) == answer


@pytest.mark.parametrize("package", ["agent", "jobs", "load", "query", "sinks", "stack"])
def test_there_is_one_way_to_ask(package: str) -> None:
    """Which is sinks.direct."""
    assert not [path for path in (ROOT / package).rglob("*.py") if "urllib.request.urlopen" in path.read_text()]


def recorded(home: Home, port: int) -> None:
    own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
    state.save(home, state.State(own, "running", {**DEFAULTS, "flink": port}, {}))


def test_a_flink_that_does_not_answer_is_not_one_without_jobs(port: int, tmp_path: Path) -> None:
    home = Home(tmp_path)
    recorded(home, port)
    shown = status(home)
    assert (shown["jobs"].keys(), shown["flink_error"]) == ({"gate"}, "")
    silent = free_ports(1)[0]
    recorded(home, silent)
    shown = status(home)
    assert shown["jobs"] == {}
    assert shown["flink_error"].startswith("TG-flink /jobs/overview: ")
    assert "Flink does not answer: TG-flink" in text(shown)
    assert "no jobs run" not in text(shown)
    assert "no jobs run" in text({**shown, "flink_error": ""})


class Cut(Answering):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "99")
        self.end_headers()
        self.wfile.write(b"{")


def test_an_answer_that_is_cut_is_an_error_of_flinks() -> None:
    with serving(Cut) as port, pytest.raises(FlinkError, match="TG-flink /jobs/overview"):
        FlinkRest(f"{HOST}:{port}").jobs()

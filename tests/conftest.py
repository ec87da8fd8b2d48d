"""The shared local stack, and the guard that keeps all other tests on the loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from stack.home import Home
from stack.status import status
from tests.integration.history import TOLERANCE_S, feed
from tests.integration.oracle import Sent

# A slow machine is no failure: speed is measured in bench/.
hypothesis.settings.register_profile("tidegauge", deadline=None)
hypothesis.settings.load_profile("tidegauge")

ROOT = Path(__file__).resolve().parent.parent

# A broker that lives for minutes never earns back what its second compiler takes: 12 CPU seconds instead of 20.
SHORT_LIVED = {"JVM_ARGS": "-XX:TieredStopAtLevel=1"}


@dataclass(frozen=True)
class Stack:
    """A running stack; endpoints are host:port by name. history: what it was fed with first, empty if it was given."""

    home: Path
    endpoints: dict[str, str]
    history: Sent

    def tidegauge(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run a command of `tidegauge` on this stack and return what it printed; fails if the command does."""
        return tidegauge(arguments[0], "--home", str(self.home), *arguments[1:], timeout=timeout)

    def kill(self, name: str) -> bool:
        """End a process of the stack by kill -9; tell whether it was alive."""
        pid = self.status()["processes"][name]["pid"]
        try:
            os.kill(pid or 0x7FFFFFFF, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """Return what `tidegauge status --json` prints; within this process, since tests ask twice a second."""
        return status(Home(self.home))


def tidegauge(*arguments: str, timeout: float = 300.0, settings: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed; settings: of the processes, by their TIDEGAUGE_ names."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**clean, **SHORT_LIVED, **(settings or {})},
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, (
        f"tidegauge {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every part and every job, started once a run; TIDEGAUGE_TEST_HOME names a running stack to use instead."""
    given = os.environ.get("TIDEGAUGE_TEST_HOME")
    home = Path(given) if given else tmp_path_factory.mktemp("stack")
    try:
        if not given:
            settings = {"TIDEGAUGE_GATE_TOLERANCE_S": str(TOLERANCE_S)}
            tidegauge("up", "--detach", "--ports", "auto", "--home", str(home), settings=settings)
        shown = json.loads(tidegauge("status", "--json", "--home", str(home)))
        fed = {} if given else feed(shown["endpoints"]["kafka"])
        yield Stack(home, shown["endpoints"], fed)
    finally:
        if not given:
            tidegauge("down", "--home", str(home))


@pytest.fixture(autouse=True)
def loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail any test without the marker stack or docker that connects to another machine."""
    if request.node.get_closest_marker("stack") or request.node.get_closest_marker("docker"):
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guard(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test without the marker stack or docker connects to {address[0]}:{address[1]}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        guard(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        guard(sock, address)
        return connect_ex(sock, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)

"""What the supervisor needs to know of one process, and the checks that tell that it answers."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from sinks import direct
from stack.archive import Archive
from stack.ports import HOST

Check = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack.

    ready tells whether it answers; needs names the processes that must be ready before it starts. once: it runs to
    its end, exit code 0 makes it ready. code names the packages it runs, so that an upgrade knows whom to restart.
    classes is the archive that its JVM starts from. prepare runs in the supervisor before each start and must be
    quick. feeds: the others' work comes from it, so that it is stopped first. grace_s is the time between SIGTERM and
    SIGKILL, ready_s the time it may take to answer. lost tells that others have given it up though it runs: after
    lost_s of that it is started anew.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    ready: Check
    needs: tuple[str, ...] = ()
    once: bool = False
    feeds: bool = False
    code: tuple[str, ...] = ()
    classes: Archive | None = None
    grace_s: float = 10.0
    ready_s: float = 180.0
    prepare: Callable[[], object] | None = None
    lost: Check | None = None
    lost_s: float = 60.0


def listens(port: int) -> Check:
    """Return a check: something accepts connections on the port."""

    def check() -> bool:
        try:
            socket.create_connection((HOST, port), timeout=0.5).close()
        except OSError:
            return False
        return True

    return check


def refuses(port: int) -> Check:
    """Return a check: nothing listens on the port any more. One that is only slow to take connections is not told."""

    def check() -> bool:
        try:
            socket.create_connection((HOST, port), timeout=0.5).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    return check


def answers(port: int, path: str, holds: bytes = b"") -> Check:
    """Return a check: GET of the path gives status 200 and a body that holds the bytes."""

    def check() -> bool:
        try:
            with direct.urlopen(f"http://{HOST}:{port}{path}", timeout=1.0) as response:
                return response.status == 200 and holds in response.read()
        except (OSError, HTTPException):  # the latter: the answer was cut, or is no HTTP
            return False

    return check

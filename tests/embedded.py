"""A real embedded ClickHouse for tests: one process for the whole run, stopped at its end."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache

VIEWER = ("viewer", "look")


@dataclass
class Server:
    process: "subprocess.Popen[str]"
    endpoint: str

    def stop(self) -> tuple[int, str]:
        """SIGTERM; return the exit code and what was printed."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


def start(path: str, **settings: str) -> Server:
    """Start a server on a free port; settings are TIDEGAUGE_CLICKHOUSE_* without the prefix."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "stack.clickhouse", "--path", path, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean | {f"TIDEGAUGE_CLICKHOUSE_{name.upper()}": value for name, value in settings.items()},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://(\S+)/", line)
    if found is None:
        rest, _ = process.communicate(timeout=30)
        raise AssertionError(f"the server did not start: {line}{rest}")
    return Server(process, found.group(1))


@cache
def endpoint() -> str:
    """Return host:port of the server that all tests share; it has the user VIEWER, who may only read."""
    home = tempfile.mkdtemp(prefix="tidegauge-test-")
    server = start(home, readonly_user=VIEWER[0], readonly_password=VIEWER[1])

    def stop() -> None:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    return server.endpoint

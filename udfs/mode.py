"""What really runs: the execution mode and the version of the code, said once in the log by every operator.

PyFlink falls back from thread to process mode without a word, and a TaskManager keeps old modules for as long as it
lives: only the operator itself can tell.
"""

import ctypes
import hashlib
import logging
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("jobs", "promql", "schemas", "sinks", "udfs")

_log = logging.getLogger("tidegauge")


@cache
def code_version() -> str:
    """Return 12 hex digits over the source of everything a job imports, as it lay when first asked."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in {".py", ".avsc"}:
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# At import, so that it names the code that was loaded and not what an upgrade has put in its place.
LOADED = code_version()


def execution_mode(runtime_context: Any) -> str:
    """Return `thread` or `process`."""
    return "thread" if ".embedded." in type(runtime_context).__module__ else "process"


def check_thread_state() -> None:
    """Raise RuntimeError if this thread runs a second Python interpreter state.

    pemja gives each chained Python operator a thread state of its own. PyGILState_Ensure, which pyarrow calls, knows
    only the first of a thread: from the second it waits for a lock that its own thread holds, and the whole
    TaskManager stands still. So two Python operators must not share a thread: part them by rebalance().
    """
    if not ctypes.pythonapi.PyGILState_Check():
        raise RuntimeError(
            "TG-two-interpreters: two Python operators are chained in one thread; put rebalance() between"
        )


def announce(word: str, runtime_context: Any) -> None:
    """Log the operator's name, mode and code version; raise if the operator must not run in this thread."""
    check_thread_state()
    mode = execution_mode(runtime_context)
    _log.setLevel(logging.INFO)  # else the root logger's WARNING would swallow it
    _log.info("tidegauge operator=%s mode=%s code=%s", word, mode, LOADED)

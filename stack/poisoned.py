"""TaskManagers in which no Python starts any more.

pemja starts the interpreter of thread mode once a JVM and keeps what went wrong: where the first task to do it was
cancelled meanwhile, as by an upgrade or another task's failure, every later one fails there of that very interruption.
"""

import time
from dataclasses import dataclass
from typing import Any

from stack.rest import FlinkError, FlinkRest

_START = "pemja.core.PythonInterpreter$MainInterpreter.initialize"


@dataclass(slots=True)
class Poisoned:
    """Judges one TaskManager by what its tasks failed of. since_ms: when it was started, by the machine's clock."""

    name: str
    rest: FlinkRest
    since_ms: int = 0

    def started(self) -> None:
        """Note that it is started now."""
        self.since_ms = time.time_ns() // 1_000_000

    def __call__(self) -> bool:
        """Tell whether a job that does not run whole failed there, since it was started, at the start of Python."""
        try:
            return any(self._of(job.id) for job in self.rest.jobs().values() if not job.healthy)
        except FlinkError:
            return False

    def _of(self, job: str) -> bool:
        entries = self.rest.call(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return any(self._is(entry) for entry in entries)

    def _is(self, entry: dict[str, Any]) -> bool:
        here = entry.get("taskManagerId") == self.name and entry["timestamp"] >= self.since_ms
        return here and _START in entry["stacktrace"] and "java.lang.InterruptedException" in entry["stacktrace"]

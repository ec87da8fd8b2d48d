"""A TaskManager in which no Python starts any more is known by what its tasks fail of."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from stack.poisoned import Poisoned
from stack.rest import FlinkError, FlinkRest

# As Flink 2.3 tells it, frames left out.
INTERRUPTED = """java.lang.Error: java.lang.InterruptedException
\tat pemja.core.PythonInterpreter$MainInterpreter.initialize(PythonInterpreter.java:406)
\tat pemja.core.PythonInterpreter.initialize(PythonInterpreter.java:144)
Caused by: java.lang.InterruptedException
"""
OTHER = "pemja.core.PythonException: <class 'ValueError'>: x\n\tat pemja.core.PythonInterpreter.invokeMethodOneArg"


@dataclass(frozen=True, slots=True)
class Failed(FlinkRest):
    """A JobManager with one job and what that failed of."""

    address: str = ""
    running: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        if self.running < 0:
            raise FlinkError("TG-flink it does not answer")
        if path.endswith("/exceptions"):
            return {"exceptionHistory": {"entries": self.entries}}
        tasks = {"running": self.running, "total": 4}
        return {"jobs": [{"jid": "1", "name": "tidegauge-gate", "state": "RUNNING", "tasks": tasks}]}


def entry(text: str, where: str | None, at: int) -> dict[str, Any]:
    return {"timestamp": at, "taskManagerId": where, "stacktrace": text}


@pytest.mark.parametrize(
    ("running", "entries", "poisoned"),
    [
        (2, [entry(INTERRUPTED, "taskmanager-1", 2000)], True),
        (2, [entry(OTHER, "taskmanager-1", 3000), entry(INTERRUPTED, "taskmanager-1", 2000)], True),
        (4, [entry(INTERRUPTED, "taskmanager-1", 2000)], False),
        (2, [entry(INTERRUPTED, "taskmanager-2", 2000)], False),
        (2, [entry(INTERRUPTED, "taskmanager-1", 999)], False),
        (2, [entry(OTHER, "taskmanager-1", 2000)], False),
        (2, [entry(INTERRUPTED, None, 2000)], False),
        (2, [], False),
        (-1, [], False),
    ],
    ids=["it", "among others", "it runs", "another's", "before", "another fault", "nobody's", "none", "no answer"],
)
def test_what_a_taskmanager_is_known_by(running: int, entries: list[dict[str, Any]], poisoned: bool) -> None:
    assert Poisoned("taskmanager-1", Failed(running=running, entries=entries), since_ms=1000)() is poisoned


def test_what_was_before_its_start_does_not_count() -> None:
    one = Poisoned("taskmanager-1", Failed(entries=[entry(INTERRUPTED, "taskmanager-1", 2000)]))
    assert one()
    one.started()
    assert not one()

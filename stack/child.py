"""One process under the supervisor: starting it, judging it, the pause before it is started again."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Literal

from stack.archive import WRITING_S, WRITTEN
from stack.process import Check, Process
from stack.state import Running, signal_group, started_at

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOK_S = 10.0
"""Between two looks whether a process that is up has been given up by others."""
STEADY_S = 60.0
"""A process that was up for this long starts its pauses from the first one again."""


def pause(failures: int) -> float:
    """Return the seconds to wait before the next start: 0.5, 1, 2, 4 ... at most 30."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** max(0, min(failures, 20) - 1)))


@dataclass(slots=True)
class Child:
    """States: off, waiting (for its needs), starting, up or done, stopping, backoff, stopped.

    Times are monotonic seconds. writes: it may write an archive of its classes; writing: it was started to; whole: all
    steps of the stack were done while it ran, so that the archive holds what the next will load.
    """

    process: Process
    log: Path
    record: Running = field(default_factory=Running)
    popen: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    next_check: float = 0.0
    failures: int = 0
    intent: Literal["run", "restart", "stop"] = "run"
    killed_at: float | None = None
    lost_since: float | None = None
    writes: bool = True
    writing: bool = False
    whole: bool = False

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def satisfied(self) -> bool:
        """Whether those that need it may start."""
        return self.record.state in ("up", "done", "off")

    def start(self, code: str, now: float) -> None:
        """Start the process in a group of its own, so that its own children end with it."""
        if self.process.prepare is not None:
            self.process.prepare()
        classes, writer = self.process.classes, self.name if self.writes else ""
        self.writing = classes is not None and classes.writes(writer)
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.process.command,
                env={**self.process.env, **(classes.env(writer) if classes else {})},
                cwd=self.process.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.record.pid, self.record.started = self.popen.pid, started_at(self.popen.pid)
        self.record.state, self.record.code, self.record.exit = "starting", code, None
        self.since, self.next_check, self.killed_at, self.lost_since = now, now, None, None

    def tick(self, now: float) -> None:
        """Follow the process one step: noticed its end, its readiness, the end of its pause."""
        if self.record.state == "backoff":
            if now >= self.next_check:
                self.record.state = "waiting"
            return
        if self.popen is None or self.record.state not in ("starting", "up", "stopping"):
            return
        code = self.popen.poll()
        if code is not None:
            self._ended(code, now)
        elif self.killed_at is not None:
            if now - self.killed_at > self.process.grace_s + (WRITING_S if self.writing else 0):
                self.signal(SIGKILL)
        elif self.record.state == "starting" and now >= self.next_check:
            self._check(now)
        elif self.record.state == "up" and self.process.lost is not None and now >= self.next_check:
            self._look(self.process.lost, now)

    def _check(self, now: float) -> None:
        assert self.popen is not None
        if not self.process.once and self.process.ready() and self.popen.poll() is None:
            self.record.state, self.since = "up", now
        elif now - self.since > self.process.ready_s:
            self._end(now)
        self.next_check = time.monotonic() + 0.25

    def _look(self, lost: Check, now: float) -> None:
        self.next_check = now + min(LOOK_S, self.process.lost_s)
        if not lost():
            self.lost_since = None
        elif self.lost_since is None:
            self.lost_since = now
        elif now - self.lost_since >= self.process.lost_s:
            self._end(now)

    def _ended(self, code: int, now: float) -> None:
        self.signal(SIGKILL)  # its own children end with it
        if self.process.classes is not None:
            self.process.classes.ended(self.name, code in WRITTEN and (self.whole or self.process.once))
        intent, self.intent = self.intent, "run"
        steady = self.record.state == "up" and now - self.since > STEADY_S
        self.popen, self.record.pid, self.record.started, self.record.exit = None, None, None, code
        if intent == "restart":
            self.record.state, self.failures = "waiting", 0
        elif intent == "stop":
            self.record.state = "stopped"
        elif self.process.once and code == 0:
            self.record.state, self.failures = "done", 0
        else:
            self.failures = 0 if steady else self.failures
            self.failed(now)

    def failed(self, now: float) -> None:
        """Begin the pause before the next start."""
        self.failures += 1
        self.record.restarts += 1
        self.record.state, self.next_check = "backoff", now + pause(self.failures)

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        if self.record.pid is not None:
            signal_group(self.record.pid, number)

    def stop(self, now: float) -> None:
        """End the process for good; tick kills it if it does not end within its grace."""
        self.intent = "stop"
        self._end(now)

    def _end(self, now: float) -> None:
        if self.killed_at is None and self.popen is not None:
            self.killed_at, self.record.state = now, "stopping"
            self.signal(SIGTERM)

    def restart(self, now: float) -> None:
        """End the process, if it runs, and start it again without a pause."""
        if self.popen is None:
            self.record.state = "waiting"
        else:
            self.intent = "restart"
            self._end(now)

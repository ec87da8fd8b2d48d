"""state.json: what the supervisor runs, for status, for the next supervisor, for people."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from stack.home import Home

TICK = 0.02
"""Clock ticks of /proc are 10 ms: start times closer than this are the same process."""


@dataclass(slots=True)
class Running:
    """One process as recorded: pid and started (s since 1970) identify it, also after the pid is used again."""

    state: str = "waiting"
    pid: int | None = None
    started: float | None = None
    restarts: int = 0
    code: str = ""
    exit: int | None = None


@dataclass(slots=True)
class State:
    """The whole file. supervisor is the supervisor itself; phase is starting, running, stopping or stopped."""

    supervisor: Running = field(default_factory=Running)
    phase: str = "starting"
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Running] = field(default_factory=dict)


def load(home: Home) -> State:
    """Return the recorded state; an empty one, phase stopped, if there is none."""
    try:
        raw: dict[str, Any] = json.loads(home.state.read_text())
    except FileNotFoundError:
        return State(phase="stopped")
    return State(
        supervisor=Running(**raw["supervisor"]),
        phase=raw["phase"],
        ports=raw["ports"],
        processes={name: Running(**one) for name, one in raw["processes"].items()},
    )


def save(home: Home, state: State) -> None:
    """Write the state whole or not at all."""
    draft = home.state.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(state), indent=1))
    draft.replace(home.state)


def started_at(pid: int) -> float | None:
    """Return when the process started, s since 1970; None if there is no such process or it is a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def alive(one: Running) -> bool:
    """Tell whether exactly this process still runs, not another one with its pid."""
    if one.pid is None or one.started is None:
        return False
    started = started_at(one.pid)
    return started is not None and abs(started - one.started) < TICK


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that the process leads; one that is gone already is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def kill_leftovers(home: Home) -> list[str]:
    """End what an earlier supervisor of this home left behind; return the names. Call while holding the lock."""
    left = [(name, one) for name, one in load(home).processes.items() if alive(one)]
    for _, one in left:
        assert one.pid is not None
        signal_group(one.pid, signal.SIGTERM)
    deadline = time.monotonic() + 10.0
    while any(alive(one) for _, one in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    for _, one in left:
        assert one.pid is not None
        # The group may outlive its leader.
        signal_group(one.pid, signal.SIGKILL)
    return [name for name, _ in left]

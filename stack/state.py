"""state.json: what the supervisor runs, for status, for the next supervisor, for people."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from stack.home import Home
from stack.ports import write

TICK = 0.02
"""Clock ticks of /proc are 10 ms: start times in s since 1970, as earlier versions wrote them, differ by less."""


@dataclass(slots=True)
class Running:
    """One process as recorded: pid and started identify it, also after the pid is used again.

    started: as started_at returns it; earlier versions recorded s since 1970, which move with the clock.
    """

    state: str = "waiting"
    pid: int | None = None
    started: str | float | None = None
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
    """Return the recorded state; an empty one, phase stopped, if there is none or, with a line, if it is unreadable."""
    try:
        return _parsed(json.loads(home.state.read_text()))
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _tell(home.state, repr(error))
    return State(phase="stopped")


@cache
def _tell(path: Path, error: str) -> None:
    """Say what is wrong with the file; once, since `up` looks ten times a second."""
    print(
        f"TG-state-file {path} cannot be read ({error}): a supervisor that still runs writes it again by itself; if "
        "none does, `tidegauge down` ends what is left of its processes and writes a new one",
        file=sys.stderr,
    )


def _parsed(raw: dict[str, Any]) -> State:
    return State(
        supervisor=Running(**raw["supervisor"]),
        phase=raw["phase"],
        ports=raw["ports"],
        processes={name: Running(**one) for name, one in raw["processes"].items()},
    )


def save(home: Home, state: State) -> os.stat_result:
    """Write the state whole or not at all; return what tells the file from another."""
    return write(home.state, json.dumps(asdict(state), indent=1))


def started_at(pid: int) -> str | None:
    """Return the boot and the tick in it at which the process started; None if there is none or it is a zombie.

    No time of the day: the kernel's is reckoned from the clock as it is now, so that a step of it would move them all.
    """
    try:
        # The name, in brackets, may hold anything; behind it come the state, field 3, and at last the start, field 22.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return f"{_boot()} {int(fields[19])}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "?"  # a sandbox without it


def alive(one: Running) -> bool:
    """Tell whether exactly this process still runs, not another one with its pid."""
    if one.pid is None or one.started is None:
        return False
    started = started_at(one.pid)
    if started is None or isinstance(one.started, str):
        return started == one.started
    try:
        return abs(psutil.Process(one.pid).create_time() - one.started) < TICK
    except psutil.NoSuchProcess:
        return False


def halted(pid: int | None) -> bool:
    """Tell whether a signal holds a process still (SIGSTOP, a debugger): it answers nobody, and nobody ends it."""
    try:
        return pid is not None and psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.NoSuchProcess:
        return False


def held(name: str, pid: int | None) -> str:
    """Return the phrase for a process that is halted."""
    return f"process {name} is held by a signal, `kill -CONT {pid}` lets it go on"


def running(home: Home) -> State | None:
    """Return the state of the home's living supervisor, None if there is none."""
    recorded = load(home)
    return recorded if alive(recorded.supervisor) else None


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that the process leads; one that is gone already is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def logging_to(home: Home) -> Iterator[tuple[str, Running]]:
    """Yield the processes that lead a session and write to a log of this home, as a supervisor starts its own.

    Their environment would not tell: a user's shell may hold TIDEGAUGE_HOME as well.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with suppress(OSError):  # ended meanwhile, or another user's
            log = (entry / "fd" / "1").readlink()
            ours = log.parent == home.path / "log" and log.suffix == ".log" and log.stem != "supervisor"
            if ours and pid not in (os.getpid(), 1) and os.getsid(pid) == pid:
                yield log.stem, Running("up", pid, started_at(pid))


def leftovers(home: Home) -> list[tuple[str, Running]]:
    """Return what runs of this home besides a supervisor: the recorded and those that no readable record names."""
    left = [(name, one) for name, one in load(home).processes.items() if alive(one)]
    known = {one.pid for _, one in left}
    return left + [(name, one) for name, one in logging_to(home) if one.pid not in known and alive(one)]


def kill_leftovers(home: Home) -> list[str]:
    """End what an earlier supervisor of this home left behind; return the names. Call while holding the lock."""
    left = leftovers(home)
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

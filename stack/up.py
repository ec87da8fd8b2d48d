"""tidegauge up and down: start a supervisor in front or behind, bring a running one to the current code, stop it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from stack import fit, kept, moved, plan, ports, state
from stack.choice import choice
from stack.code import version
from stack.home import ROOT, Home
from stack.rest import FlinkError, FlinkRest
from stack.state import Running, State, running
from stack.supervisor import AlreadyRunning, ask, hold, supervise

GIVE_UP_AFTER = 4
"""Failed starts of one process after which `up` stops waiting; the supervisor itself goes on trying."""
GOES_ON = "it goes on trying; `tidegauge down` stops it"


class StackError(RuntimeError):
    """The stack cannot be started or stopped; the message says why and what to do."""


def tail(log: Path, lines: int = 12) -> str:
    """Return the last lines of a log."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace")[-16_384:].splitlines()[-lines:])


def not_held(recorded: State) -> None:
    """Raise UnfitError, in the words of `tidegauge status`, if a signal holds the supervisor or what it runs."""
    everyone = {"supervisor": recorded.supervisor, **recorded.processes}
    if found := [state.held(name, one.pid) for name, one in everyone.items() if state.halted(one.pid)]:
        raise fit.UnfitError(f"TG-status not all runs: {', '.join(found)}", 4)


def serves(recorded: State | None) -> bool:
    """Tell whether a supervisor lives that still starts what it is asked for."""
    return recorded is not None and recorded.phase != "stopping"


def choose_ports(home: Home, text: str | None) -> dict[str, int]:
    """Return the ports and remember them in the home; raises StackError if a running stack has others."""
    chosen = choice(home, text)
    if running(home) and text is not None and chosen != ports.load(home):
        raise StackError(f"TG-running the stack in {home.path} runs on other ports; `tidegauge down` first")
    ports.save(home, chosen)
    return chosen


def foreground(home: Home, chosen: Mapping[str, int], off: Collection[str]) -> None:
    """Be the supervisor until SIGTERM or Ctrl-C."""

    def show(name: str, record: Running) -> None:
        took = "" if record.exit in (None, 0) else f" (exit code {record.exit}; tidegauge logs {name})"
        print(f"{time.strftime('%H:%M:%S')} {name}: {record.state}{took}", flush=True)

    def farewell() -> None:
        if "jobs" not in off:
            last_checkpoint(FlinkRest(plan.endpoints(chosen)["flink"], timeout_s=2.0))

    supervise(home, dict(chosen), lambda: plan.processes(home, chosen), off, show, farewell)


def last_checkpoint(rest: FlinkRest, within_s: float = 6.0) -> None:
    """Have the jobs write down how far they are: what comes back later finds in Kafka only what is left of a day."""
    try:
        live = rest.jobs()
    except FlinkError:
        return  # there is nothing to write down, or nobody who could
    missing = live.keys() - rest.take_checkpoints(live.values(), within_s)
    if missing:
        print(f"no checkpoint within {within_s:.0f} s, the one before stands: {', '.join(sorted(missing))}", flush=True)


def detach(home: Home, off: Collection[str]) -> "subprocess.Popen[bytes]":
    """Start a supervisor that outlives this process and return it."""
    flags = [f"--without={name}" for name in off if name != "agent"] + ([] if "agent" in off else ["--agent"])
    with home.log("supervisor").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stack.cli", "up", "--checked", "--home", str(home.path), *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        )


def refresh(home: Home, recorded: State, off: Collection[str]) -> None:
    """Ask a running supervisor for what is missing or runs other code than the checkout holds."""
    for name, packages in plan.CODE.items():
        one = recorded.processes[name]
        if one.state == "off":
            if name not in off:
                ask(home, name)
        elif one.code != version(packages) or (name == "jobs" and one.state != "starting"):
            # The jobs step does little when nothing changed, and brings back a job that someone cancelled. One that is
            # on its way with this code does so by itself.
            ask(home, name)


def wait(home: Home, supervisor: "subprocess.Popen[bytes] | None", within_s: float) -> None:
    """Show each part becoming ready; return when all are.

    Raises StackError with the log of what is not, UnfitError if a signal holds what is.
    """
    began, seen = time.monotonic(), dict[str, str]()
    # Requests are taken within a tick; without this a running stack would look ready before it took them.
    while serves(running(home)) and list(home.folder("requests").iterdir()) and time.monotonic() - began < 5.0:
        time.sleep(0.05)
    while True:
        code = supervisor.poll() if supervisor is not None else 0
        recorded = running(home)
        if code:
            raise StackError(f"TG-start the supervisor ended:\n{tail(home.log('supervisor'))}")
        # With exit code 0 it was stopped, or found that another `up` was first, and that all it was to start runs.
        if code == 0 and not serves(recorded):
            raise StackError("TG-start the stack was stopped meanwhile; `tidegauge up` starts it anew")
        for name, one in (recorded.processes if recorded else {}).items():
            if seen.get(name) != one.state:
                seen[name] = one.state
                if one.state in ("up", "done", "backoff"):
                    print(f"  {time.monotonic() - began:5.1f} s  {name} {one.state}", flush=True)
            if one.restarts >= GIVE_UP_AFTER and one.state == "backoff" and supervisor is not None:
                raise StackError(f"TG-start {name} does not start:\n{tail(home.log(name))}\n{GOES_ON}")
            if name == "jobs" and one.state == "backoff":
                raise StackError(f"TG-start the jobs are not all running:\n{tail(home.log(name))}\n{GOES_ON}")
        over = time.monotonic() - began > within_s
        ready = recorded and all(one.state in ("up", "done", "off") for one in recorded.processes.values())
        if recorded and (ready or over):
            not_held(recorded)
        if ready:
            return
        if over:
            waiting = [name for name, one in seen.items() if one not in ("up", "done", "off")]
            late = ", ".join(waiting) or "the supervisor"
            raise StackError(f"TG-start not ready after {within_s:.0f} s: {late}\n{GOES_ON}")
        time.sleep(0.1)


def same_checkout(home: Home, recorded: State) -> None:
    """Raise StackError if the running stack is of another checkout: whatever it starts anew is of that one's code."""
    other = kept.elsewhere((one.pid for one in recorded.processes.values() if one.pid), ROOT)
    if other:
        raise StackError(
            f"TG-other-checkout the stack in {home.path} runs the code in {other}, not that in {ROOT}; "
            "`tidegauge down`, then `tidegauge up` takes this"
        )


def same_settings(home: Home, recorded: State) -> None:
    """Raise StackError if the environment sets what the running stack has otherwise: it would not come into force."""
    then = kept.environment(recorded.supervisor.pid or 0)
    fixed = plan.settings(home, recorded.ports)
    other, unset = kept.differing(os.environ, then, fixed) if then else ([], [])
    if other:
        raise StackError(
            f"TG-settings-running the stack in {home.path} was started with other values of {', '.join(other)}; "
            "`tidegauge down`, then `tidegauge up` takes these"
        )
    if unset:
        print(f"it keeps what it was started with, and this environment does not set: {', '.join(unset)}", flush=True)


def up(
    home: Home,
    port_text: str | None,
    *,
    off: Collection[str],
    detached: bool,
    checked: bool = False,
    within_s: float = 240.0,
) -> None:
    """Start the stack without the parts in `off`, or bring the running one to the current code.

    checked: whoever calls has looked at settings and Java. Raises StackError, PortError, UnfitError.
    """
    stopping = running(home)
    if stopping is not None and state.halted(stopping.supervisor.pid):
        not_held(stopping)  # it would take nothing that it is asked for, nor end
    if stopping is not None and stopping.phase == "stopping":
        print(f"the stack in {home.path} is being stopped, waiting for its end", flush=True)
        wait_end(stopping, within_s)
    chosen = choose_ports(home, port_text)
    recorded = running(home)
    if recorded is None:
        moved.check(home)
    if not checked:
        fit.check(home, chosen, off, starts=recorded is None)
    if recorded is not None:
        join(home, recorded, off, within_s)
    elif detached:
        print(f"starting the stack in {home.path}", flush=True)
        wait(home, detach(home, off), within_s)
    else:
        try:
            foreground(home, chosen, off)
        except AlreadyRunning:
            if (recorded := running(home)) is None:
                raise
            join(home, recorded, off, within_s)  # another `up` was first


def join(home: Home, recorded: State, off: Collection[str], within_s: float) -> None:
    """Bring a running stack to the current code; raises StackError, UnfitError."""
    print(f"the stack in {home.path} is running", flush=True)
    same_checkout(home, recorded)
    same_settings(home, recorded)
    refresh(home, recorded, off)
    wait(home, None, within_s)


def wait_end(recorded: State, within_s: float) -> None:
    """Return once the supervisor has ended; raises StackError."""
    deadline = time.monotonic() + within_s
    while state.alive(recorded.supervisor):
        if time.monotonic() > deadline:
            raise StackError(f"TG-stop the supervisor, pid {recorded.supervisor.pid}, did not end")
        time.sleep(0.05)


def down(home: Home, within_s: float = 120.0) -> list[str]:
    """Stop everything of this home, also what a killed supervisor left; return what had to be cleaned up."""
    if not home.path.exists():
        return []
    recorded = running(home)
    if recorded is not None:
        pid = recorded.supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        if state.halted(pid):
            print(f"the supervisor, pid {pid}, is held by a signal: it is let go on, to its end", flush=True)
            os.kill(pid, signal.SIGCONT)
        wait_end(recorded, within_s)
    try:
        with hold(home):
            left = state.kill_leftovers(home)
            ended = state.load(home)
            ended.phase, ended.supervisor = "stopped", Running("stopped")
            ended.processes = {name: Running("stopped") for name in ended.processes}
            state.save(home, ended)
            return left
    except AlreadyRunning:
        raise StackError(f"TG-stop another supervisor has just started in {home.path}") from None

"""What `up` and `down` tell of a supervisor that ended or that a signal holds, and of a home that was moved."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from stack import flink, moved, state
from stack.cli import main
from stack.fit import UnfitError
from stack.home import ROOT, Home
from stack.ports import DEFAULTS
from stack.up import StackError, same_checkout, wait
from tests.stack.supervised import until


def ended(code: int) -> "subprocess.Popen[bytes]":
    supervisor = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    supervisor.wait()
    return supervisor


def recorded(kafka: int | None = None) -> state.State:
    own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
    return state.State(own, "running", dict(DEFAULTS), {"kafka": state.Running("up", kafka)})


def test_an_up_that_was_first_is_as_good(tmp_path: Path) -> None:
    state.save(Home(tmp_path), recorded())
    wait(Home(tmp_path), ended(0), within_s=5.0)


def test_a_stop_meanwhile_is_told_as_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="TG-start the stack was stopped meanwhile; `tidegauge up` starts it anew"):
        wait(Home(tmp_path), ended(0), within_s=5.0)


def test_the_end_of_a_supervisor_is_told_with_its_last_words(tmp_path: Path) -> None:
    state.save(Home(tmp_path), recorded())
    Home(tmp_path).log("supervisor").write_text("TG-port-taken kafka=19092\n")
    with pytest.raises(StackError, match="TG-start the supervisor ended:\nTG-port-taken kafka=19092"):
        wait(Home(tmp_path), ended(1), within_s=5.0)


@pytest.mark.parametrize(("root", "is_other"), [("/nowhere/else", True), (str(ROOT), False), ("", False)])
def test_a_stack_of_another_checkout_is_not_said_to_run_this_code(tmp_path: Path, root: str, is_other: bool) -> None:
    env = {**os.environ, "PYTHONPATH": root}
    child = subprocess.Popen(["sleep", "60"], env=env)
    try:
        with pytest.raises(StackError, match="TG-other-checkout") if is_other else nullcontext():
            same_checkout(Home(tmp_path), recorded(child.pid))
    finally:
        child.kill()
        child.wait()


def test_a_home_that_was_moved_is_not_started_until_its_old_place_leads_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "höme 1", tmp_path / "new"
    moved.check(Home(old))
    flink.render(Home(old), DEFAULTS)
    Home(old).folder("flink", "ha")
    moved.check(Home(old))
    old.rename(new)
    assert main(["up", "--detach", "--ports", "auto", "--home", str(new)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"TG-home-moved {new} was {old} when its stack ran last")
    assert not (new / "state.json").exists()
    old.symlink_to(new)
    moved.check(Home(new))
    old.unlink()
    Home(old).folder("flink", "ha")  # the original of a copy
    with pytest.raises(moved.MovedError, match="TG-home-moved"):
        moved.check(Home(new))


@contextmanager
def halting(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command and hold it by a signal."""
    one = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        if one.stdout is not None and command[0] == sys.executable:
            one.stdout.readline()  # it has begun
        one.send_signal(signal.SIGSTOP)
        until(lambda: state.halted(one.pid))
        yield one
    finally:
        one.kill()
        one.communicate()


SUPERVISOR = """import signal, sys
from pathlib import Path
from stack.home import Home
from stack.supervisor import Supervisor, hold
home = Home(Path(sys.argv[1]))
with hold(home):
    supervisor = Supervisor(home, [], {})
    signal.signal(signal.SIGTERM, supervisor.stop)
    supervisor._save()
    print("here", flush=True)
    supervisor.run()
"""


def test_down_lets_a_supervisor_go_on_that_a_signal_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It waited two minutes in silence, and failed."""
    with halting(sys.executable, "-c", SUPERVISOR, str(tmp_path)) as held:
        began = time.monotonic()
        assert main(["down", "--home", str(tmp_path)]) == 0
        assert time.monotonic() - began < 60.0
        assert held.wait(5) == 0
    told = f"the supervisor, pid {held.pid}, is held by a signal: it is let go on, to its end"
    assert capsys.readouterr().out.splitlines() == [told, "stopped"]


@pytest.mark.parametrize("phase", ["running", "stopping"])
def test_up_says_of_a_held_supervisor_what_status_says(
    phase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said ready, though nobody took what it asked for."""
    with halting("sleep", "60") as held:
        own = state.Running("up", held.pid, state.started_at(held.pid))
        state.save(Home(tmp_path), state.State(own, phase, dict(DEFAULTS), {"kafka": state.Running("up")}))
        assert main(["up", "--detach", "--home", str(tmp_path)]) == 4
        told = f"process supervisor is held by a signal, `kill -CONT {held.pid}` lets it go on"
        assert capsys.readouterr().err == f"TG-status not all runs: {told}\n"
        assert not (tmp_path / "requests").exists()


@pytest.mark.parametrize("now", ["up", "starting"])
def test_up_says_what_a_signal_holds_of_a_stack_that_seems_ready_or_never_is(now: str, tmp_path: Path) -> None:
    with halting("sleep", "60") as held:
        home, found = Home(tmp_path), recorded(held.pid)
        found.processes["jobs"] = state.Running(now)
        state.save(home, found)
        with pytest.raises(UnfitError, match=f"TG-status .* process kafka is held .* `kill -CONT {held.pid}`"):
            wait(home, None, within_s=0.2)

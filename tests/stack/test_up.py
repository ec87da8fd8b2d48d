"""What `tidegauge up` tells of a supervisor that ended while it waited, and of a home that was moved."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from stack import flink, moved, state
from stack.cli import main
from stack.home import ROOT, Home
from stack.ports import DEFAULTS
from stack.up import StackError, same_checkout, wait


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

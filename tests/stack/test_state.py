"""state.json, and the processes that it tells from others, with tiny real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

import psutil
import pytest

from stack import state
from stack.home import Home
from stack.state import Running, State
from tests.stack.supervised import SLEEP


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@contextmanager
def asleep(log: Path = Path("/dev/null"), session: bool = True) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as out:
        one = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=session, stdout=out)
    try:
        yield one
    finally:
        one.kill()
        one.wait()


def test_a_saved_state_is_loaded_again(home: Home) -> None:
    saved = State(Running("up", 5, "boot 7"), "running", {"kafka": 5000}, {"a": Running("backoff", restarts=3)})
    state.save(home, saved)
    assert state.load(home) == saved
    assert list(home.path.iterdir()) == [home.state]


def test_what_a_killed_supervisor_left_is_ended(home: Home) -> None:
    with asleep() as orphan:
        state.save(home, State(processes={"a": Running("up", orphan.pid, state.started_at(orphan.pid))}))
        assert state.kill_leftovers(home) == ["a"]
        assert orphan.wait(timeout=5) == -SIGTERM


def test_start_times_of_an_earlier_version_are_understood(home: Home) -> None:
    with asleep() as one:
        started = psutil.Process(one.pid).create_time()
        for recorded, same in ((started, True), (started - 100.0, False)):
            state.save(home, State(Running("up", one.pid, recorded)))
            assert state.alive(state.load(home).supervisor) == same
    assert not state.alive(Running("up", one.pid, started))


def test_another_process_with_a_recorded_pid_is_left_alone(home: Home) -> None:
    with asleep() as stranger:
        boot, tick = str(state.started_at(stranger.pid)).split()
        for started in (f"{boot} {int(tick) - 1}", f"another-boot {tick}"):
            state.save(home, State(processes={"a": Running("up", stranger.pid, started)}))
            assert state.kill_leftovers(home) == []
        assert stranger.poll() is None


def test_a_step_of_the_clock_changes_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with asleep() as one:
        recorded = Running("up", one.pid, state.started_at(one.pid))
        # What the kernel shows after a step of two seconds.
        lines = Path("/proc/stat").read_text().splitlines()
        moved = [f"btime {int(line.split()[1]) + 2}" if line.startswith("btime") else line for line in lines]
        (tmp_path / "stat").write_text("\n".join(moved))
        (tmp_path / str(one.pid)).symlink_to(f"/proc/{one.pid}")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
        assert state.alive(recorded)


def test_a_zombie_does_not_run() -> None:
    with asleep() as one:
        started = state.started_at(one.pid)
        one.kill()
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        assert not state.alive(Running("up", one.pid, started))


@pytest.mark.parametrize(
    "text",
    ["", '{"supervisor": {"sta', "[]", "null", "{}", '{"supervisor": 3}', '{"supervisor": {"of": "a later version"}}'],
)
def test_an_unreadable_state_is_one_line_and_no_end(home: Home, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    home.state.write_text(text)
    assert [state.load(home) for _ in range(3)] == [State(phase="stopped")] * 3
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"TG-state-file {home.state} cannot be read")
    assert "`tidegauge down`" in said


@pytest.mark.parametrize("text", [None, "", '{"supervisor": {"sta'])
def test_leftovers_are_found_without_a_record(home: Home, text: str | None) -> None:
    if text is not None:
        home.state.write_text(text)
    with asleep(home.log("kafka")) as orphan:
        assert state.kill_leftovers(home) == ["kafka"]
        assert orphan.wait(timeout=5) == -SIGTERM


def test_others_that_write_to_a_log_are_left_alone(home: Home, tmp_path: Path) -> None:
    # A program of a shell's, a supervisor that begins, another home's, a file that is no log.
    other = Home(tmp_path / "other")
    with (
        asleep(home.log("kafka"), session=False) as first,
        asleep(home.log("supervisor")) as second,
        asleep(other.log("kafka")) as third,
        asleep(home.folder("log") / "notes.txt") as fourth,
    ):
        assert state.kill_leftovers(home) == []
        assert [one.poll() for one in (first, second, third, fourth)] == [None] * 4

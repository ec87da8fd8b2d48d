"""The supervisor with tiny real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack import state
from stack.child import pause
from stack.home import Home
from stack.process import Process
from stack.supervisor import AlreadyRunning, ask, hold
from tests.stack.supervised import SLEEP, process, running, until


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5000, 30.0)])
def test_the_pause_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert pause(failures) == seconds


def test_a_killed_process_comes_back_with_a_new_pid(home: Home) -> None:
    with running(home, process(home, "a")) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: record.state == "up")
        first = record.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: record.state == "up" and record.pid != first)
        assert record.restarts == 1
        assert record.exit is None


def test_pauses_grow_while_a_process_keeps_dying(home: Home) -> None:
    starts = home.folder() / "starts"
    code = f"import time; open({str(starts)!r}, 'a').write(f'{{time.time()}}\\n'); raise SystemExit(3)"
    with running(home, process(home, "a", code, ready=lambda: False)):
        until(lambda: starts.exists() and len(starts.read_text().split()) >= 3)
    first, second, third = [float(line) for line in starts.read_text().split()[:3]]
    assert second - first >= 0.5
    assert third - second >= 1.0


def test_processes_start_after_their_needs_and_stop_before_them(home: Home) -> None:
    order = home.folder() / "order"
    code = (
        "import signal, sys, time\n"
        "note = lambda text: open({order!r}, 'a').write(text + ' ')\n"
        "def stop(*_): note('-{name}'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); note('+{name}'); open({flag!r}, 'w').close()\n"
        "while True: time.sleep(0.05)\n"
    )

    def noted(name: str, needs: tuple[str, ...]) -> Process:
        flag = home.folder() / f"{name}.ready"
        text = code.format(order=str(order), name=name, flag=str(flag))
        return process(home, name, text, needs=needs, ready=flag.exists)

    with running(home, noted("c", ("b",)), noted("b", ("a",)), noted("a", ())) as supervisor:
        until(lambda: supervisor.state.phase == "running")
    assert order.read_text().split() == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_a_step_runs_once_and_again_when_asked(home: Home) -> None:
    count = home.folder() / "count"
    code = f"open({str(count)!r}, 'a').write('x')"
    with running(home, process(home, "step", code, once=True), process(home, "after", needs=("step",))) as supervisor:
        until(lambda: supervisor.state.phase == "running")
        time.sleep(0.3)
        assert count.read_text() == "x"
        ask(home, "step")
        until(lambda: count.read_text() == "xx")


def test_what_is_off_starts_only_when_asked(home: Home) -> None:
    with running(home, process(home, "a"), process(home, "extra"), off=("extra",)) as supervisor:
        until(lambda: supervisor.state.phase == "running")
        assert supervisor.children["extra"].record.state == "off"
        ask(home, "extra")
        until(lambda: supervisor.children["extra"].record.state == "up")


def test_a_wanted_restart_has_no_pause_and_is_not_counted(home: Home) -> None:
    with running(home, process(home, "a")) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: record.state == "up")
        first = record.pid
        ask(home, "a")
        until(lambda: record.state == "up" and record.pid != first)
        assert record.restarts == 0


def test_stop_ends_grandchildren_and_those_who_ignore_sigterm(home: Home) -> None:
    pids = home.folder() / "pids"
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}} ')\n"
        "time.sleep(600)\n"
    )
    with running(home, process(home, "stubborn", code, grace_s=0.5, ready=pids.exists)) as supervisor:
        until(lambda: supervisor.state.phase == "running" and len(pids.read_text().split()) == 2)
    until(lambda: not any(state.started_at(int(pid)) for pid in pids.read_text().split()))


def test_what_a_killed_supervisor_left_is_ended(home: Home) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    recorded = state.State(processes={"a": state.Running("up", orphan.pid, psutil.Process(orphan.pid).create_time())})
    state.save(home, recorded)
    assert state.kill_leftovers(home) == ["a"]
    assert orphan.wait(timeout=5) == -signal.SIGTERM


def test_another_process_with_a_recorded_pid_is_left_alone(home: Home) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        started = psutil.Process(stranger.pid).create_time() - 100.0
        state.save(home, state.State(processes={"a": state.Running("up", stranger.pid, started)}))
        assert state.kill_leftovers(home) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_state_that_cannot_be_written_ends_nothing(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    draft = home.state.with_suffix(".tmp")  # in whose place nothing can be written for now, as on a full disk
    with running(home, process(home, "a")) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: supervisor.state.phase == "running")
        draft.mkdir()
        first = record.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: record.state == "up" and record.pid != first)
        assert state.load(home).processes["a"].pid == first
        draft.rmdir()
        until(lambda: state.load(home).processes["a"].pid == record.pid)
    assert capfd.readouterr().out.count("TG-state-file") == 1


def test_a_process_that_cannot_be_started_now_is_tried_again(home: Home) -> None:
    log = home.log("a")
    log.mkdir()
    with running(home, process(home, "a")) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: record.state == "backoff" and record.restarts >= 2)
        log.rmdir()
        until(lambda: record.state == "up")


def test_one_supervisor_a_home(home: Home) -> None:
    with hold(home), pytest.raises(AlreadyRunning, match="TG-running"), hold(home):
        pass
    with hold(home):
        pass

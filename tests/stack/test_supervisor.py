"""The supervisor with tiny real processes."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from stack import flink, state
from stack.child import pause
from stack.home import Home
from stack.ports import HOST, free_ports
from stack.process import Process, answers, refuses
from stack.supervisor import AlreadyRunning, Supervisor, ask, hold
from stack.up import down
from tests.stack.supervised import ANSWERING, SLEEP, process, running, until


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


def test_a_process_that_others_have_given_up_for_long_is_started_anew(home: Home) -> None:
    lost: list[bool] = []
    with running(home, process(home, "a", lost=lambda: bool(lost) and lost.pop(0), lost_s=0.3)) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: record.state == "up")
        first = record.pid
        lost += [True, False, True, False]  # it comes back in time
        until(lambda: not lost)
        assert (record.pid, record.restarts) == (first, 0)
        lost += [True] * 2
        until(lambda: record.state == "up" and record.pid not in (None, first))
        assert record.restarts == 1


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


@pytest.mark.parametrize("fault", [None, ValueError("of its own")])
def test_what_feeds_the_others_ends_first_and_they_are_told_before_they_do(
    home: Home, fault: Exception | None, capfd: pytest.CaptureFixture[str]
) -> None:
    found: list[dict[str, str]] = []

    def farewell() -> None:
        found.append({name: one.state for name, one in state.load(home).processes.items()})
        if fault is not None:
            raise fault

    plan = [process(home, "kafka"), process(home, "agent", needs=("kafka",), feeds=True), process(home, "job")]
    with running(home, *plan) as supervisor:
        supervisor.farewell = farewell
        until(lambda: supervisor.state.phase == "running")
    assert found == [{"kafka": "up", "agent": "stopped", "job": "up"}]
    assert {one.state for one in state.load(home).processes.values()} == {"stopped"}
    assert ("before the end: ValueError" in capfd.readouterr().out) == (fault is not None)


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


def test_a_state_that_cannot_be_written_ends_nothing(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    # In whose place nothing can be written for now, as on a full disk.
    draft = home.state.with_suffix(f".{os.getpid()}")
    with running(home, process(home, "a")) as supervisor:
        record = supervisor.children["a"].record
        until(lambda: supervisor.state.phase == "running")

        def taken() -> bool:
            with suppress(FileExistsError):  # it is being written
                draft.mkdir()
            return draft.is_dir()

        until(taken)
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


@pytest.mark.parametrize("answer", ["-ERR no HTTP\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ""])
def test_an_answer_that_is_cut_or_no_http_is_not_ready(home: Home, answer: str) -> None:
    port = free_ports(1)[0]
    checks = [answers(port, "/overview"), flink.taskmanager("a", home, {"flink": port}, {}, ()).ready]
    asked = home.folder() / "asked"
    code = ANSWERING.format(port=port, answer=answer, asked=str(asked))
    with running(home, process(home, "a", code, ready=lambda: any(check() for check in checks))) as supervisor:
        until(lambda: asked.exists() and len(asked.read_text()) >= 4)
        assert supervisor.children["a"].record.state == "starting"
        assert supervisor.children["a"].record.restarts == 0


def test_a_port_refuses_when_nobody_listens_and_not_when_nobody_answers() -> None:
    with socket.create_server((HOST, 0), backlog=1) as server:
        port = server.getsockname()[1]
        assert not refuses(port)()
    assert refuses(port)()


def broken() -> bool:
    raise KeyError("slots")


@pytest.mark.parametrize("fault", [{"ready": broken}, {"prepare": broken}, {"command": ("a\0b",)}])
def test_a_fault_around_one_process_is_a_failed_start_of_it(
    home: Home, fault: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    one = replace(process(home, "a"), **fault)  # type: ignore[arg-type]  # a table of overrides
    with running(home, one, process(home, "b")) as supervisor:
        until(lambda: supervisor.children["a"].record.restarts >= 2)
        assert supervisor.children["b"].record.state == "up"
        assert supervisor.children["b"].record.restarts == 0
    assert "a cannot be" in capfd.readouterr().out


def test_nothing_outlives_a_supervisor_that_fails(home: Home) -> None:
    supervisor = Supervisor(home, [process(home, "a")], {}, on_change=lambda name, record: fail(record))
    pids = []

    def fail(record: state.Running) -> None:
        if record.state == "up":
            pids.append(record.pid)
            raise ValueError("a fault of its own")

    with pytest.raises(ValueError, match="of its own"):
        supervisor.run()
    assert pids
    assert not any(pid and state.started_at(pid) for pid in pids)


RESULT = '{"result": {"id": "ab", "application-id": %s}, "version": 1}'


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        (RESULT % '"cd"', []),
        (RESULT % "null", ["ab"]),
        (RESULT[:20], ["ab"]),
        ("", ["ab"]),
        ("[]", ["ab"]),
        ("{}", ["ab"]),
    ],
)
def test_a_job_result_that_no_jobmanager_can_read_is_deleted(home: Home, text: str, dropped: list[str]) -> None:
    result = home.folder("flink", "ha", "job-result-store", "cluster") / "ab_DIRTY.json"
    result.write_text(text)
    assert flink.drop_broken_results(home) == dropped
    assert result.exists() == (not dropped)


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("{"), lambda path: path.unlink()])
def test_a_spoilt_state_is_written_again(home: Home, spoil: Callable[[Path], object]) -> None:
    with running(home, process(home, "a")) as supervisor:
        until(lambda: supervisor.state.phase == "running")
        spoil(home.state)
        until(lambda: state.load(home).phase == "running")


def test_one_supervisor_a_home(home: Home) -> None:
    with hold(home), running(home, process(home, "a")), pytest.raises(AlreadyRunning, match="TG-running"):
        hold(home)
    with hold(home), pytest.raises(AlreadyRunning, match="TG-running"):
        hold(home, within_s=0.1)
    with hold(home):
        pass


def test_a_down_that_holds_the_home_for_a_while_is_no_supervisor(home: Home) -> None:
    other = hold(home)
    threading.Timer(0.5, other.close).start()
    assert down(home) == []


def test_a_log_that_cannot_be_looked_at_or_cut_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone takes a log away between two looks, or the disk is read-only by now: the stack goes on."""
    home = Home(tmp_path)
    home.log("gone").symlink_to(tmp_path / "taken" / "away.log")
    home.log("fixed").symlink_to("/proc/self/maps")
    monkeypatch.setattr("stack.supervisor.LOG_LIMIT_BYTES", -1)
    with running(home, process(home, "one")) as supervisor:
        until(lambda: supervisor.state.phase == "running")
        supervisor._next_trim = 0.0
        until(lambda: supervisor._next_trim > 0.0)
        time.sleep(0.5)
        assert (supervisor.state.phase, supervisor.state.processes["one"].state) == ("running", "up")

"""The one process that starts, watches and stops the others."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

from stack import limits
from stack.child import Child
from stack.code import version
from stack.home import Home
from stack.metrics import serve
from stack.ports import HOST, check
from stack.process import Process
from stack.state import Running, State, kill_leftovers, running, save, started_at

TICK_S = 0.1
LOG_LIMIT_BYTES = 20 << 20


class AlreadyRunning(RuntimeError):
    """Another supervisor holds the home."""


def hold(home: Home, within_s: float = 20.0) -> IO[str]:
    """Return the home's lock, held until the file is closed or this process ends; raises AlreadyRunning.

    A `down` that ends what was left behind holds it for a while, and a supervisor before it is recorded: both are
    waited for.
    """
    home.folder()
    lock, deadline = home.lock.open("a"), time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if running(home) is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            lock.close()
            raise AlreadyRunning(f"TG-running a supervisor runs in {home.path} already") from None
        return lock


def ask(home: Home, name: str) -> None:
    """Ask the home's supervisor to restart a process, or to run a step again."""
    (home.folder("requests") / name).touch()


class Supervisor:
    """Runs the processes of a plan until it is told to stop.

    off: names that start only when asked for (see ask). on_change is told of every change of state. farewell is called
    while all but those that feed the others still run, before they are stopped; it must be bounded.
    """

    def __init__(
        self,
        home: Home,
        plan: Sequence[Process],
        ports: dict[str, int],
        off: Collection[str] = (),
        on_change: Callable[[str, Running], None] = lambda name, record: None,
        farewell: Callable[[], None] = lambda: None,
    ) -> None:
        self.home = home
        self.children = {process.name: Child(process, home.log(process.name)) for process in plan}
        for name in off:
            self.children[name].record.state = "off"
        for child in self.children.values():
            child.writes = not any(process.once and process.name in off for process in plan)
        self.on_change = on_change
        self.farewell = farewell
        self.stopping = False
        own = Running("up", os.getpid(), started_at(os.getpid()))
        self.state = State(own, "starting", ports, {name: child.record for name, child in self.children.items()})
        self._seen: dict[str, tuple[str, int | None]] = {}
        self._next_trim = 0.0
        self._unsaved = False
        self._saved: tuple[int, ...] = ()

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Stop everything in reverse order and return from run; a signal handler too."""
        self.stopping = True

    def run(self) -> None:
        """Run until stop() is called and everything has ended. Call it while holding the home's lock."""
        requests = self.home.folder("requests")
        for request in requests.iterdir():
            request.unlink()
        try:
            while not self.stopping:
                self._step(requests)
                time.sleep(TICK_S)
        finally:
            # Also when this fails: nothing may run that nobody watches.
            self._stop_all()

    def _step(self, requests: Path) -> None:
        self._take(list(requests.iterdir()))
        self._start_ready()
        self._tick()
        if self.state.phase == "starting" and all(child.satisfied for child in self.children.values()):
            self.state.phase = "running"
            for child in self.children.values():
                child.whole = True
            self._save()
        if self._unsaved or self._on_disk() != self._saved:
            self._save()
        self._trim_logs()

    def _on_disk(self) -> tuple[int, ...]:
        """Return what tells whether state.json is still the saved one: without it nobody finds this process."""
        try:
            return _known_by(self.home.state.stat())
        except OSError:
            return ()

    def _take(self, requests: list[Path]) -> None:
        for request in requests:
            if child := self.children.get(request.name):
                child.restart(time.monotonic())
        if requests:
            # Saved before the request is gone: who waits for it must not see the state from before.
            self._save()
        for request in requests:
            request.unlink()

    def _start_ready(self) -> None:
        for child in self.children.values():
            needs = (self.children[name] for name in child.process.needs if name in self.children)
            if child.record.state == "waiting" and all(need.satisfied for need in needs):
                self._start(child)
                self._save()

    def _tick(self) -> None:
        for child in self.children.values():
            try:
                child.tick(time.monotonic())
            except Exception as error:  # a check's fault is the fault of its process, not of the others
                self._tell(f"{child.name} cannot be checked, it is ended: {error!r}")
                child.signal(signal.SIGKILL)  # its end is noticed at the next tick, as any other
            now = (child.record.state, child.record.pid)
            if self._seen.get(child.name) != now:
                self._seen[child.name] = now
                self._save()
                with suppress(OSError):  # as in _tell
                    self.on_change(child.name, child.record)

    def _stop_all(self) -> None:
        """Stop what feeds the others, then each process once none of those that need it runs any more."""
        self.state.phase = "stopping"
        self._save()
        self._end([child for child in self.children.values() if child.process.feeds])
        try:
            self.farewell()
        except Exception as error:  # it is a courtesy: the end comes anyway
            self._tell(f"before the end: {error!r}")
        self._end(list(self.children.values()))
        for child in self.children.values():
            child.record.state = "stopped"
        self.state.phase, self.state.supervisor = "stopped", Running("stopped")
        self._save()

    def _end(self, children: Sequence[Child]) -> None:
        while running := [child for child in children if child.popen is not None]:
            needed = {name for child in running for name in child.process.needs}
            for child in running:
                if child.name not in needed:
                    child.stop(time.monotonic())
            self._tick()
            time.sleep(TICK_S / 2)

    def _start(self, child: Child) -> None:
        """Start a process; one that cannot be started now is tried again like one that has ended."""
        try:
            child.start(version(child.process.code), time.monotonic())
        except Exception as error:  # whatever it is, the others go on
            child.failed(time.monotonic())
            self._tell(f"{child.name} cannot be started: {error!r}")

    def _save(self) -> None:
        """Write the state. On a full disk that waits: a supervisor that ended for it would end with all it holds."""
        try:
            written = save(self.home, self.state)
        except OSError as error:
            if not self._unsaved:
                self._tell(f"TG-state-file {self.home.state} cannot be written, it is tried again: {error}")
            self._unsaved = True
        else:
            self._unsaved, self._saved = False, _known_by(written)

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the log lies on the same disk: there is nobody else to tell
            print(text, flush=True)

    def _trim_logs(self) -> None:
        """Keep each log and one older part of it; the processes append, so cutting the file is safe."""
        if time.monotonic() < self._next_trim:
            return
        self._next_trim = time.monotonic() + 5.0
        # A log that is gone, or may not be cut (a disk that is read-only by now, chattr +a), ends nothing.
        with suppress(OSError):
            for log in self.home.folder("log").glob("*.log"):
                _trim(log)


def supervise(
    home: Home,
    ports: dict[str, int],
    make_plan: Callable[[], Sequence[Process]],
    off: Collection[str] = (),
    on_change: Callable[[str, Running], None] = lambda name, record: None,
    farewell: Callable[[], None] = lambda: None,
) -> None:
    """Hold the home, end what an earlier supervisor left there, run the plan until SIGTERM or SIGINT."""
    with hold(home):
        left = kill_leftovers(home)
        if left:
            print("ended what an earlier supervisor left behind:", ", ".join(left), flush=True)
        check(ports)
        limits.lift()
        supervisor = Supervisor(home, make_plan(), ports, off, on_change, farewell)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, supervisor.stop)
        metrics = serve(supervisor.state, f"{HOST}:{ports['flink']}", ports["metrics"])
        try:
            supervisor.run()
        finally:
            metrics.shutdown()
            metrics.server_close()


def _known_by(file: os.stat_result) -> tuple[int, ...]:
    return file.st_ino, file.st_size, file.st_mtime_ns


def _trim(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            # On a full disk the older part is what has to go.
            with suppress(OSError):
                log.with_suffix(".log.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)

"""How a benchmark runs as a program, and how it ends: whatever it has started ends with it."""

import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bench.cluster import ClusterError
from bench.report import Progress

# nohup has SIGHUP ignored: then it stays so.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def millions(text: str) -> float:
    """Return how many millions of samples an option says; a `type` for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.01 <= number <= 1000:
        raise ArgumentTypeError(f"{text[:80]!r} is no number of millions from 0.01 to 1000")
    return number


def run(main: Callable[[], int]) -> NoReturn:
    """Be the program: exit with what main returns, 2 on trouble. SIGTERM and SIGHUP leave all `with` blocks."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        code = main()
    except ClusterError as error:
        Progress().say(str(error))
        code = 2
    sys.exit(code)


def _end(number: int, _: object) -> NoReturn:
    # Once: a second signal would break off what takes the stack down. Not SIG_IGN, which children inherit.
    for one in _ENDING:
        if signal.getsignal(one) is _end:
            signal.signal(one, lambda *_: None)
    raise SystemExit(128 + number)


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """Yield a folder that is told at the start and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"tidegauge-{name}-") as home:
        Progress().say(f"home: {home}")
        yield Path(home)


def end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]", within_s: float = 30.0) -> None:
    """End a process: by SIGKILL if SIGTERM does not do it in time."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""However a benchmark ends, what it has started ends with it."""

import re
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from bench import program
from bench.cluster import ClusterError

BENCH = Path(program.__file__).parent
_WAITS = """
import signal, sys, time
from contextlib import contextmanager
from bench import program

@contextmanager
def stack():
    try:
        yield
    finally:
        print("down", flush=True)

def main():
    with stack():
        print("up", flush=True)
        time.sleep(3600)

# Whoever runs these tests may have it ignored.
signal.signal(signal.SIGHUP, signal.SIG_IGN if "nohup" in sys.argv else signal.SIG_DFL)
program.run(main)
"""


@pytest.mark.parametrize(
    ("arguments", "sent", "code"),
    [
        ([], [signal.SIGTERM], 143),
        ([], [signal.SIGHUP], 129),
        (["nohup"], [signal.SIGHUP, signal.SIGTERM], 143),
    ],
)
def test_a_signal_leaves_the_with_blocks(arguments: list[str], sent: list[signal.Signals], code: int) -> None:
    command = [sys.executable, "-c", _WAITS, *arguments]
    with subprocess.Popen(command, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        for number in sent:
            process.send_signal(number)
        assert process.stdout.read() == "down\n"
    assert process.returncode == code


def test_every_benchmark_is_run_so() -> None:
    texts = [path.read_text() for path in BENCH.glob("*.py")]
    mains = [text.partition('if __name__ == "__main__":\n')[2] for text in texts]
    assert [main for main in mains if main] == ["    program.run(main)\n"] * 8
    assert not [text for text in texts if re.search(r"^(import|from) urllib\.request", text, re.M)]


def test_trouble_is_told_and_is_not_a_missed_bar(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise ClusterError("TG-bench-stall: nothing moves")

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        with pytest.raises(SystemExit) as ended:
            program.run(main)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert ended.value.code == 2
    assert "TG-bench-stall: nothing moves" in capsys.readouterr().err


def test_what_does_not_end_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        program.end(process, within_s=0.1)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("text", ["6000000", "0", "-1", "nan", "inf", "many"])
def test_samples_are_millions_and_not_without_end(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no number of millions from"):
        program.millions(text)
    assert program.millions("0.5") == 0.5

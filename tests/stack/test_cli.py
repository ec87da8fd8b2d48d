"""`tidegauge` before a command begins, and when it cannot go on: settings, arguments, homes and outputs."""

import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stack.cli import main
from stack.command import main as installed
from stack.home import ROOT, Home
from stack.ports import HOST

WRONG = [
    ("GATE_TOLERANCE_S", "2h", "retention check", "TG-settings: TIDEGAUGE_GATE_TOLERANCE_S='2h': Input should be"),
    ("SHARDS", "x", "lag", "TG-settings: TIDEGAUGE_SHARDS='x': Input should be a valid integer"),
    ("QUERY_TIMEOUT_S", "0", "cardinality", "TG-settings: TIDEGAUGE_QUERY_TIMEOUT_S='0': Input should be greater"),
    ("QUERY_THREADS", "x", "policy would", "TG-settings: TIDEGAUGE_QUERY_THREADS='x': "),
    ("QUERY_THREADS", "x", "why event", "TG-settings: TIDEGAUGE_QUERY_THREADS='x': "),
    ("QUERY_THREADS", "x", "rules backtest f.yaml --from now", "TG-settings: TIDEGAUGE_QUERY_THREADS='x': "),
    ("QUERY_AUTH", "key", "cardinality", "TG-query-keys: "),
    ("CLICKHOUSE", "localhost", "retention list", "TG-clickhouse-address: 'localhost' is no host:port"),
    ("CLICKHOUSE", "localhost", "cardinality", "TG-clickhouse-address: "),
    ("CLICKHOUSE", "localhost", f"load {__file__}", "TG-clickhouse-address: "),
]
ARGUMENTS = [
    ("cardinality --hours 1000000", "'1000000' is no whole number from 1 to 480000"),
    ("cardinality --hours -1", "'-1' is no whole number from 1 to 480000"),
    ("cardinality --limit 0", "'0' is no whole number from 1 to 100000"),
    ("policy would --hours 480001", "'480001' is no whole number from 1 to 480000"),
    ("policy would --hours 1e3", "'1e3' is no whole number"),
    ("logs kafka -n -95", "'-95' is no whole number from 0 to 1000000000"),
    ("logs kafka -n " + "9" * 5000, "99' is no whole number from 0"),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TIDEGAUGE_HOME", str(tmp_path))
    for name in ("KAFKA", "CLICKHOUSE"):  # else a command says that nothing is there to ask
        monkeypatch.setenv(f"TIDEGAUGE_{name}", f"{HOST}:1")
    return Home(tmp_path)


@pytest.mark.parametrize(("name", "value", "command", "message"), WRONG, ids=[f"{one[0]} {one[2]}" for one in WRONG])
def test_a_setting_that_cannot_be_is_named_with_its_value(
    name: str,
    value: str,
    command: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    assert main(command.split()) == 2
    assert message in capsys.readouterr().err


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("SHARDS", "PARALLELISM"):
        monkeypatch.setenv(f"TIDEGAUGE_{name}", "0")
    assert main(["lag"]) == 2
    assert [line.split("=")[0] for line in capsys.readouterr().err.splitlines()] == [
        "TG-settings: TIDEGAUGE_PARALLELISM",
        "TG-settings: TIDEGAUGE_SHARDS",
    ]


def test_what_asks_no_server_needs_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", "localhost")
    assert main(["retention", "check"]) == 0


@pytest.mark.parametrize(("command", "message"), ARGUMENTS, ids=[command[:30] for command, _ in ARGUMENTS])
def test_a_number_out_of_bounds_is_refused_with_the_bounds(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("count", "shown"), [("0", ""), ("1", "c\n"), ("2", "b\nc\n"), ("50", "a\nb\nc\n")])
def test_the_end_of_a_log_is_as_long_as_asked(
    count: str, shown: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.log("kafka").parent.mkdir(parents=True, exist_ok=True)
    home.log("kafka").write_text("a\nb\nc\n")
    assert main(["logs", "kafka", "-n", count]) == 0
    assert capsys.readouterr().out == shown


def test_a_home_that_is_mistyped_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "kafka", "--home", str(tmp_path / "typo")]) == 2
    assert capsys.readouterr().err == "TG-log no log of 'kafka'; there are: none\n"
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("job", ["gate", "reroll"])
def test_where_a_job_logs_is_said(job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", job]) == 2
    assert capsys.readouterr().err == f"TG-log no log of {job!r}: jobs log in taskmanager-1 and taskmanager-2\n"


@pytest.mark.parametrize("command", ["lag", "policy list", "rules list"])
@pytest.mark.parametrize("address", ["localhost:x", "[::1"])
def test_a_kafka_that_cannot_be_is_named(
    command: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", address)
    assert main(command.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"TG-kafka: {address} (TIDEGAUGE_KAFKA): ")


@pytest.mark.parametrize(
    ("home", "command", "message"),
    [
        ("~nouser/", "status", "TG-home ~nouser/: "),
        ("~nouser/", "retention check", "TG-home ~nouser/: "),
        ("{0}/loop", "status", "TG-home {0}/loop: Symlink loop"),
        ("{0}/file", "up", "TG-os: {0}/file/state.json: Not a directory"),
        ("{0}/file", "logs kafka", "TG-home {0}/file/log: Not a directory; --home or TIDEGAUGE_HOME names"),
        # Where nobody may write, not even root.
        ("/proc/home", "up", "TG-home /proc/home: No such file or directory; --home"),
    ],
)
def test_a_home_that_cannot_be_is_named(
    home: str,
    command: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("TIDEGAUGE_HOME", home.format(tmp_path))
    assert main(command.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message.format(tmp_path))


def started(command: str, **more: object) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-m", "stack.cli", *command.split()]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload, no-any-return]  # a table of options


@pytest.mark.parametrize(("name", "shown"), [(b"h\xc3\xb6me", b"h\\xf6me"), (b"h\xf6me", b"h\\udcf6me")])
def test_a_terminal_without_the_letters_is_shown_their_numbers(name: bytes, shown: bytes, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", "status", "--home", bytes(tmp_path) + b"/" + name],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, b"")
    assert b"/" + shown + b";" in done.stdout


@pytest.mark.parametrize("command", ["status", "retention check"])
def test_a_reader_that_has_gone_is_no_fault(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(command, stdout=writing) as process:
        os.close(writing)
        assert (process.communicate()[1], process.returncode) == ("", 141)


@pytest.mark.parametrize("command", ["status", "retention check"])
def test_an_output_that_cannot_be_written_is_a_fault(command: str) -> None:
    with Path("/dev/full").open("w") as full, started(command, stdout=full) as process:
        told = process.communicate()[1]
    assert (process.returncode, told.count("\n")) == (1, 1)
    assert told.startswith("TG-os: ")
    assert told.endswith("No space left on device\n")


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT is heard by what is started here, also if whoever runs these tests has it ignored, as a shell's & does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_every_command_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server((HOST, 0))) as silent:
        monkeypatch.setenv("TIDEGAUGE_KAFKA", f"{HOST}:{silent.getsockname()[1]}")
        with started("lag") as process:
            taken, _ = silent.accept()  # by now it waits for an answer
            process.send_signal(signal.SIGINT)
            told = process.communicate()[1]
            taken.close()
    assert (process.returncode, told) == (130, "")


@pytest.mark.usefixtures("heard")
def test_ctrl_c_while_the_command_is_imported_is_as_quiet(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from stack.command import main; sys.exit(main())", "status"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_the_command_is_what_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"tidegauge": f"{installed.__module__}:{installed.__name__}"}

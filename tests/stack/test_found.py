"""How commands that ask a stack find it, and what they say if there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import state
from stack.cli import main
from stack.found import ASKS, asks, find
from stack.home import Home
from stack.ports import DEFAULTS, HOST

PARTS = ("KAFKA", "CLICKHOUSE", "REDIS", "FLINK", "QUERY")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in PARTS:
        # Set first, so that what a test leaves in the environment is taken out again.
        monkeypatch.setenv(f"TIDEGAUGE_{name}", "")
        monkeypatch.delenv(f"TIDEGAUGE_{name}")
    monkeypatch.setenv("TIDEGAUGE_HOME", str(tmp_path))
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("lag", "KAFKA"),
        ("cardinality", "CLICKHOUSE"),
        ("cardinality --policy", "CLICKHOUSE and TIDEGAUGE_KAFKA"),
        ("why event", "CLICKHOUSE"),
        ("policy list", "KAFKA"),
        ("policy would --hours 3", "CLICKHOUSE"),
        ("rules list", "KAFKA"),
        ("rules apply f.yaml", "KAFKA"),
        ("rules backtest f.yaml --from now", "CLICKHOUSE"),
        ("retention list", "CLICKHOUSE"),
    ],
)
def test_without_a_stack_it_is_said_at_once(
    command: str, setting: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == 1
    assert capsys.readouterr().err == (
        f"TG-no-stack no stack runs in {home.path}; `tidegauge up --detach` starts one, or set TIDEGAUGE_{setting} to "
        "reach another\n"
    )


@pytest.mark.parametrize("command", ["lag --help", "rules test f.yaml", "policy", "policy check f.yaml", "agent"])
def test_what_asks_nobody_needs_no_stack(command: str) -> None:
    assert asks(command.split()) == []


def test_one_part_that_is_named_is_not_enough_for_who_asks_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", f"{HOST}:1")
    assert main(["cardinality", "--policy"]) == 1
    assert "set TIDEGAUGE_KAFKA to reach" in capsys.readouterr().err


@pytest.mark.parametrize(("part", "name"), [(one, name) for one, parts in ASKS.items() for name in parts if name])
def test_every_command_that_asks_is_one(part: str, name: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([part, name, "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize("given", [{}, {"KAFKA": "h:1"}, {"REDIS": "", "CLICKHOUSE": "h:2"}])
def test_what_is_not_set_is_that_of_the_home(
    given: dict[str, str], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
    state.save(home, state.State(own, "running", dict(DEFAULTS)))
    for name, value in given.items():
        monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    find(["lag"])
    running = {name: f"{HOST}:{DEFAULTS[name.lower()]}" for name in PARTS}
    assert {name: os.environ[f"TIDEGAUGE_{name}"] for name in PARTS} == {**running, **given}


def test_a_clickhouse_that_is_away_is_one_line(home: Home) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", "cardinality"],
        env={**os.environ, "TIDEGAUGE_CLICKHOUSE": f"{HOST}:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("TG-clickhouse-unavailable")

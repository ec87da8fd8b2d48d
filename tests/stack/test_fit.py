"""What `tidegauge up` looks at before it starts anything: settings, Java, and what a running stack has already."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.ddl import main as ddl
from stack import doctor, state
from stack.cli import main
from stack.home import Home
from stack.kept import differing, environment
from stack.ports import DEFAULTS

WRONG = [
    ("SHARDS", "x", "TG-settings: TIDEGAUGE_SHARDS='x': Input should be a valid integer"),
    ("TOPIC_PARTITIONS", "0", "TG-settings: TIDEGAUGE_TOPIC_PARTITIONS='0': Input should be greater"),
    ("GATE_TOLERANCE_S", "2h", "TG-settings: TIDEGAUGE_GATE_TOLERANCE_S='2h': Input should be a valid integer"),
    ("QUERY_THREADS", "0", "TG-settings: TIDEGAUGE_QUERY_THREADS='0': "),
    ("QUERY_AUTH", "key", "TG-query-keys: "),
    ("RETENTION", "/nowhere.yaml", "TG-retention-file: /nowhere.yaml: "),
    ("CLICKHOUSE_MAX_QUERIES", "0", "TG-settings: TIDEGAUGE_CLICKHOUSE_MAX_QUERIES='0': "),
    ("QUERY_TIMEOUT_S", "1e308", "TG-settings: TIDEGAUGE_QUERY_TIMEOUT_S='1e308': "),
    ("QUERY_TENANT", "a b", "TG-settings: TIDEGAUGE_QUERY_TENANT='a b': "),
    ("GATE_USAGE_TENANT", "ü", "TG-settings: TIDEGAUGE_GATE_USAGE_TENANT='ü': "),
    ("ALERT_HEARTBEAT_TENANT", "", "TG-settings: TIDEGAUGE_ALERT_HEARTBEAT_TENANT='': "),
    ("CHECKPOINT_INTERVAL_S", "1" * 30, "TG-settings: TIDEGAUGE_CHECKPOINT_INTERVAL_S='" + "1" * 30 + "': "),
    ("BLOCK_DELAY_S", "nan", "TG-settings: TIDEGAUGE_BLOCK_DELAY_S='nan': "),
    ("BLOCK_ROWS", "1" * 30, "TG-settings: TIDEGAUGE_BLOCK_ROWS='" + "1" * 30 + "': "),
    ("CLICKHOUSE_TIMEOUT_S", "inf", "TG-settings: TIDEGAUGE_CLICKHOUSE_TIMEOUT_S='inf': "),
    ("AGENT_INTERVAL_S", "0", "TG-settings: TIDEGAUGE_AGENT_INTERVAL_S='0': "),
    ("AGENT_INTERVAL_S", "10000000000", "TG-settings: TIDEGAUGE_AGENT_INTERVAL_S='10000000000': "),
    ("AGENT_STOP_S", "inf", "TG-settings: TIDEGAUGE_AGENT_STOP_S='inf': "),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("TIDEGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEGAUGE_HOME", str(tmp_path))
    return Home(tmp_path)


@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=[f"{name}={value}" for name, value, _ in WRONG])
def test_a_wrong_setting_ends_up_before_anything_starts(
    name: str, value: str, message: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")  # or what is let pass would start a stack
    assert main(["up", "--detach", "--ports", "auto", "--agent"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert not home.state.exists()
    assert not (home.path / "log").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("AGENT_INTERVAL_S", "0"), ("SHARDS", "x"), ("QUERY_THREADS", "0"), ("CLICKHOUSE", "here")]
)
def test_what_is_left_out_or_set_by_up_may_be_wrong(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_{name}", value)
    monkeypatch.setenv("JAVA_HOME", "/nowhere")  # so far it comes
    assert main(["up", "--detach", "--ports", "auto", "--without", "jobs", "--without", "query"]) == 1
    assert capsys.readouterr().err.startswith("TG-java ")


@pytest.mark.parametrize("version", ["", "11.0.2"], ids=["none", "another"])
def test_a_wrong_java_ends_up_in_the_words_of_doctor(
    version: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    java = home.path / "java"
    if version:
        (java / "bin").mkdir(parents=True)
        (java / "bin" / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        (java / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(java))
    found = doctor.java(doctor.java_version)
    assert main(["up", "--detach", "--ports", "auto"]) == 1
    assert capsys.readouterr().err == f"TG-java {found.what} MISSING: {found.found}\n{found.remedy}\n"
    assert not home.state.exists()


def test_tables_are_not_made_with_wrong_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_GATE_TOLERANCE_S", "2h")
    assert ddl([]) == 2
    assert capsys.readouterr().err.startswith("TG-settings: TIDEGAUGE_GATE_TOLERANCE_S='2h': ")
    monkeypatch.delenv("TIDEGAUGE_GATE_TOLERANCE_S")
    assert ddl(["--endpoint", "here"]) == 2
    assert capsys.readouterr().err.startswith("TG-clickhouse-address: 'here' ")


@pytest.fixture
def running(home: Home) -> Iterator[None]:
    """A supervisor, as far as its record goes, that was started with two settings."""
    started = {"TIDEGAUGE_GATE_MAX_LABELS": "9", "TIDEGAUGE_KAFKA": "elsewhere:9092", "TIDEGAUGE_SHARDS": "4"}
    command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"]
    with subprocess.Popen(command, env={**os.environ, **started}, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        one.stdout.read(1)  # from here on it is the new program, with the new environment
        record = state.Running("up", one.pid, state.started_at(one.pid))
        state.save(home, state.State(record, "running", dict(DEFAULTS), {}))
        yield
        one.kill()


@pytest.mark.usefixtures("running")
def test_a_running_stack_does_not_take_other_settings_without_a_word(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGAUGE_GATE_MAX_LABELS", "8")
    monkeypatch.setenv("TIDEGAUGE_QUERY_THREADS", "7")
    assert main(["up", "--detach"]) == 1
    said = capsys.readouterr()
    assert said.err == (
        f"TG-settings-running the stack in {home.path} was started with other values of TIDEGAUGE_GATE_MAX_LABELS, "
        "TIDEGAUGE_QUERY_THREADS; `tidegauge down`, then `tidegauge up` takes these\n"
    )
    assert "ready" not in said.out


THEN = {"TIDEGAUGE_GATE_MAX_LABELS": "9", "TIDEGAUGE_KAFKA": "elsewhere:9092", "TIDEGAUGE_SHARDS": "4"}


@pytest.mark.parametrize(
    ("now", "other", "unset"),
    [
        (THEN, [], []),
        ({}, [], ["TIDEGAUGE_GATE_MAX_LABELS"]),
        ({**THEN, "TIDEGAUGE_GATE_MAX_LABELS": "8"}, ["TIDEGAUGE_GATE_MAX_LABELS"], []),
        ({**THEN, "TIDEGAUGE_PARALLELISM": "3"}, ["TIDEGAUGE_PARALLELISM"], []),
        ({**THEN, "TIDEGAUGE_PARALLELISM": "2"}, [], []),
        ({**THEN, "TIDEGAUGE_KAFKA": "h:1", "TIDEGAUGE_KAFKA_USERNAME": "me"}, [], []),
        ({**THEN, "TIDEGAUGE_TEST_HOME": "/h", "TIDEGAUGE_CLICKHOUSE_READONLY_USER": "me"}, [], []),
    ],
    ids=["the same", "unset", "another", "new", "the default", "of others", "of nobody"],
)
def test_only_what_matters_is_compared(now: dict[str, str], other: list[str], unset: list[str]) -> None:
    assert differing(now, THEN, {"TIDEGAUGE_KAFKA"}) == (other, unset)


def test_what_a_process_was_started_with_is_known() -> None:
    assert environment(os.getpid()).keys() & {"PATH"}
    assert environment(0) == {}

"""Settings that are changed, and jobs that Flink has forgotten: neither is passed over."""

import os
import shutil
from pathlib import Path

import pytest

from jobs.settings import JobSettings
from stack.home import Home
from stack.javatext import local, uri
from stack.remembered import Remembered, changed, remember, remembered, told
from stack.submitted import Submitted, UpgradeError, save
from tests.stack.test_upgrade import Flink, run, write

SASL = {"security_protocol": "SASL_SSL", "username": "me"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    save(home, Submitted("old", "thread", shards=4))
    return home


def test_other_settings_stop_the_jobs_with_a_savepoint_and_the_same_ones_do_not(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    flink = Flink(jobs_by_id={})
    run(home, flink, "old", TIDEGAUGE_GATE_MAX_LABELS="20")
    for labels, stops in (("20", 0), ("5", 1)):
        flink.jobs_by_id["1"] = "RUNNING"
        start = run(home, flink, "old", TIDEGAUGE_GATE_MAX_LABELS=labels)
        assert len(flink.stops) == stops
        assert [local(path).name for path in start.values()] == ["savepoint-1"] * stops
    assert "not what the jobs run with: TIDEGAUGE_GATE_MAX_LABELS=5\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("checkpoints", "start"),
    [(["1/chk-7/_metadata"], "chk-7"), (["1/chk-7/part"], None), (["2/chk-7/_metadata"], None), ([], None)],
    ids=["kept", "half", "another job's", "none"],
)
def test_a_job_that_flink_has_forgotten_goes_on_from_its_checkpoint(
    checkpoints: list[str], start: str | None, home: Home
) -> None:
    flink = Flink()
    assert run(home, flink, "old") == {}
    for path in checkpoints:
        write(home.path / "flink" / "checkpoints" / path)
    flink.jobs_by_id.clear()
    found = run(home, flink, "old")
    assert [local(path).name for path in found.values()] == ([start] if start else [])


@pytest.mark.parametrize(
    ("left", "elsewhere", "start"),
    [
        (["savepoints/savepoint-0a1b2c-9"], "", "savepoint-0a1b2c-9"),
        (["savepoints/gate-9/savepoint-0a1b2c-9"], "", "savepoint-0a1b2c-9"),  # of a stop of ours
        (["savepoints/savepoint-0a1b2c-9", "checkpoints/0a1b2c3d/chk-8"], "", "chk-8"),  # it ran on
        (["checkpoints/0a1b2c3d/chk-8", "savepoints/savepoint-0a1b2c-9"], "", "savepoint-0a1b2c-9"),
        (["savepoints/savepoint-0a1b2c-9"], "mine", "mine"),
        ([], "mine", "mine"),
    ],
)
def test_a_job_that_was_stopped_by_hand_goes_on_from_the_newest_that_it_left(
    left: list[str], elsewhere: str, start: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that has finished has no checkpoints any more: it was started from older state, or empty."""
    flink = Flink()
    run(home, flink)  # what it is started from is older
    flink.jobs_by_id["0a1b2c3d"] = "RUNNING"
    assert run(home, flink) == {}
    write(home.path / "flink" / "savepoints" / "savepoint-ffffff-9" / "_metadata")  # another job's
    places = [home.path / "flink" / path for path in left] + ([home.path / elsewhere] if elsewhere else [])
    for age, place in enumerate(reversed(places)):
        write(place / "_metadata")
        os.utime(place / "_metadata", (2_000_000_000 - age,) * 2)
    flink.jobs_by_id.clear()
    flink.savepoints["0a1b2c3d"] = uri(home.path / (elsewhere or "gone"))
    capsys.readouterr()
    assert [local(path).name for path in run(home, flink).values()] == [start]
    assert capsys.readouterr().out.startswith("gate does not run any more, state from ")


@pytest.mark.parametrize("older", [True, False])
def test_that_a_job_left_nothing_is_said(older: bool, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    flink = Flink() if older else Flink(jobs_by_id={})
    before = run(home, flink)
    flink.jobs_by_id["2"] = "RUNNING"
    assert run(home, flink) == {}
    flink.jobs_by_id.clear()
    capsys.readouterr()
    assert run(home, flink) == before
    said, how = capsys.readouterr().out, f"from {before['gate']}, as before" if older else "empty"
    assert said.startswith("TG-state-older gate does not run any more, ")
    assert f"it is started {how}. " in said


def test_a_job_that_is_gone_before_its_first_checkpoint_goes_on_from_where_it_was_started(home: Home) -> None:
    flink = Flink(jobs_by_id={"1": "RUNNING"})
    start = run(home, flink)
    assert [local(path).name for path in start.values()] == ["savepoint-1"]
    assert run(home, flink) == start  # its client died, nobody knows of the job
    for _ in range(2):
        flink.jobs_by_id["2"] = "RUNNING"
        assert run(home, flink) == {}
    flink.jobs_by_id.clear()
    assert run(home, flink) == start


def test_whose_checkpoints_others_were_started_from_is_kept_in_mind(home: Home) -> None:
    flink = Flink(jobs_by_id={"1": "RESTARTING"})
    flink.checkpoint.append(write(home.path / "flink" / "checkpoints" / "1" / "chk-7" / "_metadata"))
    assert list(run(home, flink)) == ["gate"]
    for code in ("new", "newer"):
        flink.jobs_by_id["2"] = "RUNNING"
        run(home, flink, code)
        assert remembered(home, code).former == ["1"]
    shutil.rmtree(home.path / "flink" / "checkpoints" / "1")
    run(home, flink, "newer")
    assert remembered(home, "newer").former == []


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {"TIDEGAUGE_PARALLELISM": "1"}, []),
        ({"TIDEGAUGE_PARALLELISM": "1"}, {"TIDEGAUGE_PARALLELISM": "1"}, []),
        ({"TIDEGAUGE_PARALLELISM": "1"}, {"TIDEGAUGE_PARALLELISM": "2"}, ["TIDEGAUGE_PARALLELISM=2"]),
        ({"A": "1"}, {"A": "1", "TIDEGAUGE_NEW": "x"}, ["TIDEGAUGE_NEW=x"]),
        (
            {"TIDEGAUGE_CLICKHOUSE_PASSWORD": "0a"},
            {"TIDEGAUGE_CLICKHOUSE_PASSWORD": "0b"},
            ["TIDEGAUGE_CLICKHOUSE_PASSWORD=…"],
        ),
        ({"TIDEGAUGE_ROLLUP_COARSEST": "1h"}, {"TIDEGAUGE_ROLLUP_COARSEST": "1d"}, ["TIDEGAUGE_ROLLUP_COARSEST=1d"]),
    ],
)
def test_what_is_changed_is_named(before: dict[str, str], now: dict[str, str], said: list[str]) -> None:
    assert changed(before, now) == said


def test_a_tier_is_not_taken_away_from_state_that_has_it() -> None:
    with pytest.raises(UpgradeError, match=r"TG-coarsest .* tier 1d, .* says 1h: .* Set TIDEGAUGE_ROLLUP_COARSEST=1d"):
        changed({"TIDEGAUGE_ROLLUP_COARSEST": "1d"}, {"TIDEGAUGE_ROLLUP_COARSEST": "1h"})


def test_no_password_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_PASSWORD", "hunter2")
    for name, value in {**SASL, "password": "hunter2"}.items():
        monkeypatch.setenv(f"TIDEGAUGE_KAFKA_{name.upper()}", value)
    found = told(JobSettings())
    assert "hunter2" not in str(found)
    assert found["TIDEGAUGE_KAFKA_PASSWORD"] == found["TIDEGAUGE_CLICKHOUSE_PASSWORD"] != "**********"
    assert found["TIDEGAUGE_CLICKHOUSE_PASSWORD"] != told(JobSettings(clickhouse_password="other"))[
        "TIDEGAUGE_CLICKHOUSE_PASSWORD"
    ]  # fmt: skip


def kafka(**settings: object) -> dict[str, str]:
    """What is told of jobs with these settings of Kafka."""
    return told(JobSettings.model_validate({f"kafka_{name}": value for name, value in settings.items()}))


def test_another_password_is_noticed_in_its_file_too(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("before\n")
    before = kafka(**SASL, password_file=file)
    assert before == kafka(**SASL, password="before")
    assert "before" not in str(before)
    file.write_text("after\n")
    assert changed(before, kafka(**SASL, password_file=file)) == ["TIDEGAUGE_KAFKA_PASSWORD=…"]


def test_a_password_that_nobody_is_asked_for_stops_no_job(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("any")
    assert kafka(password_file=file) == kafka(password="other") == kafka()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jobs": 1, "more": 2}'])
def test_a_file_that_cannot_be_read_is_as_none(text: str, home: Home) -> None:
    remember(home, Remembered("c", {"gate": "1"}, {"A": "1"}))
    assert remembered(home, "c") == Remembered("c", {"gate": "1"}, {"A": "1"})
    assert remembered(home, "d") == Remembered()
    (home.path / "jobs-run.json").write_text(text)
    assert remembered(home, "c") == Remembered()

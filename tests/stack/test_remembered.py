"""Settings that are changed, and jobs that Flink has forgotten: neither is passed over."""

from pathlib import Path

import pytest

from jobs.settings import JobSettings
from stack.home import Home
from stack.javatext import local
from stack.remembered import Remembered, changed, remember, remembered, told
from stack.submitted import Submitted, UpgradeError, save
from tests.stack.test_upgrade import Flink, run, write


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
    monkeypatch.setenv("TIDEGAUGE_KAFKA_PASSWORD", "hunter2")
    found = told(JobSettings())
    assert "hunter2" not in str(found)
    assert found["TIDEGAUGE_KAFKA_PASSWORD"] == found["TIDEGAUGE_CLICKHOUSE_PASSWORD"] != "**********"
    assert found["TIDEGAUGE_CLICKHOUSE_PASSWORD"] != told(JobSettings(clickhouse_password="other"))[
        "TIDEGAUGE_CLICKHOUSE_PASSWORD"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jobs": 1, "more": 2}'])
def test_a_file_that_cannot_be_read_is_as_none(text: str, home: Home) -> None:
    remember(home, Remembered("c", {"gate": "1"}, {"A": "1"}))
    assert remembered(home, "c") == Remembered("c", {"gate": "1"}, {"A": "1"})
    assert remembered(home, "d") == Remembered()
    (home.path / "jobs-run.json").write_text(text)
    assert remembered(home, "c") == Remembered()

"""jobs.json: what the home remembers of the jobs that were submitted last."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.settings import FORMER_SHARDS, JobSettings
from stack import upgrade
from stack.home import Home
from stack.submitted import Stop, Submitted, load, save


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home of mine")
    home.folder()
    save(home, Submitted("old", "thread", shards=4))
    return home


def test_a_home_that_does_not_say_has_the_shards_of_its_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert load(home) == Submitted()
    home.jobs.write_text(json.dumps({"code": "c", "mode": "thread", "pending": {"gate": "file:/s"}}))
    assert load(home) == Submitted("c", "thread", {"gate": "file:/s"}, FORMER_SHARDS)
    for now in (Submitted("d", "thread", shards=4), Submitted("d", "thread", {}, 4, {"gate": Stop("1", "/s", "t")})):
        save(home, now)
        assert load(home) == now
        assert ("stopping" in home.jobs.read_text()) is bool(now.stopping)


def test_what_is_written_is_on_the_disk_before_it_counts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[str, str]] = []
    fsync = os.fsync

    def kept_too(number: int) -> None:
        fsync(number)
        path = Path(f"/proc/self/fd/{number}").readlink()
        text = path.read_text() if path.is_file() else ""
        kept.append((path.name if path == home.path else text, load(home).code))

    monkeypatch.setattr(os, "fsync", kept_too)
    save(home, Submitted("new", "thread", shards=4))
    assert kept == [(home.jobs.read_text(), "old"), (home.path.name, "new")]
    assert list(home.path.iterdir()) == [home.jobs]


@pytest.mark.parametrize("text", ["", '{"code": "c', "[]", "null", '{"of": "a later version"}', '{"stopping": 3}'])
def test_an_unreadable_record_is_one_line_with_a_way_out(text: str, home: Home) -> None:
    home.jobs.write_text(text)
    env = {**os.environ, "TIDEGAUGE_HOME": str(home.path), "TIDEGAUGE_FLINK": "127.0.0.1:1"}
    step = subprocess.run([sys.executable, "-m", "stack.upgrade"], env=env, capture_output=True, text=True, check=False)
    assert step.returncode == 1
    assert step.stderr.startswith(f"TG-jobs-file {home.jobs} cannot be read (")
    assert step.stderr.count("\n") == 1
    example = step.stderr[step.stderr.rindex("write {") + 6 :].removesuffix(" into the file\n")
    home.jobs.write_text(example)
    assert list(load(home).pending) == ["gate"]


@pytest.mark.parametrize(
    ("asked", "recorded", "shards"),
    [("", 0, 4), ("", 8, 8), ("2", 0, 2), ("2", 8, 2), ("8", 8, 8)],
    ids=["a new home", "kept", "asked for", "asked for another", "asked for the same"],
)
def test_a_home_keeps_its_shards_unless_told(
    asked: str, recorded: int, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEGAUGE_SHARDS", raising=False)
    if asked:
        monkeypatch.setenv("TIDEGAUGE_SHARDS", asked)
    assert upgrade.shards_of(JobSettings(), Submitted(shards=recorded)) == shards

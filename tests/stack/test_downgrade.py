"""Code that the tables may refuse gets no jobs before they have not."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from stack import flink
from stack.code import version
from stack.flink import JOB_PACKAGES, TASKMANAGERS
from stack.home import Home
from stack.plan import processes
from stack.ports import DEFAULTS
from stack.submitted import Submitted, save


def needs(home: Home) -> set[tuple[str, ...]]:
    return {one.needs for one in processes(home, DEFAULTS) if one.name in TASKMANAGERS}


@pytest.mark.parametrize("code", ["", version(JOB_PACKAGES)])
def test_taskmanagers_start_at_once_where_no_other_code_ran(tmp_path: Path, code: str) -> None:
    home = Home(tmp_path)
    assert needs(home) == {("zookeeper",)}
    save(home, Submitted(code, "thread", shards=4))
    assert needs(home) == {("zookeeper",)}


def test_they_wait_for_the_tables_where_the_jobs_ran_with_other_code(tmp_path: Path) -> None:
    home = Home(tmp_path)
    save(home, Submitted("0123456789ab", "thread", shards=4))
    assert needs(home) == {("zookeeper", "tables")}


def test_and_where_nobody_can_tell(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.jobs.write_text("{")
    assert needs(home) == {("zookeeper", "tables")}


def test_the_sources_are_read_once_for_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Iterable[str]] = []

    def counted(packages: Iterable[str]) -> str:
        asked.append(packages)
        return version(packages)

    monkeypatch.setattr(flink, "version", counted)
    save(Home(tmp_path), Submitted("0123456789ab", "thread", shards=4))
    needs(Home(tmp_path))
    assert len(asked) == 1

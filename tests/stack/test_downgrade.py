"""Code that the tables may refuse gets no jobs before they have not."""

from pathlib import Path

import pytest

from stack.code import version
from stack.flink import JOB_PACKAGES, TASKMANAGERS, taskmanager
from stack.home import Home
from stack.submitted import Submitted, save

PORTS = {"flink": 1}


def needs(home: Home) -> set[tuple[str, ...]]:
    return {taskmanager(name, home, PORTS, {}).needs for name in TASKMANAGERS}


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

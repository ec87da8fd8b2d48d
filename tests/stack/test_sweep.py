"""What upgrades leave behind goes, and nothing that a job may still be started from."""

import os
from pathlib import Path

from stack.home import Home
from stack.javatext import uri
from stack.submitted import Stop, Submitted
from stack.sweep import sweep


def savepoint(home: Home, job: str, number: int, age: int) -> Path:
    folder = home.path / "flink" / "savepoints" / f"{job}-{number:032x}"
    (folder / "savepoint-1").mkdir(parents=True)
    (folder / "savepoint-1" / "_metadata").touch()
    os.utime(folder, (1e9 - age, 1e9 - age))
    return folder


def test_each_jobs_newest_savepoint_stays_and_what_is_to_be_started_from(tmp_path: Path) -> None:
    home = Home(tmp_path)
    gate = [savepoint(home, "gate", number, age) for number, age in enumerate((30, 10, 20))]
    store = [savepoint(home, "store", number, age) for number, age in enumerate((40, 10, 20, 30))]
    of_a_user = home.path / "flink" / "savepoints" / "before-the-move"
    of_a_user.mkdir()
    for name in ("1/chk-7", "2/shared", "3/chk-1", "4/taskowned"):
        (home.path / "flink" / "checkpoints" / name).mkdir(parents=True)
    done = Submitted(pending={"store": uri(store[2] / "savepoint-1")}, stopping={"store": Stop("9", str(store[3]))})
    sweep(home, done, {"1", "2"})
    assert set((home.path / "flink" / "savepoints").iterdir()) == {gate[1], *store[1:], of_a_user}
    # 3 ended, but has a checkpoint that someone may want.
    assert sorted(path.name for path in (home.path / "flink" / "checkpoints").iterdir()) == ["1", "2", "3"]


def test_a_home_without_state_is_swept_too(tmp_path: Path) -> None:
    sweep(Home(tmp_path), Submitted(), ())

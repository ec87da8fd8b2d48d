"""What upgrades leave behind goes, and nothing that a job may still be started from."""

import os
from pathlib import Path

import pytest

from stack.home import Home
from stack.javatext import uri
from stack.remembered import Remembered
from stack.submitted import Stop, Submitted
from stack.sweep import sweep


def names(home: Home, folder: str) -> list[str]:
    return sorted(path.name for path in (home.path / "flink" / folder).iterdir())


def checkpoint(home: Home, job: str, *numbers: int) -> str:
    """Write whole checkpoints of a job and return the URI of the last."""
    folders = [home.path / "flink" / "checkpoints" / job / f"chk-{number}" for number in numbers]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
    return uri(folders[-1])


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
    sweep(home, done, Remembered(), {"1", "2"})
    assert set((home.path / "flink" / "savepoints").iterdir()) == {gate[1], *store[1:], of_a_user}
    # 3 ended, but has a checkpoint that someone may want.
    assert names(home, "checkpoints") == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("own", "done", "left"),
    [
        ((), {}, ["kept", "old"]),
        ((1,), {}, ["kept", "new", "old"]),
        ((1, 2), {}, ["kept", "new"]),
        ((1, 2), {"pending": True}, ["kept", "new", "old"]),
        ((1, 2), {"stopping": True}, ["kept", "new", "old"]),
    ],
    ids=["no checkpoint yet", "one that may not count", "its own", "to be started from", "to fall back to"],
)
def test_the_checkpoint_of_a_cancelled_job_goes_once_its_successor_has_its_own(
    own: tuple[int, ...], done: dict[str, bool], left: list[str], tmp_path: Path
) -> None:
    home = Home(tmp_path)
    old = checkpoint(home, "old", 7)
    checkpoint(home, "kept", 3)  # of a user's own job, or of one that nothing is known of
    if own:
        checkpoint(home, "new", *own)
    record = Submitted(
        pending={"store": old} if "pending" in done else {},
        stopping={"store": Stop("old", checkpoint=old)} if "stopping" in done else {},
    )
    ran = Remembered("c", {"gate": "new"}, starts={"gate": old}, former=["old"])
    sweep(home, record, ran, {"new"})
    assert names(home, "checkpoints") == left


def test_what_nothing_was_started_from_any_more_goes_too(tmp_path: Path) -> None:
    home = Home(tmp_path)
    checkpoint(home, "old", 7)
    start = savepoint(home, "gate", 1, age=20)
    half = savepoint(home, "gate", 2, age=10)  # it failed: the newest folder is not what the job was started from
    ran = Remembered("c", {"gate": "new"}, starts={"gate": uri(start / "savepoint-1")}, former=["old"])
    sweep(home, Submitted(), ran, {"new"})
    assert names(home, "checkpoints") == []
    assert names(home, "savepoints") == [start.name, half.name]


def test_a_home_without_state_is_swept_too(tmp_path: Path) -> None:
    sweep(Home(tmp_path), Submitted(), Remembered(), ())

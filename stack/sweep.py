"""What upgrades leave behind: a savepoint a job, as large as the job's state, and folders of ended jobs."""

import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from stack.home import Home
from stack.javatext import local
from stack.remembered import Remembered, checkpoints, owner
from stack.submitted import Submitted

_SAVEPOINT = re.compile(r"([a-z]+)-[0-9a-f]{32}")


def sweep(home: Home, done: Submitted, ran: Remembered, live: Collection[str]) -> None:
    """Delete all savepoints but each job's newest, and what ended jobs (live: ids of others) have of checkpoints.

    Of checkpoints only those that jobs of ours have gone on from: others may be somebody's. Call it when all jobs run.
    What cannot be deleted, or is gone meanwhile, is left to the next upgrade: it is no reason for this one to fail.
    """
    named = [Path(one.folder) for one in done.stopping.values() if one.folder]
    # The newest need not be what a job was started from: a savepoint that failed may leave a folder too.
    kept = {*named, *(local(path).parent for path in (*done.pending.values(), *ran.starts.values()))}
    of_job: dict[str, list[Path]] = {}
    for folder in _folders(home.path / "flink" / "savepoints"):
        if (found := _SAVEPOINT.fullmatch(folder.name)) is not None:
            of_job.setdefault(found[1], []).append(folder)
    for folders in of_job.values():
        newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
        for folder in folders:
            if folder != newest and folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
    spent = _spent(home, done, ran)
    for folder in _folders(checkpoints(home)):
        if folder.name not in live and (folder.name in spent or not any(folder.glob("chk-*"))):
            shutil.rmtree(folder, ignore_errors=True)


def _spent(home: Home, done: Submitted, ran: Remembered) -> set[str]:
    """Return the ids of jobs that others have gone on from, and need no more.

    A job is restored from what it was started from until it has a checkpoint of its own, which holds all its state
    (Flink's claim mode is NO_CLAIM). A second one tells that the first counts.
    """
    young = {name for name in ran.starts if len(list(_whole(home, ran.jobs.get(name, "?")))) < 2}
    wanted = [*done.pending.values(), *(ran.starts[name] for name in young)]
    wanted += [one.checkpoint for one in done.stopping.values() if one.checkpoint]
    return set(ran.former) - {owner(home, state) for state in wanted}


def _whole(home: Home, job: str) -> Iterator[Path]:
    return (checkpoints(home) / job).glob("chk-*/_metadata")


def _folders(parent: Path) -> list[Path]:
    return [one for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []

"""What upgrades leave behind: a savepoint a job, as large as the job's state, and folders of ended jobs."""

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from stack.home import Home
from stack.javatext import local
from stack.submitted import Submitted

_SAVEPOINT = re.compile(r"([a-z]+)-[0-9a-f]{32}")


def sweep(home: Home, done: Submitted, live: Collection[str]) -> None:
    """Delete all savepoints but each job's newest, and folders of ended jobs (live: ids of others) without checkpoint.

    Call it when all jobs run: what they were started from is among the newest. What cannot be deleted, or is gone
    meanwhile, is left to the next upgrade: it is no reason for this one to fail.
    """
    named = [Path(one.folder) for one in done.stopping.values() if one.folder]
    kept = {*named, *(local(path).parent for path in done.pending.values())}
    of_job: dict[str, list[Path]] = {}
    for folder in _folders(home.path / "flink" / "savepoints"):
        if (found := _SAVEPOINT.fullmatch(folder.name)) is not None:
            of_job.setdefault(found[1], []).append(folder)
    for folders in of_job.values():
        newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
        for folder in folders:
            if folder != newest and folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
    for folder in _folders(home.path / "flink" / "checkpoints"):
        if folder.name not in live and not any(folder.glob("chk-*")):
            shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [one for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []

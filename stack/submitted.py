"""jobs.json: what the jobs last submitted were, and the state that stopped ones left."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jobs.settings import FORMER_SHARDS
from stack.home import Home
from stack.javatext import local, uri
from stack.ports import write


class UpgradeError(RuntimeError):
    """The jobs cannot be brought to the current code; says why and what to do."""


@dataclass(slots=True)
class Stop:
    """A job that was told to end, of which it is not known yet what it left.

    job: its id. folder: of its own, for its savepoint; empty if it was cancelled. trigger: Flink's id of the savepoint.
    checkpoint: the newest one before.
    """

    job: str
    folder: str = ""
    trigger: str = ""
    checkpoint: str | None = None


@dataclass(slots=True)
class Submitted:
    """jobs.json: what the jobs last submitted were.

    code: of all that run, and of those that are being submitted. pending: state to start from, of jobs stopped
    meanwhile. stopping: those that were told to stop.
    """

    code: str = ""
    mode: str = ""
    pending: dict[str, str] = field(default_factory=dict)
    shards: int = 0
    stopping: dict[str, Stop] = field(default_factory=dict)


def load(home: Home) -> Submitted:
    """Return what was submitted last; empty if nothing was. Raises UpgradeError."""
    if not home.jobs.exists():
        return Submitted()
    try:
        raw = {"shards": FORMER_SHARDS, "stopping": {}, **json.loads(home.jobs.read_text())}
        return Submitted(**{**raw, "stopping": {name: Stop(**one) for name, one in raw["stopping"].items()}})
    except (ValueError, TypeError, AttributeError) as error:
        example = {"mode": "thread", "shards": 4, "pending": {"gate": "file:/…/savepoint-…"}}
        raise UpgradeError(
            f"TG-jobs-file {home.jobs} cannot be read ({error}). If all jobs run, delete it: they are stopped with a "
            "savepoint and go on from that. A job that does not run would be started empty, which reads the topics "
            "again from their start: to go on from its newest savepoint or checkpoint below "
            f"{home.path / 'flink'}, write {json.dumps(example, ensure_ascii=False)} into the file"
        ) from error


def save(home: Home, submitted: Submitted) -> None:
    """Write jobs.json whole or not at all. Returns once it is on the disk, since Flink acts on it behind."""
    raw = asdict(submitted)
    if not submitted.stopping:
        del raw["stopping"]  # code from before does not know it, and someone may go back to that
    write(home.jobs, json.dumps(raw, indent=1))
    folder = os.open(home.path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def left(one: Stop) -> str | None:
    """Return the newest state that a job which has ended left, None if it left none. `_metadata` is written last."""
    whole = list(Path(one.folder).glob("*/_metadata")) if one.folder else []
    if one.checkpoint is not None:
        whole += local(one.checkpoint).parent.glob("chk-*/_metadata")
    return newest(whole) or one.checkpoint


def newest(whole: Iterable[Path]) -> str | None:
    """Return the URI of the newest of savepoints and checkpoints, given by their `_metadata`, which is written last."""
    last = max(whole, key=lambda path: path.stat().st_mtime_ns, default=None)
    return None if last is None else uri(last.parent)

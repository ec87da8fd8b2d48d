"""What ran when jobs.json was last written: ids of the jobs, and the settings that went into their graphs.

A file of its own, which code from before need not know.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jobs.settings import JobSettings
from schemas.tiers import TIERS
from stack.home import Home
from stack.javatext import local
from stack.ports import write
from stack.submitted import UpgradeError, newest

# Where the client reaches Flink, and what is checked by itself; the file's content is told in the place of its path.
_NOT_TOLD = {"flink", "shards", "execution_mode", "kafka_password_file"}
# In the name of a setting that is told as a hash.
_SECRET = "password"


@dataclass(slots=True)
class Remembered:
    """code: of the jobs, as in jobs.json; of other code nothing is known. jobs: ids by name. settings: by name.

    starts: the state that jobs were started from, by name: what one leaves that is gone before its first checkpoint.
    former: ids of ended jobs whose checkpoints others were started from; of jobs of any code.
    """

    code: str = ""
    jobs: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)
    former: list[str] = field(default_factory=list)


def _file(home: Home) -> Path:
    return home.path / "jobs-run.json"


def remembered(home: Home, code: str) -> Remembered:
    """Return what was written down of jobs of this code; of others only what they left."""
    try:
        found = Remembered(**json.loads(_file(home).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return Remembered()
    return found if found.code == code else Remembered(former=found.former)


def remember(home: Home, now: Remembered) -> None:
    """Write it down, whole or not at all."""
    raw = asdict(now)
    if not now.former:
        del raw["former"]  # as `stopping` in stack/submitted.py
    write(_file(home), json.dumps(raw, indent=1))


def checkpoints(home: Home) -> Path:
    """Return where each job has a folder by its id."""
    return home.path / "flink" / "checkpoints"


def owner(home: Home, state: str) -> str | None:
    """Return the id of the job whose checkpoint that is; None for a savepoint."""
    folder = local(state).parent
    return folder.name if folder.parent == checkpoints(home) else None


def former(home: Home, before: Collection[str], starts: Collection[str]) -> list[str]:
    """Return the ids of jobs of whose checkpoints something is left: of those before, and of what is started from."""
    owners = {*before, *(one for state in starts if (one := owner(home, state)))}
    return sorted(one for one in owners if (checkpoints(home) / one).is_dir())


def told(settings: JobSettings) -> dict[str, str]:
    """Return what of the settings goes into the jobs' graphs, by its environment variable. Raises OSError.

    Kafka's password as it is now, wherever it stands; none where the broker asks for none.
    """
    given = {**dict(settings), "kafka_password": settings.password() if settings.sasl else ""}
    return {f"TIDEGAUGE_{name.upper()}": _text(name, value) for name, value in given.items() if name not in _NOT_TOLD}


def _text(name: str, value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:12] if _SECRET in name else str(value)


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the settings that are not what the jobs run with, as `NAME=…`; raises UpgradeError if they cannot go on.

    before: empty if nothing is known.
    """
    if not before:
        return []
    _check_coarsest(before, now)
    other = [name for name, text in now.items() if before.get(name) != text]
    return [f"{name}={'…' if _SECRET in name.lower() else now[name]}" for name in other]


def _check_coarsest(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    name, order = "TIDEGAUGE_ROLLUP_COARSEST", [tier.name for tier in TIERS]
    old, new = before.get(name), now.get(name)
    if old in order and new in order and order.index(new) < order.index(old):
        raise UpgradeError(
            f"TG-coarsest the jobs' state holds windows up to tier {old}, {name} says {new}: Flink does not restore "
            f"state that no operator has. Set {name}={old}, or begin with another TIDEGAUGE_HOME"
        )


def forgotten(
    home: Home, ran: Remembered, known: Collection[str], savepoint: Callable[[str], str | None]
) -> dict[str, str]:
    """Return the newest state of each job that ran and is not among the known ones, or what it was started from.

    ZooKeeper's data were lost, the job failed while it was set up, or someone cancelled it, or stopped it with a
    savepoint. savepoint: returns where Flink knows a job's newest, by the job's id.
    """
    found = {}
    for name in {*ran.jobs, *ran.starts} - set(known):
        job, start = ran.jobs.get(name), ran.starts.get(name)
        own = newest(_whole(home, job, savepoint(job))) if job else None
        state = own or start
        if job and own is None:
            print(_older(home, name, start), flush=True)
        elif state:
            print(
                f"{name} does not run any more, state from {state}; to start it empty delete {_file(home)}", flush=True
            )
        if state:
            found[name] = state
    return found


def _older(home: Home, name: str, start: str | None) -> str:
    return (
        f"TG-state-older {name} does not run any more, and no checkpoint or savepoint that it left is known: it is "
        f"started {f'from {start}, as before' if start else 'empty'}. If it was stopped with a savepoint elsewhere, "
        f'cancel it, write "pending": {{"{name}": "file:/…"}} into {home.jobs}, and `tidegauge up`'
    )


def _whole(home: Home, job: str, savepoint: str | None) -> Iterator[Path]:
    """Yield the `_metadata` of what a job left; savepoint: one that Flink knows of, which may lie anywhere."""
    yield from (checkpoints(home) / job).glob("chk-*/_metadata")
    # A finished job's checkpoints are gone. Flink names savepoints by the first digits of the job's id.
    yield from (home.path / "flink" / "savepoints").glob(f"**/savepoint-{job[:6]}-*/_metadata")
    if savepoint is not None and (last := local(savepoint) / "_metadata").exists():
        yield last

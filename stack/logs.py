"""tidegauge logs: the end of one process's log, and what is added to it."""

import time
from collections import deque
from collections.abc import Iterator

from stack.home import Home


def names(home: Home) -> list[str]:
    """Return the processes that have a log; a home that is not there is not made. Raises HomeError."""
    return sorted(log.stem for log in home.folder("log").glob("*.log")) if home.path.exists() else []


def missing(home: Home, name: str) -> str:
    """Return what to tell of a name without a log."""
    from stack.flink import TASKMANAGERS
    from stack.upgrade import JOBS

    if name in JOBS:
        return f"TG-log no log of {name!r}: jobs log in {' and '.join(TASKMANAGERS)}"
    return f"TG-log no log of {name!r}; there are: {', '.join(names(home)) or 'none'}"


def lines(home: Home, name: str, count: int, *, follow: bool) -> Iterator[str]:
    """Yield the last lines, then, when following, each new one. A log that was cut is read from its start."""
    with home.log(name).open(errors="replace") as log:
        yield from deque(log, maxlen=count)
        while follow:
            line = log.readline()
            if line:
                yield line
            elif log.tell() > home.log(name).stat().st_size:
                log.seek(0)
            else:
                time.sleep(0.2)

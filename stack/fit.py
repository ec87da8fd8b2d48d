"""python -m stack.fit [PART …]: what must be right before any process starts: the settings of the parts, and Java.

Run with the environment that the processes will have: what `up` sets for all of them does not count. A process of its
own, since a supervisor in the foreground would keep all that the settings' classes import.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from pydantic import ValidationError

from schemas.setting import faults
from stack import doctor, limits, plan
from stack.home import Home


class UnfitError(RuntimeError):
    """Nothing can be started so; the message says why, code is the command's exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def check(home: Home, ports: Mapping[str, int], off: Collection[str], *, starts: bool) -> None:
    """Raise UnfitError if the stack without the parts in `off` cannot run; starts: it needs a Java for that.

    What looks like a setting and is none is told.
    """
    parts = [*(part for part in plan.CODE if part not in off), *(["java"] if starts else [])]
    done = subprocess.run(
        [sys.executable, "-m", "stack.fit", *parts],
        env=plan.environment(home, ports),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UnfitError(done.stderr.rstrip("\n") or f"TG-fit ended with exit code {done.returncode}", done.returncode)
    print(done.stderr, end="", file=sys.stderr)


def wrong(parts: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the settings of the steps and servers that always run, and of these parts."""
    # Here, since `up` needs this module without them.
    from jobs.settings import JobSettings
    from sinks.retention import RetentionSettings
    from sinks.topics import TopicSettings
    from stack.clickhouse import ClickhouseSettings

    yield from _told(TopicSettings)
    yield from _told(ClickhouseSettings, "TIDEGAUGE_CLICKHOUSE_")
    yield from _told(lambda: RetentionSettings().policy())
    if "jobs" in parts:
        yield from _told(JobSettings)
    if "query" in parts:
        yield from _told(_query)
    if "agent" in parts:
        from agent.settings import Settings

        yield from _told(Settings)


def _query() -> None:
    from query.settings import QuerySettings
    from query.tenants import KeyTenants

    settings = QuerySettings()
    if settings.query_auth == "key":
        KeyTenants.read(settings.query_keys)


def _told(read: Callable[[], object], prefix: str = "TIDEGAUGE_") -> list[str]:
    from query.errors import ConfigError
    from schemas.retention import RetentionError

    try:
        read()
    except ValidationError as error:
        return faults(error, prefix)
    except (ConfigError, RetentionError) as error:
        return [str(error)]
    return []


def main(parts: Sequence[str]) -> int:
    """Say what is wrong; return 2 for settings, 1 for Java and limits, in the words of `tidegauge doctor`."""
    from stack.unknown import unknown

    # It ends nothing: somebody may keep a name of his own beside ours.
    for line in unknown(os.environ):
        print(line, file=sys.stderr)
    if told := list(dict.fromkeys(wrong(parts))):
        print("\n".join(told), file=sys.stderr)
        return 2
    examined = [("TG-file-size", doctor.file_size(limits.file_size()))]
    if "java" in parts:
        examined.insert(0, ("TG-java", doctor.java(doctor.java_version)))
    for identity, found in examined:
        if not found.good:
            print(f"{identity} {found.what} MISSING: {found.found}\n{found.remedy}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The settings that a running stack was started with: all that it starts later has them, whoever asks for it."""

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings


def environment(pid: int) -> dict[str, str]:
    """Return what a process was started with; empty if that cannot be known, as of another user's."""
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(one).partition("=") for one in raw.split(b"\0") if one)
    return {name: value for name, _, value in pairs}


def elsewhere(pids: Iterable[int], root: Path) -> str:
    """Return the checkout that processes of a stack run from, if it is another than this one; else nothing."""
    found = {environment(pid).get("PYTHONPATH", "") for pid in pids} - {""}
    return next((one for one in sorted(found) if Path(one).resolve() != root.resolve()), "")


def classes() -> tuple[type[BaseSettings], ...]:
    """Return the settings of the stack's processes."""
    from agent.settings import Settings as AgentSettings
    from jobs.settings import JobSettings
    from query.settings import QuerySettings
    from sinks.retention import RetentionSettings
    from sinks.topics import TopicSettings
    from stack.clickhouse import ClickhouseSettings

    return TopicSettings, ClickhouseSettings, RetentionSettings, JobSettings, QuerySettings, AgentSettings


def variables(settings: type[BaseSettings]) -> dict[str, tuple[str, FieldInfo]]:
    """Return the fields of a class of settings, (name, field) by environment variable."""
    prefix = settings.model_config["env_prefix"]
    return {f"{prefix}{name}".upper(): (name, field) for name, field in settings.model_fields.items()}


def defaults() -> dict[str, str]:
    """Return the settings of the stack's processes, with their defaults, by environment variable."""
    from sinks.security import KafkaSecurity

    return {
        variable: str(field.default)
        for one in classes()
        for variable, (name, field) in variables(one).items()
        # The stack's own broker asks nobody who comes, and its ClickHouse has the reader that `up` gives it.
        if name not in KafkaSecurity.model_fields and not name.startswith("readonly_")
    }


def differing(now: Mapping[str, str], then: Mapping[str, str], fixed: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the settings that are set now, and otherwise than then; and those that were set then and are not now.

    fixed: what every stack sets by itself, whatever the environment has.
    """
    known = {name: default for name, default in defaults().items() if name not in fixed}
    other = [name for name, default in known.items() if name in now and now[name] != then.get(name, default)]
    unset = [name for name, default in known.items() if name not in now and then.get(name, default) != default]
    return other, unset

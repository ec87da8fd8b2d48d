"""Names of settings that none of Tidegauge's processes reads: a misspelt limit would silently not be in force."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic_settings import BaseSettings

from agent.settings import Settings as AgentSettings
from jobs.settings import JobSettings
from load.settings import LoadSettings
from query.settings import QuerySettings
from sinks.retention import RetentionSettings
from sinks.topics import TopicSettings
from stack.clickhouse import ClickhouseSettings
from stack.metrics import MetricsSettings

PREFIX = "TIDEGAUGE_"
CLASSES: tuple[type[BaseSettings], ...] = (
    *(AgentSettings, ClickhouseSettings, JobSettings, LoadSettings, MetricsSettings, QuerySettings),
    *(RetentionSettings, TopicSettings),
)
# Read where they are needed, by no class; the last two by the tests.
OTHERS = frozenset(PREFIX + name for name in ("HOME", "TEST_HOME", "PIN"))


def known() -> frozenset[str]:
    """Return the names of all settings."""
    named = (f"{one.model_config['env_prefix']}{field}".upper() for one in CLASSES for field in one.model_fields)
    return frozenset(named) | OTHERS


def unknown(environment: Iterable[str]) -> Iterator[str]:
    """Yield a line for each name of the environment that looks like a setting and is none."""
    names = known()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = get_close_matches(name, sorted(names), 1)
            yield f"TG-settings-unknown: nothing reads {name}" + (f"; is it {near[0]}?" if near else "")

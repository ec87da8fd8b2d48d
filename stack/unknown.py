"""Names of settings that none of Tidegauge's processes reads: a misspelt limit would silently not be in force."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from pydantic_settings import BaseSettings

from load.settings import LoadSettings
from stack.kept import classes, variables
from stack.metrics import MetricsSettings

PREFIX = "TIDEGAUGE_"
# Read where they are needed, by no class; the last two by the tests.
OTHERS = frozenset(PREFIX + name for name in ("HOME", "TEST_HOME", "PIN"))


def known() -> frozenset[str]:
    """Return the names of all settings."""
    of_commands: tuple[type[BaseSettings], ...] = LoadSettings, MetricsSettings
    return OTHERS.union(*map(variables, classes() + of_commands))


def unknown(environment: Iterable[str]) -> Iterator[str]:
    """Yield a line for each name of the environment that looks like a setting and is none."""
    names = known()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = get_close_matches(name, sorted(names), 1)
            yield f"TG-settings-unknown: nothing reads {name}" + (f"; is it {near[0]}?" if near else "")

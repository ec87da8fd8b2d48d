"""How a command that asks a stack reaches it: by the environment, else by the home."""

import os
from collections.abc import Mapping, Sequence

from stack import plan
from stack.home import Home
from stack.state import running

ASKS: Mapping[str, Mapping[str, str]] = {
    "lag": {"": "kafka"},
    "cardinality": {"": "clickhouse", "--policy": "kafka"},
    "why": {"": "clickhouse"},
    "rules": {"apply": "kafka", "list": "kafka", "backtest": "clickhouse"},
    "policy": {"apply": "kafka", "list": "kafka", "remove": "kafka", "would": "clickhouse"},
    "retention": {"apply": "clickhouse", "list": "clickhouse"},
}
"""The part that a command, or one of its own commands, asks, and with an option besides; what is not here asks none, or
waits for it by itself."""


class NoStackError(RuntimeError):
    """There is nothing that a command could ask; the message says what to do."""


def asks(arguments: Sequence[str]) -> list[str]:
    """Return the parts that the command asks."""
    if {"-h", "--help"} & set(arguments):
        return []
    parts = ASKS.get(arguments[0], {})
    own = next((one for one in arguments[1:] if not one.startswith("-")), "")
    options = [parts[one] for one in arguments[1:] if one.startswith("-") and one in parts]
    return [*([part] if (part := parts.get("") or parts.get(own)) else []), *options]


def find(arguments: Sequence[str]) -> None:
    """Name the parts of the stack that runs in the home in the environment, as far as that does not; for a command.

    Raises NoStackError at once where the command would wait for a server that nobody has named.
    """
    home = Home.choose(None)
    recorded = running(home)
    if recorded is not None:
        for name, address in plan.addresses(recorded.ports).items():
            os.environ.setdefault(name, address)
        return
    settings = [f"TIDEGAUGE_{part.upper()}" for part in asks(arguments)]
    if missing := [setting for setting in settings if setting not in os.environ]:
        raise NoStackError(
            f"TG-no-stack no stack runs in {home.path}; `tidegauge up --detach` starts one, or set "
            f"{' and '.join(missing)} to reach another"
        )

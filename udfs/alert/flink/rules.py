"""The rules that match and judge get by broadcast.

A rule in broadcast state is the text as it came; the parsed ones live beside it and are made again from it after a
restore.
"""

from collections.abc import Mapping
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from udfs.alert.keeper import Keeper, Stored
from udfs.control import entry
from udfs.mode import announce

RULES = MapStateDescriptor("rules", Types.STRING(), Types.STRING())


def none_stored() -> Mapping[str, bytes]:
    """Return no rules: what control.rules holds is only known from the stream."""
    return {}


def keeper(word: str, stored: Stored, runtime_context: RuntimeContext) -> Keeper:
    """Return the rules of the operator `word`, which says that it runs."""
    announce(word, runtime_context)
    refused = runtime_context.get_metrics_group().counter("rules_refused")
    return Keeper(stored, refused.inc)


def take(keeper: Keeper, record: Row, ctx: Any) -> None:
    """Take one record of control.rules: Row(key, value)."""
    keeper.take(*entry(record), ctx.get_broadcast_state(RULES))

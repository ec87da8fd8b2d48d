"""The gate as a Flink function: IN rows of metrics.raw, OUT rows for metrics.valid, refusals on a side output."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import OutputTag, ProcessFunction, RuntimeContext

from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits
from udfs.mode import announce

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())


def rejected_tag() -> OutputTag:
    """Return the tag of the refusals; made anew because a tag holds Java objects and does not travel."""
    return OutputTag("rejected", Types.ROW_NAMED(["k", "v", "ts"], [_BYTES, _BYTES, Types.LONG()]))


class GateFunction(ProcessFunction):
    """Runs Gate on each record; the record's Kafka timestamp is `now`."""

    def __init__(self, shards: int, limits: Limits) -> None:
        self._shards = shards
        self._limits = limits

    def open(self, runtime_context: RuntimeContext) -> None:
        """Make the gate with an empty cache."""
        announce("gate", runtime_context)
        self._gate = Gate(self._shards, self._limits)
        self._rejected = rejected_tag()

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Yield an OUT row per passed batch, and (tag, OUT row) per refusal."""
        now = ctx.timestamp()
        for outcome in self._gate.judge(value[0], now):
            if isinstance(outcome, Passed):
                yield Row(outcome.key.encode(), outcome.batch.encode(), outcome.event_time)
            else:
                record = outcome.refusal.encode(outcome.tenant, outcome.source, now)
                yield self._rejected, Row(outcome.tenant.encode(), record, now)

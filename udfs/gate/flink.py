"""The gate as a Flink function: IN rows of metrics.raw, ADDRESSED rows for metrics.valid and metrics.rejected."""

from collections.abc import Iterator

from pyflink.common import Row
from pyflink.datastream import ProcessFunction, RuntimeContext

from schemas import topics
from udfs.gate.gate import Gate, Passed
from udfs.gate.limits import Limits
from udfs.mode import announce


class GateFunction(ProcessFunction):
    """Runs Gate on each record; the record's Kafka timestamp is `now`."""

    def __init__(self, shards: int, limits: Limits) -> None:
        self._shards = shards
        self._limits = limits

    def open(self, runtime_context: RuntimeContext) -> None:
        """Make the gate with an empty cache."""
        announce("gate", runtime_context)
        self._gate = Gate(self._shards, self._limits)

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Row]:
        """Yield a row per passed batch and per refusal."""
        now = ctx.timestamp()
        for outcome in self._gate.judge(value[0], now):
            if isinstance(outcome, Passed):
                yield Row(topics.VALID, outcome.key.encode(), outcome.batch.encode(), outcome.event_time)
            else:
                record = outcome.refusal.encode(outcome.tenant, outcome.source, now)
                yield Row(topics.REJECTED, outcome.tenant.encode(), record, now)

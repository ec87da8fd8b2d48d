"""Records of the other topics into the tables of the same shape."""

from collections.abc import Iterator

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction, ProcessFunction, RuntimeContext

from schemas import topics
from schemas.codec import codec
from sinks import rows
from sinks.records import alert_rule
from udfs.mode import announce
from udfs.read.flink import Strays
from udfs.store.flink.store import Payload

# Topics whose records are rows: by which schema, and of which table.
_ROWS = {
    topics.ALERTS: ("alert_event", "alert_events"),
    topics.REJECTED: ("rejected", "rejections"),
    topics.LEDGER: ("account", "ledger"),
    topics.CARDINALITY: ("growth", "cardinality"),
}


class RecordFunction(FlatMapFunction):
    """IN rows of a topic whose records are rows of a table → (`table/0`, 1, record)."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._schema, self._table = _ROWS[topic]

    def open(self, runtime_context: RuntimeContext) -> None:
        """Count what is no such record: it would be found when a block of many is made."""
        self._strays = Strays(self._topic, runtime_context)

    def flat_map(self, value: Row) -> Iterator[Payload]:
        """Pass the record on under its table's name."""
        if self._strays.read(codec(self._schema).decode, value[0]) is not None:
            yield f"{self._table}/0", 1, value[0]


class RuleFunction(ProcessFunction):
    """Rows of control.rules, (key, value), → (`alert_rules/0`, 1, Arrow): what /api/v1/rules shows."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Say what runs."""
        announce("rules", runtime_context)

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Payload]:
        """Yield the rule; its record's time is its version."""
        body = None if value[1] is None else bytes(value[1])
        yield "alert_rules/0", 1, rows.pack(alert_rule(bytes(value[0] or b""), body, max(0, ctx.timestamp())))

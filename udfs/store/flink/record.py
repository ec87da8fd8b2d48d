"""Records of the other topics into the tables of the same shape."""

from collections.abc import Iterator

from pyflink.common import Row
from pyflink.datastream import MapFunction, ProcessFunction, RuntimeContext

from sinks import rows
from sinks.records import alert_rule
from udfs.mode import announce
from udfs.store.flink.store import Payload


class RecordFunction(MapFunction):
    """IN rows of a topic whose records are rows of `table` → (`table/0`, 1, record)."""

    def __init__(self, table: str) -> None:
        self._table = table

    def map(self, value: Row) -> Payload:
        """Pass the record on under its table's name."""
        return f"{self._table}/0", 1, value[0]


class RuleFunction(ProcessFunction):
    """Rows of control.rules, (key, value), → (`alert_rules/0`, 1, Arrow): what /api/v1/rules shows."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Say what runs."""
        announce("rules", runtime_context)

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Payload]:
        """Yield the rule; its record's time is its version."""
        body = None if value[1] is None else bytes(value[1])
        yield "alert_rules/0", 1, rows.pack(alert_rule(bytes(value[0] or b""), body, max(0, ctx.timestamp())))

"""Blocks for ClickHouse, buffered in Flink state: rows wait there until a block is full or old enough.

PyFlink has no CheckpointedFunction: a Python list would lose its rows at a restart. So blocks lie in ListState and are
written and cleared in one step; a repeat after a restore meets tables that replace equal keys.
"""

import time
from collections.abc import Iterator

import pyarrow as pa
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor

from schemas.tiers import TIERS
from sinks import rows
from sinks.clickhouse import TABLES, Clickhouse
from sinks.refusal import RefusedBlock
from sinks.target import Target
from sinks.versions import raise_versions, touched
from udfs.mode import announce
from udfs.write.refused import refused_block

Payload = tuple[str, int, bytes]

# What may only be seen together waits together. Series come before their samples: neither a sample nor a data version
# may be seen before its series can be found. completeness comes after the rows that it speaks of.
_LANES = {
    "series": "samples",
    "late_samples": "samples",
    "distributions": "samples",
    "completeness": "rollups",
    **{tier.table: "rollups" for tier in TIERS},
}
_ORDER = {"series": -1, "late_samples": -1, "completeness": 1}

_END = b"\0"  # of the table's name before a waiting payload
# A block waits as one value, of which the Java heap holds several copies: so many bytes at most, whatever its rows.
_MOST_BYTES = 24 << 20


def is_block(row: Row) -> bool:
    """Tell whether an ADDRESSED row goes to a table."""
    return row[0] in TABLES


def payload(row: Row) -> Payload:
    """Return the payload of an ADDRESSED row that is a block."""
    return f"{row[0]}/0", row[3], row[2]


def lane(payload: Payload) -> str:
    """Return the key under which a payload waits for its block to fill: tables that need an order share one."""
    table, _, slot = payload[0].partition("/")
    return f"{_LANES.get(table, table)}/{slot}"


class BlockWriter(KeyedProcessFunction):
    """Takes (`table/slot`, rows, payload): Frames for table samples, Arrow IPC streams for every other.

    Yields an OUT row for metrics.rejected, for each of its tenants, when ClickHouse refuses a block; anything else is
    retried until it lands, which holds the stream back as it should.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def open(self, runtime_context: RuntimeContext) -> None:
        """Connect lazily; state: the payloads of the block being filled."""
        announce("write", runtime_context)
        target = self._target
        self._clickhouse = Clickhouse(target.clickhouse, target.user, target.password, target.database)
        self._blocks = runtime_context.get_list_state(ListStateDescriptor("blocks", Types.PICKLED_BYTE_ARRAY()))
        self._filled: dict[str, tuple[int, int]] = {}  # rows and bytes

    def process_element(self, value: Payload, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Add a payload; write the block if it is full."""
        address, count, payload = value
        key = ctx.get_current_key()
        self._blocks.add(address.partition("/")[0].encode() + _END + payload)
        filled = self._filled.get(key)
        if filled is None:
            # First of a block, or first since a restart: then the rest of the block is there, uncounted, and its
            # timer came back with the state.
            timers = ctx.timer_service()
            timers.register_processing_time_timer(
                timers.current_processing_time() + int(self._target.block_delay_s * 1000)
            )
        held, size = filled or (0, 0)
        self._filled[key] = held + count, size + len(payload)
        if held + count >= self._target.block_rows or size + len(payload) >= _MOST_BYTES:
            yield from self._write(key, ctx.timer_service().current_processing_time())

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Write what has waited long enough."""
        yield from self._write(ctx.get_current_key(), timestamp)

    def _write(self, key: str, now: int) -> Iterator[Row]:
        self._filled.pop(key, None)
        waiting: dict[str, list[bytes]] = {}
        for tagged in self._blocks.get():
            table, _, payload = tagged.partition(_END)
            waiting.setdefault(table.decode(), []).append(payload)
        for table in sorted(waiting, key=lambda one: _ORDER.get(one, 0)):
            block = rows.block(table, waiting[table])
            try:
                self._clickhouse.insert(table, block)
            except RefusedBlock as refused:
                for tenant, record in refused_block(table, block, refused, now):
                    yield Row(tenant.encode(), record, now)
            else:
                self._raise_versions(table, block, now)
        self._blocks.clear()

    def _raise_versions(self, table: str, block: pa.Table, now: int) -> None:
        """Tell caches about samples older than the fresh tail, which they may hold."""
        if table not in ("samples", "distributions"):
            return
        late = touched(block, now - self._target.fresh_tail_s * 1000)
        # The clock after the write, not the timer's: see raise_versions.
        raise_versions(self._clickhouse, late, time.time_ns())

"""Blocks for ClickHouse, buffered in Flink state: rows wait there until a block is full or old enough.

PyFlink has no CheckpointedFunction: a Python list would lose its rows at a restart. So blocks lie in ListState and are
written and cleared in one step; a repeat after a restore meets tables that replace equal keys.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor

from schemas.batch import Frame
from sinks import rows
from sinks.clickhouse import Clickhouse, RefusedBlock
from sinks.versions import raise_versions, touched


@dataclass(frozen=True, slots=True)
class Target:
    """Where blocks go and when: see the settings of the same names."""

    clickhouse: str
    user: str
    password: str
    database: str
    block_rows: int
    block_delay_s: float
    fresh_tail_s: int


class BlockWriter(KeyedProcessFunction):
    """Takes (`table/slot`, rows, payload): Frames for table samples, Arrow IPC streams for every other.

    Yields an OUT row for metrics.rejected when ClickHouse refuses a block; anything else is retried until it lands,
    which holds the stream back as it should.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def open(self, runtime_context: RuntimeContext) -> None:
        """Connect lazily; state: the payloads of the block being filled."""
        target = self._target
        self._clickhouse = Clickhouse(target.clickhouse, target.user, target.password, target.database)
        self._blocks = runtime_context.get_list_state(ListStateDescriptor("blocks", Types.PICKLED_BYTE_ARRAY()))
        self._filled: dict[str, int] = {}

    def process_element(self, value: tuple[str, int, bytes], ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Add a payload; write the block if it is full."""
        key, count, payload = value
        self._blocks.add(payload)
        filled = self._filled.get(key)
        if filled is None:
            # First of a block, or first since a restart: then the rest of the block is there, uncounted, and its
            # timer came back with the state.
            timers = ctx.timer_service()
            timers.register_processing_time_timer(
                timers.current_processing_time() + int(self._target.block_delay_s * 1000)
            )
        self._filled[key] = (filled or 0) + count
        if self._filled[key] >= self._target.block_rows:
            yield from self._write(key)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Write what has waited long enough."""
        yield from self._write(ctx.get_current_key())

    def _write(self, key: str) -> Iterator[Row]:
        payloads = list(self._blocks.get())
        self._filled.pop(key, None)
        if not payloads:
            return
        table = key.partition("/")[0]
        block = rows.samples([Frame.decode(one) for one in payloads]) if table == "samples" else rows.unpack(payloads)
        try:
            self._clickhouse.insert(table, block)
        except RefusedBlock as refused:
            yield refused_row(table, block, refused)
        else:
            self._raise_versions(block)
        self._blocks.clear()

    def _raise_versions(self, block: pa.Table) -> None:
        """Tell caches about rows older than the fresh tail, which they may hold."""
        if "ts" not in block.column_names:
            return
        now_ns = time.time_ns()
        for tenant, pairs in touched(block, now_ns // 1_000_000 - self._target.fresh_tail_s * 1000).items():
            raise_versions(self._clickhouse, tenant, pairs, now_ns)

"""One tier: panes collect, and close once."""

from collections.abc import Callable, Iterator

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor

from schemas import topics
from sinks import rows
from udfs.mode import announce
from udfs.rollup.flink.closing import Closing, blocks
from udfs.rollup.flink.pane import SOURCES, Pane


class Held:
    """The Payloads of a pane: listed ones, and blocks that are read from state when they are asked for."""

    def __init__(self, listed: list[bytes], count: int, block: Callable[[int], bytes]) -> None:
        self._listed, self._count, self._block = listed, count, block

    def __len__(self) -> int:
        return len(self._listed) + self._count

    def __getitem__(self, place: int, /) -> bytes:
        listed = len(self._listed)
        return self._listed[place] if place < listed else self._block(place - listed)

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))


class RollupFunction(KeyedProcessFunction):
    """Collects the payloads of a pane and turns them into rows once, when the watermark passes the window's end.

    Yields ADDRESSED rows: blocks for the rollup tables and completeness, under the pane's key, and frames that came too
    late for metrics.late.

    A closed pane leaves a mark behind, for as long as the gate may still let samples of it through: watermarks are not
    part of a checkpoint, and after a restore a late frame must still be seen to be late.
    """

    def __init__(self, closing: Closing, horizon_ms: int) -> None:
        self._closing = closing
        self._width = closing.tier.width_ms
        self._horizon = horizon_ms

    def open(self, runtime_context: RuntimeContext) -> None:
        """State: the pane's payloads, and whether it is closed."""
        announce(f"rollup_{self._closing.tier.name}", runtime_context)
        kept = Types.PICKLED_BYTE_ARRAY()
        self._payloads = runtime_context.get_list_state(ListStateDescriptor("frames", kept))
        # A list is one value, which the Java heap would have to hold whole, and more than once.
        self._blocks = runtime_context.get_map_state(MapStateDescriptor("blocks", Types.INT(), kept))
        self._count = runtime_context.get_state(ValueStateDescriptor("count", Types.INT()))
        self._closed = runtime_context.get_state(ValueStateDescriptor("closed", Types.BOOLEAN()))
        self._open_panes: set[str] = set()

    def process_element(self, value: Pane, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Keep the payload, or send it on as late."""
        key, payload = value
        timers = ctx.timer_service()
        if key not in self._open_panes:
            owner, _, window = key.rpartition("/")
            end = int(window) + self._width
            if self._closed.value() or timers.current_watermark() >= end:
                # A source that is late was not there in time: nothing to tell.
                if not owner.endswith(f"/{SOURCES}"):
                    for frame in self._closing.late(key, payload):
                        yield Row(topics.LATE, owner.encode(), frame, ctx.timestamp())
                return
            self._open_panes.add(key)
            timers.register_event_time_timer(end)
        if not self._closing.apart:
            self._payloads.add(payload)
            return
        count = self._count.value() or 0
        self._blocks.put(count, payload)
        self._count.update(count + 1)

    def _held(self) -> Held:
        """Return what the pane holds."""
        # Each block by its key: RocksDB's iterators load many values at once. What a tier keeps apart lay in the list
        # before.
        count = self._count.value() or 0 if self._closing.apart else 0
        return Held(list(self._payloads.get()), count, self._blocks.get)

    def _forget(self) -> None:
        self._payloads.clear()
        if self._closing.apart:
            self._blocks.clear()
            self._count.clear()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Close the pane, or forget that it was closed."""
        key = ctx.get_current_key()
        owner, _, start = key.rpartition("/")
        window = int(start)
        if timestamp != window + self._width:
            self._closed.clear()
            return
        payloads = self._held()
        if len(payloads):
            yield from self._rows(key, owner, window, payloads)
        self._forget()
        self._open_panes.discard(key)
        self._closed.update(True)
        ctx.timer_service().register_event_time_timer(timestamp + self._horizon)

    def _rows(self, key: str, owner: str, window: int, payloads: Held) -> Iterator[Row]:
        tenant, _, shard = owner.rpartition("/")
        tier = self._closing.tier
        if shard == SOURCES:
            made = rows.completeness(tenant, tier.name, window, self._closing.sources(payloads))
            yield Row("completeness", key.encode(), rows.pack(made), made.num_rows)
            return
        for table in self._closing.rows(window, payloads):
            for block in blocks(table):
                yield Row(tier.table, key.encode(), rows.pack(block), block.num_rows)

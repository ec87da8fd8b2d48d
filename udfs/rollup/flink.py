"""The rollup's Flink functions: valid batches → panes (tenant, shard, window) → rows when the watermark closes them."""

from collections.abc import Iterator

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, ProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor

from schemas import topics
from schemas.batch import Batch, Frame
from sinks import rows
from udfs.frames import Framer
from udfs.mode import announce
from udfs.rollup.rows import rollup
from udfs.rollup.window import split

Pane = tuple[str, bytes]


def pane(keyed: Pane) -> str:
    """Return the pane's key."""
    return keyed[0]


class PaneFunction(ProcessFunction):
    """IN rows of metrics.valid → (`tenant/shard/window start`, Frame), one per window that the batch touches."""

    def __init__(self, width: int) -> None:
        self._width = width

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin with an empty cache of sets."""
        announce("panes", runtime_context)
        self._framer = Framer()

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Pane]:
        """Yield the batch's share of each window."""
        for window, frame in split(self._framer.frame(Batch.decode(value[0])), self._width):
            yield f"{frame.tenant}/{frame.shard}/{window}", frame.encode()


class RollupFunction(KeyedProcessFunction):
    """Collects the frames of a pane and turns them into rows once, when the watermark passes the window's end.

    Yields ADDRESSED rows: blocks for the rollup table, and frames that came too late for metrics.late.

    A closed pane leaves a mark behind, for as long as the gate may still let samples of it through: watermarks are not
    part of a checkpoint, and after a restore a late frame must still be seen to be late.
    """

    def __init__(self, width: int, horizon_ms: int, table: str) -> None:
        self._width = width
        self._horizon = horizon_ms
        self._table = table

    def open(self, runtime_context: RuntimeContext) -> None:
        """State: the pane's frames, and whether it is closed."""
        announce("rollup", runtime_context)
        self._frames = runtime_context.get_list_state(ListStateDescriptor("frames", Types.PICKLED_BYTE_ARRAY()))
        self._closed = runtime_context.get_state(ValueStateDescriptor("closed", Types.BOOLEAN()))
        self._open_panes: set[str] = set()

    def process_element(self, value: Pane, ctx: KeyedProcessFunction.Context) -> Iterator[Row]:
        """Keep the frame, or send it on as late."""
        key, payload = value
        timers = ctx.timer_service()
        if key not in self._open_panes:
            end = int(key.rpartition("/")[2]) + self._width
            if self._closed.value() or timers.current_watermark() >= end - 1:
                yield Row(topics.LATE, key.rpartition("/")[0].encode(), payload, ctx.timestamp())
                return
            self._open_panes.add(key)
            timers.register_event_time_timer(end - 1)
        self._frames.add(payload)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Close the pane, or forget that it was closed."""
        key = ctx.get_current_key()
        window = int(key.rpartition("/")[2])
        if timestamp != window + self._width - 1:
            self._closed.clear()
            return
        frames = [Frame.decode(payload) for payload in self._frames.get()]
        self._open_panes.discard(key)
        self._frames.clear()
        self._closed.update(True)
        ctx.timer_service().register_event_time_timer(timestamp + self._horizon)
        made = rollup(frames, window) if frames else None
        if made is not None:
            # One slot: rollups are few, and a block of them costs ClickHouse the less a row the larger it is.
            yield Row(self._table, b"0", rows.pack(rows.rollup(made)), len(made))

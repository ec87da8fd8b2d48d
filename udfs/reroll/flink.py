"""The reroll's Flink function: late frames wait a moment for company, then their window is computed anew."""

from collections.abc import Iterator

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, MapFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor

from schemas.batch import Frame
from sinks import rows, samples
from sinks.clickhouse import Clickhouse
from sinks.target import Target
from udfs.mode import announce
from udfs.reroll.dirty import unite
from udfs.rollup.rows import rollup
from udfs.rollup.window import start_of


class DirtyFunction(MapFunction):
    """IN rows of metrics.late → (`tenant/shard/window start`, Frame). A late frame lies in one window whole."""

    def __init__(self, width: int) -> None:
        self._width = width

    def map(self, value: Row) -> tuple[str, bytes]:
        """Name the frame's window."""
        frame = Frame.decode(value[0])
        window = int(start_of(frame.timestamps[:1], self._width)[0])
        return f"{frame.tenant}/{frame.shard}/{window}", value[0]


class RerollFunction(KeyedProcessFunction):
    """Recomputes a window from its stored samples and the late ones at hand; the fuller rows replace the others."""

    def __init__(self, width: int, settle_s: float, shards: int, target: Target) -> None:
        self._width = width
        self._settle = int(settle_s * 1000)
        self._shards = shards
        self._target = target

    def open(self, runtime_context: RuntimeContext) -> None:
        """State: the late frames of the window."""
        announce("reroll", runtime_context)
        target = self._target
        self._clickhouse = Clickhouse(target.clickhouse, target.user, target.password, target.database)
        self._frames = runtime_context.get_list_state(ListStateDescriptor("frames", Types.PICKLED_BYTE_ARRAY()))
        self._waiting: set[str] = set()

    def process_element(self, value: tuple[str, bytes], ctx: KeyedProcessFunction.Context) -> Iterator[None]:
        """Keep the frame; the first of a window starts the clock."""
        key, payload = value
        self._frames.add(payload)
        if key not in self._waiting:
            self._waiting.add(key)
            timers = ctx.timer_service()
            timers.register_processing_time_timer(timers.current_processing_time() + self._settle)
        yield from ()

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[tuple[str, int, bytes]]:
        """Recompute the window."""
        key = ctx.get_current_key()
        self._waiting.discard(key)
        frames = [Frame.decode(payload) for payload in self._frames.get()]
        self._frames.clear()
        if not frames:
            return
        window = int(key.rpartition("/")[2])
        late = unite(frames)
        stored = samples.window(self._clickhouse, late, self._shards, window, window + self._width)
        made = rollup([late, stored], window)
        if made is not None:
            yield "rollup_1m/0", len(made), rows.pack(rows.rollup(made))

"""The rollup's Flink functions: valid batches → panes (tenant, shard, window) → rows when the watermark closes them.

Every tier is a KeyedProcessFunction over panes; what one closes is a payload of the next. Beside the panes of shards
each tenant has one of its sources: it closes into the row of table completeness.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import xxhash
from cachetools import LRUCache
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, MapFunction, ProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor

from schemas import topics
from schemas.batch import Batch, Frame, UInt64s
from schemas.nan import MISSING
from schemas.tiers import MINUTE, Tier
from sinks import rows
from udfs.frames import Framer
from udfs.mode import announce
from udfs.rollup.distribution import distributions
from udfs.rollup.distribution import rollup as roll_distributions
from udfs.rollup.merge import merge
from udfs.rollup.rows import rollup
from udfs.rollup.window import split, within

Pane = tuple[str, bytes]

SOURCES = "sources"  # stands for the shard in the key of a pane of sources
_REMEMBERED = 100_000  # (tenant, source, window): about 200 bytes each


def pane(keyed: Pane) -> str:
    """Return the pane's key."""
    return keyed[0]


class PaneFunction(ProcessFunction):
    """IN rows of metrics.valid → (`tenant/shard/window start`, Frame), one per window that the batch touches."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin with an empty cache of sets, and no source seen."""
        announce("panes", runtime_context)
        self._framer = Framer()
        self._seen: LRUCache[tuple[str, str, int], bool] = LRUCache(_REMEMBERED)

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Pane]:
        """Yield the batch's share of each window, and its source where it is new there."""
        batch = Batch.decode(value[0])
        for window, frame in split(self._framer.frame(batch), MINUTE.width_ms):
            yield f"{frame.tenant}/{frame.shard}/{window}", frame.encode()
            # A rule records only what it finds: its silence says nothing about the data being whole.
            if batch.source.startswith(topics.RULE_SOURCE):
                continue
            if (batch.tenant, batch.source, window) not in self._seen:
                self._seen[batch.tenant, batch.source, window] = True
                yield f"{frame.tenant}/{SOURCES}/{window}", xxhash.xxh3_64_digest(batch.source.encode())[::-1]


class Closing(Protocol):
    """What a tier does with the payloads of a pane."""

    tier: Tier

    def rows(self, window: int, payloads: list[bytes]) -> pa.Table | None:
        """Return the rows of a shard's closed window; None if it holds no value."""
        ...

    def sources(self, payloads: list[bytes]) -> UInt64s:
        """Return the hashes of a tenant's sources."""
        ...

    def late(self, key: str, payload: bytes) -> bytes:
        """Return the frame that tells the reroll job of a payload that came too late."""
        ...


class OfFrames:
    """The first tier: payloads are frames, and hashes of sources."""

    tier = MINUTE

    def rows(self, window: int, payloads: list[bytes]) -> pa.Table | None:
        """Roll the frames up: plain ones and those of distributions each by their own rule."""
        frames = [Frame.decode(payload) for payload in payloads]
        plain = [frame for frame in frames if frame.weights is None]
        made = [] if not plain else [rollup(plain, window)]
        if len(plain) < len(frames):
            many = distributions([frame for frame in frames if frame.weights is not None])
            made.append(None if many is None else roll_distributions(many, window))
        tables = [rows.rollup(one) for one in made if one is not None]
        return pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else next(iter(tables), None)

    def sources(self, payloads: list[bytes]) -> UInt64s:
        """Return each hash once."""
        found: UInt64s = np.unique(np.frombuffer(b"".join(payloads), "<u8"))
        return found

    def late(self, key: str, payload: bytes) -> bytes:
        """Return the late frame itself."""
        return payload


class OfRows:
    """A coarser tier: payloads are what the finer one closed, as Arrow."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier

    def rows(self, window: int, payloads: list[bytes]) -> pa.Table | None:
        """Merge the finer rows."""
        return rows.rollup(merge(rows.rollups(rows.unpack(payloads)), window))

    def sources(self, payloads: list[bytes]) -> UInt64s:
        """Return each hash once."""
        lists = rows.unpack(payloads)["sources"].combine_chunks()
        found: UInt64s = np.unique(lists.flatten().to_numpy().astype(np.uint64, copy=False))
        return found

    def late(self, key: str, payload: bytes) -> bytes:
        """Return a frame without samples: it marks the rows' window as dirty."""
        (part,) = rows.rollups(rows.unpack([payload]))
        cells = np.repeat(MISSING, len(part)).reshape(1, len(part))
        shard = int(key.split("/")[-2])
        stamps = np.array([part.window + 1], dtype=np.int64)
        return Frame(part.tenant, shard, part.metrics, part.metric_codes, part.series_ids, stamps, cells).encode()


class CoarserFunction(MapFunction):
    """ADDRESSED blocks of a finer tier → (`tenant/shard/window start` of this one, block)."""

    def __init__(self, tier: Tier) -> None:
        self._width = tier.width_ms

    def map(self, value: Row) -> Pane:
        """Name the window that the block's window lies in."""
        owner, _, window = value[1].decode().rpartition("/")
        return f"{owner}/{within(int(window), self._width)}", value[2]


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
        self._payloads = runtime_context.get_list_state(ListStateDescriptor("frames", Types.PICKLED_BYTE_ARRAY()))
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
                    yield Row(topics.LATE, owner.encode(), self._closing.late(key, payload), ctx.timestamp())
                return
            self._open_panes.add(key)
            timers.register_event_time_timer(end)
        self._payloads.add(payload)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Row]:
        """Close the pane, or forget that it was closed."""
        key = ctx.get_current_key()
        owner, _, start = key.rpartition("/")
        window = int(start)
        if timestamp != window + self._width:
            self._closed.clear()
            return
        payloads = list(self._payloads.get())
        self._open_panes.discard(key)
        self._payloads.clear()
        self._closed.update(True)
        ctx.timer_service().register_event_time_timer(timestamp + self._horizon)
        if not payloads:
            return
        tenant, _, shard = owner.rpartition("/")
        tier = self._closing.tier
        if shard == SOURCES:
            table, made = "completeness", rows.completeness(tenant, tier.name, window, self._closing.sources(payloads))
        else:
            table, made = tier.table, self._closing.rows(window, payloads)
        if made is not None:
            yield Row(table, key.encode(), rows.pack(made), made.num_rows)

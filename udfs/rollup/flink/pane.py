"""The way into a pane: of a batch into those of minutes, of a closed block into that of the coarser tier."""

from collections.abc import Iterator

import xxhash
from cachetools import LRUCache
from pyflink.common import Row
from pyflink.datastream import MapFunction, ProcessFunction, RuntimeContext

from schemas import topics
from schemas.tiers import MINUTE, Tier
from udfs.frames import Framer
from udfs.mode import announce
from udfs.read.flink import Strays
from udfs.read.valid import valid
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
        self._strays = Strays(topics.VALID, runtime_context)
        self._framer = Framer()
        self._seen: LRUCache[tuple[str, str, int], bool] = LRUCache(_REMEMBERED)

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Pane]:
        """Yield the batch's share of each window, and its source where it is new there."""
        batch = self._strays.read(valid, value[0])
        if batch is None:
            return
        for window, frame in split(self._framer.frame(batch), MINUTE.width_ms):
            yield f"{frame.tenant}/{frame.shard}/{window}", frame.encode()
            # A rule records only what it finds: its silence says nothing about the data being whole.
            if batch.source.startswith(topics.RULE_SOURCE):
                continue
            if (batch.tenant, batch.source, window) not in self._seen:
                self._seen[batch.tenant, batch.source, window] = True
                yield f"{frame.tenant}/{SOURCES}/{window}", xxhash.xxh3_64_digest(batch.source.encode())[::-1]


class CoarserFunction(MapFunction):
    """ADDRESSED blocks of a finer tier → (`tenant/shard/window start` of this one, block)."""

    def __init__(self, tier: Tier) -> None:
        self._width = tier.width_ms

    def map(self, value: Row) -> Pane:
        """Name the window that the block's window lies in."""
        owner, _, window = value[1].decode().rpartition("/")
        return f"{owner}/{within(int(window), self._width)}", value[2]

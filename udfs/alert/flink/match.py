"""Valid batches into pieces by rule and bucket."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from pyflink.common import Row
from pyflink.datastream import BroadcastProcessFunction, RuntimeContext

from schemas import topics
from udfs.alert.flink.rules import RULES, keeper, none_stored, take
from udfs.alert.heard import Reading
from udfs.alert.keeper import Stored
from udfs.alert.match import Match
from udfs.alert.spread import BUCKETS
from udfs.read.flink import Strays
from udfs.read.valid import valid


def piece(addressed: tuple[str, bytes]) -> tuple[str, bytes]:
    """Return what comes: the operator that stands between match and the keying."""
    return addressed


def address_of(addressed: tuple[str, bytes]) -> str:
    """Return the key of a piece."""
    return addressed[0]


class MatchFunction(BroadcastProcessFunction):
    """IN rows of metrics.valid and rows of control.rules to (address, piece); (mark, how far raw is read)."""

    def __init__(self, stored: Stored = none_stored, buckets: int = BUCKETS, reading: Reading | None = None) -> None:
        self._stored, self._buckets, self._reading = stored, buckets, reading or Reading()

    def open(self, runtime_context: RuntimeContext) -> None:
        """Start without rules; those of the broadcast state come with the first record."""
        self._rules = keeper("alert.match", self._stored, runtime_context)
        self._match = Match(self._rules.book, self._buckets)
        self._strays = Strays(topics.VALID, runtime_context)

    def process_element(self, value: Row, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[tuple[str, bytes]]:
        """Yield the pieces of one batch."""
        self._rules.load(partial(ctx.get_broadcast_state, RULES))
        batch = self._strays.read(valid, value[0])
        if batch is None:
            return
        for address, part in self._match.split(batch):
            yield address, part.encode() if part is not None else b""
        yield from self._reading.take(batch)

    def process_broadcast_element(self, value: Row, ctx: BroadcastProcessFunction.Context) -> Iterator[Any]:
        """Take a rule."""
        take(self._rules, value, ctx)
        return iter(())

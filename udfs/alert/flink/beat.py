"""The clock that keeps event time moving in silence."""

import time
from collections.abc import Callable, Iterator, Sequence

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction, RuntimeContext

from schemas import topics
from udfs.alert.recording import beats_by, heartbeat
from udfs.mode import announce


class BeatFunction(FlatMapFunction):
    """Rows, some in each second → ADDRESSED rows for metrics.raw: the clock's beat, once for each partition.

    The first row of a second is the beat: ticks are at full seconds, and nothing ends one sooner.

    It goes by Kafka, and so comes back with a time that a replay repeats: event time moves on though all else is
    silent, and rules on absence are judged. Every partition gets it: a subtask of the gate that finds nothing to read
    after a restart says nothing of its watermark, Flink goes on with the one from before, and the others, which may
    not be far ahead of it, would wait for ever. And each says by which it came: ticks wait for
    all of them (udfs/alert/heard.py).
    """

    def __init__(self, tenant: str, keys: Callable[[], Sequence[bytes]]) -> None:
        self._tenant, self._find = tenant, keys

    def open(self, runtime_context: RuntimeContext) -> None:
        """Say what runs; ask for a key of each partition."""
        announce("alert.beat", runtime_context)
        self._keys = self._find()
        self._second = 0

    def flat_map(self, value: Row) -> Iterator[Row]:
        """Yield the beat, if a second has begun."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms // 1000 == self._second:
            return
        self._second = now_ms // 1000
        for partition, key in enumerate(self._keys):
            batch = heartbeat(self._tenant, beats_by(partition, len(self._keys)), now_ms)
            yield Row(topics.RAW, key, batch.encode(), batch.sent_at)

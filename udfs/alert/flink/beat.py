"""The clock that keeps event time moving in silence."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Thread

from kafka.errors import KafkaError
from pyflink.common import Row
from pyflink.datastream import FlatMapFunction, RuntimeContext

from schemas import topics
from udfs.alert.recording import beats_by, heartbeat
from udfs.mode import announce

# How often it is asked what partitions there are, s.
ASKED_S = 60

_log = logging.getLogger("tidegauge.alert")


def apart(ask: Callable[[], None]) -> None:
    """Do it in a thread of its own: beats do not wait for a broker that is silent."""
    Thread(target=ask, daemon=True).start()


class BeatFunction(FlatMapFunction):
    """Rows, some in each second → ADDRESSED rows for metrics.raw: the clock's beat, once for each partition.

    The first row of a second is the beat: ticks are at full seconds, and nothing ends one sooner.

    It goes by Kafka, and so comes back with a time that a replay repeats: event time moves on though all else is
    silent, and rules on absence are judged. Every partition gets it: a subtask of the gate that finds nothing to read
    after a restart says nothing of its watermark, Flink goes on with the one from before, and the others, which may
    not be far ahead of it, would wait for ever. And each says by which it came: ticks wait for
    all of them (udfs/alert/heard.py). A topic that has grown takes the same keys to other partitions, so it is asked
    for them now and then. clock: ns since 1970 UTC; aside: does what may take long.
    """

    def __init__(
        self,
        tenant: str,
        keys: Callable[[], Sequence[bytes]],
        clock: Callable[[], int] = time.time_ns,
        aside: Callable[[Callable[[], None]], None] = apart,
    ) -> None:
        self._tenant, self._find, self._clock, self._aside = tenant, keys, clock, aside

    def open(self, runtime_context: RuntimeContext) -> None:
        """Say what runs; ask for a key of each partition."""
        announce("alert.beat", runtime_context)
        self._keys = self._find()
        self._second = 0
        self._asked = self._clock() // 1_000_000_000

    def flat_map(self, value: Row) -> Iterator[Row]:
        """Yield the beat, if a second has begun."""
        now_ms = self._clock() // 1_000_000
        if now_ms // 1000 == self._second:
            return
        self._second = now_ms // 1000
        found = self._keys
        for partition, key in enumerate(found):
            batch = heartbeat(self._tenant, beats_by(partition, len(found)), now_ms)
            yield Row(topics.RAW, key, batch.encode(), batch.sent_at)
        if abs(self._second - self._asked) >= ASKED_S:
            self._asked = self._second
            self._aside(self._ask)

    def _ask(self) -> None:
        try:
            found = self._find()
        except KafkaError as error:
            _log.warning("nobody tells the partitions of %s, beats go on as before: %s", topics.RAW, error)
            return
        self._keys = found or self._keys

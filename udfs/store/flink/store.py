"""Valid batches into samples, and the series and late arrivals that come before them."""

from collections.abc import Iterator

from pyflink.common import Row
from pyflink.datastream import ProcessFunction, RuntimeContext

from schemas import topics
from sinks import rows
from sinks.distributions import table_of
from udfs.frames import Framer
from udfs.mode import announce
from udfs.read.flink import Strays
from udfs.read.valid import valid
from udfs.rollup.distribution import distributions
from udfs.store.late import late
from udfs.store.register import Register

Payload = tuple[str, int, bytes]


class StoreFunction(ProcessFunction):
    """IN rows of metrics.valid → (`samples/slot`, rows, Frame), or (`distributions/slot`, rows, Arrow).

    Before them (`series/slot`, `late_samples/slot`; rows, Arrow).

    late_after_ms: how long after its time a sample may arrive and still count as in time.
    Few slots make large blocks, on which ClickHouse's CPU depends: 0.4 us a row in blocks of 480,000, 1.7 in 20,000.
    """

    def __init__(self, slots: int, late_after_ms: int) -> None:
        self._slots = slots
        self._late_after = late_after_ms

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin with nothing remembered: whatever a restart replays is written again."""
        announce("store", runtime_context)
        self._strays = Strays(topics.VALID, runtime_context)
        self._framer = Framer()
        self._register = Register()

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Payload]:
        """Yield the batch's samples, its series where they are due, and the arrival of samples that are late."""
        batch = self._strays.read(valid, value[0])
        if batch is None:
            return
        frame = self._framer.frame(batch)
        slot = frame.shard % self._slots
        # Samples last: they may fill the block, and what must be there before them has to be in it.
        behind = late(frame, batch.received_at, self._late_after)
        if behind is not None and batch.received_at is not None:
            table = rows.late_samples(behind, batch.received_at)
            yield f"late_samples/{slot}", table.num_rows, rows.pack(table)
        due = self._register.due(batch)
        if due is not None:
            table = rows.series(due.tenant, due.rows, due.first_seen, due.last_seen)
            yield f"series/{slot}", len(due.rows), rows.pack(table)
        if frame.weights is None:
            yield f"samples/{slot}", frame.values.size, frame.encode()
        elif (many := distributions([frame])) is not None:
            yield f"distributions/{slot}", len(many), rows.pack(table_of(many))

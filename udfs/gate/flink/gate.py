"""Records of metrics.raw into valid batches, refusals and the ledger."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator

from pyflink.common import Row
from pyflink.datastream import BroadcastProcessFunction, RuntimeContext

from schemas import topics
from schemas.codec import MAGIC, CodecError, codec
from udfs.control import entry
from udfs.gate.account import Account
from udfs.gate.flink.metrics import Counters
from udfs.gate.flink.outcome import row
from udfs.gate.flink.policies import Book, History
from udfs.gate.gate import Gate, Passed, Refused
from udfs.gate.limits import Limits
from udfs.gate.standing import Key, Standing, Verdict
from udfs.gate.throttle import Throttle, Usage
from udfs.gate.usage import Tally

# So many records of control.verdicts are read at a start, of what was said before: a second or two.
RECALLED = 100_000

_log = logging.getLogger("tidegauge.gate")


class GateFunction(BroadcastProcessFunction):
    """Runs Gate on each record of metrics.raw; the record's Kafka timestamp is `now`.

    IN rows (value, partition, offset, …). A record whose series set has no verdict goes to metrics.pending. said: the
    newest records of control.verdicts.
    """

    def __init__(
        self,
        shards: int,
        limits: Limits,
        max_series: int,
        history: History,
        said: Callable[[], Iterable[bytes]],
        shed_lag_s: int,
        subtasks: int,
    ) -> None:
        self._shards = shards
        self._limits = limits
        self._max_series = max_series
        self._history, self._said = history, said
        self._shed_lag = shed_lag_s * 1000
        self._subtasks = subtasks

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin with what was said before: the first batch of each set asks."""
        self._book = Book("gate", self._limits, self._max_series, self._history, runtime_context)
        self._standing = Standing(self._shards, self._book.policies)
        for record in self._said():
            if codec("verdict").knows(record):
                self._hear(record, self._standing.recall)
        self._standing.throttle = self._throttle = Throttle(
            # PyFlink 2.3 does not tell the subtask's index in thread mode; others only need to tell it from themselves.
            secrets.randbits(31),
            self._subtasks,
            self._shed_lag,
        )
        self._gate = Gate(self._limits, self._standing)
        self._counters = Counters(runtime_context)
        self._tally = Tally()

    def process_element(self, value: Row, ctx: BroadcastProcessFunction.ReadOnlyContext) -> Iterator[Row]:
        """Yield a row per passed batch, per refusal, and one for the ledger; or the record for the owner."""
        record, partition, offset = bytes(value[0] or b""), value[1], value[2]
        now, clock = ctx.timestamp(), time.time_ns() // 1_000_000
        for outcome in self._gate.judge(record, now, partition, offset, clock - now):
            self._counters.add(outcome)
            if isinstance(outcome, Passed | Refused | Account):
                yield row(outcome, now, partition, offset)
                if isinstance(outcome, Account):
                    self._tally.add(outcome.tenant, outcome)
            else:
                self._tally.add(outcome.tenant)
                asked = {
                    "tenant": outcome.tenant,
                    "received_at": now,
                    "partition": partition,
                    "offset": offset,
                    "record": record,
                }
                yield Row(topics.PENDING, outcome.tenant.encode(), codec("pending").encode(asked), now)
        for usage in self._throttle.reports:
            yield Row(topics.VERDICTS, usage.tenant.encode(), usage.encode(), now)
        self._throttle.reports.clear()
        for tenant, tally in self._tally.due(clock):
            yield Row(topics.PENDING, tenant.encode(), tally, now)

    def process_broadcast_element(self, value: Row, ctx: BroadcastProcessFunction.Context) -> Iterator[Row]:
        """Take a policy or a verdict."""
        key, text = entry(value)
        if text is not None and text[:2] == MAGIC:
            self._hear(text, self._standing.hear)
        else:
            self._book.take(key, text, ctx.timestamp())
        return iter(())

    def _hear(self, text: bytes, take: Callable[[Key, Verdict], None]) -> None:
        try:
            if codec("usage").knows(text):
                self._throttle.hear(Usage.decode(text))
            else:
                take(*Verdict.read(text))
        except CodecError as error:
            _log.warning("a record of control.verdicts is unreadable: %s", error)

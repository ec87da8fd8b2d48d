"""The running pipeline as a test sees it: records in, SQL, HTTP and topics out."""

import itertools
import json
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas import topics
from schemas.batch import BatchBuilder, Series
from schemas.codec import codec
from schemas.tiers import Tier
from sinks.clickhouse import Clickhouse
from tests.integration.oracle import COLUMNS, Rows

T = TypeVar("T")
ACCOUNTED = "SELECT uniqExact(offset) FROM ledger WHERE partition = {part:UInt32} AND offset < {end:UInt64}"
CLOSED = """
SELECT toUnixTimestamp(max(ts)) * 1000 FROM completeness WHERE tenant = {tenant:String} AND tier = {tier:String}
"""
Labels = tuple[tuple[str, str], ...]


def eventually(ask: Callable[[], T], wanted: T, seconds: float = 150.0) -> None:
    """Ask until the answer is the wanted one; fail with one that stays another for so many seconds.

    What goes on, however slowly, only ends with the test's own timeout: a machine may be at a third of its speed.
    """
    before, end = None, time.monotonic() + seconds
    while (answer := ask()) != wanted:
        if answer != before:
            before, end = answer, time.monotonic() + seconds
        assert time.monotonic() < end, f"for {seconds} s: {answer!r}, not {wanted!r}"
        time.sleep(0.5)


def tenant_of(word: str) -> str:
    """Return a tenant that no earlier run of the same stack has used."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def now_ms() -> int:
    """Return the clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Pipeline:
    """Clients of one stack."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.clickhouse = Clickhouse(stack.endpoints["clickhouse"])
        self._producer = KafkaProducer(
            bootstrap_servers=stack.endpoints["kafka"],
            acks="all",
            max_request_size=9 << 20,
            delivery_timeout_ms=180_000,
        )
        self._builders: dict[str, BatchBuilder] = {}

    def close(self) -> None:
        """Close the clients."""
        self._producer.close()
        self.clickhouse.close()

    def send_record(self, record: bytes, source: str = "test") -> None:
        """Send a record to metrics.raw and wait for the broker."""
        self._producer.send(topics.RAW, value=record, key=source.encode()).get(timeout=180)

    def post(self, record: bytes, source: str) -> None:
        """Send a record to metrics.raw and go on."""
        self._producer.send(topics.RAW, value=record, key=source.encode())

    def send(self, tenant: str, samples: Mapping[tuple[str, Labels], float], stamp: int) -> bytes:
        """Send one scrape {(name, labels): value}; return the record."""
        builder = self._builders.setdefault(tenant, BatchBuilder(tenant, f"{tenant}-source"))
        builder.add_scrape(stamp, [(Series(name, labels), value) for (name, labels), value in samples.items()])
        record = builder.build(stamp).encode()
        self.send_record(record, f"{tenant}-source")
        return record

    def rows(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        rows: list[dict[str, Any]] = self.clickhouse.query(sql, params).to_pylist()
        return rows

    def value(self, sql: str, **params: Any) -> Any:
        """Return the one value of a statement, or None."""
        rows = self.rows(sql, **params)
        return next(iter(rows[0].values())) if rows else None

    def closed(self, tier: Tier, tenant: str) -> int:
        """Return the start of the tenant's newest closed window, ms; 0 without any."""
        return int(self.value(CLOSED, tenant=tenant, tier=tier.name) or 0)

    def rolled(self, tier: Tier, tenants: Sequence[str], upto: int) -> Rows:
        """Return the rows of the windows that start before upto, ms."""
        rows = self.rows(
            f"SELECT series_id, toUnixTimestamp(ts) * 1000 AS start, {', '.join(COLUMNS)} FROM {tier.table} FINAL "
            "WHERE tenant IN {tenants:Array(String)} AND start < {upto:Int64}",
            tenants=list(tenants),
            upto=upto,
        )
        return {(row["series_id"], row["start"]): tuple(row[name] for name in COLUMNS) for row in rows}

    def ask(self, path: str, tenant: str, **params: str) -> tuple[int, dict[str, Any]]:
        """Return (status, JSON) of the query service."""
        url = f"http://{self.stack.endpoints['query']}{path}?{urllib.parse.urlencode(params)}"
        request = urllib.request.Request(url, headers={"X-Scope-OrgID": tenant})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def check_ledger(self) -> None:
        """Wait until the ledger has every record of metrics.raw so far; fail if a sample is missing in any."""
        consumer = KafkaConsumer(bootstrap_servers=self.stack.endpoints["kafka"])
        try:
            parts = [TopicPartition(topics.RAW, number) for number in consumer.partitions_for_topic(topics.RAW) or ()]
            ends = consumer.end_offsets(parts)
        finally:
            consumer.close()
        for part, end in sorted(ends.items()):
            eventually(partial(self.value, ACCOUNTED, part=part.partition, end=end), end)
        assert self.rows("SELECT * FROM v_ledger WHERE missing != 0") == []
        # What came meanwhile may be told of by two steps of the gate, out of order.
        eventually(partial(self.value, "SELECT count() FROM v_gaps"), 0)

    def events(self, tenant: str) -> Iterator[dict[str, Any]]:
        """Yield what alert.events holds of a tenant."""
        consumer = KafkaConsumer(bootstrap_servers=self.stack.endpoints["kafka"], auto_offset_reset="earliest")
        try:
            parts = [TopicPartition(topics.ALERTS, one) for one in consumer.partitions_for_topic(topics.ALERTS) or ()]
            consumer.assign(parts)
            ends = consumer.end_offsets(parts)
            while any(consumer.position(part) < end for part, end in ends.items()):
                for message in itertools.chain.from_iterable(consumer.poll(timeout_ms=1000).values()):
                    event = codec("alert_event").decode(message.value)
                    if event["tenant"] == tenant:
                        yield event
        finally:
            consumer.close()

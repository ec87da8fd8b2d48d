"""metrics.valid → [store] → ClickHouse samples, series; topics of events, refusals, accounts, rules as they are."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import OUT, PAYLOAD, Streams
from schemas import topics
from udfs.store.flink.record import RecordFunction, RuleFunction
from udfs.store.flink.store import StoreFunction
from udfs.write.flink import BlockWriter, lane


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("store", settings, cluster)
    valid = streams.source(topics.VALID)
    events = streams.source(topics.ALERTS)
    rejected = streams.source(topics.REJECTED)
    ledger = streams.source(topics.LEDGER)
    grown = streams.source(topics.CARDINALITY)
    control = streams.control(topics.RULES)

    columns = (
        valid.process(StoreFunction(settings.block_slots, settings.store_late_after_s * 1000), PAYLOAD)
        .name("store")
        .uid(streams.uid("store"))
    )
    records = events.flat_map(RecordFunction(topics.ALERTS), PAYLOAD).name("events").uid(streams.uid("events"))
    refusals = rejected.flat_map(RecordFunction(topics.REJECTED), PAYLOAD).name("refusals").uid(streams.uid("refusals"))
    accounts = ledger.flat_map(RecordFunction(topics.LEDGER), PAYLOAD).name("accounts").uid(streams.uid("accounts"))
    growth = grown.flat_map(RecordFunction(topics.CARDINALITY), PAYLOAD).name("growth").uid(streams.uid("growth"))
    rules = control.process(RuleFunction(), PAYLOAD).name("rules").uid(streams.uid("rules"))

    blocks = columns.union(records, refusals, accounts, growth, rules).key_by(lane, Types.STRING())
    refused = blocks.process(BlockWriter(settings.target()), OUT).name("write").uid(streams.uid("write"))

    streams.sink(refused, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

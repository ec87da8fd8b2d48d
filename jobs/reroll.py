"""metrics.late → [reroll] ⇄ ClickHouse samples → ClickHouse rollup_1m, corrected rows."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import KEYED, OUT, PAYLOAD, Streams
from schemas import topics
from udfs.reroll.flink import DirtyFunction, RerollFunction
from udfs.rollup.flink import pane
from udfs.rollup.window import MINUTE_MS
from udfs.write.flink import BlockWriter, lane


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("reroll", settings, cluster)
    streams.env.set_parallelism(1)
    late = streams.source(topics.LATE)

    frames = late.map(DirtyFunction(MINUTE_MS), KEYED).name("dirty").uid(streams.uid("dirty"))
    dirty = frames.key_by(pane, Types.STRING())
    recompute = RerollFunction(MINUTE_MS, settings.reroll_settle_s, settings.shards, settings.target())
    corrected = dirty.process(recompute, PAYLOAD).name("reroll").uid(streams.uid("reroll"))

    blocks = corrected.key_by(lane, Types.STRING())
    refused = blocks.process(BlockWriter(settings.target()), OUT).name("write").uid(streams.uid("write"))

    streams.sink(refused, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

"""metrics.late → [dirty] → [reroll] ⇄ ClickHouse samples, rollup_*: corrected rows of every tier, data versions."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import KEYED, OUT, Streams
from schemas import topics
from schemas.tiers import upto
from udfs.reroll.flink.dirty import DirtyFunction
from udfs.reroll.flink.reroll import RerollFunction
from udfs.rollup.flink.pane import pane


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("reroll", settings, cluster)
    late = streams.source(topics.LATE)

    hours = late.flat_map(DirtyFunction(), KEYED).name("dirty").uid(streams.uid("dirty"))
    reroll = RerollFunction(
        settings.reroll_settle_s,
        settings.reroll_patience_s,
        settings.rollup_lateness_s,
        settings.shards,
        settings.target(),
        upto(settings.rollup_coarsest),
    )
    refused = (
        hours.key_by(pane, Types.STRING()).process(reroll, OUT).name("reroll").uid(streams.uid("reroll", by_shard=True))
    )

    streams.sink(refused, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

"""metrics.valid → [rollup] → ClickHouse rollup_1m; frames of closed windows → metrics.late."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, KEYED, OUT, PAYLOAD, Streams
from schemas import topics
from udfs.rollup.flink import PaneFunction, RollupFunction, pane
from udfs.rollup.window import MINUTE_MS
from udfs.write.flink import BlockWriter, is_block, lane, payload


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("rollup", settings, cluster)
    valid = streams.source(topics.VALID, settings.rollup_lateness_s)

    frames = valid.process(PaneFunction(MINUTE_MS), KEYED).name("panes").uid(streams.uid("panes"))
    panes = frames.key_by(pane, Types.STRING())
    close = RollupFunction(MINUTE_MS, settings.late_horizon_ms(), "rollup_1m")
    minutes = panes.process(close, ADDRESSED).name("rollup").uid(streams.uid("rollup"))
    streams.route(minutes, topics.LATE)

    # Parted, because two Python operators must not share a thread (udfs/mode.py).
    payloads = minutes.rebalance().filter(is_block).map(payload, PAYLOAD).name("blocks").uid(streams.uid("blocks"))
    blocks = payloads.key_by(lane, Types.STRING())
    refused = (
        blocks.process(BlockWriter(settings.target(settings.rollup_block_delay_s)), OUT)
        .name("write")
        .uid(streams.uid("write"))
    )

    streams.sink(refused, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

"""metrics.valid → [rollup] → ClickHouse rollup_1m; frames of closed windows → metrics.late."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import KEYED, OUT, PAYLOAD, Streams
from schemas import topics
from sinks.flink import BlockWriter
from udfs.rollup.flink import PaneFunction, RollupFunction, late_tag
from udfs.rollup.window import MINUTE_MS


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("rollup", settings, cluster)
    valid = streams.source(topics.VALID, settings.rollup_lateness_s)

    frames = valid.process(PaneFunction(MINUTE_MS), KEYED).name("panes").uid(streams.uid("panes"))
    panes = frames.key_by(lambda frame: frame[0], Types.STRING())
    close = RollupFunction(MINUTE_MS, settings.late_horizon_ms(), "rollup_1m")
    minutes = panes.process(close, PAYLOAD).name("rollup").uid(streams.uid("rollup"))
    late = minutes.get_side_output(late_tag())

    blocks = minutes.key_by(lambda payload: payload[0], Types.STRING())
    refused = blocks.process(BlockWriter(settings.target()), OUT).name("write").uid(streams.uid("write"))

    streams.sink(late, topics.LATE)
    streams.sink(refused, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

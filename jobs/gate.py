"""metrics.raw → [gate] → metrics.valid, metrics.rejected."""

from pyflink.common import Configuration

from jobs.settings import JobSettings
from jobs.streams import OUT, Streams
from schemas import topics
from udfs.gate.flink import GateFunction, rejected_tag


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("gate", settings, cluster)
    raw = streams.source(topics.RAW)

    gate = GateFunction(settings.shards, settings.gate_limits())
    valid = raw.process(gate, OUT).name("gate").uid(streams.uid("gate"))
    rejected = valid.get_side_output(rejected_tag())

    streams.sink(valid, topics.VALID)
    streams.sink(rejected, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

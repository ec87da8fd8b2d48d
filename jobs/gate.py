"""metrics.raw → [gate] → metrics.valid, metrics.rejected."""

from pyflink.common import Configuration

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, Streams
from schemas import topics
from udfs.gate.flink import GateFunction


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("gate", settings, cluster)
    raw = streams.source(topics.RAW)

    gate = GateFunction(settings.shards, settings.gate_limits())
    judged = raw.process(gate, ADDRESSED).name("gate").uid(streams.uid("gate"))

    streams.route(judged, topics.VALID, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

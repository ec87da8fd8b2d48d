"""metrics.raw → [gate] → metrics.valid, metrics.rejected."""

from pyflink.common import Configuration

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, Streams
from schemas import topics
from udfs.gate.flink import GateFunction


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("gate", settings, cluster)
    # Aligned: catching up, a partition read ahead would make the samples of the others late for every job behind.
    raw = streams.source(topics.RAW, drift_s=settings.gate_drift_s)

    gate = GateFunction(settings.shards, settings.gate_limits())
    judged = raw.process(gate, ADDRESSED).name("gate").uid(streams.uid("gate"))

    streams.route(judged, topics.VALID, topics.REJECTED)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

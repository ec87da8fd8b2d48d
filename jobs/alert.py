"""metrics.valid → [match] → pieces by rule and bucket → [judge] → alert.events, and recorded series to metrics.raw.

control.rules is broadcast to both. A clock beats into every partition of metrics.raw, so that event time moves on in
silence too.
"""

from functools import partial

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, KEYED, Streams, at_once
from schemas import topics
from sinks.control import newest, stored
from sinks.partitions import keys
from udfs.alert.flink.beat import BeatFunction
from udfs.alert.flink.judge import RECALLED, JudgeFunction
from udfs.alert.flink.match import MatchFunction, address_of, piece
from udfs.alert.flink.rules import RULES
from udfs.alert.heard import MARK, Reading
from udfs.alert.recording import HEARTBEAT_SOURCE


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("alert", settings, cluster, prompt=True, watermarks_ms=50)
    valid = streams.source(topics.VALID, settings.alert_lateness_s, settings.alert_idle_timeout_s)
    rules = streams.control(topics.RULES).broadcast(RULES)
    first = partial(stored, settings.kafka, topics.RULES)
    every = partial(keys, settings.kafka, topics.RAW, HEARTBEAT_SOURCE)
    said = partial(newest, settings.kafka, topics.ALERTS, RECALLED)

    reading = Reading(settings.alert_heartbeat_tenant, streams.covering(MARK))
    matched = (
        valid.connect(rules)
        .process(MatchFunction(first, settings.alert_buckets, reading), KEYED)
        .name("match")
        .uid(streams.uid("match"))
    )
    # Parted, because two Python operators must not share a thread (udfs/mode.py). Without the map, which becomes one
    # operator with key_by's own, PyFlink moves that one in front of the rescale.
    pieces = matched.rescale().map(piece, KEYED).name("pieces").uid(streams.uid("pieces"))
    by_address = pieces.key_by(address_of, Types.STRING())
    judge = JudgeFunction(
        first,
        settings.alert_budget(),
        settings.alert_hindsight_s * 1000,
        settings.alert_buckets,
        (settings.alert_lateness_s * 1000, round(settings.alert_settle_s * 1000)),
        said,
    )
    judged = by_address.connect(rules).process(judge, ADDRESSED).name("judge").uid(streams.uid("judge"))
    beats = (
        streams.clock()
        .flat_map(BeatFunction(settings.alert_heartbeat_tenant, every), ADDRESSED)
        .name("beat")
        .uid(streams.uid("beat"))
        .set_parallelism(1)
    )

    streams.route(judged.set_buffer_timeout(0), topics.ALERTS, topics.RAW)
    # Through a sink of their own: beside what judge says they would stand still while a slow checkpoint is aligned.
    streams.route(at_once(beats), topics.RAW)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

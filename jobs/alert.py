"""metrics.valid → [match] → pieces by rule and bucket → [judge] → alert.events; control.rules is broadcast to both."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import KEYED, OUT, Streams
from schemas import topics
from udfs.alert.flink import RULES, JudgeFunction, MatchFunction, address_of, piece


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("alert", settings, cluster)
    valid = streams.source(topics.VALID, settings.alert_lateness_s)
    rules = streams.control(topics.RULES).broadcast(RULES)

    matched = valid.connect(rules).process(MatchFunction(), KEYED).name("match").uid(streams.uid("match"))
    # Parted, because two Python operators must not share a thread (udfs/mode.py). Without the map, which becomes one
    # operator with key_by's own, PyFlink moves that one in front of the rescale.
    pieces = matched.rescale().map(piece, KEYED).name("pieces").uid(streams.uid("pieces"))
    by_address = pieces.key_by(address_of, Types.STRING())
    events = by_address.connect(rules).process(JudgeFunction(), OUT).name("judge").uid(streams.uid("judge"))

    streams.sink(events, topics.ALERTS)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

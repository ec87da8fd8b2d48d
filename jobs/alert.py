"""metrics.valid → [match] → pieces by rule and bucket → [judge] → alert.events; control.rules is broadcast to both."""

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import KEYED, OUT, Streams
from schemas import topics
from udfs.alert.flink import RULES, JudgeFunction, MatchFunction, address_of


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("alert", settings, cluster)
    valid = streams.source(topics.VALID, settings.alert_lateness_s)
    rules = streams.control(topics.RULES).broadcast(RULES)

    pieces = valid.connect(rules).process(MatchFunction(), KEYED).name("match").uid(streams.uid("match"))
    pieces.disable_chaining()  # from key_by's own operator: two of Python must not share a thread (udfs/mode.py)
    by_address = pieces.key_by(address_of, Types.STRING())
    events = by_address.connect(rules).process(JudgeFunction(), OUT).name("judge").uid(streams.uid("judge"))

    streams.sink(events, topics.ALERTS)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

"""metrics.valid → [1m] → [5m] → [1h] → [1d] → ClickHouse rollup_*, completeness; late for any tier → metrics.late."""

from pyflink.common import Configuration, Types
from pyflink.datastream import DataStream

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, KEYED, OUT, PAYLOAD, Streams
from schemas import topics
from schemas.tiers import Tier, upto
from udfs.rollup.flink.closing import Closing, OfFrames, OfRows
from udfs.rollup.flink.pane import CoarserFunction, PaneFunction, pane
from udfs.rollup.flink.tier import RollupFunction
from udfs.write.flink import BlockWriter, is_block, lane, payload


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("rollup", settings, cluster)
    valid = streams.source(topics.VALID, settings.rollup_lateness_s)
    horizon = settings.late_horizon_ms()

    frames = valid.process(PaneFunction(), KEYED).name("panes").uid(streams.uid("panes"))
    minutes = _tier(streams, frames, OfFrames(), horizon)

    tiers = [minutes]
    for tier in upto(settings.rollup_coarsest)[1:]:
        tiers.append(_coarser(streams, tiers[-1], tier, horizon))
    closed = tiers[0].union(*tiers[1:]) if tiers[1:] else minutes
    streams.route(closed, topics.LATE)

    # Parted, because two Python operators must not share a thread (udfs/mode.py).
    payloads = closed.rebalance().filter(is_block).map(payload, PAYLOAD).name("blocks").uid(streams.uid("blocks"))
    blocks = payloads.key_by(lane, Types.STRING())
    refused = blocks.process(BlockWriter(settings.rollup_target()), OUT).name("write").uid(streams.uid("write"))

    streams.sink(refused, topics.REJECTED)
    return streams


def _coarser(streams: Streams, finer: DataStream, tier: Tier, horizon: int) -> DataStream:
    """Return what the tier closes, given what the finer one has closed."""
    blocks = finer.rescale().filter(is_block)
    into = CoarserFunction(tier)
    panes = blocks.map(into, KEYED).name(f"into {tier.name}").uid(streams.uid(f"into-{tier.name}"))
    return _tier(streams, panes, OfRows(tier), horizon)


def _tier(streams: Streams, panes: DataStream, closing: Closing, horizon: int) -> DataStream:
    """Return what a tier closes of the payloads of its panes."""
    name = closing.tier.name
    closed = panes.key_by(pane, Types.STRING()).process(RollupFunction(closing, horizon), ADDRESSED).name(name)
    return closed.uid(streams.uid(name, by_shard=True))


if __name__ == "__main__":
    build(JobSettings()).submit()

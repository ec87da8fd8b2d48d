"""metrics.raw → [gate] → metrics.valid, .rejected, .ledger; metrics.pending → [owner] → those, .cardinality, verdicts.

control.policies is broadcast to both, control.verdicts to the gate (docs/gate.md). Series of the tenants' use of their
limits go to metrics.raw.
"""

from functools import partial

from pyflink.common import Configuration, Types

from jobs.settings import JobSettings
from jobs.streams import ADDRESSED, KEYED, Streams, at_once
from schemas import topics
from sinks.control import history, newest
from udfs.gate.flink.gate import RECALLED, GateFunction
from udfs.gate.flink.owner import OwnerFunction, TenantFunction, tenant_of
from udfs.gate.flink.policies import POLICIES

JUDGED = (topics.VALID, topics.REJECTED, topics.LEDGER)


def build(settings: JobSettings, cluster: Configuration | None = None) -> Streams:
    """Wire the job; nothing runs before submit()."""
    streams = Streams("gate", settings, cluster, prompt=True)
    # Aligned: catching up, a partition read ahead would make the samples of the others late for every job behind.
    longest = settings.gate_max_record_bytes + 1  # which is one too many
    raw = streams.source(topics.RAW, drift_s=settings.gate_drift_s, places=True, longest=longest, cut=True)
    pending = streams.source(topics.PENDING, longest=longest)
    policies = streams.control(topics.POLICIES)
    verdicts = streams.control(topics.VERDICTS, whole=False)

    first = partial(history, settings.kafka, topics.POLICIES)
    said = partial(newest, settings.kafka, topics.VERDICTS, RECALLED)

    gate = GateFunction(
        settings.shards,
        settings.gate_limits(),
        settings.gate_max_series,
        first,
        said,
        settings.gate_shed_lag_s,
        settings.parallelism,
    )
    told = policies.union(verdicts).broadcast(POLICIES)
    judged = raw.connect(told).process(gate, ADDRESSED).name("gate").uid(streams.uid("gate"))

    owner = OwnerFunction(
        settings.shards, settings.gate_limits(), settings.gate_max_series, first, settings.gate_usage_tenant
    )
    asked = pending.flat_map(TenantFunction(), KEYED).name("asked").uid(streams.uid("asked"))
    by_tenant = at_once(asked.key_by(tenant_of, Types.STRING())).connect(policies.broadcast(POLICIES))
    decided = by_tenant.process(owner, ADDRESSED).name("owner").uid(streams.uid("owner"))

    streams.route(judged, *JUDGED, topics.PENDING, topics.VERDICTS)
    streams.route(decided, *JUDGED, topics.VERDICTS, topics.CARDINALITY, topics.RAW)
    return streams


if __name__ == "__main__":
    build(JobSettings()).submit()

"""The Kafka topics: names, partitions, retention. Both stacks create them from this list."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR_MS = 3_600_000

RAW = "metrics.raw"
VALID = "metrics.valid"
REJECTED = "metrics.rejected"
LATE = "metrics.late"
PENDING = "metrics.pending"
LEDGER = "metrics.ledger"
CARDINALITY = "metrics.cardinality"
POLICIES = "control.policies"
VERDICTS = "control.verdicts"
RULES = "control.rules"
ALERTS = "alert.events"

# How sources in metrics.raw begin that are the alert job itself: it records series there.
RULE_SOURCE = "rule:"
# Likewise the gate, which tells how much of their limits tenants use.
GATE_SOURCE = "gate:"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. retention_ms None means compacted and kept for ever; extra are further topic settings."""

    name: str
    partitions: int
    retention_ms: int | None
    extra: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Return the topic's configuration by Kafka's names."""
        kept = {"cleanup.policy": "compact"} if self.retention_ms is None else {"retention.ms": str(self.retention_ms)}
        # Decompressed by every consumer once: lz4 is the cheapest of Kafka's codecs to read.
        return {"max.message.bytes": str(9 << 20), **kept, **self.extra}


# The broker stamps metrics.raw: what the gate calls "now" is then part of the record, so that a replay judges
# every timestamp as the first run did, and no producer can set it.
TOPICS = (
    Topic(RAW, 8, 24 * HOUR_MS, {"message.timestamp.type": "LogAppendTime"}),
    Topic(VALID, 8, 24 * HOUR_MS),
    Topic(REJECTED, 2, 48 * HOUR_MS),
    Topic(LATE, 4, 48 * HOUR_MS),
    # Key: tenant. One partition holds all of a tenant, and its order is the order of the owner's decisions.
    Topic(PENDING, 8, 24 * HOUR_MS),
    Topic(LEDGER, 2, 24 * HOUR_MS),
    Topic(CARDINALITY, 1, 24 * HOUR_MS),
    # By the same clock as metrics.raw: a policy holds for what was stamped after it (udfs/gate/policies.py).
    Topic(POLICIES, 1, None, {"message.timestamp.type": "LogAppendTime"}),
    # Answers to the gate, of use for minutes: one that is missed is asked for again.
    Topic(VERDICTS, 1, HOUR_MS),
    Topic(RULES, 1, None),
    Topic(ALERTS, 2, 48 * HOUR_MS),
)

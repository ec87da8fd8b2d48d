"""The Kafka topics: names, partitions, retention. Both stacks create them from this list."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR_MS = 3_600_000
PARTITIONS = 8

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
    """One topic. retention_ms None means compacted and kept for ever; extra are further topic settings.

    scaled: a new one has as many partitions as the setting says, and partitions is its default. ordered: something
    depends on the order of a key's records, or on there being one of a key; a topic that exists then keeps its
    partitions, since with more of them a key's next records overtake those that wait in its former one.
    aged: a record's time is that of its samples, so that it may be old as it comes: Kafka deletes by that time.
    """

    name: str
    partitions: int
    retention_ms: int | None
    extra: Mapping[str, str] = field(default_factory=dict)
    scaled: bool = False
    ordered: bool = True
    aged: bool = False

    def settings(self, tolerance_ms: int = 2 * HOUR_MS) -> dict[str, str]:
        """Return the topic's configuration by Kafka's names. tolerance_ms: how old the gate lets samples be."""
        kept = {"cleanup.policy": "compact"}
        if self.retention_ms is not None:
            kept = {"retention.ms": str(self.retention_ms + (tolerance_ms if self.aged else 0))}
        # Decompressed by every consumer once: lz4 is the cheapest of Kafka's codecs to read.
        return {"max.message.bytes": str(9 << 20), **kept, **self.extra}


# The broker stamps metrics.raw: what the gate calls "now" is then part of the record, so that a replay judges
# every timestamp as the first run did, and no producer can set it.
TOPICS = (
    # Key: source. Each batch stands for itself.
    Topic(RAW, PARTITIONS, 24 * HOUR_MS, {"message.timestamp.type": "LogAppendTime"}, scaled=True, ordered=False),
    # Key: tenant/shard. What is healed counts on raw having what came before (udfs/reroll/heal.py).
    Topic(VALID, PARTITIONS, 24 * HOUR_MS, scaled=True, aged=True),
    Topic(REJECTED, 2, 48 * HOUR_MS),
    Topic(LATE, 4, 48 * HOUR_MS, aged=True),
    # Key: tenant. One partition holds all of a tenant, and its order is the order of the owner's decisions.
    Topic(PENDING, PARTITIONS, 24 * HOUR_MS, scaled=True),
    Topic(LEDGER, 2, 24 * HOUR_MS),
    Topic(CARDINALITY, 1, 24 * HOUR_MS),
    # By the same clock as metrics.raw: a policy holds for what was stamped after it (udfs/gate/policies.py).
    Topic(POLICIES, 1, None, {"message.timestamp.type": "LogAppendTime"}),
    # Answers to the gate, of use for minutes: one that is missed is asked for again.
    Topic(VERDICTS, 1, HOUR_MS),
    # So that what the jobs go by, the order, and what table alert_rules goes by, the time, are the same.
    Topic(RULES, 1, None, {"message.timestamp.type": "LogAppendTime"}),
    Topic(ALERTS, 2, 48 * HOUR_MS),
)

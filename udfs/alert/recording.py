"""Series that the alert job records, as batches for metrics.raw.

They enter by the gate like anybody's samples: its limits hold for them, it finds ids and shards, and store, rollup and
other rules read them from metrics.valid. A repeat after a restart has the same series, time and source, and so
changes nothing.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from promql.columns import NAME
from promql.series import Signature
from schemas.batch import Batch, Series
from schemas.nan import STALE_BITS
from schemas.topics import RULE_SOURCE
from udfs.alert.bound import fits, sets
from udfs.alert.rule import Rule

HEARTBEAT = "tidegauge_alert_heartbeat"
HEARTBEAT_SOURCE = f"{RULE_SOURCE}heartbeat"


def beats_by(partition: int, partitions: int) -> str:
    """Return the source of beats that go by one of so many partitions of metrics.raw."""
    return f"{HEARTBEAT_SOURCE}/{partition}/{partitions}"


def partition_of(source: str) -> tuple[int, int] | None:
    """Return the partition, and of how many, of a source of beats_by; None: it is none."""
    numbers = source.removeprefix(f"{HEARTBEAT_SOURCE}/").split("/")
    if not source.startswith(f"{HEARTBEAT_SOURCE}/") or len(numbers) != 2:
        return None
    if not all(one.isascii() and one.isdigit() and len(one) < 7 for one in numbers):
        return None
    partition, partitions = map(int, numbers)
    return (partition, partitions) if partition < partitions else None


def is_beat(source: str) -> bool:
    """Tell whether what comes from the source is a beat; those of earlier versions did not name their partition."""
    return source == HEARTBEAT_SOURCE or source.startswith(f"{HEARTBEAT_SOURCE}/")


def source_of(rule_id: str) -> str:
    """Return the source of what a rule records."""
    return RULE_SOURCE + rule_id


def batches_of(
    tenant: str,
    source: str,
    at: int,
    series: Iterable[tuple[Signature, float]],
    ended: Iterable[Signature] = (),
    kind: str = "unknown",
) -> list[Batch]:
    """Return one sample at `at` (ms since 1970 UTC) of each series and a staleness marker of each ended one.

    In batches of bounded size (udfs/alert/bound.py); series whose labels are too long for any are left out. sent_at is
    `at`: a repeat is then the same, byte for byte.
    """
    told = [*((labels, value, False) for labels, value in series), *((labels, 0.0, True) for labels in ended)]
    rows = sorted(row for row in told if fits(row[0]))
    if not rows:
        return []
    values = np.array([[value for _, value, _ in rows]], np.float64)
    values.view(np.uint64)[0, [stale for _, _, stale in rows]] = STALE_BITS
    when = np.array([at], np.int64)
    named = [_series(labels, kind) for labels, _, _ in rows]
    return [Batch(tenant, source, at, encoded, when, values[:, places]) for places, encoded in sets(named)]


def heartbeat(tenant: str, source: str, now_ms: int) -> Batch:
    """Return one beat of the alert job's clock; its value is the time in seconds. source: of beats_by."""
    (batch,) = batches_of(tenant, source, now_ms, [(((NAME, HEARTBEAT),), now_ms / 1000)], kind="gauge")
    return batch


def costs(rule: Rule, bucket: int, values: Sequence[tuple[str, float]]) -> list[tuple[Signature, float]]:
    """Return series tidegauge_rule_<name> about one key of a rule."""
    own = (("bucket", str(bucket)), ("group", rule.group), ("rule", rule.rule_id))
    return [(((NAME, f"tidegauge_rule_{name}"), *own), value) for name, value in values]


def _series(labels: Signature, kind: str) -> Series:
    found = dict(labels)
    name = found.pop(NAME)
    return Series(name, tuple(sorted(found.items())), kind)

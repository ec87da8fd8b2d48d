"""What the jobs tell of refusals, alerts and rules, as rows of the tables rejections, alert_events and alert_rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import xxhash

from schemas.codec import codec

_STAMP = pa.timestamp("ms", tz="UTC")
_LABELS = pa.map_(pa.string(), pa.string())


def rejections(records: Sequence[bytes]) -> pa.Table:
    """Return rows of table rejections for Rejected records; equal refusals get equal keys and are kept once."""
    decoded = [codec("rejected").decode(record) for record in records]
    columns = {name: [one[name] for one in decoded] for name in ("tenant", "source", "id", "message", "value")}
    return pa.table(
        {
            **columns,
            "limit": [one["limit"] for one in decoded],
            "setting": [one["setting"] for one in decoded],
            "series": pa.array([one["series"] for one in decoded], pa.uint64()),
            "samples": pa.array([one["samples"] for one in decoded], pa.uint64()),
            "received_at": pa.array([one["received_at"] for one in decoded], pa.int64()).cast(_STAMP),
            "sample": pa.array([one["sample"] for one in decoded], pa.binary()),
            "partition": pa.array([one["partition"] for one in decoded], pa.int32()),
            "offset": pa.array([one["offset"] for one in decoded], pa.int64()),
            "key": pa.array([_refusal_key(one) for one in decoded], pa.uint64()),
        }
    )


def _refusal_key(one: Mapping[str, Any]) -> int:
    """Return the same for what is refused again in a replay, which an upgrade may word otherwise.

    Another for an equal record beside it: a queue that waited at a producer has one stamp of the broker.
    """
    what = [one[name] for name in ("tenant", "source", "id", "value", "series", "samples", "received_at")]
    if one["offset"] >= 0:
        what += [one["partition"], one["offset"]]
    return xxhash.xxh3_64_intdigest(orjson.dumps(what) + one["sample"])


def alert_events(records: Sequence[bytes]) -> pa.Table:
    """Return rows of table alert_events for AlertEvent records: one for a transition or truth, none for a resend."""
    decoded = [one for one in map(codec("alert_event").decode, records) if not one["resend"]]
    names = ("tenant", "rule_id", "revision", "alert", "state", "key")
    return pa.table(
        {
            **{name: [one[name] for one in decoded] for name in names},
            "labels": pa.array([sorted(one["labels"].items()) for one in decoded], _LABELS),
            "annotations": pa.array([sorted(one["annotations"].items()) for one in decoded], _LABELS),
            "value": pa.array([one["value"] for one in decoded], pa.float64()),
            **{
                name: pa.array([one[name] for one in decoded], pa.int64()).cast(_STAMP)
                for name in ("active_at", "evaluated_at", "emitted_at", "starts_at", "ends_at")
            },
            "seq": pa.array([one["seq"] for one in decoded], pa.uint64()),
            "concerns": [one["concerns"] for one in decoded],
            "late": [orjson.dumps(one["late"]).decode() for one in decoded],
            "late_more": pa.array([one["late_more"] for one in decoded], pa.uint64()),
        }
    )


def alert_rule(key: bytes, value: bytes | None, version: int) -> pa.Table:
    """Return the row of table alert_rules for a record of control.rules; None deletes. version: its time, ms."""
    tenant, _, rule_id = key.decode("utf-8", "replace").partition("/")
    return pa.table(
        {
            "tenant": [tenant],
            "rule_id": [rule_id],
            "version": pa.array([version], pa.uint64()),
            "gone": pa.array([int(value is None)], pa.uint8()),
            "body": [(value or b"").decode("utf-8", "replace")],
        }
    )

"""What the gate tells of samples and series, as rows of the tables ledger and cardinality."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.codec import codec

MINUTE_S = 60
_COUNTS = ("received", "forwarded", "merged", "folded", "deduplicated", "shed")
_TEXTS = ("tenant", "metric", "label", "source", "policy")
_BY_ID = pa.map_(pa.string(), pa.uint64())


def accounts(records: Sequence[bytes]) -> pa.Table:
    """Return the rows of Account records, in the table's order. The minute is that of the broker's stamp."""
    decoded = sorted((codec("account").decode(record) for record in records), key=_place)
    minute = np.array([one["received_at"] // 1000 // MINUTE_S * MINUTE_S for one in decoded], dtype=np.int64)
    return pa.table(
        {
            "tenant": pa.array([one["tenant"] for one in decoded], pa.string()).dictionary_encode(),
            "minute": pa.array(minute).cast(pa.timestamp("s", tz="UTC")),
            "partition": pa.array([one["partition"] for one in decoded], pa.uint32()),
            "offset": pa.array([one["offset"] for one in decoded], pa.uint64()),
            **{name: pa.array([one[name] for one in decoded], pa.uint64()) for name in _COUNTS},
            "rejected": pa.array([sorted(one["rejected"].items()) for one in decoded], _BY_ID),
            "would": pa.array([sorted(one["would"].items()) for one in decoded], _BY_ID),
        }
    )


def _place(account: dict[str, Any]) -> tuple[str, int, int, int]:
    # Within a partition stamps rise with offsets, so this is the table's order.
    return account["tenant"], account["received_at"] // 1000 // MINUTE_S, account["partition"], account["offset"]


def growth(records: Sequence[bytes]) -> pa.Table:
    """Return the rows of Growth records; version is the count of series, which only grows within an hour."""
    decoded = [codec("growth").decode(record) for record in records]
    decoded.sort(key=lambda one: (one["tenant"], one["hour"], one["metric"]))
    stamp = pa.timestamp("ms", tz="UTC")
    return pa.table(
        {
            **{name: pa.array([one[name] for one in decoded], pa.string()) for name in _TEXTS},
            "hour": pa.array([one["hour"] // 1000 for one in decoded], pa.int64()).cast(pa.timestamp("s", tz="UTC")),
            **{name: pa.array([one[name] for one in decoded], pa.uint64()) for name in ("values", "series", "refused")},
            "examples": pa.array([one["examples"] for one in decoded], pa.list_(pa.string())),
            "per_minute": pa.array([one["per_minute"] for one in decoded], pa.float64()),
            **{name: pa.array([one[name] for one in decoded]).cast(stamp) for name in ("first_seen", "last_seen")},
        }
    )

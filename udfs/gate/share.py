"""What of a batch goes to one part of an admission."""

from dataclasses import replace

import numpy as np

from schemas.batch import Batch, Int64s, UInt32s
from schemas.nan import Floats, is_missing
from udfs.gate import merge
from udfs.gate.account import Account
from udfs.gate.admission import Part
from udfs.gate.members import Positions


def share(
    batch: Batch,
    part: Part,
    width: int,
    stamps: Int64s,
    values: Floats,
    index: UInt32s | None,
    weights: UInt32s | None,
) -> Batch:
    """Return the part's share of the accepted columns as a batch of its own."""
    if index is None:
        values = values.take(part.columns, axis=1)
    else:
        place = np.full(width, -1, dtype=np.int64)
        place[part.columns] = np.arange(len(part.columns)) if part.heads is None else _group(part)
        inside = index < width
        moved = place[index[inside]]
        mine = moved >= 0
        index = moved[mine].astype(np.uint32)
        stamps, values = stamps[inside][mine], values[inside][mine]
        weights = None if weights is None else weights[inside][mine]
    return Batch(
        batch.tenant,
        batch.source,
        batch.sent_at,
        part.series_set,
        stamps,
        values,
        index,
        part.series_ids,
        part.shard,
        weights=weights,
    )


def _group(part: Part) -> Positions:
    """Return for each of the part's positions which of its series it belongs to."""
    assert part.heads is not None  # asked by the caller
    starts = np.zeros(len(part.columns), dtype=np.intp)
    starts[part.heads[1:]] = 1
    return np.cumsum(starts)


def single(batch: Batch, part: Part, numbers: bool, account: Account) -> Batch:
    """Return plain samples with one per series and timestamp: repeats dropped, those of merged series added up.

    numbers: no value is NaN of any kind.
    """
    index, stamps, values, before = batch.index, batch.timestamps, batch.values, batch.values.size
    if index is not None:
        if part.heads is None:
            kept = merge.last(index, stamps)
            if kept is not None:
                account.deduplicated += before - int(kept.sum())
                batch = replace(batch, index=index[kept], timestamps=stamps[kept], values=values[kept])
            return batch
        index, stamps, values = merge.sparse(index, stamps, values)
        batch = replace(batch, index=index, timestamps=stamps, values=values)
        gone = before - len(index)
    elif part.heads is not None:
        if numbers:
            merged = np.add.reduceat(values, part.heads, axis=1)
            gone = before - merged.size
        else:
            merged = merge.dense(values, part.heads)
            gone = int(is_missing(merged).sum() - is_missing(values).sum()) + before - merged.size
        batch = replace(batch, values=merged)
    else:
        return batch
    if part.folds:
        account.folded += gone
    else:
        account.merged += gone
    return batch

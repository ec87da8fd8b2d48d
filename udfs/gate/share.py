"""What of a batch goes to one part of an admission."""

from dataclasses import replace

import numpy as np

from schemas.batch import Batch
from schemas.columns import Int64s, UInt32s
from schemas.nan import Floats, is_missing
from udfs.gate import merge
from udfs.gate.account import Account
from udfs.gate.admission import Merging, Part


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
    members = part.columns if part.members is None else part.members
    if index is None:
        values = values.take(members if part.distributions else part.columns, axis=1)
    else:
        place = np.full(width, -1, dtype=np.int64)
        place[members] = np.arange(len(members))
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


def rows(values: Floats, merging: Merging, numbers: bool, account: Account) -> Floats:
    """Return rows of a set with those cells added up that merge: each sum in the place of the first of them.

    Whatever is in the others is not looked at any more. numbers: no value is NaN of any kind.
    """
    members = values.take(merging.members, axis=1)
    if numbers:
        merged = np.add.reduceat(members, merging.heads, axis=1)
        gone = members.size - merged.size
    else:
        merged = merge.dense(members, merging.heads)
        gone = int(is_missing(merged).sum() - is_missing(members).sum()) + members.size - merged.size
    values = values.copy()
    values[:, merging.into] = merged
    _count(merging.folds, gone, account)
    return values


def single(batch: Batch, part: Part, folds: bool, account: Account) -> Batch:
    """Return plain samples, sparse, with one per series and timestamp.

    Repeats are dropped, then those of merged series are added up.
    """
    index, stamps, values = batch.index, batch.timestamps, batch.values
    assert index is not None  # rows() has done it
    kept = merge.last(index, stamps)
    if kept is not None:
        account.deduplicated += len(index) - int(kept.sum())
        index, stamps, values = index[kept], stamps[kept], values[kept]
    if part.groups is not None:
        before = len(index)
        index, stamps, values = merge.sparse(part.groups[index].astype(np.uint32), stamps, values)
        _count(folds, before - len(index), account)
    elif kept is None:
        return batch
    return replace(batch, index=index, timestamps=stamps, values=values)


def grouped(batch: Batch, part: Part) -> Batch:
    """Return distributions with the entries of merged series under one index, and so as one."""
    if part.groups is None:
        return batch
    index, stamps, values = batch.points()
    return replace(batch, index=part.groups[index].astype(np.uint32), timestamps=stamps, values=values)


def _count(folds: bool, gone: int, account: Account) -> None:
    if folds:
        account.folded += gone
    else:
        account.merged += gone

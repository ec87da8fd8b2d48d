"""A record of metrics.valid: a batch that a gate has made."""

from schemas.batch import Batch
from schemas.codec import CodecError


def valid(record: bytes) -> Batch:
    """Return the batch; raises CodecError, kind `unresolved` if no gate made it, `length` if its ids do not fit it."""
    batch = Batch.decode(record)
    ids, index = batch.series_ids, batch.index
    if ids is None or batch.shard is None:
        raise CodecError("unresolved", f"the batch of {batch.source!r} has no series ids: it did not pass the gate")
    if len(batch.timestamps):
        fits = batch.values.shape[1] == len(ids) if index is None else int(index.max()) < len(ids)
        if not fits:
            raise CodecError("length", f"columns that do not fit {len(ids)} series ids")
    return batch

"""A large batch in pieces, so that nothing behind the gate holds records of any size.

What comes in may be 8 MB a record, unpacked from next to nothing, and every source behind keeps some two hundred.
"""

from collections.abc import Iterator

import numpy as np

from schemas.batch import Batch
from schemas.runs import first_of_run

CELLS = 1 << 16  # half a megabyte of values, of all shards together


def cut(batch: Batch, most: int = CELLS) -> Iterator[Batch]:
    """Yield the batch in pieces of at most so many cells, the oldest first; as it is if it is one.

    A timestamp lies in one piece, however many samples it has: they may merge, or make one distribution. Event time
    follows the pieces, so none makes what comes behind it late.
    """
    if batch.values.size <= most:
        yield batch
        return
    if (np.diff(batch.timestamps) < 0).any():
        batch = batch.at(np.argsort(batch.timestamps, kind="stable"))
    rows = len(batch.timestamps)
    step = max(1, most * rows // batch.values.size)
    heads = np.append(np.flatnonzero(first_of_run(batch.timestamps)), rows)
    begin = 0
    while begin < rows:
        last = int(np.searchsorted(heads, begin + step, side="right")) - 1
        end = int(heads[last] if heads[last] > begin else heads[last + 1])
        yield batch.at(slice(begin, end))
        begin = end

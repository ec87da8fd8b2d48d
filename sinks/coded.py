"""Columns of names as codes, without a look at every row."""

import numpy as np
import pyarrow as pa

from schemas.names import Codes


def coded(column: pa.ChunkedArray) -> tuple[list[str], Codes]:
    """Return (names, position of each row's name among them); a name may be there that no row has."""
    # dictionary_encode() makes the chunks share one dictionary, and leaves encoded chunks that already do.
    whole = column.dictionary_encode().unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
    return whole.dictionary.to_pylist(), np.asarray(whole.indices)

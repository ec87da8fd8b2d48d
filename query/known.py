"""What was not known yet: the samples whose arrival came later, taken out of what is stored."""

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]


def unknown(ids: Ids, ms: Int64s, later_ids: Ids, later_ms: Int64s) -> npt.NDArray[np.bool_]:
    """Tell which samples (id, ms), [N], are among those that came later, [M]; both in any order."""
    none = np.zeros(len(ids), np.bool_)
    if not len(ids) or not len(later_ids):
        return none
    known = np.unique(later_ids)
    place = np.searchsorted(known, ids)
    near = place < len(known)
    near[near] = known[place[near]] == ids[near]
    low, high = int(later_ms.min()), int(later_ms.max())
    near &= (ms >= low) & (ms <= high)
    # (series, ms) as one integer: a selector's series times its milliseconds stay far below 2**63.
    span = high - low + 1
    later = np.searchsorted(known, later_ids) * span + (later_ms - low)
    none[near] = np.isin(place[near] * span + (ms[near] - low), later)
    return none

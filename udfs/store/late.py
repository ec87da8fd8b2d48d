"""Which samples came well after their time: what as_of needs to know, kept beside the samples in late_samples."""

from dataclasses import replace

import numpy as np

from schemas.frame import Frame


def late(frame: Frame, received_at: int | None, late_after_ms: int) -> Frame | None:
    """Return the samples with timestamp < received_at - late_after_ms (all ms), or None if there are none.

    received_at None: the gate of an earlier version did not tell, and nothing counts as late.
    """
    stamps = frame.timestamps
    # What every batch in time costs is this comparison.
    if received_at is None or not len(stamps) or stamps.min() >= received_at - late_after_ms:
        return None
    behind = stamps < received_at - late_after_ms
    found = replace(frame.at(behind), weights=None)
    if found.index is None or frame.weights is None:
        return found
    # Of a distribution one entry tells.
    _, one = np.unique(np.column_stack([found.index, found.timestamps]), axis=0, return_index=True)
    return found.at(one)

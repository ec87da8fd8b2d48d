"""The NaNs that mean something, as bit patterns: arithmetic on them would lose the meaning.

STALE is Prometheus's staleness marker (model/value/value.go), MISSING an empty cell of a dense batch,
NORMAL what every other NaN becomes.
"""

import numpy as np
import numpy.typing as npt

MISSING_BITS = 0x7FF0000000000001
STALE_BITS = 0x7FF0000000000002
NORMAL_BITS = 0x7FF8000000000001

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def _nan(bits: int) -> Floats:
    return np.array([bits], dtype=np.uint64).view(np.float64)


# One-element arrays, because a Python float of a signalling NaN may come back quiet.
MISSING = _nan(MISSING_BITS)
STALE = _nan(STALE_BITS)
NORMAL = _nan(NORMAL_BITS)


def is_missing(values: Floats) -> Mask:
    """Tell which cells hold no sample."""
    mask: Mask = values.view(np.uint64) == MISSING_BITS
    return mask


def is_stale(values: Floats) -> Mask:
    """Tell which samples are staleness markers."""
    mask: Mask = values.view(np.uint64) == STALE_BITS
    return mask


def canonical(values: Floats) -> Floats:
    """Return values with every NaN that is neither MISSING nor STALE replaced by NORMAL (a copy if any is)."""
    bits = values.view(np.uint64)
    odd = np.isnan(values) & (bits != MISSING_BITS) & (bits != STALE_BITS) & (bits != NORMAL_BITS)
    if not odd.any():
        return values
    fixed = bits.copy()
    fixed[odd] = NORMAL_BITS
    return fixed.view(np.float64)

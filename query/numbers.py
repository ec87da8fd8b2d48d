"""float64 as Prometheus prints it in JSON: shortest digits that read back, Go's strconv 'f' or 'e' (util/jsonutil)."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from promql.columns import Floats

# Between these Arrow's own text is the same as Go's.
_PLAIN_LOW, _PLAIN_HIGH = 1e-4, 1e9


def text(value: float) -> str:
    """Return one value."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = abs(value)
    digits = repr(float(value))
    if size != 0 and (size < 1e-6 or size >= 1e21):
        mantissa, _, exponent = digits.partition("e")
        return f"{mantissa.removesuffix('.0')}e{exponent}"
    if "e" in digits:
        digits = _unfolded(digits)
    return digits.removesuffix(".0")


def _unfolded(digits: str) -> str:
    """Return 1.5e-05 as 0.000015 and 1.5e+17 as 150000000000000000."""
    mantissa, _, exponent = digits.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    power = int(exponent)
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{whole}{fraction}"
    return f"{sign}{whole}{fraction.ljust(power, '0')}"


def texts(values: Floats) -> pa.StringArray:
    """Return many values."""
    flat = np.ascontiguousarray(values).reshape(-1)
    done = pa.array(flat).cast(pa.string())
    size = np.abs(flat)
    odd = ~((size >= _PLAIN_LOW) & (size < _PLAIN_HIGH)) & (size != 0)
    if odd.any():
        places = np.flatnonzero(odd)
        fixed = pa.array([text(value) for value in flat[places].tolist()], pa.string())
        done = pc.replace_with_mask(done, pa.array(odd), fixed)
    return done

"""deriv and predict_linear: least squares over a window (Prometheus, linearRegression)."""

import numpy as np

from promql.columns import Floats, Int64s, Mask
from promql.windows import Windows

Cells = tuple[Floats, Mask]


def deriv(windows: Windows) -> Cells:
    """Return the slope per second."""
    present = windows.count >= 2
    slope, _ = _fit(windows, windows.take(windows.columns.timestamps, windows.low, present))
    return slope, present


def predict_linear(windows: Windows, seconds: Floats, times: Int64s) -> Cells:
    """Return the line's value `seconds` ([T]) after the evaluation times ([T], ms)."""
    present = windows.count >= 2
    slope, intercept = _fit(windows, np.broadcast_to(times, present.shape))
    return slope * seconds + intercept, present


def _fit(windows: Windows, origin_ms: Int64s) -> tuple[Floats, Floats]:
    """Return slope per second and value at origin_ms, both [S, T], for windows of two samples or more."""
    columns = windows.columns
    slope, intercept = np.zeros(windows.count.shape), np.zeros(windows.count.shape)
    for cells, sizes, samples in windows.chunks(least=2):
        starts = np.cumsum(sizes) - sizes
        y = columns.values[samples]
        # Centred on the first sample: with raw sums the squares would lose the digits that matter.
        y0 = y[starts]
        x = (columns.timestamps[samples] - np.repeat(origin_ms.reshape(-1)[cells], sizes)) / 1000
        x_mean = np.add.reduceat(x, starts) / sizes
        y_off = y - np.repeat(y0, sizes)
        y_mean = np.add.reduceat(y_off, starts) / sizes
        x_off = x - np.repeat(x_mean, sizes)
        covariance = np.add.reduceat(x_off * (y_off - np.repeat(y_mean, sizes)), starts)
        variance = np.add.reduceat(x_off * x_off, starts)
        constant = np.maximum.reduceat(y, starts) == np.minimum.reduceat(y, starts)
        fit = np.where(constant, 0.0, covariance / np.where(variance == 0, np.nan, variance))
        at_origin = np.where(constant, y0, y0 + y_mean - fit * x_mean)
        endless = constant & np.isinf(y0)
        wild = ~np.isfinite(y_mean) & ~constant
        if wild.any():
            fit[wild], at_origin[wild] = (part[wild] for part in _raw(x, y, starts, sizes))
        slope.reshape(-1)[cells] = np.where(endless, np.nan, fit)
        intercept.reshape(-1)[cells] = np.where(endless, np.nan, at_origin)
    return slope, intercept


def _raw(x: Floats, y: Floats, starts: Int64s, sizes: Int64s) -> tuple[Floats, Floats]:
    """Return slope and intercept by the textbook's sums, which decide what becomes of infinite samples."""
    sum_x, sum_y = np.add.reduceat(x, starts), np.add.reduceat(y, starts)
    sum_xy, sum_xx = np.add.reduceat(x * y, starts), np.add.reduceat(x * x, starts)
    slope = (sum_xy - sum_x * sum_y / sizes) / (sum_xx - sum_x * sum_x / sizes)
    return slope, sum_y / sizes - slope * sum_x / sizes

"""The warp by SciPy."""

import numpy as np
import scipy.ndimage
from hypothesis import strategies as st


def scipy_warp(img, transform, mode, output_shape, cval=0.0):
    """A second oracle, in float64: SciPy's linear interpolation at the mapped points."""
    a0, a1, a2, b0, b1, b2, c0, c1 = np.asarray(transform, np.float64)
    y, x = np.mgrid[: output_shape[0], : output_shape[1]].astype(np.float64)
    k = c0 * x + c1 * y + 1.0
    points = [(b0 * x + b1 * y + b2) / k, (a0 * x + a1 * y + a2) / k]
    channels = np.moveaxis(np.asarray(img, np.float64), -1, 0)
    warped = [
        scipy.ndimage.map_coordinates(c, points, order=1, mode=mode, cval=cval) for c in channels
    ]
    return np.stack(warped, axis=-1)


def parts(low, high, per_unit):
    """Fractions with few bits: they hit pixel centres and the halves between them often."""
    return st.integers(low * per_unit, high * per_unit).map(lambda n: n / per_unit)

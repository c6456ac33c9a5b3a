"""The error of depth maps whose scale is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np


def scale_invariant_error(reference: Any, result: Any) -> float:
    """Error of depth up to a factor per frame (Eigen, Puhrsch and Fergus, NIPS 2014).

    ``sqrt(mean(d^2) - mean(d)^2)`` with ``d = log(result) - log(reference)``, mean over the frames.
    A network that is trained on single images need not know the scale of a scene.

    Args:
        reference: depth, ``(frames, height, width)`` or ``(frames, height, width, 1)``, above 0;
            pixels that are 0, negative or not finite are left out, as in depth from sensors.
        result: same shape, above 0 at these pixels.

    Returns:
        At least 0; 0.1 is a spread of about 10 % around the right proportions.

    Raises:
        ValueError: if the shapes differ, a frame has no depth, or a result is not above 0.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> depth = np.random.default_rng(0).uniform(1, 5, (2, 8, 8))
        >>> round(ktr.metrics.scale_invariant_error(depth, 3.0 * depth), 6)
        0.0
    """
    reference, result = (np.asarray(a, np.float64) for a in (reference, result))
    if reference.shape != result.shape or reference.ndim not in (3, 4):
        raise ValueError(
            "reference and result must have one shape (frames, height, width). "
            f"Received: {reference.shape} and {result.shape}"
        )
    errors = []
    for number, (true, found) in enumerate(zip(reference, result)):
        known = np.isfinite(true) & (true > 0)
        if not known.any() or not (found[known] > 0).all():
            received = f"a depth of {found[known].min():g}" if known.any() else "no known depth"
            raise ValueError(
                "reference must have known depth in each frame, and result must be above 0 there. "
                f"Received: {received} in frame {number}"
            )
        errors.append(float(np.std(np.log(found[known]) - np.log(true[known]))))
    return float(np.mean(errors))

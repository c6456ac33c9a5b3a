"""Changes of label between neighbouring frames, for segmentation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_temporal_reg.core import validation, warp


def label_changes(result: Any, motion: Any, mask: Any = None, cuts: Iterable[int] = ()) -> float:
    """Share of the pixels whose label is another one in the next frame, in %.

    A pixel is followed along its motion and compared with the nearest pixel there. It is what
    `flicker` is for images: the contrast of a label has no meaning.

    Args:
        result: whole-number labels ``(frames, height, width)``, or logits or probabilities
            ``(frames, height, width, classes)``, whose largest is the label; at least 2 frames.
        motion: ``(frames - 1, 8)`` transforms, flow ``(frames - 1, height, width, 2)``, or None,
            as for `flicker`.
        mask: ``(frames - 1, height, width)``, 1 where the motion can be trusted. Pixels whose
            motion leads out of the frame are always left out. None: 1 everywhere.
        cuts: indices of the frames that start a new shot, which are not compared with the frame
            before.

    Returns:
        From 0 to 100, mean over the pairs of neighbours; NaN without a trusted pixel.

    Raises:
        ValueError: if the shapes do not fit each other, or labels are no whole numbers.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> labels = np.zeros((2, 4, 4), int)
        >>> labels[1, 0] = 1  # one row of four changes
        >>> ktr.metrics.label_changes(labels, motion=None)
        25.0
    """
    labels = np.asarray(result)
    if labels.ndim == 4:
        labels = labels.argmax(axis=-1)
    if labels.ndim != 3 or len(labels) < 2 or labels.dtype.kind not in "iub":
        raise ValueError(
            "result must be whole-number labels (frames, height, width) or logits (frames, height, "
            f"width, classes) of at least 2 frames. Received: {labels.dtype} {labels.shape}"
        )
    motion = validation.motion(motion, labels.shape)
    starts = {*cuts}
    changes = []
    for n, (before, after) in enumerate(itertools.pairwise(labels)):
        if n + 1 in starts:
            continue
        row, column, inside = _nearest_points(motion[n], before.shape)
        if mask is not None:
            inside = inside & (np.asarray(mask[n]) > 0)
        if inside.any():
            changes.append(float(np.mean((after[row, column] != before)[inside])))
    return 100.0 * float(np.mean(changes)) if changes else math.nan


def _nearest_points(
    motion: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column of the nearest pixel to which each moves, and whether it is in the frame."""
    if motion.ndim == 3:
        y, x = np.mgrid[: size[0], : size[1]]
        x, y, finite = x + motion[..., 0], y + motion[..., 1], True
    else:
        points = warp.source_points(motion[np.newaxis], size)
        x, y = points.x[0].numpy(), points.y[0].numpy()
        finite = points.finite is None or points.finite[0].numpy()
    row, column = np.rint(y), np.rint(x)
    inside = finite & (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    row, column = (np.where(inside, index, 0).astype(int) for index in (row, column))
    return row, column, inside

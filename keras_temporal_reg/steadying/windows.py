"""Whether a network may be trained on crops of frames, and of which size, found by measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_temporal_reg.data._crops import CropShape
from keras_temporal_reg.evaluation import inference
from keras_temporal_reg.saved_models import introspection
from keras_temporal_reg.steadying import footage

SIDES = (64, 96, 128, 192, 256)  # of crops of x, in pixels, from the cheapest
# Root mean square of f(crop) minus the crop of f(frame), in % of the contrast of f(frame), away
# from the edge of the crop. Networks that look at a neighbourhood only differ by what the padding
# at the crop's edge does; global pooling, resizing and attention change the whole crop. Where it
# was 14 to 45 %, whole frames steadied more, at a higher PSNR, than crops.
MOST_DIFFERENCE = 5.0
# Of frames that are so large that few steps fit into the time, a larger difference is accepted.
LARGE = 512 * 512  # pixels
MOST_DIFFERENCE_OF_LARGE = 20.0
_PROBES = 6  # crops that are compared
_EDGE = 4  # 1 / _EDGE of the crop is its edge, on each side


@dataclasses.dataclass(frozen=True)
class Window:
    """What a network is trained on.

    Attributes:
        shape: of the crops; as large as the frames where those are not cropped.
        is_whole: whether whole frames are trained on.
        reason: a sentence for the user.
    """

    shape: CropShape
    is_whole: bool
    reason: str


def choose(model: Any, frames: np.ndarray, scale: int, crop: int | None = None) -> Window:
    """Find the smallest crop of which a network makes what it makes of the whole frame.

    Args:
        model: a Keras model.
        frames: x of some frames, ``(frames, height, width, channels)``, in its values.
        scale: height of its output over height of its input.
        crop: side of the crops, if it is known.
    """
    height, width, channels = frames.shape[1:]
    fixed = introspection.fixed_size(model)
    if None not in fixed:
        shape = CropShape(min(fixed[0], height), min(fixed[1], width), scale)
        return Window(shape, False, f"Crops of {shape.width} x {shape.height}, all that it takes.")
    sizes = introspection.image_sizes(model, height, width, channels)
    rows, columns = (side // sizes.multiple * sizes.multiple for side in (height, width))
    whole = CropShape(rows, columns, scale)
    if crop is not None:
        shape = CropShape(min(crop, whole.height), min(crop, whole.width), scale)
        return Window(shape, shape == whole, f"Crops of {shape.width} x {shape.height}, as given.")
    run = inference.runner(model, height, width, channels)
    results = run(frames)
    tried = []
    most = MOST_DIFFERENCE_OF_LARGE if height * width >= LARGE else MOST_DIFFERENCE
    for side in SIDES:
        shape = CropShape(*(introspection.round_up(side, sizes.multiple),) * 2, scale)
        if shape.height >= whole.height or shape.width >= whole.width:
            break
        difference = _difference(model, frames, results, shape)
        tried.append(f"{difference:.0f} % of contrast at {shape.width}")
        if difference <= most:
            return Window(
                shape,
                False,
                f"Crops of {shape.width} x {shape.height}: what the network makes of a crop "
                f"differs from its whole-frame result by {difference:.0f} % of contrast.",
            )
    why = "they are small"
    if tried:
        why = f"what the network makes of a crop differs from it by {', '.join(tried)} pixels"
    return Window(whole, True, f"Whole frames, since {why}.")


def _difference(model: Any, frames: np.ndarray, results: np.ndarray, shape: CropShape) -> float:
    """Of f(crop) from the crop of f(frame), away from the edge, in % of contrast."""
    rng = np.random.default_rng(0)
    run = inference.runner(model, shape.height, shape.width, frames.shape[-1])
    errors, scale = [], shape.scale
    inner = slice(shape.height * scale // _EDGE, -(shape.height * scale // _EDGE))
    for n in range(_PROBES):
        frame = n % len(frames)
        top = int(rng.integers(frames.shape[1] - shape.height + 1))
        left = int(rng.integers(frames.shape[2] - shape.width + 1))
        crop = frames[frame, top : top + shape.height, left : left + shape.width]
        expected = results[
            frame,
            scale * top : scale * (top + shape.height),
            scale * left : scale * (left + shape.width),
        ]
        error = run(crop[np.newaxis])[0] - expected
        errors.append(np.square(error[inner, inner]).sum(-1).mean())
    variance = np.mean([frame.reshape(-1, frame.shape[-1]).var(axis=0).sum() for frame in results])
    return float(100.0 * np.sqrt(np.mean(errors) / max(variance, 1e-12)))


def sample_frames(frames: Sequence[np.ndarray], count: int = 3) -> np.ndarray:
    """Some frames, evenly spaced."""
    return np.stack([frames[n] for n in footage.evenly(len(frames), count)])

"""A virtual camera over a still picture: clips whose motion is known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_temporal_reg import image
from keras_temporal_reg.core import validation

MARGIN = 0.1  # of the picture's sides that the camera may wander off to


def path(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """A hand-held camera: slow pans, a little turning and zooming.

    Args:
        frames: how many.
        height: of the picture, in pixels.
        width: likewise.
        seed: fixes phases and directions.

    Returns:
        ``(frames, 8)`` float64 affine transforms in the convention of `image.transform`, from
        points of a frame (see `film`) to points of the picture.

    Raises:
        ValueError: for fewer than 2 frames.

    Example:
        >>> from keras_temporal_reg.evaluation import camera
        >>> camera.path(10, 100, 200).shape
        (10, 8)
    """
    validation.whole_number("frames", frames, 2)
    rng = np.random.default_rng(seed)
    time = np.arange(frames)

    def wander(reach: float, seconds: float) -> np.ndarray:
        phase = rng.uniform(0, 2 * math.pi)
        return reach * np.sin(2 * math.pi * time / (25.0 * seconds) + phase)

    frame_height, frame_width = frame_size(height, width)
    # About 1.5 pixels a frame at most, as T has it, however large the picture is.
    reach_x, reach_y = (min(0.6 * MARGIN * side, 24.0) for side in (width, height))
    shift_x = wander(reach_x, 4.1) + (width - 1) / 2
    shift_y = wander(reach_y, 3.3) + (height - 1) / 2
    angle = np.radians(wander(1.0, 5.3))
    zoom = 1.0 + wander(0.02, 6.1)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    middle_x, middle_y = (frame_width - 1) / 2, (frame_height - 1) / 2
    a2 = shift_x - cos * middle_x + sin * middle_y
    b2 = shift_y - sin * middle_x - cos * middle_y
    zero = np.zeros(frames)
    return np.stack([cos, -sin, a2, sin, cos, b2, zero, zero], axis=1)


def frame_size(height: int, width: int, multiple: int = 4) -> tuple[int, int]:
    """Height and width of the frames that `film` takes of a picture; multiples of `multiple`."""
    inner = (1.0 - 2.0 * MARGIN) * np.array([height, width])
    small = (inner // multiple * multiple).astype(int)
    return int(max(small[0], multiple)), int(max(small[1], multiple))


def film(picture: np.ndarray, camera_path: np.ndarray, scale: int = 1) -> Iterator[np.ndarray]:
    """Frames of `picture` along a path.

    Args:
        picture: ``(scale * height, scale * width, channels)`` float32.
        camera_path: as from `path`, for a picture of ``(height, width)``.
        scale: pixels of `picture` for each that the path is in, along an axis.

    Yields:
        ``scale * frame_size(height, width)`` pixels, with the channels, float32, bilinear.
    """
    height, width = frame_size(*(side // scale for side in picture.shape[:2]))
    size = (scale * height, scale * width)
    images = tf.constant(picture[np.newaxis], tf.float32)
    for transform in rescaled(camera_path, scale):
        yield image.transform(
            images, transform[np.newaxis].astype(np.float32), "bilinear", "nearest", size
        )[0].numpy()


def motion(camera_path: np.ndarray, scale: int = 1) -> np.ndarray:
    """What moves each frame onto the next: ``(frames - 1, 8)``, as `metrics.warping_error` takes.

    Args:
        camera_path: as from `path`.
        scale: of the frames that are compared, over those of the path.
    """
    matrices = _matrices(camera_path)
    # Frame t shows at p what the next one shows at q: M[t + 1] q = M[t] p.
    return rescaled(_vectors(np.linalg.inv(matrices[1:]) @ matrices[:-1]), scale)


def rescaled(transforms: np.ndarray, scale: float) -> np.ndarray:
    """The same motion between pictures with `scale` pixels for each, along an axis.

    Args:
        transforms: ``(count, 8)`` float64, as from `path` or `motion`.
        scale: below 1 for coarser pictures.
    """
    if scale == 1:
        return transforms
    half = (scale - 1) / 2
    change = np.array([[scale, 0, half], [0, scale, half], [0, 0, 1]], np.float64)
    return _vectors(change @ _matrices(transforms) @ np.linalg.inv(change))


def _matrices(transforms: np.ndarray) -> np.ndarray:
    whole = np.concatenate([transforms, np.ones((len(transforms), 1))], axis=1)
    return whole.reshape(-1, 3, 3)


def _vectors(matrices: np.ndarray) -> np.ndarray:
    return (matrices / matrices[:, 2:, 2:]).reshape(-1, 9)[:, :8]

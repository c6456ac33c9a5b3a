"""A virtual camera over a still image: clips whose motion is known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import validation
from keras_temporal_reg.core.deprecation import warn

MARGIN = 0.1  # fraction of the image's sides that frames leave out at each edge


def path(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """The path of a hand-held camera: slow pans with slight rotation and zoom.

    Args:
        frames: number of frames, at least 2.
        height: height of the image in pixels.
        width: width of the image in pixels.
        seed: determines phases and directions.

    Returns:
        ``(frames, 8)`` float64 affine transforms in the convention of `image.transform`, from
        points of a frame (see `film`) to points of the image.

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
    # At most about 1.5 pixels per frame, as T, whatever the size of the image.
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
    """Height and width of the frames that `film` takes of an image of this height and width.

    Both are multiples of `multiple`.

    Example:
        >>> from keras_temporal_reg.evaluation import camera
        >>> camera.frame_size(100, 200)
        (80, 160)
    """
    inner = (1.0 - 2.0 * MARGIN) * np.array([height, width])
    small = (inner // multiple * multiple).astype(int)
    return int(max(small[0], multiple)), int(max(small[1], multiple))


def film(picture: np.ndarray, camera_path: np.ndarray, scale: int = 1) -> Iterator[np.ndarray]:
    """Frames of `picture` along a camera path.

    Args:
        picture: ``(scale * height, scale * width, channels)`` float32.
        camera_path: as from `path`, for an image of ``(height, width)``.
        scale: pixels of `picture` per pixel of the path, along an axis.

    Yields:
        ``(scale * frame height, scale * frame width, channels)`` float32 for each step of the
        path, interpolated bilinearly; see `frame_size`.
    """
    height, width = frame_size(*(side // scale for side in picture.shape[:2]))
    size = (scale * height, scale * width)
    images = tf.constant(picture[np.newaxis], tf.float32)
    for transform in transforms.rescale_transforms(camera_path, (1, 1), (scale, scale)):
        yield image.transform(
            images, transform[np.newaxis].astype(np.float32), "bilinear", "nearest", size
        )[0].numpy()


def motion(camera_path: np.ndarray, scale: int = 1) -> np.ndarray:
    """The motion from each frame to the next: ``(frames - 1, 8)``, for `metrics.warping_error`.

    Args:
        camera_path: as from `path`.
        scale: pixels of the compared frames per pixel of the path, along an axis.
    """
    matrices = np.concatenate([camera_path, np.ones((len(camera_path), 1))], axis=1)
    matrices = matrices.reshape(-1, 3, 3)
    # Frame t shows at p what the next one shows at q: M[t + 1] q = M[t] p.
    motions = (np.linalg.inv(matrices[1:]) @ matrices[:-1]).reshape(-1, 9)
    motions = motions[:, :8] / motions[:, 8:]
    return transforms.rescale_transforms(motions, (1, 1), (scale, scale))


def rescaled(motions: np.ndarray, scale: float) -> np.ndarray:
    """Deprecated name of `transforms.rescale_transforms` with one scale for both axes."""
    warn("camera.rescaled", "transforms.rescale_transforms")
    return transforms.rescale_transforms(motions, (1, 1), (scale, scale))

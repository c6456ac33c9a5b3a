"""Generated HDR scenes under a moving camera, and the camera that captures them.

Eilertsen, Mantiuk and Unger (CVPR 2019) test HDR reconstruction on generated frames. A scene here
has surfaces with textures, edges and gratings, and light sources up to some hundred times as
bright as what a camera shows as white. Light 1 is white at an exposure under which 6 to 14 % of a
scene's pixels clip.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg import transforms
from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.tasks import _hdr
from keras_temporal_reg.tasks._hdr import OFFSET, to_log

__all__ = [
    "OFFSET",
    "SATURATION",
    "SceneClip",
    "capture",
    "capture_clip",
    "clip",
    "film",
    "linearized",
    "saturation",
    "scene",
    "to_log",
]

SATURATION = 0.95
"""Light above which a network must estimate what the camera clipped."""
_SOFTNESS = 2.8  # pixels over which edges rise: bilinear warps are exact for no sharper ones
_FINE = 2  # a clip is filmed at so many times its resolution, which keeps it sharp and exact
_SHAPES = 14


class SceneClip(NamedTuple):
    """Frames of a scene under a moving camera.

    Attributes:
        frames: ``(frames, height, width, 3)`` float32, linear light.
        motion: ``(frames - 1, 8)`` float64, exact, as `metrics.warping_error` takes it.
    """

    frames: np.ndarray
    motion: np.ndarray


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """Generate a scene: textured surfaces, edges, gratings, and light sources with glare.

    Args:
        seed: the same seed gives the same scene.
        height: in pixels, at least 16.
        width: likewise.

    Returns:
        ``(height, width, 3)`` float32 linear light, above 0; 1 is white.

    Raises:
        ValueError: for a seed below 0, or a smaller size.

    Example:
        >>> from keras_temporal_reg.experiments import scenes
        >>> light = scenes.scene(seed=0, height=64, width=64)
        >>> bool(0.05 < (light.max(axis=-1) > 1.0).mean() < 0.15)
        True
    """
    validation.whole_number("seed", seed, 0)
    validation.whole_number("height", height, 16)
    validation.whole_number("width", width, 16)
    return _expose(_light(np.random.default_rng(seed), height, width, 1), seed)


def clip(seed: int, frames: int, height: int, width: int) -> SceneClip:
    """Film a scene with a hand-held camera (`camera.path`) whose motion is known exactly.

    Args:
        seed: of the scene and of the camera's path.
        frames: number of frames, at least 2.
        height: of the frames, in pixels, at least 16.
        width: likewise.

    Raises:
        ValueError: for a number outside of these bounds.

    Example:
        >>> from keras_temporal_reg.experiments import scenes
        >>> filmed = scenes.clip(seed=0, frames=3, height=32, width=48)
        >>> filmed.frames.shape, filmed.motion.shape
        ((3, 32, 48, 3), (2, 8))
    """
    validation.whole_number("frames", frames, 2)
    validation.whole_number("height", height, 16)
    validation.whole_number("width", width, 16)
    inner = 1.0 - 2.0 * camera.MARGIN
    size = (math.ceil(height / inner) + 5, math.ceil(width / inner) + 5)
    light = _light(np.random.default_rng(seed), *size, fine=_FINE)
    fine = film(light.astype(np.float32), frames, seed, (height * _FINE, width * _FINE))
    # A pixel integrates the light that falls on its whole area.
    pixels = fine.frames.reshape(frames, height, _FINE, width, _FINE, 3).mean(axis=(2, 4))
    motion = transforms.rescale_transforms(fine.motion, (_FINE, _FINE), (1, 1))
    return SceneClip(_expose(pixels, seed), motion)


def film(picture: np.ndarray, frames: int, seed: int, size: tuple[int, int]) -> SceneClip:
    """Film a picture with a moving camera.

    Args:
        picture: ``(height, width, channels)`` float32.
        frames: number of frames, at least 2.
        seed: of the camera's path.
        size: height and width of the frames, at most `camera.frame_size` of the picture's.

    Raises:
        ValueError: for fewer frames, or if the picture is too small for that size.
    """
    largest = camera.frame_size(*picture.shape[:2])
    if size[0] > largest[0] or size[1] > largest[1]:
        raise ValueError(
            f"size must be at most {largest[0]} x {largest[1]}, height x width, for a picture of "
            f"{picture.shape[0]} x {picture.shape[1]}. Received: {size[0]} x {size[1]}"
        )
    path = camera.path(frames, *picture.shape[:2], seed=seed)
    # Cut at the right and at the bottom, which leaves the motion as it is.
    cut = [frame[: size[0], : size[1]] for frame in camera.film(picture, path)]
    return SceneClip(np.stack(cut), camera.motion(path))


def linearized(x: np.ndarray) -> np.ndarray:
    """Invert a capture with the mean response curve: `to_log` of the light that it shows.

    Where the capture is saturated the result is white. This is the baseline prediction.

    Args:
        x: array of values in [0, 1].
    """
    return to_log(_hdr.invert_response(x))


def saturation(y: tf.Tensor) -> tf.Tensor:
    """Where the camera clips: 0 below light 0.95, 1 from light 1 on, of the brightest channel.

    Args:
        y: ``(batch, height, width, 3)``, as from `to_log`.

    Returns:
        ``(batch, height, width)``, a `sample_weight` for HDR reconstruction.
    """
    brightest = tf.reduce_max(tf.exp(y) - OFFSET, axis=-1)
    return tf.clip_by_value((brightest - SATURATION) / (1.0 - SATURATION), 0.0, 1.0)


def capture(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    """Capture light: clipped at 1, a random sigmoid curve, noise, JPEG with 8 bits.

    Follows the authors' training code (Eilertsen et al. 2019): for each picture a curve with
    exponent ~ N(0.9, 0.1) and offset ~ N(0.6, 0.1), noise of standard deviation 0 to 0.01, and a
    JPEG quality from 30 to 100. Exposure is left alone: a network cannot know which light white
    stands for.

    Args:
        y: ``(batch, height, width, 3)`` float32, as from `to_log`.
        seed: two integers; None draws with TensorFlow's global seed.

    Returns:
        x in [0, 1], in the shape of y.
    """
    return _hdr.capture(y, seed, expose=False, jpeg=True)


def capture_clip(y: np.ndarray, seed: int = 0) -> np.ndarray:
    """Capture the frames of a clip with one camera: one curve, new noise in each frame.

    Args:
        y: ``(frames, height, width, 3)``, as from `to_log`.
        seed: of the noise, which has a standard deviation of 0.005; the JPEG quality is 90.

    Returns:
        x in [0, 1], float32, in the shape of y.
    """
    # Noise from NumPy: TensorFlow's can differ between versions.
    noise = 0.005 * np.random.default_rng(seed).standard_normal(y.shape, np.float32)
    light = _hdr.to_light(tf.constant(y, tf.float32))
    x = _hdr.respond(light, _hdr.CURVE_EXPONENT, _hdr.CURVE_OFFSET, noise)
    return _hdr.store_as_jpeg(x, tf.fill((len(y),), 90)).numpy()


def _light(rng: np.random.Generator, height: int, width: int, fine: int) -> np.ndarray:
    """`scene` before its exposure, with `fine` pixels per pixel along an axis; float64."""
    size, side = (height, width), min(height, width)
    # In pixels of the coarse grid, whatever `fine` is.
    place = (np.mgrid[: height * fine, : width * fine] + 0.5) / fine - 0.5

    shade = np.exp(0.7 * _noise(rng, size, fine))[..., np.newaxis]
    tint = np.exp(0.25 * np.stack([_noise(rng, size, fine) for _ in range(3)], axis=-1))
    surface = np.full((*place.shape[1:], 3), 0.2)
    for number in range(_SHAPES):
        sides = rng.uniform(0.1, 0.5, 2) * side
        distance, along = _box_distance(rng, place, size, sides)
        colour = np.exp(rng.uniform(math.log(0.03), math.log(0.9), 3) * 0.3)
        colour = colour * math.exp(rng.uniform(math.log(0.03), 0.0))
        if number % 3 == 0:
            wave = 2.0 * math.pi * along / rng.uniform(9.0, 20.0)
            colour = colour * (1.0 + 0.6 * np.sin(wave))[..., np.newaxis]
        surface += _edge(distance)[..., np.newaxis] * (colour - surface)
    light = surface * shade * tint
    light /= np.quantile(light.max(axis=-1), 0.95)

    for _ in range(rng.integers(3, 5)):
        radius = rng.uniform(0.02, 0.045) * side
        centre = rng.uniform(0.0, 1.0, 2) * size
        distance = np.hypot(*(p - c for p, c in zip(place, centre))) - radius
        light += _source(rng, distance, side)
    for _ in range(rng.integers(1, 3)):
        sides = rng.uniform([0.01, 0.15], [0.025, 0.4]) * side
        light += _source(rng, _box_distance(rng, place, size, sides)[0], side)
    return light


def _expose(light: np.ndarray, seed: int) -> np.ndarray:
    """Scale light so that 6 to 14 % of the pixels are above 1."""
    clipped = np.random.default_rng((seed, 1)).uniform(0.06, 0.14)
    return (light / np.quantile(light.max(axis=-1), 1.0 - clipped)).astype(np.float32)


def _noise(rng: np.random.Generator, size: tuple[int, int], fine: int) -> np.ndarray:
    """Smooth noise of all scales, of mean 0 and standard deviation 1."""
    coarse = max(size)
    size = (size[0] * fine, size[1] * fine)
    # In cycles per pixel of the coarse grid.
    frequency = fine * np.hypot(np.fft.fftfreq(size[0])[:, np.newaxis], np.fft.rfftfreq(size[1]))
    spectrum = (frequency + 1.0 / coarse) ** -1.5
    spectrum *= np.exp(-0.5 * (2.0 * math.pi * _SOFTNESS / 2.0 * frequency) ** 2)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(size)) * spectrum, size)
    noise -= noise.mean()
    return noise / noise.std()


def _edge(distance: np.ndarray) -> np.ndarray:
    """1 inside, where the distance is below 0, and 0 outside, with a soft rise between."""
    return 0.5 * (1.0 - np.tanh(distance / _SOFTNESS))


def _box_distance(
    rng: np.random.Generator, place: np.ndarray, size: tuple[int, int], sides: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a box with random position and angle, and the coordinate along the box."""
    down, right = (p - c for p, c in zip(place, rng.uniform(0.0, 1.0, 2) * size))
    angle = rng.uniform(0.0, math.pi)
    along = math.cos(angle) * right + math.sin(angle) * down
    across = math.cos(angle) * down - math.sin(angle) * right
    return np.maximum(np.abs(across) - sides[0] / 2, np.abs(along) - sides[1] / 2), along


def _source(rng: np.random.Generator, distance: np.ndarray, side: int) -> np.ndarray:
    """Light of a source: itself, and glare that indicates its strength."""
    strength = math.exp(rng.uniform(math.log(4.0), math.log(60.0)))
    colour = strength * rng.uniform(0.6, 1.0, 3)
    glare = 0.03 * np.exp(-np.maximum(distance, 0.0) / (0.05 * side))
    return (_edge(distance) + glare)[..., np.newaxis] * colour


__getattr__ = deprecation.renamed_names(__name__, {"Clip": "SceneClip"})

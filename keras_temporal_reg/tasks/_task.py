"""Image-to-image tasks: from a picture to a sample (x, y), and from a prediction to a picture.

A task of your own is one `Task` with your functions; the command line takes it by its dotted
path, ``--task my_module.my_task``. All functions take arrays whose last three axes are height,
width and channels, so that one picture or a clip goes through alike.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from keras_temporal_reg.core import seeding

Arrays = tuple[np.ndarray, np.ndarray]

# BT.601 luma, full range.
_LUMA = np.array([0.299, 0.587, 0.114])
_HDR_OFFSET = 1.0 / 255.0
_NOISE = 0.05


@dataclasses.dataclass(frozen=True)
class Task:
    """What a network is to do.

    Attributes:
        name: as a person would call it.
        sample: an RGB picture in [0, 1] to ``(x, y)``, float32.
        picture: ``(x, prediction)`` to an RGB picture in [0, 1], float32.
        trivial: x to what one would predict knowing nothing, shape and range of y.
        trivial_name: what to call that.
        frame: a frame of a clip that the network is used on, RGB in [0, 1], to x. None: the
            x of `sample`, for tasks whose x has all frames as they are.
        make_input: a batch of y to a batch of x, in TensorFlow ops, where x is made from the
            target: motion then comes before degradation. None: x is moved itself. One that draws
            random numbers takes ``(y, seed=None)``: two whole numbers for stateless ops, which
            follow from the step, so that a run that is resumed draws what it would have drawn.
        scale: pixels of y for each of x, along an axis.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> def negative(rgb):
        ...     return rgb.astype("float32"), (1.0 - rgb).astype("float32")
        >>> task = ktr.tasks.Task(
        ...     "negatives", negative, picture=lambda x, p: p, trivial=lambda x: x,
        ...     trivial_name="the input itself",
        ... )
        >>> float(task.target(np.zeros((2, 2, 3))).max())
        1.0
    """

    name: str
    sample: Callable[[np.ndarray], Arrays]
    picture: Callable[[np.ndarray, np.ndarray], np.ndarray]
    trivial: Callable[[np.ndarray], np.ndarray]
    trivial_name: str
    frame: Callable[[np.ndarray], np.ndarray] | None = None
    make_input: Callable[..., tf.Tensor] | None = None
    scale: int = 1

    def input(self, frames: np.ndarray) -> np.ndarray:
        """Frames of a clip that the network is used on, RGB in [0, 1], to x."""
        return self.sample(frames)[0] if self.frame is None else self.frame(frames)

    def target(self, frames: np.ndarray) -> np.ndarray:
        """Frames as they should come out, RGB in [0, 1], to y."""
        return self.sample(frames)[1]


def find(name: str) -> Task:
    """A task of this module by its name, or any by its dotted path.

    Raises:
        ValueError: if there is none.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> ktr.tasks.find("super-resolution").scale
        2
    """
    own = {task.name: task for task in globals().values() if isinstance(task, Task)}
    if name in own:
        return own[name]
    accepted = f"one of {', '.join(sorted(own))}, or a dotted path such as my_module.my_task"
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(f"task must be {accepted}. Received: {name!r}")
    try:
        task = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"task must be {accepted}. Received: {name!r} ({error})") from error
    if not isinstance(task, Task):
        raise ValueError(f"task {name} must be a keras_temporal_reg.tasks.Task. Received: {task!r}")
    return task


def with_values(task: Task, low: float, high: float) -> Task:
    """`task` for a network whose inputs and outputs run from `low` to `high`, not from 0 to 1.

    Raises:
        ValueError: if they are not two numbers in that order.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> task = ktr.tasks.with_values(ktr.tasks.restoration, 0.0, 255.0)
        >>> float(task.input(np.ones((2, 2, 3))).max())
        255.0
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"values must be two numbers, the lower first. Received: {low}, {high}")
    if (low, high) == (0.0, 1.0):
        return task
    gain = high - low

    def out(unit: Any) -> Any:
        return None if unit is None else (unit * gain + low).astype(np.float32)

    def back(values: Any) -> Any:
        return (values - low) / gain

    def make_input(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
        assert task.make_input is not None
        made = seeding.call_in_training(task.make_input, (y - low) / gain, seed)
        return made * gain + low

    return dataclasses.replace(
        task,
        sample=lambda rgb: tuple(out(part) for part in task.sample(rgb)),
        picture=lambda x, prediction: task.picture(back(x), back(prediction)),
        trivial=lambda x: out(task.trivial(back(x))),
        frame=lambda rgb: out(task.input(rgb)),
        make_input=make_input if task.make_input else None,
    )


def _as_it_is(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(rgb, np.float32)


def _shown(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    # Comparisons are False for NaN, which is shown as black.
    shown = np.minimum(np.where(prediction > 0.0, prediction, 0.0), 1.0).astype(np.float32)
    return np.repeat(shown, 3, axis=-1) if shown.shape[-1] == 1 else shown[..., :3]


def _made_by(make_input: Callable[..., tf.Tensor], rgb: np.ndarray) -> Arrays:
    """(x, y) of one picture or of several."""
    y = np.asarray(rgb, np.float32)
    x = make_input(tf.constant(y if y.ndim == 4 else y[np.newaxis])).numpy()
    return (x if y.ndim == 4 else x[0]), y


restoration = Task(
    "restoration",
    lambda rgb: (_as_it_is(rgb), _as_it_is(rgb)),
    _shown,
    lambda x: x,
    "the input itself",
)
"""RGB to RGB, both in [0, 1]: for networks that make pictures better. It has no degradation of its
own, so that training needs pairs of pictures."""


def _to_y_cbcr(rgb: np.ndarray) -> Arrays:
    y = rgb @ _LUMA
    cb = (rgb[..., 2] - y) / (2.0 * (1.0 - _LUMA[2]))
    cr = (rgb[..., 0] - y) / (2.0 * (1.0 - _LUMA[0]))
    return y[..., np.newaxis].astype(np.float32), np.stack([cb, cr], -1).astype(np.float32)


def _to_rgb(y: np.ndarray, cbcr: np.ndarray) -> np.ndarray:
    y, cb, cr = y[..., 0], cbcr[..., 0], cbcr[..., 1]
    red = y + 2.0 * (1.0 - _LUMA[0]) * cr
    blue = y + 2.0 * (1.0 - _LUMA[2]) * cb
    green = (y - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    return np.clip(np.stack([red, green, blue], -1), 0.0, 1.0).astype(np.float32)


def _grey(y: np.ndarray) -> np.ndarray:
    return np.zeros((*y.shape[:-1], 2), np.float32)


colorization = Task("colorization", _to_y_cbcr, _to_rgb, _grey, "grey")
"""Y in [0, 1] to Cb and Cr in [-0.5, 0.5] (BT.601, full range)."""


def _super_resolution(scale: int) -> Task:
    def reduced(y: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(y, scale, scale, "VALID")

    def sample(rgb: np.ndarray) -> Arrays:
        height, width = (side // scale * scale for side in rgb.shape[-3:-1])
        return _made_by(reduced, rgb[..., :height, :width, :])

    def repeated(x: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(x, scale, axis=-3), scale, axis=-2)

    return Task(
        "super-resolution" + ("" if scale == 2 else f"-{scale}"),
        sample,
        _shown,
        repeated,
        "repeated pixels",
        frame=_as_it_is,
        make_input=reduced,
        scale=scale,
    )


super_resolution = _super_resolution(2)
"""RGB to RGB of twice the height and width, both in [0, 1]; x is made by averaging 2 x 2 pixels."""
super_resolution_3 = _super_resolution(3)
"""The same for three times."""
super_resolution_4 = _super_resolution(4)
"""The same for four times."""


def _seeds(seed: Any, count: int) -> list[tf.Tensor]:
    """Seeds of stateless ops, of one or of TensorFlow's global random numbers."""
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))


def _noisy(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    (seed,) = _seeds(seed, 1)
    return y + tf.random.stateless_normal(tf.shape(y), seed, stddev=_NOISE, dtype=y.dtype)


denoising = Task(
    "denoising",
    lambda rgb: _made_by(_noisy, rgb),
    _shown,
    lambda x: x,
    "the input itself",
    frame=_as_it_is,
    make_input=_noisy,
)
"""RGB in [0, 1] with Gaussian noise of standard deviation 0.05 to RGB without."""


def _captured(y: tf.Tensor, seed: Any = None) -> tf.Tensor:
    """The virtual camera: random exposure, a random sigmoid curve, noise, 8 bits, clipped."""
    seeds = _seeds(seed, 5)
    light = tf.maximum(tf.exp(y) - _HDR_OFFSET, 0.0)
    batch = tf.shape(y)[0]
    one_each = (batch, 1, 1, 1)

    def draw(mean: float, deviation: float) -> tf.Tensor:
        return tf.random.stateless_normal(one_each, seeds.pop(), mean, deviation, dtype=y.dtype)

    # 5 to 15 % of the pixels are to clip: those above the value of that rank.
    clipped = tf.random.stateless_uniform((batch,), seeds.pop(), 0.05, 0.15, dtype=y.dtype)
    ordered = tf.sort(tf.reshape(tf.reduce_max(light, axis=-1), (batch, -1)), axis=-1)
    pixels = tf.cast(tf.shape(ordered)[1], y.dtype)
    rank = tf.cast((1.0 - clipped) * (pixels - 1.0), tf.int32)
    white = tf.gather(ordered, rank, batch_dims=1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    exposed = tf.clip_by_value(light / tf.maximum(white, 1e-6), 0.0, 1.0)
    power = tf.pow(exposed + 1e-8, tf.clip_by_value(draw(0.9, 0.1), 0.5, 1.5))
    offset = tf.clip_by_value(draw(0.6, 0.1), 0.2, 1.2)
    curved = (1.0 + offset) * power / (power + offset)
    noise = tf.random.stateless_uniform(one_each, seeds.pop(), 0.0, 0.01, dtype=y.dtype)
    noisy = curved + noise * tf.random.stateless_normal(tf.shape(y), seeds.pop(), dtype=y.dtype)
    return tf.round(tf.clip_by_value(noisy, 0.0, 1.0) * 255.0) / 255.0


def _to_log(light: np.ndarray) -> np.ndarray:
    return np.log(np.asarray(light, np.float32) + np.float32(_HDR_OFFSET))


def _hdr_sample(light: np.ndarray) -> Arrays:
    return _made_by(_captured, _to_log(light))


def _hdr_shown(x: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    light = np.maximum(np.exp(np.clip(prediction, -20.0, 20.0)) - _HDR_OFFSET, 0.0)
    # Global tone mapping (Reinhard et al. 2002), then the gamma of displays.
    return _shown(x, (light / (1.0 + light)) ** (1.0 / 2.2))


hdr = Task(
    "hdr",
    _hdr_sample,
    _hdr_shown,
    lambda x: _to_log(np.asarray(x) ** 2.2),
    "the input itself",
    frame=_as_it_is,
    make_input=_captured,
)
"""An RGB capture in [0, 1] to log(light + 1/255), light being linear. Pictures to learn from are
EXR or HDR files; the virtual camera follows the authors' training code, without its JPEG step."""

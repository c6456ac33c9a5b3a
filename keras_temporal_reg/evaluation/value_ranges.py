"""Find the values of a network that stand for black and white.

Its input's type and its first layers tell the range of its inputs, its last activation that of
its outputs. What they do not tell is tried on an image. Where nothing tells, it is 0 to 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import tasks
from keras_temporal_reg.core import validation
from keras_temporal_reg.evaluation import inference

UNIT = (0.0, 1.0)
SIGNED = (-1.0, 1.0)
BYTE = (0.0, 255.0)
_HIGHEST = (1.0, 255.0, 65535.0)  # values of white
# Mean absolute differences between result and target, of values in [0, 1]: above the first, a
# network does not work in a range; below the second, it does.
_FAR = 0.25
_NEAR = 0.1
# Results above it are of 0 to 255; light and depth without an upper bound are not.
_MOST_OF_UNIT = 16.0
_SIDE = 128  # pixels of the part of an image that ranges are tried on
_AT_ONE_END = 0.98  # share of the results that are black, white or beyond: more is suspicious
_MARGIN = 0.01  # of black and white

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class ValueRange:
    """The values of a network that stand for 0 and 1.

    Attributes:
        values: lowest and highest of its inputs; then of its outputs where these differ.
        reason: what they were found from, as a phrase.
        warning: a sentence where they seem to be wrong.
    """

    values: tuple[float, ...]
    reason: str
    warning: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: what was found where it is not 0 to 1, and a warning."""
        said = () if self.values == UNIT or self.reason == _GIVEN else (self.describe(),)
        return said if self.warning is None else (*said, self.warning)

    def describe(self) -> str:
        """A sentence on what was taken."""
        low, high, out_low, out_high = validation.value_range("values", self.values)
        return (
            f"Value range: {low:g}..{high:g} in, {out_low:g}..{out_high:g} out ({self.reason}); "
            "--value-range (value_range) sets another."
        )


_GIVEN = "as given"
DEFAULT = ValueRange(UNIT, "the default")


def find(
    model: Any,
    task: tasks.Task,
    x: np.ndarray,
    y: np.ndarray | None = None,
    given: Sequence[float] | None = None,
) -> ValueRange:
    """Find the values of a network that stand for 0 and 1.

    Args:
        model: a Keras model.
        task: what it does, with values in [0, 1].
        x: an input of the task, ``(height, width, channels)`` float32.
        y: its target, the scale of the network times as large; None: the target is not known.
        given: the values, where they are known: they are taken.

    Returns:
        What was found. Without evidence, and for a model that cannot run on x, `DEFAULT`.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> from tensorflow import keras
        >>> from keras_temporal_reg.evaluation import value_ranges
        >>> network = keras.Sequential([
        ...     keras.Input((None, None, 3)), keras.layers.Rescaling(1 / 255),
        ...     keras.layers.Conv2D(3, 1, activation="sigmoid")])
        >>> value_ranges.find(network, ktr.tasks.restoration, np.ones((8, 8, 3), "float32")).values
        (0.0, 255.0, 0.0, 1.0)
    """
    if given is not None:
        return ValueRange(tuple(float(number) for number in given), _GIVEN)
    try:
        return _find(model, _Trials(model, x, y), task)
    # The caller runs the model too, and has more to say of it.
    except (ValueError, TypeError, tf.errors.OpError):
        return DEFAULT


def _find(model: Any, trials: _Trials, task: tasks.Task) -> ValueRange:
    layers = [*_image_layers(model)]
    is_picture = trials.channels in (1, 3) and _has_pictures(task)
    has_tanh = is_picture and bool(layers) and _activation_of(layers[-1]) == "tanh"
    inputs, reason = told_by_input(model) or (None, "")
    others: tuple[tuple[Range, Range], ...]
    if inputs is None and not has_tanh:
        # Where the default works, no other range is tried.
        inputs, reason = UNIT, DEFAULT.reason
        outputs = trials.outputs(UNIT, is_picture)
        if trials.distance(UNIT, outputs) > _FAR:
            others = ((BYTE, trials.outputs(BYTE, is_picture)), (SIGNED, SIGNED))
            near = (each for each in others if is_picture and trials.distance(*each) < _near(each))
            inputs, outputs = next(near, (UNIT, outputs))
            if inputs != UNIT:
                reason = "with these its results are near its input, and with 0 to 1 far from it"
    elif inputs is None:
        inputs, outputs, reason = SIGNED, SIGNED, "the network ends with tanh"
        if trials.distance(SIGNED, SIGNED) > _FAR:
            others = ((UNIT, SIGNED), (UNIT, UNIT), (BYTE, SIGNED))
            near = (each for each in others if trials.distance(*each) < _near(each))
            inputs, outputs = next(near, (SIGNED, SIGNED))
    else:
        outputs = SIGNED if has_tanh else trials.outputs(inputs, is_picture)
    warning = trials.warning(inputs, outputs) if is_picture else None
    if inputs == outputs:
        return ValueRange(inputs, reason, warning)
    found = ", outputs by its last layer" if has_tanh else ", outputs by its results"
    return ValueRange((*inputs, *outputs), reason + found, warning)


def _near(ranges: tuple[Range, Range]) -> float:
    """The most distance of a network that works in these ranges, of inputs and outputs."""
    # From -1 to 1, results of any network are half as far from 0, grey, in units of the range.
    return _NEAR / 2 if SIGNED in ranges else _NEAR


class _Trials:
    """Results of a network for the center of an image, in the network's own values.

    Attributes:
        channels: of the results.
    """

    def __init__(self, model: Any, x: np.ndarray, y: np.ndarray | None) -> None:
        top, left = (max(side - _SIDE, 0) // 2 for side in x.shape[:2])
        self._x = x[np.newaxis, top : top + _SIDE, left : left + _SIDE].astype(np.float32)
        self._run = inference.runner(model, *self._x.shape[1:])
        scale = self._run.scale
        if y is None:  # most networks change their input a little
            self._y = self._x.repeat(scale, axis=1).repeat(scale, axis=2)
        else:
            size = _SIDE * scale
            rows, columns = (slice(n * scale, n * scale + size) for n in (top, left))
            self._y = y[np.newaxis, rows, columns].astype(np.float32)
        self._is_known = y is not None
        self._results: dict[Range, np.ndarray] = {}
        self.channels = self.results(UNIT).shape[-1]

    def results(self, inputs: Range) -> np.ndarray:
        """The results for inputs of a range."""
        if inputs not in self._results:
            low, high = inputs
            self._results[inputs] = self._run(self._x * np.float32(high - low) + np.float32(low))
        return self._results[inputs]

    def unit(self, inputs: Range, outputs: Range) -> np.ndarray:
        """The same, with 0 and 1 for the ends of the range of the outputs."""
        low, high = outputs
        return (self.results(inputs) - np.float32(low)) / np.float32(high - low)

    def outputs(self, inputs: Range, is_picture: bool) -> Range:
        """The range of the outputs, by their size."""
        largest = float(np.quantile(np.abs(self.results(inputs)), 0.99))
        return BYTE if is_picture and largest > _MOST_OF_UNIT else UNIT

    def distance(self, inputs: Range, outputs: Range) -> float:
        """Mean absolute difference between result and target; NaN where their shapes differ."""
        unit = self.unit(inputs, outputs)
        if unit.shape != self._y.shape:
            return math.nan
        difference = float(np.abs(unit - self._y).mean())
        return difference if np.isfinite(difference) else math.inf

    def warning(self, inputs: Range, outputs: Range) -> str | None:
        """A sentence where the results are no use: at the ends of their range, or far from y."""
        unit = self.unit(inputs, outputs)
        before, after = _share_at_ends(self._x), _share_at_ends(unit)
        if before < 0.5 and after > _AT_ONE_END:
            found = f"{100 * after:.0f} % of the network's results are black, white or beyond"
        elif self._is_known and self._is_worse_than_a_constant(unit):
            found = "the network's results are further from the targets than one even colour"
        else:
            return None
        return (
            f"WARNING: {found} with inputs from {inputs[0]:g} to {inputs[1]:g} and outputs from "
            f"{outputs[0]:g} to {outputs[1]:g}: if it takes other values, give --value-range "
            "(value_range)."
        )

    def _is_worse_than_a_constant(self, unit: np.ndarray) -> bool:
        if unit.shape != self._y.shape:
            return False
        spread = self._y - self._y.mean(axis=(0, 1, 2))
        return not float(np.square(unit - self._y).mean()) <= float(np.square(spread).mean())


def _share_at_ends(unit: np.ndarray) -> float:
    return float(np.mean(~((unit > _MARGIN) & (unit < 1.0 - _MARGIN))))


def _has_pictures(task: tasks.Task) -> bool:
    """Whether the targets of a task are pictures with values in [0, 1]."""
    # Random, since a task may sort or scale by the values.
    probe = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    y = task.encode(probe)[1]
    return y.shape[-1] in (1, 3) and float(y.min()) >= -_MARGIN and float(y.max()) <= 1 + _MARGIN


def told_by_input(model: Any) -> tuple[Range, str] | None:
    """The range of inputs, if their type or the first layers tell it, and a phrase that says so."""
    inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
    if not inputs:
        return None
    dtype = tf.as_dtype(inputs[0].dtype)
    if dtype.is_integer:
        highest = 65535.0 if dtype in (tf.uint16, tf.int16) else 255.0
        return (0.0, highest), f"the network takes integers, {dtype.name}"
    try:
        (black, before), (white, _) = (_before_weights(model, value) for value in (0.0, 1.0))
    # Layers of any kind, called alone.
    except Exception:
        return None
    top = _highest(white - black, black)
    if top is None:
        return None
    names = " and ".join(before) or "arithmetic"
    low, high = (float(np.mean(black + end * (white - black))) for end in (0.0, top))
    return (0.0, top), (
        f"the network begins with {names}, which maps 0..{top:g} to {low:.3g}..{high:.3g}"
    )


def _highest(scale: np.ndarray, offset: np.ndarray) -> float | None:
    """The value of white, if ``scale * x + offset`` brings only such values near 0 and 1."""
    if not (scale > 0).all() or (np.allclose(scale, 1.0) and np.allclose(offset, 0.0)):
        return None
    middle = -offset / scale  # where values have no offset, they begin at 0
    for top in _HIGHEST:
        if np.all(np.abs(middle) < 1e-3 * top):
            fits = np.all((scale * top >= 0.5) & (scale * top <= 8.0))
        else:
            fits = np.all((middle >= 0.15 * top) & (middle <= 0.85 * top))
        if fits:
            return top
    return None


def _before_weights(model: Any, value: float) -> tuple[np.ndarray, list[str]]:
    """What the first layer with weights is given of an image of one value.

    Returns:
        One number per channel, and the names of the layers before.

    Raises:
        LookupError: if no layer has weights.
        Exception: whatever a layer raises.
    """
    shape = [side or 32 for side in model.inputs[0].shape[1:]]
    images = tf.fill([1, *shape], value)
    names: list[str] = []
    while True:
        layers = [each for each in model.layers if type(each).__name__ != "InputLayer"]
        first = next(n for n, layer in enumerate(layers) if _is_learned(layer))
        layer = layers[first]
        # Operators of TensorFlow are layers of this name in Keras 2, and no layers in Keras 3.
        classes = (type(each).__name__ for each in layers[:first])
        names += [name for name in classes if name != "TFOpLambda"]
        (node,) = layer._inbound_nodes
        (tensor,) = tf.nest.flatten(node.input_tensors)
        if first or not any(tensor is each for each in model.inputs):
            images = keras.Model(model.inputs, tensor)(images, training=False)
        if not getattr(layer, "layers", None):
            # Not the mean: a padding has other values.
            return np.median(np.asarray(images), axis=(0, 1, 2)), names
        model = layer


def _is_learned(layer: Any) -> bool:
    return bool(layer.weights) and type(layer).__name__ != "Normalization"


def _activation_of(layer: Any) -> str | None:
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _image_layers(model: Any) -> Iterator[Any]:
    """Layers in order, without inputs; nested models are entered."""
    for layer in getattr(model, "layers", []):
        if type(layer).__name__ == "InputLayer":
            continue
        if getattr(layer, "layers", None):
            yield from _image_layers(layer)
        else:
            yield layer

"""Blend models: average the weights of fine-tunings that start from one model.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy
without increasing inference time", ICML 2022.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning import architectures
from keras_temporal_reg.model import RegularizedModel

SUM_TOLERANCE = 1e-6  # of weights, which are often rounded
MAX_BATCHES = 32  # that statistics are estimated on


@saved_models.takes_custom_objects
def blend(
    models: Sequence[Any],
    weights: Sequence[float],
    batches: Iterable[Any] | None = None,
    *,
    allow_code: bool = False,
    custom_objects: Any = None,
) -> keras.Model:
    """Make a model whose weights are the weighted average of models with one architecture.

    Meant for fine-tunings that start from the same weights: averages of models that were trained
    apart from the start are of no use.

    Args:
        models: at least one Keras model or path of a saved model. Of a `RegularizedModel`, its
            `base_model`. They are not changed.
        weights: one per model, each at least 0, with sum 1.
        batches: inputs, as x or ``(x, y, ...)``, to estimate the statistics of BatchNormalization
            layers on; up to 32 are used. See `reestimate_statistics`. None: the statistics are
            averaged, with a warning where there are any.
        allow_code: load files with Python code in them too; see `saved_models.load`.
        custom_objects: layers and functions of your own that a model holds: a Python file that
            defines them, or a mapping from their names. Only with `allow_code`.

    Returns:
        A new model, not compiled, which shares nothing with `models`. Variables that are not
        floats, such as the states of random generators, are those of the first model that has a
        weight above 0. A model with weight 1 is copied bit for bit.

    Raises:
        TypeError: if `models` holds something else.
        ValueError: if weights are negative, do not sum to 1 or are not one per model, if the
            architectures differ (the message names the first layer that does), if a file cannot be
            loaded, a model not be copied, or `batches` not be used.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> from tensorflow import keras
        >>> def network(value):
        ...     kernel = keras.initializers.Constant(value)
        ...     layer = keras.layers.Conv2D(1, 1, kernel_initializer=kernel)
        ...     return keras.Sequential([keras.Input((None, None, 1)), layer])
        >>> blended = ktr.blend([network(1.0), network(3.0)], [0.25, 0.75])
        >>> float(np.max(blended(np.ones((1, 2, 2, 1)))))
        2.5
    """
    blended = blend_loaded(load_all(models, weights, allow_code), weights)
    if needs_statistics(blended, weights):
        if batches is None:
            warnings.warn(
                "the statistics of BatchNormalization layers were averaged, which does not fit "
                "averaged weights: give batches of inputs to estimate them on",
                stacklevel=2,
            )
        else:
            reestimate_statistics(blended, batches)
    return blended


def average(weight_lists: Sequence[Sequence[Any]], weights: Sequence[float]) -> list[Any]:
    """Average the variables of models, computed in float64.

    Args:
        weight_lists: per model, ``[v.numpy() for v in model.variables]``.
        weights: one per model, as in `blend`.

    Returns:
        An array per variable, of the dtype that the first model has. Those that are not floats
        are taken from the first model that has a weight above 0.

    Raises:
        ValueError: if the weights are wrong, as in `blend`.

    Example:
        >>> from keras_temporal_reg.finetuning import blending
        >>> blending.average([[np.float32([0, 2])], [np.float32([4, 2])]], [0.75, 0.25])
        [array([1., 2.], dtype=float32)]
    """
    check_weights(weights, len(weight_lists))
    total = math.fsum(weights)
    # Without the terms of weight 0, which would make NaN of an infinite value.
    shares = [(weight / total, n) for n, weight in enumerate(weights) if weight > 0]
    return [
        _average([(share, arrays[n]) for share, n in shares], arrays[0].dtype)
        for arrays in zip(*weight_lists, strict=True)
    ]


def _average(terms: list[tuple[float, Any]], dtype: Any) -> Any:
    (share, first), *others = terms
    if not tf.as_dtype(dtype).is_floating:  # NumPy does not know bfloat16 as a float
        return first.copy()
    result = share * first.astype(np.float64)
    for share, values in others:
        result += share * values.astype(np.float64)
    return np.asarray(result).astype(dtype)


def assign(
    network: keras.Model,
    values: Mapping[str, Sequence[np.ndarray]],
    weights: Mapping[str, float],
    batches: Iterable[Any] | None = None,
) -> None:
    """Give a network the weights of a blend.

    Args:
        network: that the weights belong to.
        values: name to the values of the network's variables.
        weights: name to weight.
        batches: inputs to re-estimate the statistics of BatchNormalization on.
    """
    used = {name: weight for name, weight in weights.items() if weight}
    blended = average([values[name] for name in used], [*used.values()])
    for variable, value in zip(network.variables, blended):
        variable.assign(value)
    if batches is not None and len(used) > 1:
        reestimate_statistics(network, batches)


def reestimate_statistics(model: keras.Model, batches: Iterable[Any]) -> None:
    """Estimate the moving statistics of BatchNormalization layers anew, in place.

    In one pass over the batches, each layer normalizes by the mean and variance of its batch, as
    in training, and all other layers work as in inference. The new statistics are the means over
    the batches of both. Layers with ``trainable=False`` keep and use theirs.

    Args:
        model: a model; nothing else in it changes, and after an error it is as it was.
        batches: x or tuples ``(x, y, ...)``; up to 32 are used.

    Raises:
        ValueError: if there is no batch, or if statistics are NaN or infinite.
    """
    layers = _normalizations(model)
    if not layers:
        return
    if hasattr(batches, "shape"):
        raise ValueError(
            "batches must be an iterable of batches, such as [x]. "
            f"Received: an array of shape {tuple(batches.shape)}"
        )
    before = [_statistics(layer) for layer in layers]
    observers = [_Observer(layer) for layer in layers]
    try:
        used = 0
        with contextlib.ExitStack() as stack:
            for observer in observers:
                stack.enter_context(observer.installed())
            for batch in itertools.islice(batches, MAX_BATCHES):
                model(batch[0] if isinstance(batch, tuple) else batch, training=False)
                used += 1
        if not used:
            raise ValueError("batches must hold at least one batch. Received: none")
        estimated = [observer.means(kept) for observer, kept in zip(observers, before)]
        for layer, values in zip(layers, estimated):
            if not all(np.isfinite(each).all() for each in values):
                raise ValueError(
                    f"batches must give finite statistics in layer {layer.name}. "
                    "Received: NaN or infinity"
                )
    except BaseException:
        _set_statistics(layers, before)
        raise
    _set_statistics(layers, estimated)


class _Observer:
    """Lets a BatchNormalization layer normalize by its batch, and sums up the statistics."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.calls = 0
        self.sums: Any = 0.0  # (2, channels): of means and of variances

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        layer, original = self.layer, self.layer.call

        def call(inputs: Any, *_: Any, **__: Any) -> Any:
            _set_statistics([layer], [self._observe(inputs)])
            return original(inputs, training=False)

        layer.call = call
        try:
            yield
        finally:
            del layer.call  # that of the class is back

    def _observe(self, inputs: Any) -> Any:
        axis = self.layer.axis
        kept = {n % len(inputs.shape) for n in ([axis] if isinstance(axis, int) else axis)}
        others = [n for n in range(len(inputs.shape)) if n not in kept]
        moments = tf.nn.moments(tf.cast(inputs, tf.float32), others)
        moments = np.stack([part.numpy() for part in moments])
        self.calls += 1
        self.sums = self.sums + moments.astype(np.float64)
        return moments

    def means(self, default: Any) -> Any:
        """Means over the calls; `default` for a layer that was not called."""
        return self.sums / self.calls if self.calls else default


def _normalizations(model: Any) -> list[Any]:
    """The BatchNormalization layers whose statistics training would change."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def _statistics(layer: Any) -> list[np.ndarray]:
    return [layer.moving_mean.numpy(), layer.moving_variance.numpy()]


def _set_statistics(layers: Sequence[Any], statistics: Sequence[Any]) -> None:
    for layer, values in zip(layers, statistics):
        for variable, value in zip((layer.moving_mean, layer.moving_variance), values):
            variable.assign(np.reshape(value, variable.shape))


def needs_statistics(model: Any, weights: Sequence[float]) -> bool:
    """Whether a blend has BatchNormalization layers whose statistics do not fit it."""
    # A model with weight 1 has those that fit it.
    return sum(weight > 0 for weight in weights) > 1 and bool(_normalizations(model))


def load_all(models: Sequence[Any], weights: Sequence[float], allow_code: bool) -> list[Any]:
    """The Keras models of `blend`'s argument, after a check of the weights.

    Raises:
        TypeError: if `models` holds something else.
        ValueError: if the weights are wrong, as in `blend`, or a file cannot be loaded.
    """
    if isinstance(models, (str, Path, keras.Model)) or not isinstance(models, Sequence):
        raise TypeError(
            "models must be a list of Keras models or of paths of saved models. "
            f"Received: {type(models).__name__}"
        )
    for n, model in enumerate(models):
        if not isinstance(model, (str, Path, keras.Model)):
            raise TypeError(
                f"models[{n}] must be a Keras model or the path of a saved model. "
                f"Received: {type(model).__name__}"
            )
    check_weights(weights, len(models))  # before files are read
    return [_load(model, allow_code) for model in models]


def _load(model: Any, allow_code: bool) -> Any:
    if isinstance(model, RegularizedModel):
        return model.base_model
    if isinstance(model, keras.Model):
        return model
    return saved_models.load(model, allow_code, for_training=True).model


def check_weights(weights: Sequence[float], count: int) -> None:
    """Check the weights of so many models.

    Raises:
        ValueError: if they are wrong, as in `blend`.
    """
    weights = list(weights)
    if not count or len(weights) != count:
        raise ValueError(
            f"weights must be one per model, and models at least one. Received: {len(weights)} "
            f"weights for {count} models"
        )
    for weight in weights:
        is_number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
        if not (is_number and 0 <= weight < math.inf):
            raise ValueError(f"weights must be numbers of at least 0. Received: {weight!r}")
    if abs(math.fsum(weights) - 1.0) > SUM_TOLERANCE:
        raise ValueError(
            f"weights must sum to 1. Received: {', '.join(f'{w:g}' for w in weights)}, "
            f"which sum to {math.fsum(weights):g}"
        )


def blend_loaded(models: Sequence[Any], weights: Sequence[float]) -> Any:
    """A new model with the average of the variables of models.

    Raises:
        ValueError: if the architectures differ, or the model cannot be copied.
    """
    for n, model in enumerate(models[1:], start=1):
        architectures.check_same(models[0], model, names=("models[0]", f"models[{n}]"))
    arrays = [[variable.numpy() for variable in model.variables] for model in models]
    blended = _copy(models[0])
    for variable, values in zip(blended.variables, average(arrays, weights), strict=True):
        variable.assign(values)
    return blended


def _copy(model: Any) -> Any:
    """A model of the same architecture with variables of its own, whose values do not matter.

    Raises:
        ValueError: if Keras can neither clone nor save the model.
    """
    causes = []
    shapes = architectures.shapes_of(model)
    classes = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    with keras.utils.custom_object_scope(classes):
        for make in (keras.models.clone_model, _save_and_load):
            try:
                copy = make(model)
                if not shapes or architectures.shapes_of(copy) == shapes:
                    _copy_trainable(model, copy)
                    return copy
                causes.append("the copy has other variables")
            # A model's own code can raise anything.
            except Exception as error:
                causes.append(f"{error}".strip().partition("\n")[0] or repr(error))
    raise ValueError(
        f"models[0], {model.name}, must be a model that Keras can clone or save: give each of its "
        f"classes a get_config method. Received: {'; '.join(causes)}"
    )


def _save_and_load(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        saved_models.save(model, path, "keras")
        return saved_models.load(path, allow_code=True).model  # of the caller's own model


def _copy_trainable(model: Any, copy: Any) -> None:
    for layer, copied in zip(model._flatten_layers(), copy._flatten_layers()):
        if copied.trainable != layer.trainable:
            copied.trainable = layer.trainable

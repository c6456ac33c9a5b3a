"""What a network that is to be regularized must be, and what of it training does not use."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.core import outputs as model_outputs
from keras_temporal_reg.core import validation

# What `fit`, `evaluate` and `predict` call of a model; `RegularizedModel` has its own.
STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")


def check(model: Any, output: str | int | None) -> None:
    """Refuse what cannot be regularized; warn of steps that are not called.

    Args:
        model: the network; where it does not declare its shapes, they are checked in training.
        output: which of its outputs is regularized; None for the only one.

    Raises:
        ValueError: if it is no Keras model, has several outputs and `output` names none of them,
            or returns no images in channels-last order with the aspect of its input.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"base_model must be a keras.Model. Received: {model!r}")
    if isinstance(output, bool) or not isinstance(output, (str, int, type(None))):
        raise ValueError(f"output must be a name, a number or None. Received: {output!r}")
    _warn_of_own_steps(model)
    returned = declared(model, "output")
    received = tf.nest.flatten(declared(model, "input"))
    images = [t.shape for t in received if t is not None and len(t.shape) == 4]
    shape = None
    if returned is not None:
        if output is None and model_outputs.count(returned) > 1:
            raise ValueError(
                "base_model must have one output, or output must say which one is regularized: "
                "RegularizedModel(base_model, output=...), one of "
                f"{', '.join(output_labels(model, returned))}. "
                f"Received: {model_outputs.count(returned)} outputs and output=None"
            )
        labels = output_labels(model, returned)
        if not model_outputs.is_nested(returned) and output not in (None, 0, *labels):
            raise ValueError(
                "output must be the name of base_model's only output, or None. "
                f"Received: output={output!r}"
            )
        key = model_outputs.key_of("base_model's outputs", returned, output, output_names(model))
        shape = model_outputs.part(returned, key).shape
        if len(shape) != 4:
            raise ValueError(
                "base_model must return images of rank 4 (batch, height, width, channels). "
                f"Received: output shape {tuple(shape)}"
            )
    _check_channels_last(model, images[:1] + ([] if shape is None else [shape]))
    if images and shape is not None:
        validation.same_aspect("the input", images[0][1:3], "the output", shape[1:3])


def declared(model: Any, side: str) -> Any:
    """The ``"input"`` or ``"output"`` of a model, in its structure; None where it declares none."""
    for name in (side, f"{side}s"):  # a Sequential of Keras 3 has the second alone
        try:
            found = getattr(model, name, None)
        except (AttributeError, RuntimeError, ValueError):  # not built
            continue
        if found is None or (name != side and not found):
            continue
        return found[0] if name != side and len(found) == 1 else found
    return None


def output_names(model: Any) -> list[str]:
    """The names of a model's outputs, in the order of a list of them; empty if it has none."""
    return [*(getattr(model, "output_names", None) or ())]


def output_labels(model: Any, returned: Any) -> list[str]:
    """How a user names each of the outputs."""
    if isinstance(returned, Mapping):
        return [str(key) for key in returned]
    count = model_outputs.count(returned)
    return output_names(model) or [str(number) for number in range(count)]


def has_losses_of_rows(model: Any) -> bool:
    """Whether the last call of a model added losses, which may depend on the number of rows.

    Those of weights, such as L2 regularizers, do not.
    """
    return any(
        getattr(layer, "_eager_losses", None) or layer._losses for layer in model._flatten_layers()
    )


def _check_channels_last(model: Any, shapes: list[Any]) -> None:
    """Refuse channels first: T would move the colours along an axis of the image.

    A model may use it inside, where its shapes show that it takes and returns channels last.
    Of fixed sizes that only look like channels first, `pair` warns.
    """
    formats = {getattr(layer, "data_format", None) for layer in model._flatten_layers()} - {None}
    layers_say_so = "channels_first" in (formats or {keras.backend.image_data_format()})
    shapes_say_so = any(
        shape[1] in (1, 2, 3, 4) and shape[2] is None and shape[3] is None for shape in shapes
    )
    are_last = bool(shapes) and all(
        shape[3] is not None and (shape[1] is None or shape[3] <= shape[1]) for shape in shapes
    )
    if shapes_say_so or (layers_say_so and not are_last):
        shown = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(
            "base_model must take and return images in channels-last order (batch, height, width, "
            "channels). For a model in channels-first order, put keras.layers.Permute((3, 1, 2)) "
            "before it and keras.layers.Permute((2, 3, 1)) after it. Received: "
            + (f"shapes {shown}" if shapes else 'layers with data_format="channels_first"')
        )


def _warn_of_own_steps(model: Any) -> None:
    own = [name for name in STEPS if getattr(type(model), name) is not getattr(keras.Model, name)]
    if own:
        warnings.warn(
            f"base_model has its own {', '.join(own)}, which RegularizedModel does not call: it "
            "trains with the loss and the metrics of compile. To have them called, train "
            "base_model itself on ktr.data.pair_with_transformed(dataset, transform), with a loss "
            "of keras_temporal_reg.losses",
            stacklevel=4,
        )

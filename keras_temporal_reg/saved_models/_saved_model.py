"""Load SavedModel folders."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg.saved_models._containers import limited, parse_config
from keras_temporal_reg.saved_models._errors import ModelError, cause_of
from keras_temporal_reg.saved_models._safety import refuse_code, refuse_operations
from keras_temporal_reg.saved_models._versions import KERAS_3, LEGACY_STACK, keras_version


def load_saved_model(path: Path, allow_code: bool, for_training: bool) -> Any:
    """Load a SavedModel: by Keras where that wrote it and can, else its serving signature.

    Raises:
        ModelError: as `load`.
    """
    saved_model = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
    try:
        saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    # Each implementation of protocol buffers raises its own type.
    except Exception as error:
        raise ModelError(f"model {path} has a broken saved_model.pb ({error})") from error
    configs = [] if KERAS_3 else _keras_configs(path)
    if not allow_code:
        for config in configs:
            refuse_code(path, config)
        refuse_operations(path, saved_model)
    if for_training and not (path / "keras_metadata.pb").is_file():
        raise ModelError(
            f"model {path} is a SavedModel that Keras 2 did not write (no keras_metadata.pb): it "
            "can be run and not trained. Save it with model.save(...), as a .keras file"
        )
    if for_training and KERAS_3:
        raise ModelError(
            f"model {path} is a SavedModel, which Keras {keras_version()} can run and not train. "
            f"{LEGACY_STACK}"
        )
    try:
        return keras.models.load_model(str(path), compile=False) if configs else _served(path)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {path} cannot be loaded ({cause_of(error)})") from error


def _keras_configs(path: Path) -> list[dict[str, Any]]:
    """What Keras 2 notes of each object of a SavedModel; empty where Keras did not write it."""
    notes = path / "keras_metadata.pb"
    if not notes.is_file():
        return []
    package = keras.Model.__module__.split(".")[0]
    metadata = importlib.import_module(f"{package}.protobuf.saved_metadata_pb2").SavedMetadata()
    content = limited(path, notes.name, notes.read_bytes())
    try:
        metadata.ParseFromString(content)
    except Exception as error:
        raise ModelError(f"model {path} has a broken keras_metadata.pb ({error})") from error
    configs = [parse_config(path, node.metadata) for node in metadata.nodes]
    for config in configs:
        config.pop("training_config", None)  # not loaded with compile=False
    return configs


class _Serving(keras.layers.Layer):
    """The serving signature of a SavedModel, as a layer that cannot be trained."""

    def __init__(self, loaded: Any, signature: Any, argument: str) -> None:
        super().__init__()
        self._run = lambda x: signature(**{argument: x})
        # A signature alone does not keep its variables alive.
        self._keep_alive = lambda: loaded

    def call(self, inputs: Any) -> Any:
        outputs = self._run(inputs)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _served(path: Path) -> keras.Model:
    loaded = tf.saved_model.load(str(path))
    signature = getattr(loaded, "signatures", {}).get("serving_default")
    if signature is None:
        raise ModelError(f"model {path} is a SavedModel without a serving signature")
    arguments = signature.structured_input_signature[1]
    if len(arguments) != 1:
        raise ModelError(
            f"model {path} must have one input. Received: {', '.join(sorted(arguments))}"
        )
    ((argument, spec),) = arguments.items()
    batch, *shape = spec.shape.as_list()
    images = keras.Input(tuple(shape), batch_size=batch, dtype=spec.dtype.name)
    return keras.Model(images, _Serving(loaded, signature, argument)(images))

"""Load models, after `_safety` has checked them."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tensorflow import keras

from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.saved_models._containers import read_h5, read_keras_zip, write_h5_config
from keras_temporal_reg.saved_models._custom_objects import (
    describe_missing,
    missing_objects,
    takes_custom_objects,
)
from keras_temporal_reg.saved_models._errors import ModelError, cause_of
from keras_temporal_reg.saved_models._formats import format_of
from keras_temporal_reg.saved_models._keras_2 import rewritten
from keras_temporal_reg.saved_models._safety import refuse_code
from keras_temporal_reg.saved_models._saved_model import load_saved_model
from keras_temporal_reg.saved_models._versions import KERAS_3, LEGACY_STACK, keras_version

_SUFFIXES = {"keras": (".keras",), "h5": (".h5", ".hdf5")}  # by which Keras chooses its reader


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model from a file.

    Attributes:
        model: not compiled; of a `RegularizedModel` its `base_model`.
        format: of the file: ``"keras"``, ``"h5"`` or ``"savedmodel"``.
        path: of the file.
    """

    model: keras.Model
    format: str
    path: Path


@takes_custom_objects
def load(
    path: Any,
    allow_code: bool = False,
    for_training: bool = False,
    *,
    custom_objects: Any = None,
) -> LoadedModel:
    """Load a model, whatever the suffix of its file.

    Args:
        path: a ``.keras`` file, an H5 file of a whole model, or the folder of a SavedModel.
        allow_code: load files with Python code in them too, such as Lambda layers. That code can do
            whatever you can do: allow it only if you trust the author of the file.
        for_training: refuse models that can be run but not trained: on Keras 3 every SavedModel, on
            Keras 2 those that Keras did not write. They are loaded by their serving signature.
        custom_objects: layers and functions of your own that the model holds: a Python file that
            defines them, or a mapping from their names. Only with `allow_code`.

    Returns:
        The model, not compiled.

    Raises:
        ModelError: if the file is missing, not a model, broken, written by the other major version
            of Keras, holds what neither Keras nor `custom_objects` defines, or would run code.

    Example:
        >>> import tempfile
        >>> from tensorflow import keras
        >>> from keras_temporal_reg import saved_models
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.ReLU()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved_models.save(network, folder + "/network.keras", "keras")
        ...     saved_models.load(folder + "/network.keras").format
        'keras'
    """
    path = Path(path)
    format = format_of(path)
    if format == "savedmodel":
        model = load_saved_model(path, allow_code, for_training)
    else:
        model = _load_file(path, format, allow_code)
    if isinstance(model, RegularizedModel):
        model = model.base_model
    return LoadedModel(model, format, path)


def _load_file(path: Path, format: str, allow_code: bool) -> Any:
    config, version = (read_keras_zip if format == "keras" else read_h5)(path)
    if not allow_code:
        refuse_code(path, config)
    other_keras = bool(version) and version.startswith("3.") != KERAS_3
    remedy = (
        LEGACY_STACK if KERAS_3 else "Use TensorFlow 2.16 or newer, without TF_USE_LEGACY_KERAS"
    )

    def unreadable(cause: str = "") -> ModelError:
        return ModelError(
            f"model {path} was saved by Keras {version}, and Keras {keras_version()} cannot read "
            f"it{cause and f' ({cause})'}. {remedy}"
        )

    if other_keras and format == "keras":
        own = missing_objects(config)
        also = f"; besides, {describe_missing(own)}" if own else ""
        raise ModelError(f"{unreadable()}{also}")
    options: dict[str, Any] = {"compile": False, "safe_mode": not allow_code}
    new_config = rewritten(config) if other_keras and KERAS_3 else None
    try:
        if new_config is None and path.suffix in _SUFFIXES[format]:
            return keras.models.load_model(str(path), **options)
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copyfile(path, Path(folder) / f"model.{format}")
            if new_config is not None:
                write_h5_config(copy, new_config)
            return keras.models.load_model(str(copy), **options)
    # A config can be wrong in any way, and Keras raises as many types.
    except Exception as error:
        if own := missing_objects(config, error):
            message = f"model {path} cannot be loaded: {describe_missing(own)}"
            raise ModelError(message) from error
        if other_keras:
            raise unreadable(cause_of(error)) from error
        raise ModelError(f"model {path} cannot be loaded ({cause_of(error)})") from error

"""Save models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tensorflow import keras

from keras_temporal_reg.io import atomic
from keras_temporal_reg.saved_models._errors import ModelError
from keras_temporal_reg.saved_models._formats import FORMATS
from keras_temporal_reg.saved_models._versions import KERAS_3, LEGACY_STACK, keras_version

# What Keras goes by is the suffix.
_NAMES = {"keras": "model.keras", "h5": "model.h5", "savedmodel": "model"}
_TITLES = {"keras": "a .keras file", "h5": "an H5 file"}


def save(model: keras.Model, path: Any, format: str) -> None:
    """Save a model, atomically, so that Keras loads it without this package.

    Args:
        model: any Keras model; its optimizer is left out where the format allows.
        path: where to; an earlier model there is replaced.
        format: one of `FORMATS`, whatever the suffix of `path`.

    Raises:
        ModelError: if the format is unknown or this Keras cannot write it, or if something other
            than a model is at `path`.
        OSError: if it cannot be written.
    """
    path = Path(path)
    check_target(path, format)
    options: dict[str, Any] = {}
    if not KERAS_3 and format != "keras":
        options["include_optimizer"] = False
    if format == "savedmodel":
        options["save_format"] = "tf"
    with atomic.atomic_write(path) as temporary:
        saved = temporary.with_name(_NAMES[format])
        model.save(str(saved), **options)
        os.replace(saved, temporary)
        if path.is_dir():  # only an empty folder can be replaced by a rename
            os.replace(path, temporary.parent / "replaced")


def check_target(path: Path, format: str) -> None:
    """Check that `save` can write to `path`, before hours of training.

    Raises:
        ModelError: as `save`.
    """
    if format not in FORMATS:
        raise ModelError(f"format must be one of {', '.join(FORMATS)}. Received: {format!r}")
    if format == "savedmodel" and KERAS_3:
        raise ModelError(
            f"output {path} would be a SavedModel, which Keras {keras_version()} cannot write so "
            f"that it can be trained again: give it the suffix .keras. {LEGACY_STACK}"
        )
    if path.is_dir():
        if format != "savedmodel":
            raise ModelError(f"output {path} is a folder; {_TITLES[format]} cannot replace it")
        if any(path.iterdir()) and not (path / "saved_model.pb").is_file():
            raise ModelError(f"output {path} is a folder that holds something else than a model")
    elif format == "savedmodel" and path.exists():
        raise ModelError(f"output {path} is a file; a SavedModel folder cannot replace it")

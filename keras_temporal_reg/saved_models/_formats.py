"""Formats of model files, recognized by content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_temporal_reg.saved_models._errors import ModelError

FORMATS = ("keras", "h5", "savedmodel")
_BY_SUFFIX = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", "": "savedmodel"}


def format_of(path: Any) -> str:
    """The format of the model at `path`, one of `FORMATS`, by its content.

    Raises:
        ModelError: if there is no model; the message says what was found.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise ModelError(f"model {path} is a folder without saved_model.pb, so not a SavedModel")
    if not path.is_file():
        raise ModelError(f"model {path} does not exist")
    try:
        with path.open("rb") as opened:
            start = opened.read(8)
    except OSError as error:
        raise ModelError(f"model {path} cannot be read ({error.strerror})") from error
    if start[:4] == b"PK\x03\x04":
        return "keras"
    if start == b"\x89HDF\r\n\x1a\n":
        return "h5"
    found = f"a file that starts with {start!r}" if start else "an empty file"
    raise ModelError(
        f"model {path} must be a .keras file, an H5 file or the folder of a SavedModel. "
        f"Received: {found}"
    )


def format_for(path: Any) -> str:
    """The format that the suffix of an output path stands for.

    Raises:
        ModelError: if it stands for none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise ModelError(
            f"output {path} must end in .keras, .h5 or .hdf5, or have no suffix, for the folder of "
            f"a SavedModel. Received: {suffix}"
        )
    return _BY_SUFFIX[suffix]

"""Read the config from .keras and H5 files, within limits on what they unpack to."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py

from keras_temporal_reg.saved_models._errors import ModelError
from keras_temporal_reg.saved_models._hdf5 import check_hdf5

MAX_CONFIG_BYTES = 64 * 2**20  # of JSON; the largest known networks need a few megabytes
MAX_WEIGHTS_BYTES = 2**32  # unpacked: a billion float32 weights


def read_keras_zip(path: Path) -> tuple[dict[str, Any], str]:
    """Check a .keras file and read its config and Keras version.

    Raises:
        ModelError: if it is broken, not a model, or refused.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            names = opened.namelist()
            # zipfile reads no more of a member than the size that it declares.
            _check_size(path, sum(member.file_size for member in opened.infolist()))
            if "config.json" not in names:
                raise ModelError(f"model {path} is a zip file without config.json, so not a model")
            config = parse_config(path, _read_member(path, opened, "config.json"))
            version = ""
            if "metadata.json" in names:
                metadata = parse_config(path, _read_member(path, opened, "metadata.json"))
                version = str(metadata.get("keras_version", ""))
            # Keras 2.15 would unpickle these, which runs code; no Keras writes them.
            if "model.weights.npz" in names:
                raise ModelError(f"model {path} must have its weights in model.weights.h5, not npz")
            if "model.weights.h5" in names:
                with opened.open("model.weights.h5") as member, tempfile.TemporaryFile() as whole:
                    shutil.copyfileobj(member, whole)
                    _check_size(path, check_hdf5(path, whole, MAX_WEIGHTS_BYTES))
    except ModelError:
        raise
    # Broken files raise many types: BadZipFile, zlib.error, UnicodeDecodeError, ...
    except Exception as error:
        raise ModelError(f"model {path} is a broken zip file ({error})") from error
    # Not loaded with compile=False; it often names losses of the author.
    config.pop("compile_config", None)
    return config, version


def read_h5(path: Path) -> tuple[dict[str, Any], str]:
    """Check an H5 file and read its config and Keras version.

    Raises:
        ModelError: if it is broken, not a whole model, or refused.
    """
    with path.open("rb") as whole:
        _check_size(path, check_hdf5(path, whole, MAX_WEIGHTS_BYTES))
    try:
        with h5py.File(path, "r") as opened:
            config, version = (opened.attrs.get(n) for n in ("model_config", "keras_version"))
            # h5py returns names that are not UTF-8 as bytes.
            names = ", ".join(str(name) for name in list(opened)[:5])
    except Exception as error:
        raise ModelError(f"model {path} is a broken H5 file ({error})") from error
    if config is None:
        raise ModelError(
            f"model {path} holds weights only, or no model at all (found: {names or 'nothing'}); "
            "save the whole model with model.save(...)"
        )
    # h5py decodes bytes that are not UTF-8 to lone surrogates.
    content = config if isinstance(config, bytes) else str(config).encode(errors="surrogateescape")
    version = version.decode(errors="replace") if isinstance(version, bytes) else str(version or "")
    return parse_config(path, limited(path, "model_config", content)), version


def write_h5_config(path: Path, config: dict[str, Any]) -> None:
    """Replace the config in an H5 file."""
    with h5py.File(path, "r+") as opened:
        opened.attrs["model_config"] = json.dumps(config).encode()


def parse_config(path: Path, content: bytes | str) -> dict[str, Any]:
    """Parse the JSON of a config.

    Raises:
        ModelError: if it is not a JSON object.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"model {path} has a config that is not JSON ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"model {path} has a config that is not a JSON object")
    return config


def limited(path: Path, name: str, content: bytes) -> bytes:
    """The same `content`, the part `name` of a model, if it is not too long.

    Raises:
        ModelError: if it is longer than `MAX_CONFIG_BYTES`.
    """
    if len(content) > MAX_CONFIG_BYTES:
        raise ModelError(
            f"model {path} must have at most {MAX_CONFIG_BYTES // 2**20} MiB of {name}. "
            "Received: more, as only broken files and attacks have"
        )
    return content


def _read_member(path: Path, opened: zipfile.ZipFile, name: str) -> bytes:
    with opened.open(name) as member:
        return limited(path, name, member.read(MAX_CONFIG_BYTES + 1))


def _check_size(path: Path, size: int) -> None:
    if size > MAX_WEIGHTS_BYTES:
        raise ModelError(
            f"model {path} must unpack to at most {MAX_WEIGHTS_BYTES // 2**20} MiB. "
            f"Received: {size // 2**20} MiB"
        )

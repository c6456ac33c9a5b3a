"""Keras models in files: told apart by content, and searched before anything in them can run."""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import __version__
from keras_temporal_reg.io import atomic
from keras_temporal_reg.model import RegularizedModel

KERAS_3 = hasattr(keras, "ops")
FORMS = ("keras", "h5", "savedmodel")
MAX_CONFIG_BYTES = 64 * 2**20  # of JSON; the largest known networks need some megabytes
MAX_WEIGHTS_BYTES = 2**32  # unpacked: a billion weights

_SUFFIXES = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", "": "savedmodel"}
_NAMES = {"keras": "model.keras", "h5": "model.h5", "savedmodel": "model"}
_READ_ATTRIBUTES = """
import sys
sys.path[:] = sys.argv[1:]
import contextlib, h5py, os
def read(name, item):
    for attribute in item.attrs:
        with contextlib.suppress(Exception):
            item.attrs[attribute]
with os.fdopen(0, "rb") as content, h5py.File(content, "r") as file:
    read("/", file)
    file.visititems(read)
"""
_TITLES = {"keras": "a .keras file", "h5": "an H5 file", "savedmodel": "a SavedModel folder"}
_LEGACY = (
    "The legacy stack can: pip install keras-temporal-reg[legacy-keras], then "
    "TF_USE_LEGACY_KERAS=1 ktr ..."
)

# Layers whose configs bring Python code, or the path of other files to run.
_CODE = {"lambda", "__lambda__", "tfsmlayer", "torchmodulewrapper", "jaxlayer", "flaxlayer"}
_PACKAGES = {"keras", "tf_keras", "tensorflow", "keras_cv", "keras_temporal_reg"}
# Of keras itself and of TensorFlow only what networks are made of: Keras 2 fetches whatever a
# config names, and both packages hold functions that write files and start processes.
_FUNCTIONS = re.compile(
    r"((tf_)?keras(\.src)?\.(activations|constraints|initializers|losses|metrics|ops|regularizers)"
    r"|keras_temporal_reg\.(image|losses|metrics))\b"
)
_TENSORFLOW_FUNCTIONS = re.compile(
    r"tensorflow(\.python\.ops)?\.((nn|math|image)|(gen_)?(nn|math|image)_(ops|impl|ops_impl))"
)
_TENSORFLOW_REFUSED = re.compile(
    r"(^|[._])(io|raw_ops|py_func|py_function|numpy_function|load_\w+|"
    r"read_file|write_file|matching_files|saved_model|gfile|[pP]rint|import_graph_def)([._]|$)"
)
# What a layer of Keras 2 may call: names of TensorFlow itself, and of these parts of it.
_TENSORFLOW_CALLS = re.compile(
    r"(compat\.v1\.)?"
    r"((__operators__|bitwise|dtypes|image|linalg|math|nn|ragged|random|signal|strings)\.)?\w+"
)
# Operations that reach for files, the network or Python.
_GRAPH_REFUSED = re.compile(
    r"File|Record|Reader|Dataset|Summary|Save|Restore|Checkpoint|PyFunc|Print|Debug|Remote|Rpc|"
    r"Proto|ImmutableConst|Vocab|Remap|ImportEvent|Dump|FixedUnigram"
)
# Of the functions that save and restore a SavedModel's variables, which nothing here calls.
_SAVERS = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
# Layers that can read what they know from another file, which a path in the config names.
_LOOKUPS = {"stringlookup", "integerlookup", "textvectorization"}


class ModelError(ValueError):
    """A model file that cannot be used; the message says which and why."""


@dataclasses.dataclass(frozen=True)
class Saved:
    """A model that came from a file.

    Attributes:
        model: the network, not compiled; of a `RegularizedModel` its `base_model`.
        form: how it was saved: ``"keras"``, ``"h5"`` or ``"savedmodel"``.
        path: where it came from.
    """

    model: keras.Model
    form: str
    path: Path


def load(path: Any, allow_code: bool = False, for_training: bool = False) -> Saved:
    """Load a model, whatever its file is called.

    Args:
        path: a ``.keras`` file, an H5 file of a whole model, or the folder of a SavedModel.
        allow_code: load files that bring Python code of their own too, such as Lambda layers.
            Such code can do all that you can do; allow it where you trust who made the file.
        for_training: refuse what could only be run. That is a SavedModel on Keras 3, or one that
            Keras did not make; else such a one is loaded by its serving signature.

    Returns:
        The model, not compiled.

    Raises:
        ModelError: if the file is missing, no model, broken, from another generation of Keras, or
            would run code.

    Example:
        >>> import tempfile
        >>> from tensorflow import keras
        >>> from keras_temporal_reg.saved_models import model_files
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.ReLU()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model_files.save(network, folder + "/network.keras", "keras")
        ...     model_files.load(folder + "/network.keras").form
        'keras'
    """
    path = Path(path)
    form = form_of(path)
    if form == "savedmodel":
        model = _load_folder(path, allow_code, for_training)
    else:
        config, version = (_read_zip if form == "keras" else _read_h5)(path)
        if not allow_code:
            _refuse_code(path, config)
        if form == "keras" and _other_generation(version):
            raise ModelError(_from_other_generation(path, version))
        try:
            model = _load_file(path, form, allow_code)
        # A config can be wrong in any way, and each raises what it meets.
        except Exception as error:
            if _other_generation(version):
                raise ModelError(_from_other_generation(path, version)) from error
            raise ModelError(f"model {path} cannot be loaded ({_reason(error)})") from error
    if isinstance(model, RegularizedModel):
        model = model.base_model
    return Saved(model, form, path)


def save(model: keras.Model, path: Any, form: str) -> None:
    """Save a model so that Keras alone loads it; it appears when it is complete.

    Args:
        model: any Keras model; its optimizer, if any, is left out where the form allows.
        path: where to; an earlier model there is replaced.
        form: one of `FORMS`, whatever the suffix of `path`.

    Raises:
        ModelError: if the form is unknown or not to be had on this Keras, or something else than
            a model stands at `path`.
        OSError: if it cannot be written.
    """
    path = Path(path)
    check_target(path, form)
    with atomic.atomic_write(path) as temporary:
        whole = temporary.with_name(_NAMES[form])
        options: dict[str, Any] = {} if KERAS_3 or form == "keras" else {"include_optimizer": False}
        if form == "savedmodel":
            options["save_format"] = "tf"
        model.save(str(whole), **options)
        os.replace(whole, temporary)
        if path.is_dir():  # which no folder can be renamed onto unless it is empty
            os.replace(path, temporary.parent / "replaced")


def check_target(path: Path, form: str) -> None:
    """Refuse what `save` could not write, before hours of training.

    Raises:
        ModelError: as `save`.
    """
    if form not in FORMS:
        raise ModelError(f"form must be one of {', '.join(FORMS)}. Received: {form!r}")
    if form == "savedmodel" and KERAS_3:
        raise ModelError(
            f"output {path} would be a SavedModel, which Keras {keras_version()} cannot write so "
            f"that it can be trained again: give it the suffix .keras. {_LEGACY}"
        )
    if path.is_dir():
        if form != "savedmodel":
            raise ModelError(f"output {path} is a folder; {_TITLES[form]} cannot replace it")
        if any(path.iterdir()) and not (path / "saved_model.pb").is_file():
            raise ModelError(f"output {path} is a folder that holds something else than a model")
    elif form == "savedmodel" and path.exists():
        raise ModelError(f"output {path} is a file; a SavedModel folder cannot replace it")


def form_of(path: Any) -> str:
    """The form of the model at `path`, by its content.

    Raises:
        ModelError: if there is none; the message says what was found.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise ModelError(f"model {path} is a folder without saved_model.pb: no SavedModel")
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
    found = "an empty file" if not start else f"a file that starts with {start!r}"
    raise ModelError(
        f"model {path} must be a .keras file, an H5 file or the folder of a SavedModel. "
        f"Received: {found}"
    )


def form_for(path: Any, default: str) -> str:
    """The form that the suffix of an output asks for; `default` where it says nothing."""
    return _SUFFIXES.get(Path(path).suffix.lower(), default)


def _load_file(path: Path, form: str, allow_code: bool) -> Any:
    options: dict[str, Any] = {"compile": False, "safe_mode": not allow_code}
    if _SUFFIXES.get(path.suffix) == form:  # Keras goes by the suffix
        return keras.models.load_model(str(path), **options)
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copyfile(path, Path(folder) / _NAMES[form])
        return keras.models.load_model(str(copy), **options)


def _read_zip(path: Path) -> tuple[Any, str]:
    """Config and Keras version of a .keras file."""
    try:
        with zipfile.ZipFile(path) as opened:
            # What a member claims to unpack to is all that Python will read of it.
            _check_weights(path, sum(member.file_size for member in opened.infolist()))
            if "config.json" not in opened.namelist():
                raise ModelError(f"model {path} is a zip file without config.json: no model")
            config = _parse(path, _read_member(path, opened, "config.json"))
            version = ""
            if "metadata.json" in opened.namelist():
                metadata = _parse(path, _read_member(path, opened, "metadata.json"))
                version = str(metadata.get("keras_version", ""))
            # Which Keras 2.15 reads with pickle, that can run anything; Keras writes none itself.
            if "model.weights.npz" in opened.namelist():
                raise ModelError(f"model {path} must have its weights in model.weights.h5, not npz")
            if "model.weights.h5" in opened.namelist():
                with opened.open("model.weights.h5") as member, tempfile.TemporaryFile() as whole:
                    shutil.copyfileobj(member, whole)
                    _check_arrays(path, whole)
    except ModelError:
        raise
    # A broken file raises what was met: BadZipFile, zlib.error, UnicodeDecodeError, ...
    except Exception as error:
        raise ModelError(f"model {path} is a broken zip file ({error})") from error
    # With compile=False Keras leaves this one alone, and own losses are frequent in it.
    config.pop("compile_config", None)
    return config, version


def _read_member(path: Path, opened: zipfile.ZipFile, name: str) -> bytes:
    # Not by the size that the file claims, which need not be true.
    with opened.open(name) as member:
        return _limited(path, name, member.read(MAX_CONFIG_BYTES + 1))


def _limited(path: Path, name: str, content: bytes) -> bytes:
    if len(content) > MAX_CONFIG_BYTES:
        raise ModelError(
            f"model {path} must have at most {MAX_CONFIG_BYTES // 2**20} MiB of {name}. "
            "Received: more, as only broken files and attacks have"
        )
    return content


def _read_h5(path: Path) -> tuple[Any, str]:
    """Config and Keras version of an H5 file."""
    with path.open("rb") as whole:
        _check_arrays(path, whole)
        _check_attributes(path, whole)
    try:
        with h5py.File(path, "r") as opened:
            config, version = (opened.attrs.get(n) for n in ("model_config", "keras_version"))
            # h5py gives names that are no UTF-8 as bytes.
            names = ", ".join(str(name) for name in list(opened)[:5])
    except Exception as error:
        raise ModelError(f"model {path} is a broken H5 file ({error})") from error
    if config is None:
        raise ModelError(
            f"model {path} holds weights only, or no model at all (found: {names or 'nothing'}); "
            "save the whole model with model.save(...)"
        )
    # h5py gives bytes that are no UTF-8 as lone surrogates.
    content = config if isinstance(config, bytes) else str(config).encode(errors="surrogateescape")
    version = version.decode(errors="replace") if isinstance(version, bytes) else str(version or "")
    return _parse(path, _limited(path, "model_config", content)), version


def _check_weights(path: Path, size: int) -> None:
    if size > MAX_WEIGHTS_BYTES:
        raise ModelError(
            f"model {path} must unpack to at most {MAX_WEIGHTS_BYTES // 2**20} MiB. "
            f"Received: {size // 2**20} MiB"
        )


def _check_arrays(path: Path, content: Any) -> None:
    """Refuse an H5 file whose arrays are in others, or claim more than a model can need."""
    size = 0
    elsewhere: list[str] = []

    def visit(name: str, item: Any) -> None:
        nonlocal size
        if isinstance(item, h5py.Dataset):
            size += item.size * item.dtype.itemsize if item.size else 0
            if item.external or item.is_virtual:
                elsewhere.append(name)

    def visit_link(name: bytes, link: Any) -> None:
        if link.type == h5py.h5l.TYPE_EXTERNAL:
            elsewhere.append(name.decode(errors="replace"))

    try:
        with h5py.File(content, "r") as weights:
            _check_heaps(content)
            weights.id.links.visit(visit_link, info=True)
            weights.visititems(visit)
    # A broken file raises what HDF5 met: OSError, RuntimeError, KeyError, ...
    except Exception as error:
        raise ModelError(f"model {path} is or holds a broken H5 file ({error})") from error
    if elsewhere:
        raise ModelError(f"model {path} has weights in another file ({', '.join(elsewhere[:5])})")
    _check_weights(path, size)


def _check_attributes(path: Path, content: Any) -> None:
    """Refuse an H5 file whose attributes crash HDF5: a process of its own reads them first."""
    content.seek(0)
    try:
        done = subprocess.run(
            # Not what lies in the current folder, which may have come with the model.
            [sys.executable, "-I", "-c", _READ_ATTRIBUTES, *filter(None, sys.path)],
            stdin=content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"model {path} is a broken H5 file (reading it has no end)") from error
    # By a signal; what is an error in Python is one here, too, and says more.
    if done.returncode < 0:
        raise ModelError(f"model {path} is a broken H5 file (HDF5 crashes when it reads it)")


def _check_heaps(content: Any) -> None:
    """Refuse what HDF5 (1.14, 2.0) would read for ever: a heap with an object that has no end.

    Such a global heap holds the strings; see III.E of the HDF5 file format specification.
    """
    with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def number(start: int, size: int) -> int:
            return int.from_bytes(data[start : start + size], "little")

        heap = data.find(b"GCOL\1\0\0\0")
        while heap >= 0:
            end, place = heap + number(heap + 8, 8), heap + 16
            while place + 16 <= end:
                size = number(place + 8, 8)
                step = 16 + (size + 7) // 8 * 8 if number(place, 2) else size
                if not 0 < step <= end - place:
                    raise ValueError("a heap of strings without an end")
                place += step
            heap = data.find(b"GCOL\1\0\0\0", heap + 8)


def _parse(path: Path, content: bytes | str) -> dict[str, Any]:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"model {path} has a config that is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"model {path} has a config that describes no model")
    return config


def _refuse_code(path: Path, config: Any) -> None:
    for entry in _dictionaries(config):
        found = _code_in(entry)
        if found:
            raise ModelError(
                f"model {path} holds {found}: loading it would run code that came with the file. "
                "Where you trust who made it, allow that with --allow-code (allow_code=True)"
            )


def _dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    # No recursion: the depth is up to who made the file.
    waiting = [config]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            yield entry
            waiting.extend(entry.values())
        elif isinstance(entry, list):
            waiting.extend(entry)


def _code_in(entry: dict[str, Any]) -> str | None:
    """What in a serialized object could run foreign code; None for nothing."""
    class_name = entry.get("class_name")
    if not isinstance(class_name, str):
        return None
    module = str(entry.get("module") or "")
    inner = entry.get("config")
    package, _, name = class_name.rpartition(">")
    if name.lower() in _CODE:
        return "a Lambda layer" if "lambda" in name.lower() else f"a layer {name}"
    if name in ("TFOpLambda", "SlicingOpLambda"):
        function = str(_of(inner, "function"))
        known = _TENSORFLOW_CALLS.fullmatch(function) and not _TENSORFLOW_REFUSED.search(function)
        return None if known else f"a call of tf.{function}"
    if name == "ClassMethod":
        return f"a call of tf.{_of(inner, 'cls_symbol')}.{_of(inner, 'method_name')}"
    if name == "TensorFlowOpLayer":
        operation = str(_of(_of(inner, "node_def"), "op"))
        refused = not operation or _GRAPH_REFUSED.search(operation)
        return f"the operation {operation or 'of an unknown name'}" if refused else None
    if name.lower() in _LOOKUPS and isinstance(_of(inner, "vocabulary"), str):
        return f"a layer {name} that reads another file"
    for registered in (package, str(entry.get("registered_name") or "").rpartition(">")[0]):
        if registered and registered.split(".")[0] not in _PACKAGES:
            return f"an object of the package {registered}"
    if name == "__typespec__":
        name = str(entry.get("spec_name"))
        return None if name.isidentifier() and name.endswith("Spec") else f"the type {name}"
    if not module:
        return None  # known by its name alone, so it is here already
    if name == "function":
        return None if _is_known_function(module, str(inner)) else f"the function {module}.{inner}"
    # A dotted name reaches from a module to what that imports; a small one is a function's.
    is_class = name.isidentifier() and name.lstrip("_")[:1].isupper()
    known = module.split(".")[0] in _PACKAGES - {"tensorflow"} and is_class
    return None if known else f"an object of the module {module}"


def _of(entry: Any, key: str) -> Any:
    return entry.get(key, "") if isinstance(entry, dict) else ""


def _is_known_function(module: str, name: str) -> bool:
    if not name.rpartition(">")[2].isidentifier():
        return False
    if module == "builtins":  # which is what Keras writes for its own, by name
        return not hasattr(builtins, name)
    return bool(
        module.split(".")[0] == "keras_cv"
        or _FUNCTIONS.match(module)
        or _TENSORFLOW_FUNCTIONS.fullmatch(module)
    ) and not _TENSORFLOW_REFUSED.search(name)


def _load_folder(path: Path, allow_code: bool, for_training: bool) -> Any:
    try:
        graph = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
        graph.ParseFromString((path / "saved_model.pb").read_bytes())
    # Each protobuf has an error of its own.
    except Exception as error:
        raise ModelError(f"model {path} has a broken saved_model.pb ({error})") from error
    nodes = [] if KERAS_3 else _keras_nodes(path)
    if not allow_code:
        for node in nodes:
            _refuse_code(path, node)
        operations = {name for meta in graph.meta_graphs for name in _operations(meta)}
        refused = sorted(filter(_GRAPH_REFUSED.search, operations))
        if refused:
            raise ModelError(
                f"model {path} holds the operations {', '.join(refused)}, which no network needs. "
                "Where you trust who made it, allow that with --allow-code (allow_code=True)"
            )
    if for_training and KERAS_3:
        raise ModelError(
            f"model {path} is a SavedModel, which Keras {keras_version()} can run and not train. "
            f"{_LEGACY}"
        )
    if for_training and not nodes:
        raise ModelError(
            f"model {path} is a SavedModel that Keras did not make (no keras_metadata.pb): it can "
            "be run and not trained. Save it with model.save(...)"
        )
    try:
        return keras.models.load_model(str(path), compile=False) if nodes else _served(path)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {path} cannot be loaded ({_reason(error)})") from error


def _operations(meta: Any) -> Iterator[str]:
    """Names of all operations that can run: those that only save or restore are left out."""
    graph = meta.graph_def
    savers = {meta.saver_def.save_tensor_name.split(":")[0], meta.saver_def.restore_op_name}
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    waiting = list(meta.object_graph_def.concrete_functions)
    for node in graph.node:
        if node.op not in _SAVERS:  # of TensorFlow 1, where they stand among the others
            yield node.op
        if node.name not in savers:
            waiting += _called(node)
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name]:
            yield node.op
            waiting += [node.op, *_called(node)]


def _called(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        yield from (function.name for function in (attribute.func, *attribute.list.func))


def _keras_nodes(path: Path) -> list[dict[str, Any]]:
    """What Keras 2 notes of each object of a SavedModel; empty where another tool made it."""
    noted = path / "keras_metadata.pb"
    if not noted.is_file():
        return []
    package = keras.Model.__module__.split(".")[0]
    metadata = importlib.import_module(f"{package}.protobuf.saved_metadata_pb2").SavedMetadata()
    try:
        metadata.ParseFromString(_limited(path, noted.name, noted.read_bytes()))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {path} has a broken keras_metadata.pb ({error})") from error
    nodes = [_parse(path, node.metadata) for node in metadata.nodes]
    for node in nodes:
        # With compile=False Keras leaves it alone.
        node.pop("training_config", None)
    return nodes


class _Serving(keras.layers.Layer):
    """The serving signature of a SavedModel, as a layer that can only be run."""

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


def _other_generation(version: str) -> bool:
    return bool(version) and version.startswith("3.") != KERAS_3


def _from_other_generation(path: Path, version: str) -> str:
    if KERAS_3:
        remedy = _LEGACY
    else:
        remedy = "Use TensorFlow 2.16 or newer, without TF_USE_LEGACY_KERAS"
    return (
        f"model {path} was saved by Keras {version}, and Keras {keras_version()} cannot read it. "
        f"{remedy}"
    )


def versions() -> dict[str, str]:
    """Of what a result depends on: this package, TensorFlow, Keras and Python."""
    return {
        "keras_temporal_reg": __version__,
        "tensorflow": tf.__version__,
        "keras": keras_version(),
        "python": platform.python_version(),
    }


def keras_version() -> str:
    """The version of the Keras in use; `keras.__version__` is another one on each stack."""
    package = importlib.import_module(keras.Model.__module__.split(".")[0])
    return str(getattr(package, "__version__", ""))


def _reason(error: Exception) -> str:
    """What a person needs of Keras's messages, which can quote the whole config."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    inner = [line for line in lines if line.startswith("Exception encountered: ")]
    return (inner[-1].partition(": ")[2] if inner else lines[0] if lines else repr(error))[:500]

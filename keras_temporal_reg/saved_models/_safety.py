"""Refuse models that would run code; the threat model of this package.

Threat model
    A model file is untrusted: it can be an attack, or damaged. Loading it must not run code from
    the file, read or write other files, use the network, fill the memory, crash or hang. Trusted
    are the installed packages, the user's own code, and files that the user allows to run code
    (``--allow-code``, ``allow_code=True``). The checks of sizes and of damage apply to those too.
    Not covered: a loaded network can need any amount of memory and time to run.

What Keras refuses (tried on each stack, with ``safe_mode=True``)
    ===================================================  =========  =========  ==========
    attack                                               3.15       tf_keras   2.15
    ===================================================  =========  =========  ==========
    Lambda layer in a .keras file                        yes        yes        yes
    Lambda layer in an H5 file, which then runs          yes        no         no
    any function as activation (os.system, get_file)     yes        no         no
    TFOpLambda layer that calls any function of ``tf``   no such    no         no
    TFSMLayer, which runs another SavedModel             yes        no such    no such
    StringLookup with the path of a file                 yes        no         no
    pickles in model.weights.npz, which then run         yes        yes        no
    weights in other files (HDF5 links, external data)   yes        no         no
    ===================================================  =========  =========  ==========

    Keras 3.0 to 3.11, which setup.py allows too, let some of these through (CVE-2025-1550, -8747,
    -9905, -9906, -12058). No version limits what a file unpacks to, checks the graph of a
    SavedModel, or survives HDF5 files on which the HDF5 library crashes or hangs.

What this package adds
    - This module: a config may name only layers and functions of Keras, KerasCV, TensorFlow and
      this package that compute; the graph of a SavedModel may hold only operations that compute.
    - `_hdf5`: a process of its own reads each HDF5 file first, and finds arrays in other files.
    - `_containers`: limits on unpacked sizes; no pickles.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_temporal_reg.saved_models._errors import ModelError

# Layers whose configs hold Python code, or the path of code to run.
_CODE = {"lambda", "__lambda__", "tfsmlayer", "torchmodulewrapper", "jaxlayer", "flaxlayer"}
# Layers that can read their vocabulary from a file that the config names.
_LOOKUPS = {"stringlookup", "integerlookup", "textvectorization"}
_PACKAGES = {"keras", "tf_keras", "tensorflow", "keras_cv", "keras_temporal_reg"}
# Modules whose functions only compute. Keras 2 imports any function that a config names, and
# keras.utils and TensorFlow have functions that write files and start processes.
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
# What a TFOpLambda layer of Keras 2 may call: names of tf itself and of these modules of it.
_TENSORFLOW_CALLS = re.compile(
    r"(compat\.v1\.)?"
    r"((__operators__|bitwise|dtypes|image|linalg|math|nn|ragged|random|signal|strings)\.)?\w+"
)
# Operations that use files, the network or Python.
_OPERATIONS_REFUSED = re.compile(
    r"File|Record|Reader|Dataset|Summary|Save|Restore|Checkpoint|PyFunc|Print|Debug|Remote|Rpc|"
    r"Proto|ImmutableConst|Vocab|Remap|ImportEvent|Dump|FixedUnigram"
)
# Every SavedModel has these, to save and restore its variables; no signature calls them.
_SAVERS = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
_CONSENT = "If you trust its author, allow that with --allow-code (allow_code=True)"
_OWN_LAYERS = (
    "; a file with layers of your own also needs --custom-objects FILE.py (custom_objects)"
)


def refuse_code(path: Path, config: Any) -> None:
    """Refuse the config of a model that could run code of the file.

    Raises:
        ModelError: which names the first such object.
    """
    for entry in dictionaries(config):
        found = _code_in(entry)
        if found:
            raise ModelError(
                f"model {path} holds {found}: loading it would run code that came with the file. "
                f"{_CONSENT}{_OWN_LAYERS if found.startswith('an object') else ''}"
            )


def refuse_operations(path: Path, saved_model: Any) -> None:
    """Refuse the graph of a SavedModel that uses files, the network or Python.

    Args:
        path: of the SavedModel.
        saved_model: its ``SavedModel`` protocol buffer.

    Raises:
        ModelError: which names all such operations.
    """
    operations = {name for graph in saved_model.meta_graphs for name in _operations(graph)}
    refused = sorted(filter(_OPERATIONS_REFUSED.search, operations))
    if refused:
        raise ModelError(
            f"model {path} holds the operations {', '.join(refused)}, which no network needs. "
            f"{_CONSENT}"
        )


def dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    """Yield all dictionaries in a config, itself included."""
    waiting = [config]  # no recursion: the file determines the depth
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            yield entry
            waiting.extend(entry.values())
        elif isinstance(entry, list):
            waiting.extend(entry)


def _code_in(entry: dict[str, Any]) -> str | None:
    """Describe what a serialized object could run; None if nothing."""
    if not isinstance(entry.get("class_name"), str):
        return None
    package, _, name = entry["class_name"].rpartition(">")
    config = entry.get("config")
    if name.lower() in _CODE:
        return "a Lambda layer" if "lambda" in name.lower() else f"a layer {name}"
    if name.lower() in _LOOKUPS and isinstance(_item(config, "vocabulary"), str):
        return f"a layer {name} that reads another file"
    if name in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"):
        return _tensorflow_call(name, config)
    for registered in (package, str(entry.get("registered_name") or "").rpartition(">")[0]):
        if registered and registered.split(".")[0] not in _PACKAGES:
            return f"an object of the package {registered}"
    if name == "__typespec__":
        name = str(entry.get("spec_name"))
        return None if name.isidentifier() and name.endswith("Spec") else f"the type {name}"
    module = str(entry.get("module") or "")
    return _imported(module, name, config) if module else None


def _tensorflow_call(layer: str, config: Any) -> str | None:
    """Describe the call of TensorFlow in a layer that Keras 2 makes of it; None if it computes."""
    if layer == "ClassMethod":
        return f"a call of tf.{_item(config, 'cls_symbol')}.{_item(config, 'method_name')}"
    if layer == "TensorFlowOpLayer":
        operation = str(_item(_item(config, "node_def"), "op"))
        refused = not operation or _OPERATIONS_REFUSED.search(operation)
        return f"the operation {operation or 'of an unknown name'}" if refused else None
    function = str(_item(config, "function"))
    known = _TENSORFLOW_CALLS.fullmatch(function) and not _TENSORFLOW_REFUSED.search(function)
    return None if known else f"a call of tf.{function}"


def _imported(module: str, name: str, config: Any) -> str | None:
    """Describe what a config imports from a module; None if it is a known class or function."""
    if name == "function":
        return (
            None if _is_known_function(module, str(config)) else f"the function {module}.{config}"
        )
    # Dotted names reach other modules; names of functions are in lower case.
    is_class = name.isidentifier() and name.lstrip("_")[:1].isupper()
    known = module.split(".")[0] in _PACKAGES - {"tensorflow"} and is_class
    return None if known else f"an object of the module {module}"


def _is_known_function(module: str, name: str) -> bool:
    if not name.rpartition(">")[2].isidentifier():
        return False
    if module == "builtins":  # Keras writes this for its own functions, which it finds by name
        return not hasattr(builtins, name)
    return bool(
        module.split(".")[0] == "keras_cv"
        or _FUNCTIONS.match(module)
        or _TENSORFLOW_FUNCTIONS.fullmatch(module)
    ) and not _TENSORFLOW_REFUSED.search(name)


def _item(entry: Any, key: str) -> Any:
    return entry.get(key, "") if isinstance(entry, dict) else ""


def _operations(meta_graph: Any) -> Iterator[str]:
    """Names of the operations that can run, without those that only save or restore variables."""
    graph, saver = meta_graph.graph_def, meta_graph.saver_def
    savers = {saver.save_tensor_name.split(":")[0], saver.restore_op_name}
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    waiting = list(meta_graph.object_graph_def.concrete_functions)
    for node in graph.node:
        if node.op not in _SAVERS:  # TensorFlow 1 has them in the main graph
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

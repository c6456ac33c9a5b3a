"""Layers and functions of the user: take them from a Python file, and name those that are missing.

Keras looks up the classes and functions that a config names; where they are not its own, it needs
to be given them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tensorflow import keras

from keras_temporal_reg.saved_models._errors import ModelError
from keras_temporal_reg.saved_models._safety import dictionaries

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LIBRARIES = {"keras", "tf_keras", "tensorflow", "keras_cv", "keras_temporal_reg"}
_MODELS = {"Functional", "Model", "Sequential"}
# Layers that Keras 3 has no more.
KERAS_2_LAYERS = frozenset(
    "ClassMethod LocallyConnected1D LocallyConnected2D RandomHeight RandomWidth SlicingOpLambda "
    "TensorFlowOpLayer TFOpLambda ThresholdedReLU".split()
)
_NOT_FOUND = re.compile(r"(?:Could not locate|Unknown) [a-z ]+:? '([A-Za-z_][\w>.]*)'")
_FUNCTIONS = ("activations", "constraints", "initializers", "losses", "metrics", "regularizers")


def takes_custom_objects(function: _Function) -> _Function:
    """Run a function in the scope of its keyword argument `custom_objects`, if that is given.

    All that it loads, copies and saves finds them there, so that it need not pass them on.
    """

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        given, allowed = options.get("custom_objects"), options.get("allow_code", False)
        with _scope(given, allowed):
            return function(*arguments, **options)

    return run  # type: ignore[return-value]


@contextlib.contextmanager
def _scope(custom_objects: Any, allow_code: bool) -> Iterator[None]:
    if custom_objects is None:
        yield
        return
    if not allow_code:
        raise ModelError(
            f"custom objects run code: allow it with --allow-code (allow_code=True). "
            f"Received: {custom_objects}"
        )
    objects = custom_objects
    if not isinstance(custom_objects, Mapping):
        objects = _from_file(Path(custom_objects).resolve())
    with keras.utils.custom_object_scope(dict(objects)):
        yield


@functools.cache  # registering a class twice is an error in Keras 2
def _from_file(path: Path) -> Mapping[str, Any]:
    """The classes and functions that a Python file defines or imports, by name.

    Raises:
        ModelError: if the file is missing, cannot be imported, or has none.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ModelError(f"custom objects must be a Python file that exists. Received: {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # what it is called in models that hold its classes
    sys.path.append(str(path.parent))  # last, so that nothing there replaces an installed package
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ModelError(
            f"custom objects of {path} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    found = {
        name: value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and not name.startswith("_")
        and value.__module__.split(".")[0] not in _LIBRARIES
    }
    if not found:
        raise ModelError(f"custom objects of {path} must be classes or functions. Received: none")
    return found


def missing_objects(config: Mapping[str, Any], error: Exception | None = None) -> list[str]:
    """The names of what a model holds that neither Keras nor `custom_objects` defines.

    Args:
        config: of the model.
        error: which Keras raised when loading it.
    """
    names = [_own_layer(config)]
    for entry in dictionaries(config):
        names.append(_own_function(entry))
        layers = entry.get("layers")
        if isinstance(layers, list):
            names += [_own_layer(layer) for layer in layers if isinstance(layer, Mapping)]
    reported = _NOT_FOUND.findall(str(error))
    names += [name for name in reported if name not in KERAS_2_LAYERS | {"function"}]
    return sorted({name.rpartition(">")[2] for name in names if name})


def describe_missing(names: list[str]) -> str:
    """The end of a message on a model that holds objects of these names."""
    return (
        f"it holds {', '.join(names)}, which neither Keras nor custom objects define: give the "
        "Python file that defines them with --custom-objects FILE.py and --allow-code "
        "(custom_objects=FILE or a mapping from names, allow_code=True)"
    )


def _own_layer(entry: Mapping[str, Any]) -> str | None:
    """The class of a serialized layer, if it is not of a library and cannot be found."""
    name, module = entry.get("class_name"), entry.get("module")
    if not isinstance(name, str) or (module and str(module).split(".")[0] in _LIBRARIES):
        return None
    registered = str(entry.get("registered_name") or name)
    package, _, short = registered.rpartition(">")
    is_known = (
        package.split(".")[0] in _LIBRARIES
        or short in KERAS_2_LAYERS | _MODELS
        or hasattr(keras.layers, short)
        or any(keras.utils.get_registered_object(each) for each in (registered, name, short))
    )
    return None if is_known else short


def _own_function(entry: Mapping[str, Any]) -> str | None:
    """The name of a serialized function, if it is not one of Keras and cannot be found."""
    name = entry.get("config")
    if entry.get("class_name") != "function" or not isinstance(name, str):
        return None
    module = str(entry.get("module") or "").split(".")[0]
    is_known = module in _LIBRARIES or any(
        hasattr(getattr(keras, kind), name) for kind in _FUNCTIONS
    )
    return None if is_known or keras.utils.get_registered_object(name) else name

"""Old names, which keep working for one release with a DeprecationWarning."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

_Class = TypeVar("_Class")
_Function = TypeVar("_Function", bound=Callable[..., Any])

PACKAGE = "keras_temporal_reg"
# Documented modules of version 0.1, and where their contents are now.
MODULES = {
    "camera": "evaluation.camera",
    "choosing": "finetuning",
    "networks": "experiments.networks",
    "processing": "evaluation",
    "scenes": "experiments.scenes",
}


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that `old` is deprecated in favour of `new`."""
    warnings.warn(
        f"{old} is deprecated and will be removed in the next release; use {new}",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def renamed_module(old: str) -> types.ModuleType:
    """The module that a documented module of version 0.1 became."""
    warn(f"{PACKAGE}.{old}", f"{PACKAGE}.{MODULES[old]}", stacklevel=4)
    return importlib.import_module(f"{PACKAGE}.{MODULES[old]}")


def renamed_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module some of whose names changed.

    Args:
        module: the module's ``__name__``.
        names: old name to new name, both in that module.
    """

    def getattr_(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", f"{module}.{names[name]}")
        return getattr(sys.modules[module], names[name])

    return getattr_


def renamed_arguments(**names: str) -> Callable[[_Function], _Function]:
    """Decorate a function some of whose keyword arguments changed their names.

    Args:
        names: old name to new name.

    Raises:
        TypeError: on a call, if it has an argument by both of its names.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, new in names.items():
                if old in kwargs:
                    warn(f"{function.__name__}({old}=...)", f"{new}=...")
                    if new in kwargs:
                        raise TypeError(f"{function.__name__} got both {old} and {new}")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_fields(**names: str) -> Callable[[type[_Class]], type[_Class]]:
    """Decorate a dataclass so that it takes, and has, its old field names, with a warning.

    Args:
        **names: old name to new name.
    """

    def decorate(cls: type[_Class]) -> type[_Class]:
        init = cls.__init__

        @functools.wraps(init)
        def init_with_old_names(self: Any, *args: Any, **fields: Any) -> None:
            for old in names.keys() & fields.keys():
                warn(f"{cls.__name__}(..., {old}=...)", f"{names[old]}=...")
                fields[names[old]] = fields.pop(old)
            init(self, *args, **fields)

        def getattr_(self: Any, name: str) -> Any:
            if name not in names:
                raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
            warn(f"{cls.__name__}.{name}", f"{cls.__name__}.{names[name]}")
            return getattr(self, names[name])

        cls.__init__ = init_with_old_names  # type: ignore[method-assign]
        cls.__getattr__ = getattr_  # type: ignore[attr-defined]
        return cls

    return decorate


class _RenamedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a documented module of version 0.1 by its old name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, module = name.partition(".")
        if package == PACKAGE and module in MODULES:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = renamed_module(spec.name.partition(".")[2])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        # Loaded already under its new name, whose specification importlib has just replaced.
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def install_renamed_modules() -> None:
    """Let ``import keras_temporal_reg.OLD`` find the module by its new name."""
    if not any(isinstance(finder, _RenamedModules) for finder in sys.meta_path):
        sys.meta_path.append(_RenamedModules())

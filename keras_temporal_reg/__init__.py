"""Train image-to-image CNNs to be temporally stable, from single images."""

import sys as _sys
from pathlib import Path as _Path

from keras_temporal_reg.core import deprecation as _deprecation
from keras_temporal_reg.core import lazy as _lazy

__version__ = "0.2.0"

_LIBRARY = {
    "RandomAffine": "transforms",
    "RegularizedModel": "model",
    "callbacks": "callbacks",
    "data": "data",
    "image": "image",
    "losses": "losses",
    "metrics": "metrics",
    "tasks": "tasks",
    "transforms": "transforms",
}
# These need the extras `video` and `demo`.
_TOOLS = {
    "choose_alpha": "finetuning",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "process": "evaluation",
    "reproduce": "experiments",
}
_resolve, __dir__ = _lazy.attach(__name__, {**_LIBRARY, **_TOOLS})
__all__ = sorted([*_LIBRARY, *_TOOLS])

_deprecation.install_renamed_modules()


def __getattr__(name: str) -> object:
    if name in _deprecation.MODULES:
        return _deprecation.renamed_module(name)
    value = _resolve(name)
    globals()[name] = value
    return value


def _is_command() -> bool:
    """Whether this process is ``ktr``, whose --help must not wait for TensorFlow."""
    return _Path(_sys.argv[0] if _sys.argv else "").stem in ("ktr", "-m")


if not _is_command():
    # Keras finds the classes of a saved model only once they are imported.
    from keras_temporal_reg.core import keras_backend as _keras_backend

    _keras_backend.require_tensorflow()
    for _name in _LIBRARY:
        __getattr__(_name)

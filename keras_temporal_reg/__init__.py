"""Train image-to-image CNNs to be temporally stable, from single images."""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING

from keras_temporal_reg.core import deprecation as _deprecation
from keras_temporal_reg.core import lazy as _lazy
from keras_temporal_reg.core import startup as _startup

if _TYPE_CHECKING:
    from keras_temporal_reg import callbacks as callbacks
    from keras_temporal_reg import data as data
    from keras_temporal_reg import image as image
    from keras_temporal_reg import losses as losses
    from keras_temporal_reg import metrics as metrics
    from keras_temporal_reg import perturbations as perturbations
    from keras_temporal_reg import tasks as tasks
    from keras_temporal_reg import transforms as transforms
    from keras_temporal_reg.data import pair as pair
    from keras_temporal_reg.evaluation.api import evaluate as evaluate
    from keras_temporal_reg.evaluation.processing import process as process
    from keras_temporal_reg.experiments.api import reproduce as reproduce
    from keras_temporal_reg.finetuning.api import finetune as finetune
    from keras_temporal_reg.finetuning.blending import blend as blend
    from keras_temporal_reg.finetuning.members import choose_alpha as choose_alpha
    from keras_temporal_reg.finetuning.members import choose_strength as choose_strength
    from keras_temporal_reg.model import RegularizedModel as RegularizedModel
    from keras_temporal_reg.steadying.api import steady as steady
    from keras_temporal_reg.transforms import RandomAffine as RandomAffine
    from keras_temporal_reg.transforms import RandomFlow as RandomFlow

__version__ = "0.2.0"

_LIBRARY = {
    "RandomAffine": "transforms",
    "RandomFlow": "transforms",
    "RegularizedModel": "model",
    "callbacks": "callbacks",
    "data": "data",
    "image": "image",
    "losses": "losses",
    "metrics": "metrics",
    "pair": "data",
    "perturbations": "perturbations",
    "tasks": "tasks",
    "transforms": "transforms",
}
# These need the extras `video` and `demo`.
_TOOLS = {
    "blend": "finetuning",
    "choose_alpha": "finetuning",
    "choose_strength": "finetuning",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "process": "evaluation",
    "reproduce": "experiments",
    "steady": "steadying",
}
_resolve, __dir__, __all__ = _lazy.attach(__name__, {**_LIBRARY, **_TOOLS})

_deprecation.install_renamed_modules()


def __getattr__(name: str) -> object:
    if name in _deprecation.MODULES:
        return _deprecation.renamed_module(name)
    value = _resolve(name)
    globals()[name] = value
    return value


def import_library() -> None:
    """Import the whole library: Keras finds the classes of a saved model once they are imported."""
    from keras_temporal_reg.core import keras_backend

    keras_backend.require_tensorflow()
    for name in _LIBRARY:
        __getattr__(name)


# The help of ``ktr`` must not wait for TensorFlow; the commands call `import_library` themselves.
if not _startup.is_command(_sys.argv, _sys.orig_argv):
    import_library()

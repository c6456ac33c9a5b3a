"""Models in files: load them safely, save them, and find out what images they take.

`_safety` says which attacks are stopped, by what and why.
"""

from keras_temporal_reg.saved_models._custom_objects import takes_custom_objects
from keras_temporal_reg.saved_models._errors import ModelError
from keras_temporal_reg.saved_models._formats import FORMATS, format_for, format_of
from keras_temporal_reg.saved_models._loading import LoadedModel, load
from keras_temporal_reg.saved_models._provenance import other_footage, write_record
from keras_temporal_reg.saved_models._saving import check_target, save
from keras_temporal_reg.saved_models._versions import keras_version, versions

__all__ = [
    "FORMATS",
    "LoadedModel",
    "ModelError",
    "check_target",
    "format_for",
    "format_of",
    "keras_version",
    "load",
    "other_footage",
    "save",
    "takes_custom_objects",
    "versions",
    "write_record",
]

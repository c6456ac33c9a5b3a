"""Old place of `saved_models`; goes with the last call."""

from keras_temporal_reg.saved_models._errors import ModelError  # noqa: F401
from keras_temporal_reg.saved_models._formats import format_for as form_for  # noqa: F401
from keras_temporal_reg.saved_models._formats import format_of as form_of  # noqa: F401
from keras_temporal_reg.saved_models._loading import load  # noqa: F401
from keras_temporal_reg.saved_models._saving import check_target, save  # noqa: F401
from keras_temporal_reg.saved_models._versions import keras_version, versions  # noqa: F401

"""Steady a trained network on the clip that flickers, without ground truth."""

from keras_temporal_reg.core import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, {"SteadyConfig": "config", "Steadied": "api", "steady": "api"}
)

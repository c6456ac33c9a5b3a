"""The demo and the experiments: networks, data sets, claims and results."""

from keras_temporal_reg.core import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Claim": "claims",
        "ExperimentConfig": "configs",
        "Reproduction": "results",
        "reproduce": "api",
    },
)

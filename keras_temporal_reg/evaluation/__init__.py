"""Run networks over clips, measure the results and show them."""

from keras_temporal_reg.core import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "ClipEvaluation": "clip_evaluator",
        "Evaluation": "api",
        "Processed": "processing",
        "evaluate": "api",
        "process": "processing",
    },
)

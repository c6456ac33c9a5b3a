"""Fine-tune saved networks with the regularizers, and choose their strength."""

from keras_temporal_reg.core import lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    {
        "Choice": "choice",
        "FineTuned": "result",
        "FinetuneConfig": "config",
        "Trial": "choice",
        "blend": "blending",
        "choose_alpha": "members",
        "choose_strength": "members",
        "finetune": "api",
    },
)

"""T: small random motions. Sampling a motion is separate from applying it.

The numbers and their direction follow the conventions of `keras_temporal_reg.image`.
"""

from keras_temporal_reg.core import deprecation as _deprecation
from keras_temporal_reg.transforms._affine import RandomAffine
from keras_temporal_reg.transforms._flow import RandomFlow, rescale_flow
from keras_temporal_reg.transforms._grids import IDENTITY as IDENTITY
from keras_temporal_reg.transforms._grids import identity, rescale_transforms

__all__ = ["RandomAffine", "RandomFlow", "identity", "rescale_flow", "rescale_transforms"]

__getattr__ = _deprecation.renamed_names(__name__, {"carry_over": "rescale_transforms"})

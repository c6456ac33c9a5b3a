"""The tf.data route: read, augment, check and pair samples in the input pipeline."""

from keras_temporal_reg.data._augment import augment
from keras_temporal_reg.data._directory import from_directory
from keras_temporal_reg.data._hdf5 import from_hdf5
from keras_temporal_reg.data._numerics import check_numerics
from keras_temporal_reg.data._pairing import pair, pair_with_transformed
from keras_temporal_reg.data._teacher import with_teacher

__all__ = [
    "augment",
    "check_numerics",
    "from_directory",
    "from_hdf5",
    "pair",
    "pair_with_transformed",
    "with_teacher",
]

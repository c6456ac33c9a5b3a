"""The tf.data route: read, augment, check and pair samples in the input pipeline."""

from keras_temporal_reg.data._augment import augment, check_numerics, pair_with_transformed
from keras_temporal_reg.data._directory import from_directory
from keras_temporal_reg.data._hdf5 import from_hdf5

__all__ = ["augment", "check_numerics", "from_directory", "from_hdf5", "pair_with_transformed"]

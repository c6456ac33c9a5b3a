"""Losses that regularize a network to be temporally stable."""

from keras_temporal_reg.losses._regularized import (
    SparseJacobianLoss,
    TransformInvarianceLoss,
    is_regularized,
    sparse_jacobian,
    transform_invariance,
)

__all__ = [
    "SparseJacobianLoss",
    "TransformInvarianceLoss",
    "is_regularized",
    "sparse_jacobian",
    "transform_invariance",
]

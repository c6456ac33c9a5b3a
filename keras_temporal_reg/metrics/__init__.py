"""Measures of temporal stability and of image quality, and the verdict on a comparison."""

from keras_temporal_reg.metrics._depth import scale_invariant_error
from keras_temporal_reg.metrics._flicker import Flicker, excess_removed, flicker
from keras_temporal_reg.metrics._high_pass import high_pass
from keras_temporal_reg.metrics._image import psnr, ssim
from keras_temporal_reg.metrics._labels import label_changes
from keras_temporal_reg.metrics._registry import MEASURES, Measure
from keras_temporal_reg.metrics._temporal import (
    Stability,
    contrast_ratio,
    relative_smoothness,
    smoothness,
    stability,
    structure,
    temporal_error,
)
from keras_temporal_reg.metrics._unpaired import Unpaired
from keras_temporal_reg.metrics._verdict import Outcome, Verdict, verdict, verdict_without_reference
from keras_temporal_reg.metrics._warping import WarpingError, warping_error

__all__ = [
    "MEASURES",
    "Flicker",
    "Measure",
    "Outcome",
    "Stability",
    "Unpaired",
    "Verdict",
    "WarpingError",
    "contrast_ratio",
    "excess_removed",
    "flicker",
    "high_pass",
    "label_changes",
    "psnr",
    "relative_smoothness",
    "scale_invariant_error",
    "smoothness",
    "ssim",
    "stability",
    "structure",
    "temporal_error",
    "verdict",
    "verdict_without_reference",
    "warping_error",
]

"""Read and write clips: video files through FFmpeg, and folders of frames. Needs ``video``."""

from keras_temporal_reg.io.video._appearance import not_carried
from keras_temporal_reg.io.video._clip import (
    FOLDER_RATE,
    Appearance,
    BrokenClip,
    ClipError,
    ClipFrame,
    ClipInfo,
    DecodedClip,
)
from keras_temporal_reg.io.video._color import resize, to_float32
from keras_temporal_reg.io.video._cuts import CutFinder, find_cuts
from keras_temporal_reg.io.video._reader import frames, has_constant_rate, info, read
from keras_temporal_reg.io.video._streaming import chunks, prefetch
from keras_temporal_reg.io.video._writer import CODECS, write, writer

__all__ = [
    "CODECS",
    "FOLDER_RATE",
    "Appearance",
    "BrokenClip",
    "ClipError",
    "ClipFrame",
    "ClipInfo",
    "CutFinder",
    "DecodedClip",
    "chunks",
    "find_cuts",
    "frames",
    "has_constant_rate",
    "info",
    "not_carried",
    "prefetch",
    "read",
    "resize",
    "to_float32",
    "write",
    "writer",
]

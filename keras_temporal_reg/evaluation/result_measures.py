"""The measures of one result on a clip, chunk of frames by chunk of frames."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_temporal_reg import metrics
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.evaluation.ssim import ssim_of_frame
from keras_temporal_reg.io import image_files
from keras_temporal_reg.metrics._warping import update_together


class Motion(NamedTuple):
    """The motion of the scene to some frames of a chunk, each from the frame before.

    Attributes:
        ends: indices of these frames, in increasing order.
        motion: ``(pairs, 8)`` transforms or ``(pairs, height, width, 2)`` flow, float32.
        mask: ``(pairs, height, width)``, 1 where it can be trusted. None: 1 everywhere.
    """

    ends: list[int]
    motion: tf.Tensor | np.ndarray | None = None
    mask: tf.Tensor | np.ndarray | None = None


class DecodedFrames:
    """The frames of a chunk as RGB, and the optical flow between them.

    Args:
        images: ``(frames, height, width, 3)`` float32 in [0, 1].
        previous: the frame before the chunk, as `shown` has it; None at the start of the clip.
    """

    def __init__(self, images: np.ndarray, previous: np.ndarray | None) -> None:
        self.images = images
        self._previous = previous
        self._luma: dict[int, np.ndarray] = {}

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """The images as uint8."""
        return image_files.to_uint8(self.images)

    def flow(self, index: int, method: str = "farneback") -> np.ndarray:
        """Flow to a frame from the frame before it."""
        return optical_flow.estimate(self._luma_of(index - 1), self._luma_of(index), method)

    def motion(self, ends: Sequence[int], method: str, pool: Executor) -> Motion:
        """Flow to some frames from the frames before them, and where to trust it."""
        found = [*pool.map(functools.partial(self._trusted_flow, method=method), ends)]
        # As tensors, since each result would convert them, which copies them.
        return Motion([*ends], *(tf.constant(np.stack(each)) for each in zip(*found)))

    def _trusted_flow(self, index: int, method: str) -> tuple[np.ndarray, np.ndarray]:
        forward = self.flow(index, method)
        backward = optical_flow.estimate(self._luma_of(index), self._luma_of(index - 1), method)
        return forward, optical_flow.trust_mask(forward, backward)

    def _luma_of(self, index: int) -> np.ndarray:
        if index not in self._luma:
            frame = self.shown[index]
            if index < 0 and self._previous is not None:
                frame = self._previous
            self._luma[index] = optical_flow.to_luma(frame)
        return self._luma[index]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the results of a chunk are compared with.

    Attributes:
        target: y, ``(frames, height, width, channels)``.
        reference: the same as RGB.
        motion: that of the scene, to some or all frames.
        flows: index of a frame to the flow of the scene, with which tOF compares that of results.
        cuts: indices of the frames that start a new shot.
    """

    target: np.ndarray
    reference: DecodedFrames
    motion: Motion
    flows: Mapping[int, np.ndarray]
    cuts: Collection[int] = ()

    def shots(self) -> Iterator[slice]:
        """The parts of the chunk that lie in one shot each."""
        yield from itertools.starmap(
            slice, itertools.pairwise(sorted({0, *self.cuts, len(self.target)}))
        )


class ResultMeasures:
    """The measures of one result.

    Args:
        sigma: of the temporal Gaussian, in frames.
        is_compared: False for what the others are compared with: only its flicker and its warping
            error are measured.

    Attributes:
        stability: by differences at each pixel, of results that are compared.
        flicker: in the space of y.
    """

    def __init__(self, sigma: float, is_compared: bool) -> None:
        self.is_compared = is_compared
        self.stability = metrics.Stability(sigma)
        self.flicker = metrics.Flicker()
        self._frames = 0
        self._pair_ends: list[int] = []  # frames that flicker compares with the frame before
        self._ssim = 0.0  # sum over the frames
        self._warping = metrics.WarpingError()
        self._flow_difference = optical_flow.FlowDifference()

    def update(self, prediction: np.ndarray, decoded: DecodedFrames, truth: Truth) -> None:
        """Take the next frames.

        Args:
            prediction: in the space of y, ``(frames, height, width, channels)``.
            decoded: the same as RGB.
            truth: what to compare them with.
        """
        errors, clips = (self.flicker.error, self._warping), (prediction, decoded.images)
        update_together(errors, clips, *truth.motion)
        self.flicker.update_contrast(prediction)
        self._pair_ends += [self._frames + end for end in truth.motion.ends]
        self._frames += len(prediction)
        if not self.is_compared:
            return
        for frames in truth.shots():
            if frames.start in truth.cuts:
                self.stability.start_shot()
            self.stability.update_state(truth.target[frames], prediction[frames])
        self._ssim += sum(map(ssim_of_frame, truth.reference.images, decoded.images))
        for index, flow in truth.flows.items():
            self._flow_difference.update_state(flow, decoded.flow(index))

    def frame_flicker(self) -> list[float]:
        """Flicker of each frame with the frame before; NaN where the two were not compared."""
        values = np.full(self._frames, math.nan)
        values[self._pair_ends] = self.flicker.pairs()
        return values.tolist()

    def result(self) -> dict[str, float]:
        """Value of each of `metrics.MEASURES`; NaN for what was not measured."""
        found = self.stability.result() if self.is_compared else {}
        found["flicker"] = self.flicker.result()
        found["ssim"] = self._ssim / self._frames if self.is_compared else math.nan
        found["warping_error"] = self._warping.result()
        found["flow_difference"] = self._flow_difference.result()
        return {key: found.get(key, math.nan) for key in metrics.MEASURES}

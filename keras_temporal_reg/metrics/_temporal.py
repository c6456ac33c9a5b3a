"""Temporal stability of a result p against a reference v, by differences at each pixel.

Both are clips ``(frames, height, width, channels)``. ``hp(u) = u - G u`` is a temporal high-pass
filter, with G a Gaussian over time at each pixel (as in `scipy.ndimage`: cut off at four sigma, the
clip mirrored at its ends). No measure says enough alone, since fading, blurring and freezing each
improve one of them: see `verdict`. What the motion of the scene changes at a pixel is in them too:
`flicker` takes it out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_temporal_reg.core import deprecation
from keras_temporal_reg.metrics import _moments
from keras_temporal_reg.metrics._flicker import flicker
from keras_temporal_reg.metrics._high_pass import HighPass
from keras_temporal_reg.metrics._image import decibels

_BLOCK_NUMBERS = 2**16  # of each frame


def stability(
    reference: Any,
    result: Any,
    sigma: float = 2.0,
    motion: Any = None,
    mask: Any = None,
    cuts: Sequence[int] = (),
) -> dict[str, float]:
    """All measures of two whole clips.

    Args:
        reference: v, ``(frames, height, width, channels)``, at least 2 frames.
        result: p, the same shape.
        sigma: of the temporal Gaussian, in frames.
        motion: of the reference, as in `flicker`. None: it is not known, and flicker is not
            measured.
        mask: where the motion can be trusted, likewise.
        cuts: indices of the frames that start a new shot.

    Returns:
        As `Stability.result`, and ``flicker`` where the motion is known.

    Raises:
        ValueError: if the clips differ in shape or have fewer than 2 frames, or the motion does
            not fit them.
    """
    reference, result = np.asarray(reference), np.asarray(result)
    measured = Stability(sigma)
    starts = sorted({0, *cuts})
    for start, stop in zip(starts, [*starts[1:], None]):
        measured.start_shot()
        measured.update_state(reference[start:stop], result[start:stop])
    measures = measured.result()
    if motion is not None:
        measures["flicker"] = flicker(result, motion, mask, cuts)
    return measures


def smoothness(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """``sqrt(sum hp(v)^2 / sum hp(p)^2)``; above 1: smoother than the reference.

    The measure of Eilertsen, Mantiuk and Unger, CVPR 2019. Fading and blurring raise it, so read it
    beside `contrast_ratio`, `temporal_error` and PSNR.

    Args:
        reference: v, ``(frames, height, width, channels)``, at least 2 frames.
        result: p, the same shape.
        sigma: of the temporal Gaussian, in frames.

    Raises:
        ValueError: if the clips differ in shape or have fewer than 2 frames.
    """
    return stability(reference, result, sigma)["smoothness"]


def contrast_ratio(reference: Any, result: Any) -> float:
    """Spatial standard deviation of p, mean over frames, over that of v; mean over channels.

    1 is perfect. Arguments and errors are those of `smoothness`.
    """
    return stability(reference, result)["contrast_ratio"]


def relative_smoothness(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """`smoothness` times `contrast_ratio`: smoothness for the same amount of signal.

    Arguments and errors are those of `smoothness`.
    """
    return stability(reference, result, sigma)["relative_smoothness"]


def temporal_error(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """``sqrt(sum hp(p - v)^2 / sum hp(v)^2)``: 0 is perfect, a frozen image has 1.

    Arguments and errors are those of `smoothness`.
    """
    return stability(reference, result, sigma)["temporal_error"]


def structure(reference: Any, result: Any) -> float:
    """Pearson correlation of p and v about the mean of each frame and channel, in [-1, 1].

    Arguments and errors are those of `smoothness`. NaN where either clip is flat.
    """
    return stability(reference, result)["structure"]


class Stability:
    """All stability measures of two clips that come in pieces, in one pass over them.

    Memory does not grow with the length of the clips.

    Args:
        sigma: of the temporal Gaussian, in frames.

    Raises:
        ValueError: if sigma is not positive.

    Example:
        >>> import numpy as np, keras_temporal_reg as ktr
        >>> rng = np.random.default_rng(0)
        >>> reference = rng.uniform(size=(20, 8, 8, 3))
        >>> stability = ktr.metrics.Stability()
        >>> for frame in reference:  # one frame or several at a time
        ...     stability.update_state(frame, 0.5 * frame)
        >>> measures = stability.result()
        >>> round(measures["smoothness"], 3), round(measures["contrast_ratio"], 3)
        (2.0, 0.5)
    """

    def __init__(self, sigma: float = 2.0) -> None:
        self.sigma = sigma
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all frames."""
        self.frames = 0
        self._filters = (HighPass(self.sigma), HighPass(self.sigma))
        self._high_passed = np.zeros(3)  # sums of squares of hp(v), hp(p) and hp(p - v)
        self._centred = np.zeros(3)  # sums of v v, p p and v p about the frames' means
        self._squared_errors: list[float] = []  # of each frame, sum of squares of p - v
        self._gradients = np.zeros(2)  # sums of grad p grad v and of grad v grad v
        self._deviations: Any = np.zeros(1)  # sums over frames of those of v and p, per channel
        self._frame_errors: list[float] = []
        self._pixel_errors: Any = 0.0  # sum over frames of the squares of hp(p - v)
        self._shape: tuple[int, ...] = ()  # of a frame
        self._missing: tuple[np.ndarray, list[float], np.ndarray] | None = None  # see `_rest`

    def update_state(self, reference: Any, result: Any) -> None:
        """Take the next frames.

        Args:
            reference: ``(height, width, channels)`` or ``(frames, height, width, channels)``, of
                any numeric dtype.
            result: the same shape.

        Raises:
            ValueError: if they differ in shape from each other or from the frames before.
        """
        reference, result = _as_floats(reference, result)
        if reference.shape != result.shape or reference.ndim not in (3, 4):
            raise ValueError(
                "reference and result must be frames of one shape, (frames, height, width, "
                f"channels). Received: {reference.shape} and {result.shape}"
            )
        if reference.ndim == 3:
            reference, result = reference[np.newaxis], result[np.newaxis]
        if self._shape not in ((), reference.shape[1:]):
            raise ValueError(
                f"all frames must have one shape, {self._shape}. Received: {reference.shape[1:]}"
            )
        self._shape = reference.shape[1:]
        for v, p in zip(reference, result):
            self._update(v, p)

    def _update(self, v: np.ndarray, p: np.ndarray) -> None:
        self.frames += 1
        self._missing = None
        filter_v, filter_p = self._filters
        filter_v.push(v)
        if ready := filter_p.push(p):
            self._take(ready)
        moments = _moments.of_pair(v, p)
        self._centred += moments.centred.sum(axis=1)
        self._deviations = self._deviations + np.sqrt(moments.centred[:2] / math.prod(v.shape[:2]))
        self._gradients += moments.gradients
        self._squared_errors.append(moments.squared_error)

    def _take(self, count: int) -> None:
        """Add the next results of the filters."""
        energies, frame_errors, pixel_errors = self._filtered(count)
        self._high_passed += energies
        self._frame_errors += frame_errors
        self._pixel_errors = self._pixel_errors + pixel_errors
        for each in self._filters:
            each.forget(count)

    def _filtered(self, count: int) -> tuple[np.ndarray, list[float], np.ndarray]:
        """Sums of squares of the next results hp(v), hp(p) and hp(p - v); root mean squares of the
        last per frame; their squares per pixel, summed over the frames. Changes nothing.
        """
        if not count:  # a shot that has no frame yet
            return np.zeros(3), [], np.zeros(self._shape[:2])
        energies, of_frames = np.zeros(3), np.zeros(count)
        of_numbers = np.empty(math.prod(self._shape))
        weights = self._filters[0].weights(count)  # both filters are at the same frame
        for start in range(0, len(of_numbers), _BLOCK_NUMBERS):  # so that all stays in the cache
            block = slice(start, start + _BLOCK_NUMBERS)
            hp_v, hp_p = (each.results(weights, block) for each in self._filters)
            error = hp_p - hp_v
            energies += [float(np.vdot(u, u)) for u in (hp_v, hp_p, error)]
            np.square(error, out=error)
            of_frames += error.sum(axis=1)
            error.sum(axis=0, out=of_numbers[block])
        frame_errors = np.sqrt(of_frames / len(of_numbers)).tolist()
        pixel_errors = of_numbers.reshape(self._shape).mean(axis=-1)
        return energies, frame_errors, pixel_errors

    def start_shot(self) -> None:
        """Let the next frame begin a new shot: the temporal filter starts anew with it."""
        self._missing = None
        if self._filters[0].received:
            self._take(self._filters[0].missing)
            self._filters = (HighPass(self.sigma), HighPass(self.sigma))

    def flicker(self) -> tuple[np.ndarray, np.ndarray]:
        """Deprecated name of `fast_errors`."""
        deprecation.warn("Stability.flicker", "Stability.fast_errors")
        return self.fast_errors()

    def fast_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """When and where the error changes fast: root mean squares of ``hp(p - v)``.

        Returns:
            Per frame so far, ``(frames,)``, and per pixel, ``(height, width)``; float64.

        Raises:
            ValueError: with fewer than 2 frames.
        """
        _, frame_errors, pixel_errors = self._rest()
        return (
            np.array(self._frame_errors + frame_errors),
            np.sqrt((self._pixel_errors + pixel_errors) / self.frames),
        )

    def frame_psnr(self) -> list[float]:
        """PSNR of each frame so far, in dB, of values in [0, 1]."""
        return [decibels(error / math.prod(self._shape)) for error in self._squared_errors]

    def result(self) -> dict[str, float]:
        """Compute the measures of all frames so far.

        Returns:
            ``smoothness``, ``contrast_ratio``, ``relative_smoothness``, ``temporal_error``,
            ``structure``, ``psnr`` (of values in [0, 1]), ``error``: the root mean square of p - v,
            in % of the contrast of v; and ``detail``: ``<grad p, grad v> / <grad v, grad v>``, the
            share of the edges of v that p has at the same places, whatever noise it has elsewhere.

        Raises:
            ValueError: with fewer than 2 frames.
        """
        energy_v, energy_p, energy_error = self._high_passed + self._rest()[0]
        squared_error = math.fsum(self._squared_errors)
        deviation_v, deviation_p = self._deviations
        has_contrast = deviation_v > 0
        ratios = deviation_p[has_contrast] / deviation_v[has_contrast]
        contrast = float(ratios.mean()) if ratios.size else math.nan
        smooth = math.sqrt(_ratio(energy_v, energy_p))
        vv, pp, vp = self._centred
        return {
            "smoothness": smooth,
            "contrast_ratio": contrast,
            "relative_smoothness": smooth * contrast,
            "temporal_error": math.sqrt(_ratio(energy_error, energy_v)),
            "structure": float(vp / math.sqrt(vv * pp)) if vv * pp > 0 else math.nan,
            "psnr": decibels(squared_error / (self.frames * math.prod(self._shape))),
            "error": 100.0 * math.sqrt(_ratio(squared_error, vv)),
            "detail": float(_ratio(*self._gradients)),
        }

    def _rest(self) -> tuple[np.ndarray, list[float], np.ndarray]:
        """As `_filtered`, of the results still missing if the clip ends here."""
        if self.frames < 2:
            raise ValueError(f"a clip must have at least 2 frames. Received: {self.frames}")
        if self._missing is None:  # until the next frame or shot
            self._missing = self._filtered(self._filters[0].missing)
        return self._missing


def _as_floats(reference: Any, result: Any) -> tuple[np.ndarray, np.ndarray]:
    """As arrays of one float dtype; float32 is kept, which is twice as fast as float64."""
    pair = np.asarray(reference), np.asarray(result)
    single = all(a.dtype in (np.float16, np.float32) for a in pair)
    reference, result = (a.astype(np.float32 if single else np.float64, copy=False) for a in pair)
    return reference, result


def _ratio(a: float, b: float) -> float:
    if b > 0:
        return a / b
    return math.inf if a > 0 else math.nan

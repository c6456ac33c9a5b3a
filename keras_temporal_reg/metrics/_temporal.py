"""How stable a video is, measured so that fading, blurring and freezing do not pass for it.

All are taken of a result p against a reference v, both ``(frames, height, width, channels)``.
``hp(u) = u - G u`` with G a temporal Gaussian for each pixel (`scipy.ndimage` conventions:
cut at four sigma, clip mirrored at its ends). Each stability measure is a function of two
clips, and a class of the same name in CamelCase that takes the clips in pieces, in memory
that does not grow with their length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_temporal_reg.metrics._image import decibels

_CHUNK_PIXELS = 2**23  # numbers in memory at once, above one window of frames


class _HighPass:
    """``u - G u`` of frames that come one by one; results lag behind by the filter's radius."""

    def __init__(self, sigma: float) -> None:
        if not (isinstance(sigma, (int, float)) and sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma must be a positive number of frames. Received: {sigma!r}")
        self.radius = max(int(4.0 * sigma + 0.5), 1)
        offsets = np.arange(-self.radius, self.radius + 1)
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        self.kernel = kernel / kernel.sum()
        self.count = 0  # frames seen
        self.next = 0  # number of the frame whose result comes next
        self.shape: tuple[int, ...] = ()

    def push(self, frame: np.ndarray) -> np.ndarray:
        """Take a frame; return the results that it completes, ``(frames, *shape of frame)``."""
        if self.count == 0:
            self.shape = frame.shape
            # Several at once by one product of matrices, as far as memory allows.
            self.several = max(1, min(16, _CHUNK_PIXELS // max(frame.size, 1)))
            # Frame t stands in row t modulo the number of rows, less the first frame, so that
            # what stands still gives an exact zero.
            self.base = frame.ravel().copy()
            self.window = np.zeros((2 * self.radius + self.several, frame.size), frame.dtype)
        np.subtract(frame.ravel(), self.base, out=self.window[self.count % len(self.window)])
        self.count += 1
        if self.next + self.radius + self.several > self.count:
            return np.empty((0, *frame.shape), frame.dtype)
        ready = self._results(self.several)
        self.next += self.several
        return ready

    def rest(self) -> np.ndarray:
        """The results still missing, now that the clip has ended. Changes nothing."""
        return self._results(self.count - self.next)

    def _results(self, number: int) -> np.ndarray:
        weights = np.zeros((number, len(self.window)), self.window.dtype)
        for row in range(number):
            t = self.next + row
            for weight, s in zip(self.kernel, range(t - self.radius, t + self.radius + 1)):
                s %= 2 * self.count  # d c b a | a b c d | d c b a
                s = s if s < self.count else 2 * self.count - 1 - s
                weights[row, s % len(self.window)] -= weight
            weights[row, t % len(self.window)] += 1.0
        return (weights @ self.window).reshape(number, *self.shape)


class Stability:
    """All stability measures of two clips at once, in one pass over them.

    Args:
        sigma: of the temporal Gaussian, in frames.

    Raises:
        ValueError: if sigma is not positive; on update, if the frames do not fit each other.

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
        self._filters = (_HighPass(self.sigma), _HighPass(self.sigma))
        # Energies of hp(v), hp(p), hp(p - v); of v, p and v p about frame means; and of p - v.
        self._high_passed = np.zeros(3)
        self._centred = np.zeros(3)
        self._squared_error = 0.0
        self._deviations: tuple[Any, Any] = (0.0, 0.0)
        self._flicker: list[float] = []
        self._flicker_map: Any = 0.0
        self._shape: tuple[int, ...] = ()
        self.frames = 0

    def update_state(self, reference: Any, result: Any) -> None:
        """Take the next frames.

        Args:
            reference: ``(height, width, channels)`` or ``(frames, height, width, channels)``.
            result: the same shape.
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
        filter_v, filter_p = self._filters
        hp_v, hp_p = filter_v.push(v), filter_p.push(p)
        if len(hp_v):
            self._high_passed += _energies(hp_v, hp_p)
            of_frames, of_pixels = _flicker(hp_v, hp_p)
            self._flicker += of_frames
            self._flicker_map = self._flicker_map + of_pixels
        centred_v, centred_p = _centred(v), _centred(p)
        vv, pp, vp = (
            np.array([np.dot(a, b) for a, b in zip(planes, others)], np.float64)
            for planes, others in (
                (centred_v, centred_v),
                (centred_p, centred_p),
                (centred_v, centred_p),
            )
        )
        self._centred += [vv.sum(), pp.sum(), vp.sum()]
        pixels = centred_v.shape[1]
        self._deviations = (
            self._deviations[0] + np.sqrt(vv / pixels),
            self._deviations[1] + np.sqrt(pp / pixels),
        )
        error = (p - v).ravel()
        self._squared_error += float(np.dot(error, error))

    def flicker(self) -> tuple[np.ndarray, np.ndarray]:
        """Where and when the result flickers: the root mean square of ``hp(p - v)``.

        Returns:
            Of each frame so far, ``(frames,)``, and of each pixel, ``(height, width)``; float64.

        Raises:
            ValueError: while there are fewer than two frames.
        """
        of_frames, of_pixels = _flicker(*self._rest())
        return (
            np.array(self._flicker + of_frames),
            np.sqrt((self._flicker_map + of_pixels) / self.frames),
        )

    def _rest(self) -> tuple[np.ndarray, np.ndarray]:
        if self.frames < 2:
            raise ValueError(f"a clip must have at least 2 frames. Received: {self.frames}")
        filter_v, filter_p = self._filters
        return filter_v.rest(), filter_p.rest()

    def result(self) -> dict[str, float]:
        """``smoothness``, ``contrast_ratio``, ``relative_smoothness``, ``temporal_error``,
        ``structure`` and ``psnr`` (of values in [0, 1]) of all frames so far.

        Raises:
            ValueError: while there are fewer than two frames.
        """
        of_v, of_p, of_error = self._high_passed + _energies(*self._rest())
        smoothness = math.sqrt(_ratio(of_v, of_p))
        deviation_v, deviation_p = self._deviations
        flat = deviation_v == 0
        ratios = deviation_p[~flat] / deviation_v[~flat]
        contrast = float(ratios.mean()) if ratios.size else math.nan
        vv, pp, vp = self._centred
        mean_squared_error = self._squared_error / (self.frames * math.prod(self._shape))
        return {
            "smoothness": smoothness,
            "contrast_ratio": contrast,
            "relative_smoothness": smoothness * contrast,
            "temporal_error": math.sqrt(_ratio(of_error, of_v)),
            "structure": float(vp / math.sqrt(vv * pp)) if vv * pp > 0 else math.nan,
            "psnr": decibels(mean_squared_error),
        }


def high_pass(clip: Any, sigma: float = 2.0) -> np.ndarray:
    """``clip - G clip``: what changes faster than a few frames, at each pixel.

    Args:
        clip: ``(frames, height, width, channels)``.
        sigma: of the temporal Gaussian G, in frames.

    Returns:
        float64, the shape of `clip`.
    """
    high_passed = _HighPass(sigma)
    pieces = [high_passed.push(frame) for frame in np.asarray(clip, np.float64)]
    return np.concatenate([*pieces, high_passed.rest()])


def stability(reference: Any, result: Any, sigma: float = 2.0) -> dict[str, float]:
    """All of `Stability` of two whole clips: a dict of floats."""
    both = Stability(sigma)
    both.update_state(reference, result)
    return both.result()


def smoothness(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """``sqrt(sum hp(v)^2 / sum hp(p)^2)``; above 1: smoother than the reference.

    The measure of Eilertsen, Mantiuk and Unger, CVPR 2019. A picture that fades or blurs away
    scores high, so read it beside `contrast_ratio`, `temporal_error` and PSNR.

    Args:
        reference: v, ``(frames, height, width, channels)``, at least 2 frames.
        result: p, the same shape.
        sigma: of the temporal Gaussian, in frames.

    Raises:
        ValueError: if the clips do not fit each other or are shorter than 2 frames.
    """
    return stability(reference, result, sigma)["smoothness"]


def contrast_ratio(reference: Any, result: Any) -> float:
    """Spatial standard deviation of p, mean over frames, over that of v; mean of channels.

    1 is perfect. Arguments and errors are those of `smoothness`.
    """
    return stability(reference, result)["contrast_ratio"]


def relative_smoothness(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """`smoothness` times `contrast_ratio`: flicker per unit of signal; arguments likewise."""
    return stability(reference, result, sigma)["relative_smoothness"]


def temporal_error(reference: Any, result: Any, sigma: float = 2.0) -> float:
    """``sqrt(sum hp(p - v)^2 / sum hp(v)^2)``: 0 is perfect, 1 what a frozen picture gets.

    Arguments and errors are those of `smoothness`.
    """
    return stability(reference, result, sigma)["temporal_error"]


def structure(reference: Any, result: Any) -> float:
    """Pearson correlation of p and v about the mean of each frame and channel, in [-1, 1].

    Arguments and errors are those of `smoothness`. NaN where either clip is flat.
    """
    return stability(reference, result)["structure"]


def _as_floats(reference: Any, result: Any) -> tuple[np.ndarray, np.ndarray]:
    """As arrays of one float dtype; float32 stays, which halves the time of long clips."""
    pair = np.asarray(reference), np.asarray(result)
    single = all(a.dtype in (np.float16, np.float32) for a in pair)
    reference, result = (a.astype(np.float32 if single else np.float64, copy=False) for a in pair)
    return reference, result


def _centred(frame: np.ndarray) -> np.ndarray:
    """``(channels, pixels)``, each channel about its mean."""
    planes = np.ascontiguousarray(frame.reshape(-1, frame.shape[-1]).T)
    # By way of one pixel, so that a flat frame gives an exact zero.
    planes = planes - planes[:, :1]
    return planes - planes.mean(axis=1, keepdims=True)


def _energies(hp_v: np.ndarray, hp_p: np.ndarray) -> np.ndarray:
    """Of hp(v), hp(p) and hp(p - v)."""
    flat = (u.ravel() for u in (hp_v, hp_p, hp_p - hp_v))
    return np.array([np.dot(u, u) for u in flat], np.float64)


def _flicker(hp_v: np.ndarray, hp_p: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Of hp(p - v): its root mean square in each frame; the sum over frames, mean over channels,
    of its squares at each pixel."""
    error = hp_p - hp_v
    squares = np.einsum("thwc,thwc->thw", error, error)
    of_frames = [math.sqrt(float(frame.mean()) / error.shape[-1]) for frame in squares]
    return of_frames, squares.sum(axis=0, dtype=np.float64) / error.shape[-1]


def _ratio(a: float, b: float) -> float:
    if b > 0:
        return a / b
    return math.inf if a > 0 else math.nan

"""Alternatives to a regularizer: filters over the results of a network for the frames of a clip.

They take a network as it is, and none of them mixes frames of two shots. Needs the extra ``video``.
FFmpeg's filters need a PyAV that was built with them; the wheels on PyPI lack `hqdn3d` (GPL).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from keras_temporal_reg import image, transforms
from keras_temporal_reg.core import xla
from keras_temporal_reg.evaluation import optical_flow
from keras_temporal_reg.io import image_files
from keras_temporal_reg.io.video._clip import import_av
from keras_temporal_reg.tasks import Task

_SEED = 0  # of the transforms of test-time averaging
_ATADENOISE_FRAMES = 9
# With 8 bits in place of 16, rounding alone raised the flicker of a real clip from 9.8 to 11.8 % of
# the contrast of its chroma.
_RGB, _YUV, _WHITE = "rgb48le", "yuv444p16le", 65535
_NO_BLUR = "0.001"  # hqdn3d takes 0 for its default

Predict = Callable[[np.ndarray], np.ndarray]
# x, prediction, task and strength to the result, for the frames of one shot.
_ShotFilter = Callable[[np.ndarray, np.ndarray, Task, float], np.ndarray]

_warp_compiled = xla.compiled_by_shape(image.warp_by_flow)


class Alternative(NamedTuple):
    """A way to steady the results of a network without training.

    Attributes:
        apply: from ``(predict, x, prediction, task, strength, cuts)`` to the result, float32 in the
            shape of the prediction. `predict` is the network, from inputs ``(frames, height,
            width, channels)`` to outputs; `prediction` is ``predict(x)``; `cuts` are the indices of
            the frames that start a new shot.
        strengths: to choose from, the weakest first.
        delay: frames after the current one that a strength needs.
        needs_neighbours: whether a frame needs others of its clip.
        passes: of the network per frame, at a strength.

    Example:
        >>> import numpy as np
        >>> from keras_temporal_reg.experiments.alternatives import ALTERNATIVES
        >>> x = np.reshape([0.0, 0.0, 8.0], (3, 1, 1, 1))
        >>> low_pass = ALTERNATIVES["temporal low-pass"]
        >>> low_pass.apply(lambda x: x, x, x, None, 0.5, cuts=()).ravel().tolist()
        [0.0, 0.0, 4.0]
    """

    apply: Callable[..., np.ndarray]
    strengths: tuple[float, ...]
    delay: Callable[[float], int]
    needs_neighbours: bool
    passes: Callable[[float], int]


def of_task(task: Task) -> list[str]:
    """The names of the alternatives that can be applied to results of a task.

    FFmpeg's filters are left out where PyAV lacks them. They also are for HDR, whose results cannot
    be taken back from pictures for display.

    Raises:
        ImportError: if PyAV is missing.
    """
    found = import_av().filter.filters_available if task.name != "hdr" else ()
    return [name for name in ALTERNATIVES if name not in _FFMPEG_FILTERS or name in found]


def _per_shot(shot_filter: _ShotFilter) -> Callable[..., np.ndarray]:
    def apply(
        predict: Predict,
        x: np.ndarray,
        prediction: np.ndarray,
        task: Task,
        strength: float,
        cuts: Sequence[int],
    ) -> np.ndarray:
        shots = zip(np.split(x, cuts), np.split(prediction, cuts))
        steadied = [shot_filter(*shot, task, strength) for shot in shots]
        return np.concatenate(steadied).astype(np.float32)

    return apply


def _low_pass(x: np.ndarray, prediction: np.ndarray, task: Task, share: float) -> np.ndarray:
    """Average each pixel with the result for the frame before, which has this share."""
    return np.stack([*itertools.accumulate(prediction, lambda out, p: p + share * (out - p))])


def _symmetric_low_pass(
    x: np.ndarray, prediction: np.ndarray, task: Task, sigma: float
) -> np.ndarray:
    """Average each pixel over frames before and after, with the weights of a Gaussian."""
    cv2 = optical_flow.import_cv2()
    rows = prediction.reshape(len(prediction), -1)
    size = (1, 2 * _radius(sigma) + 1)
    blurred = cv2.GaussianBlur(rows, size, 0.0, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(prediction.shape)


def _radius(sigma: float) -> int:
    return math.ceil(2.0 * sigma)  # beyond it, 5 % of a Gaussian


def _compensated_low_pass(
    x: np.ndarray, prediction: np.ndarray, task: Task, share: float
) -> np.ndarray:
    """As `_low_pass`, along the motion of the input; not where that cannot be trusted."""
    if len(x) < 2:
        return prediction
    shown = task.decode(x, task.baseline(x))
    # In reverse, since the motion to warp the frame before leads from each frame to that one.
    flows, masks = (part[::-1] for part in optical_flow.of_clip(shown[::-1]))
    weights = share * masks * image.flow_valid_mask(flows).numpy()
    steadied = [prediction[0]]
    for p, flow, weight in zip(prediction[1:], flows, weights[..., np.newaxis]):
        before = _warp_compiled(steadied[-1][np.newaxis], flow[np.newaxis])[0].numpy()
        steadied.append(p + weight * (before - p))
    return np.stack(steadied)


def _ffmpeg_filter(
    name: str,
    options: Callable[[float], dict[str, Any]],
    strengths: tuple[float, ...],
    delay: Callable[[float], int],
) -> Alternative:
    """A filter of FFmpeg, over the pictures that results are shown as."""

    def shot_filter(
        x: np.ndarray, prediction: np.ndarray, task: Task, strength: float
    ) -> np.ndarray:
        pictures = task.decode(x, prediction)
        # Filters treat the end of a shot in ways of their own; deflicker darkens shots that are
        # shorter than its window.
        padding = pictures[-1:].repeat(delay(strength) + 1, axis=0)
        filtered = _run_ffmpeg(np.concatenate([pictures, padding]), name, options(strength))
        return task.target(filtered[: len(pictures)])

    return Alternative(_per_shot(shot_filter), strengths, delay, True, _once)


def _hqdn3d(strength: float) -> dict[str, Any]:
    return {
        "luma_spatial": _NO_BLUR,
        "chroma_spatial": _NO_BLUR,
        "luma_tmp": strength,
        "chroma_tmp": strength,
    }


def _atadenoise(strength: float) -> dict[str, Any]:
    defaults = {"a": 0.02, "b": 0.04}  # of the thresholds
    thresholds = {f"{p}{n}": strength * value for p in range(3) for n, value in defaults.items()}
    return {**thresholds, "s": _ATADENOISE_FRAMES}


def _deflicker(strength: float) -> dict[str, Any]:
    return {"size": int(strength)}


def _run_ffmpeg(pictures: np.ndarray, name: str, options: dict[str, Any]) -> np.ndarray:
    """Pictures ``(frames, height, width, 3)`` in [0, 1] that went through a filter, as YUV."""
    av = import_av()
    rate = Fraction(1, 25)
    graph = av.filter.Graph()
    height, width = pictures.shape[1:3]
    graph.link_nodes(
        graph.add_buffer(width=width, height=height, format=_RGB, time_base=rate),
        graph.add("format", _YUV),
        graph.add(name, **{key: str(value) for key, value in options.items()}),
        graph.add("format", _RGB),
        graph.add("buffersink"),
    )
    graph.configure()
    levels = (image_files.clipped(pictures) * _WHITE + 0.5).astype(np.uint16)
    for number, picture in enumerate(levels):
        frame = av.VideoFrame.from_ndarray(picture, _RGB)
        frame.pts, frame.time_base = number, rate
        graph.push(frame)
    graph.push(None)
    return np.stack([graph.pull().to_ndarray() for _ in pictures]) / np.float32(_WHITE)


def _test_time_averaging(
    predict: Predict,
    x: np.ndarray,
    prediction: np.ndarray,
    task: Task,
    strength: float,
    cuts: Sequence[int],
) -> np.ndarray:
    """Average ``T^-1 f(T x)`` over the identity and random T, the same for all frames."""
    size = x.shape[1:3]
    motion = transforms.RandomAffine(seed=_SEED)
    drawn = motion.sample(int(strength) - 1, *size).numpy()
    total, weight = prediction.astype(np.float32), np.ones((1, *prediction.shape[1:3], 1), "f4")
    for transform in drawn[:, np.newaxis]:
        moved = predict(motion.apply(x, transform).numpy())
        back = transforms.rescale_transforms(_inverse(transform), size, prediction.shape[1:3])
        total += image.transform(moved, back, "bilinear").numpy()
        # Below 1 at the border, where a result that was moved back lacks values.
        weight += image.transform(np.ones_like(weight), back, "bilinear").numpy()
    return (total / weight).astype(np.float32)


def _inverse(transform: np.ndarray) -> np.ndarray:
    """From the input points of a transform ``(1, 8)`` to its output points."""
    matrix = np.linalg.inv(np.append(transform, 1.0).reshape(3, 3)).ravel()
    return (matrix[np.newaxis, :8] / matrix[8]).astype(np.float32)


def _none(strength: float) -> int:
    return 0


def _once(strength: float) -> int:
    return 1


_SHARES = (0.3, 0.5, 0.7)
_FFMPEG_FILTERS = {
    "hqdn3d": _ffmpeg_filter("hqdn3d", _hqdn3d, (4.0, 8.0, 16.0), _none),
    "atadenoise": _ffmpeg_filter(
        "atadenoise", _atadenoise, (1.0, 3.0, 6.0), lambda _: _ATADENOISE_FRAMES // 2
    ),
    "deflicker": _ffmpeg_filter(
        "deflicker", _deflicker, (5.0, 15.0), lambda frames: int(frames) - 1
    ),
}
ALTERNATIVES = {
    "temporal low-pass": Alternative(_per_shot(_low_pass), _SHARES, _none, True, _once),
    "symmetric low-pass": Alternative(
        _per_shot(_symmetric_low_pass), (0.5, 1.0, 2.0), _radius, True, _once
    ),
    "motion-compensated low-pass": Alternative(
        _per_shot(_compensated_low_pass), _SHARES, _none, True, _once
    ),
    **_FFMPEG_FILTERS,
    "test-time averaging": Alternative(_test_time_averaging, (4.0, 16.0), _none, False, int),
}
"""By name; `of_task` says which of them a task can have."""

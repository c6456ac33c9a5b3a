"""The options of `steady`. Imports no TensorFlow, so that the command line can check them."""

# ruff: noqa: RUF009 (the calls declare fields)

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_temporal_reg.core import validation as checks
from keras_temporal_reg.finetuning.config import (
    AUTO,
    METHODS,
    FinetuneConfig,
    parse_number_or_word,
    strength_or_auto,
)
from keras_temporal_reg.finetuning.options import CommandConfig, option, same_option

# Of each method, in the pilots on clips with a hidden ground truth.
ALPHAS = {"transform-invariance": 0.8, "sparse-jacobian": 0.9}
MOST_STEPS = 2000  # of each training, where the time would allow more
LEAST_STEPS = 50


def _shared(name: str, **changes: Any) -> Any:
    return same_option(FinetuneConfig, name, **changes)


@dataclasses.dataclass(frozen=True)
class SteadyConfig(CommandConfig):
    """The options of `steady`, checked.

    Raises:
        ValueError: for a value out of its range.

    Example:
        >>> from keras_temporal_reg.steadying.config import SteadyConfig
        >>> SteadyConfig(minutes=1).strength
        'auto'
    """

    COMMAND = "steady"

    strength: float | str = option(
        AUTO,
        "how much to steady: 0 for the original, 1 for the steadiest blend, or auto: the blend "
        "with the least flicker that stays true to the original",
        strength_or_auto,
        setting=None,
        parse=parse_number_or_word,
        metavar="STRENGTH",
    )
    minutes: float = option(
        3.0,
        "how long all of it may take, about; sets the number of training steps",
        checks.positive,
        setting=None,
        parse=float,
    )
    steps: int | None = option(
        None,
        "training steps of each method, in place of minutes",
        lambda name, value: checks.whole_number(name, value, 1),
        setting=None,
        parse=int,
    )
    method: str | None = option(
        None,
        f"one regularizer, {' or '.join(METHODS)}; without, both are trained and blended",
        lambda name, value: checks.one_of(name, value, METHODS),
        parse=str,
        choices=METHODS,
    )
    task: Any = _shared(
        "task",
        default=None,
        help="what the model does, where that cannot be found out: a task's name, its dotted "
        "path, or a `tasks.Task`",
    )
    value_range: tuple[float, ...] | None = _shared(
        "value_range",
        help="the values of the model's inputs and outputs that stand for black and white, or of "
        "its inputs and then of its outputs, as in 0,255,0,1; without, they are found out",
    )
    crop: int | None = _shared(
        "crop",
        help="height and width of the crops of x, in pixels; without, crops or whole frames, by "
        "what the model makes of both",
    )
    batch_size: int | None = option(
        None,
        "crops or frames per step; without, as many as have the pixels of 8 crops of 64 x 64",
        lambda name, value: checks.whole_number(name, value, 1),
        parse=int,
    )
    learning_rate: float = _shared("learning_rate", default=5e-4)
    transform: Any = _shared("transform")
    contrast: float = _shared("contrast", default=1.0)
    seed: int = _shared("seed")
    rate: float | None = option(
        None,
        "frames per second of folders of images",
        checks.positive,
        setting=None,
        parse=float,
        metavar="FPS",
    )
    memory: float | None = option(
        None,
        "memory limit of the model's layers for the clip and the report, in megabytes (default: "
        "half of what is free); larger frames are cut into tiles",
        checks.positive,
        setting=None,
        parse=float,
        metavar="MB",
    )
    allow_code: bool = _shared("allow_code")
    custom_objects: Any = _shared("custom_objects")
    resume: bool = _shared("resume")
    show_progress: bool = _shared("show_progress")

    @property
    def methods(self) -> tuple[str, ...]:
        """The regularizers that are trained with."""
        return (*ALPHAS,) if self.method is None else (self.method,)


def check_paths(output: Path, video: Path | None, clips: tuple[Path, ...]) -> None:
    """Check that nothing that is written lies where something is read.

    Raises:
        ValueError: if so, or with a video of several clips.
    """
    if video is None:
        return
    if len(clips) > 1:
        raise ValueError(
            "video is the steadied clip, and needs one clip; write the others with ktr process. "
            f"Received: {len(clips)} clips"
        )
    if video.resolve() in (output.resolve(), clips[0].resolve()):
        raise ValueError(f"video must be another file than clip and output. Received: {video}")

"""The options of `finetune`, each declared once.

The command line, the signature and documentation of `finetune`, and the check that an interrupted
run is resumed with its own settings derive from `FinetuneConfig`. The module imports no
TensorFlow, so that the command line can check its options without it.
"""

# ruff: noqa: RUF009 (the calls declare fields)

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_temporal_reg.core import deprecation
from keras_temporal_reg.core import validation as checks
from keras_temporal_reg.finetuning.options import CommandConfig, option

METHODS = ("sparse-jacobian", "transform-invariance")
PLAIN = "plain"
MEMBERS = (PLAIN, *METHODS)  # fine-tunings to blend: without a regularizer, and with each
MEMBER_ALPHA = 0.9  # of the members that are regularized: strong, since they are blended
SINGLE_ALPHA = 0.8  # where one network is trained and no alpha is given
AUTO = "auto"  # in place of a strength: let the search find it
DEFAULT_CONTRAST = 0.1  # won in docs/results; the losses' own default, 0, is the paper's
SEARCH_PACKAGES = ("cv2", "matplotlib", "rich")  # what the search needs of the extra `video`


def strength_or_auto(name: str, value: Any) -> float | str:
    """Return `value` if it is a strength or `AUTO`.

    Raises:
        ValueError: if it is neither, naming the argument `name`.
    """
    if value == AUTO:
        return AUTO
    try:
        return checks.fraction(name, value, "[", "]")
    except ValueError:
        raise ValueError(
            f"{name} must be a number in [0, 1] or {AUTO!r}. Received: {value!r}"
        ) from None


def alpha_or_auto(name: str, value: Any) -> float | str:
    """Return `value` if it is an alpha, or `AUTO`, which alpha could be before version 0.2.

    Raises:
        ValueError: if it is neither, naming the argument `name`.
    """
    if value == AUTO:
        return AUTO
    return checks.fraction(name, value, "[", ")")


def check_members(name: str, value: Any) -> None:
    """Check that members are names in `MEMBERS`, each once, and one of them regularized.

    Raises:
        ValueError: if not, naming the argument `name`.
    """
    known = [member for member in value if member in MEMBERS]
    if isinstance(value, str) or len({*known}) < len([*value]) or not {*known} - {PLAIN}:
        raise ValueError(
            f"{name} must be some of {', '.join(MEMBERS)}, each once, and one of the regularizers "
            f"among them. Received: {value!r}"
        )


def parse_number_or_word(text: str) -> float | str:
    """A number, or else a word, from the command line."""
    try:
        return float(text)
    except ValueError:
        return text


def parse_words(text: str) -> tuple[str, ...]:
    """Words separated by commas, from the command line."""
    return tuple(part.strip() for part in text.split(","))


def parse_value_range(text: str) -> tuple[float, ...]:
    """Numbers separated by commas, from the command line."""
    return tuple(float(part) for part in text.split(","))


def _at_least(least: int) -> Callable[[str, Any], Any]:
    return lambda name, value: checks.whole_number(name, value, least)


def _share(low: str, high: str) -> Callable[[str, Any], Any]:
    return lambda name, value: checks.fraction(name, value, low, high)


def _name(value: Any) -> str:
    own = getattr(value, "name", None) or getattr(value, "__name__", None)
    return value if isinstance(value, str) else own or type(value).__name__


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(CommandConfig):
    """The options of `finetune`, checked.

    Raises:
        ValueError: for a value out of its range, or options that do not fit each other.

    Example:
        >>> from keras_temporal_reg.finetuning.config import FinetuneConfig
        >>> FinetuneConfig(task="denoising", steps=500).learning_rate
        0.0001
    """

    COMMAND = "finetune"

    task: Any = option(
        "restoration",
        "what the model does: a task's name, its dotted path, or a `tasks.Task`",
        setting=_name,
        parse=str,
    )
    strength: float | str | None = option(
        None,
        "how much to steady, after training: 0 for the original, 1 for the steadiest blend of the "
        "members, or auto: the blend with the least flicker that is stabilized on validation "
        "images or a clip; blends are drawn in STEM.strength.png beside the output. Without "
        "strength and alpha: auto where the extra video is installed",
        strength_or_auto,
        setting=None,
        parse=parse_number_or_word,
        metavar="STRENGTH",
    )
    members: tuple[str, ...] = option(
        MEMBERS,
        f"fine-tunings to blend: some of {', '.join(MEMBERS)}",
        check_members,
        setting=list,
        parse=parse_words,
        metavar="NAME,NAME",
    )
    member_alpha: float = option(
        MEMBER_ALPHA,
        "strength of the regularizer of these fine-tunings, in (0, 1)",
        _share("(", ")"),
        parse=float,
    )
    keep_members: bool = option(
        False,
        "save the members in the folder STEM.members beside the output, for ktr blend",
        setting=None,
    )
    alpha: float | str | None = option(
        None,
        "in place of a strength, train one network with this strength of the regularizer, in "
        "[0, 1)",
        alpha_or_auto,
        parse=parse_number_or_word,
    )
    method: str = option(
        METHODS[0],
        f"the regularizer of that network: {' or '.join(METHODS)}",
        lambda name, value: checks.one_of(name, value, METHODS),
        parse=str,
        choices=METHODS,
    )
    clip: str | Path | None = option(
        None,
        "a clip of inputs to choose the blend on: a file or a folder of frames, in place of "
        "validation images under a virtual camera",
        setting=None,
        parse=Path,
        metavar="CLIP",
    )
    reference: str | Path | None = option(
        None,
        "the targets of the clip; without, the task makes inputs from the clip",
        setting=None,
        parse=Path,
        metavar="CLIP",
    )
    steps: int = option(1000, "training steps", _at_least(1), parse=int)
    batch_size: int = option(8, "crops per step", _at_least(1), parse=int)
    crop: int | None = option(
        None,
        "height and width of the crops of x, in pixels; without, the model's fixed size, or 64",
        _at_least(8),
        parse=int,
    )
    learning_rate: float = option(
        1e-4, "of Adam after its warm-up; it decays to a tenth", checks.positive, parse=float
    )
    transform: Any = option(
        None,
        "draws T; without, a `RandomAffine`. If it has no seed it gets that of the run",
        setting=lambda value: value.get_config(),
    )
    contrast: float = option(
        DEFAULT_CONTRAST,
        "weight of the term that keeps the contrast, which the regularizer alone reduces; 0 "
        "for the losses of the paper",
        checks.not_negative,
        parse=float,
    )
    pair_fraction: float = option(
        1.0,
        "share of each batch that is regularized, in (0, 1]; 0.25 saves a third of the time",
        _share("(", "]"),
        parse=float,
    )
    reconstruction: Any = option("mse", "the reconstruction loss, as in the losses", setting=_name)
    validation: float = option(
        0.1,
        "share of the images to validate on, at least one image, in [0, 1); 0 for none",
        _share("[", ")"),
        parse=float,
    )
    early_stopping: int | None = option(
        None,
        "stop when the validation loss has not fallen for so many tenths of the steps, and "
        "keep the best of all tenths",
        _at_least(1),
        parse=int,
        metavar="N",
    )
    allow_code: bool = option(
        False,
        "load models that hold Python code, such as Lambda layers, and run that code",
        setting=None,
    )
    custom_objects: Any = option(
        None,
        "layers and functions of your own that the model holds: a Python file that defines them, "
        "which is run, so only with --allow-code (allow_code); from Python, also a mapping from "
        "their names",
        setting=None,
        parse=Path,
        metavar="FILE",
    )
    cache: float | None = option(
        None,
        "how many megabytes of decoded images to keep in memory; the others are read again for "
        "each crop. Without, half of what is free",
        checks.positive,
        setting=None,
        parse=float,
        metavar="MB",
    )
    seed: int = option(0, "the same seed gives the same numbers", _at_least(0), parse=int)
    logs: str | Path | None = option(
        None, "a folder to log to for TensorBoard", setting=None, parse=Path, metavar="DIR"
    )
    resume: bool = option(
        True,
        "continue an interrupted run of the same output",
        setting=None,
        off=("--restart", "discard an interrupted run and start from the beginning"),
    )
    show_progress: bool = option(
        True, "show a progress bar", setting=None, off=("--quiet", "no progress bar")
    )
    value_range: tuple[float, ...] | None = option(
        None,
        "lowest and highest value of the model's inputs and outputs, or of its inputs and then of "
        "its outputs, as in 0,255,0,1; without, they are found out",
        checks.value_range,
        setting=lambda value: [float(part) for part in value],
        parse=parse_value_range,
        metavar="LOW,HIGH",
    )
    check_numerics: bool = option(
        False,
        "stop before a step is trained on in which anything is NaN or infinite, and name its "
        "images; costs a copy of the weights per step",
        setting=None,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.early_stopping is not None and not self.validation:
            raise ValueError("early_stopping needs a validation above 0. Received: validation 0")
        if self.reference is not None and self.clip is None:
            raise ValueError(
                f"reference needs a clip that it belongs to. Received: reference {self.reference} "
                "and no clip"
            )
        if self.alpha == AUTO:
            deprecation.warn(f"alpha {AUTO!r}", f"strength {AUTO!r}")
            object.__setattr__(self, "alpha", None)
            object.__setattr__(self, "strength", AUTO)
        if self.alpha is not None and self.strength is not None:
            raise ValueError(
                "strength and alpha exclude each other: strength blends several networks, alpha "
                f"trains one. Received: strength {self.strength} and alpha {self.alpha}"
            )
        if self.blend_strength is None:
            if self.clip is not None:
                raise ValueError(
                    "clip is used with a strength only, to choose the blend on. Received: clip "
                    f"{self.clip} and alpha {self.single_alpha}"
                )
        elif self.clip is None and not self.validation:
            raise ValueError(
                f"strength {self.blend_strength} needs a validation above 0 or a clip, to choose "
                "the blend on; alpha trains one network without. Received: validation 0 and no clip"
            )

    @property
    def blend_strength(self) -> float | str | None:
        """The strength of the blend to find; None where one network is trained."""
        if self.alpha is not None or self.strength is not None:
            return self.strength
        has_extra = all(importlib.util.find_spec(name) is not None for name in SEARCH_PACKAGES)
        return AUTO if has_extra else None

    @property
    def single_alpha(self) -> float:
        """The alpha of the one network that is trained where nothing is blended."""
        return SINGLE_ALPHA if self.alpha is None else float(self.alpha)

    def settings(self) -> dict[str, Any]:
        """The options that must be the same when an interrupted run is resumed, as JSON."""
        found = super().settings()
        # The members are the same whatever the strength, and so is one network's alpha by default.
        found["alpha"] = None if self.blend_strength is not None else self.single_alpha
        return found

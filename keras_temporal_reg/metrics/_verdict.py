"""Whether a model is more stable than before, and at what price: one rule for all reports."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

from keras_temporal_reg.core import deprecation

PSNR_MARGIN = 1.5  # dB by which a model must exceed the baseline prediction
TOLERANCE = 0.01  # of structure and contrast ratio
_JUDGED = ("temporal_error", "relative_smoothness", "psnr", "structure", "contrast_ratio")


class Outcome(enum.StrEnum):
    """What `verdict` can find."""

    STABILIZED = "stabilized"
    """More stable, and nothing else is worse."""
    TRADE_OFF = "trade_off"
    """More stable, but PSNR, structure or contrast is worse."""
    NO_GAIN = "no_gain"
    """Not more stable."""
    NOT_APPLICABLE = "not_applicable"
    """The model does not beat the baseline prediction, so that stability proves nothing."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison. ``str()`` gives it as a sentence.

    Attributes:
        outcome: one of `Outcome`.
        reasons: what led to it, one phrase each.
        changes: key of each measure compared to its values ``(before, after)``.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    changes: Mapping[str, tuple[float, float]]

    @property
    def is_stabilized(self) -> bool:
        """Whether the outcome is `Outcome.STABILIZED`."""
        return self.outcome is Outcome.STABILIZED

    @property
    def sentence(self) -> str:
        """Outcome and reasons as a sentence."""
        return f"{self.outcome.name.replace('_', ' ')}: {'; '.join(self.reasons)}."

    def __str__(self) -> str:
        return self.sentence

    # `verdict` returned a pair before version 0.2.
    def __iter__(self) -> Iterator[Any]:
        deprecation.warn("a verdict as a pair", "its .outcome and .sentence")
        return iter((self.is_stabilized, self.sentence))

    def __getitem__(self, index: int) -> Any:
        deprecation.warn("a verdict as a pair", "its .outcome and .sentence")
        return (self.is_stabilized, self.sentence)[index]


@deprecation.renamed_arguments(plain="before", stabilized="after", trivial_psnr="baseline_psnr")
def verdict(
    before: Mapping[str, float], after: Mapping[str, float], baseline_psnr: float
) -> Verdict:
    """Judge whether a model is stabilized.

    The rule, in this order:

    * `Outcome.NOT_APPLICABLE`: PSNR before is less than `PSNR_MARGIN` dB above that of the
      baseline prediction.
    * `Outcome.NO_GAIN`: temporal error does not fall and relative smoothness does not rise.
    * `Outcome.TRADE_OFF`: PSNR falls, structure falls by more than `TOLERANCE`, or the contrast
      ratio moves away from 1 by more than that.
    * `Outcome.STABILIZED`: otherwise.

    Args:
        before: measures of the model without the regularizer, as from `stability`.
        after: measures of the model with it.
        baseline_psnr: PSNR of the baseline prediction, in dB.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> before = dict(temporal_error=1.0, relative_smoothness=1.2, structure=0.7, psnr=31.0,
        ...               contrast_ratio=1.1)
        >>> verdict = ktr.metrics.verdict(before, {**before, "temporal_error": 0.9}, 26.0)
        >>> verdict.outcome is ktr.metrics.Outcome.STABILIZED
        True
    """
    changes = {key: (before[key], after[key]) for key in _JUDGED}
    if not before["psnr"] >= baseline_psnr + PSNR_MARGIN:
        reason = (
            f"PSNR before ({before['psnr']:.2f} dB) is less than {PSNR_MARGIN:g} dB above the "
            f"baseline ({baseline_psnr:.2f} dB), so that stability proves nothing"
        )
        return Verdict(Outcome.NOT_APPLICABLE, (reason,), changes)
    gains, losses = _gains(changes), _losses(changes)
    if not gains:
        none = "temporal error does not fall and relative smoothness does not rise"
        return Verdict(Outcome.NO_GAIN, (none, *losses), changes)
    if losses:
        return Verdict(Outcome.TRADE_OFF, (*gains, *losses), changes)
    return Verdict(Outcome.STABILIZED, (*gains, *_kept(changes)), changes)


def _gains(changes: Mapping[str, tuple[float, float]]) -> list[str]:
    gains = []
    before, after = changes["temporal_error"]
    if after < before:
        gains.append(f"temporal error falls to {after / before:.2f} times")
    before, after = changes["relative_smoothness"]
    if after > before:
        gains.append(f"relative smoothness rises to {after / before:.2f} times")
    return gains


def _losses(changes: Mapping[str, tuple[float, float]]) -> list[str]:
    # NaN is a loss: its comparisons are all False.
    losses = []
    before, after = changes["psnr"]
    if not after >= before:
        losses.append(f"PSNR falls from {before:.2f} to {after:.2f} dB")
    before, after = changes["structure"]
    if not after >= before - TOLERANCE:
        losses.append(f"structure falls from {before:.3f} to {after:.3f}")
    before, after = changes["contrast_ratio"]
    if not abs(after - 1.0) <= abs(before - 1.0) + TOLERANCE:
        losses.append(f"contrast ratio moves away from 1, from {before:.2f} to {after:.2f}")
    return losses


def _kept(changes: Mapping[str, tuple[float, float]]) -> list[str]:
    psnr, structure = (after - before for before, after in (changes["psnr"], changes["structure"]))
    before, after = changes["contrast_ratio"]
    return [
        f"PSNR {psnr:+.2f} dB",
        f"structure {structure:+.3f}",
        f"contrast ratio {before:.2f} to {after:.2f}",
    ]

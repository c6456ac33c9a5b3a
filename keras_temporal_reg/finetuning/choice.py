"""What a search for a strength found: the blends that it evaluated, the choice, and its plot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_temporal_reg import metrics
from keras_temporal_reg.io import atomic


@dataclasses.dataclass(frozen=True)
class Trial:
    """One blend that was evaluated.

    Attributes:
        weights: name of a network, `ORIGINAL` or a member, to its weight; without zeros.
        measures: as from `metrics.stability`, mean over the validation clips.
        outcome: of `metrics.verdict`, its value.
        verdict: the verdict as a sentence.
    """

    weights: Mapping[str, float]
    measures: Mapping[str, float]
    outcome: str
    verdict: str

    def __str__(self) -> str:
        return " + ".join(f"{weight:.3g} {name}" for name, weight in self.weights.items())


@dataclasses.dataclass(frozen=True)
class Choice:
    """The blend that was chosen.

    Attributes:
        weights: as in `Trial`; empty where none was found.
        strength: 0 for the original, 1 for the steadiest blend; between them the share of the
            flicker taken away. None where it was chosen (``"auto"``).
        alpha: the mean alpha of the networks by their weights; 0 where no blend was found.
        reason: why this one, in words.
        trials: all blends that were evaluated.
        compared_with: the network that the verdicts compare with.
        floor: flicker of the references, mean over the validation clips; of the input where there
            are none, and NaN where that was not measured.
        baseline_psnr: of the baseline prediction, in dB; NaN where there are no references.
        seconds: that the search took.
    """

    weights: Mapping[str, float]
    strength: float | None
    alpha: float
    reason: str
    trials: tuple[Trial, ...]
    compared_with: str
    floor: float
    baseline_psnr: float
    seconds: float

    @property
    def chosen(self) -> Trial | None:
        """The trial of the choice; None where none was found."""
        return next((trial for trial in self.trials if trial.weights == self.weights), None)

    def plot(self, path: Any) -> None:
        """Draw PSNR against flicker of all trials, their Pareto front, and the choice.

        Args:
            path: a ``.png`` file. Needs matplotlib.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 6.5), layout="constrained")
        axis = figure.subplots()
        front = pareto_front(self.trials)
        axis.plot(*zip(*map(_place, front)), color="0.7", zorder=1, label="Pareto front")
        shown = _with_flicker(self.trials)
        for outcome, color in _COLORS.items():
            places = [_place(trial) for trial in shown if trial.outcome == outcome]
            if places:
                name = outcome.replace("_", " ")
                axis.scatter(*zip(*places), color=color, s=30, zorder=2, label=name)
        for trial in shown:
            if len(trial.weights) == 1:
                (name,) = trial.weights
                text = axis.annotate(name, _place(trial), (6, 6), textcoords="offset points")
                text.set_in_layout(False)
        if self.chosen is not None:
            label = f"chosen: {self.chosen}"
            axis.scatter(*_place(self.chosen), s=160, c="none", edgecolors="black", label=label)
        has_reference = not math.isnan(self.baseline_psnr)
        floor = "flicker of the reference" if has_reference else "flicker of the input"
        if not math.isnan(self.floor):
            axis.axvline(self.floor, color="0.5", linestyle=":", label=floor)
        axis.set_xlabel("flicker, % of contrast (lower is better)")
        compared = "" if has_reference else f" to the results of {self.compared_with}"
        axis.set_ylabel(f"PSNR{compared}, dB (higher is better)")
        axis.set_title(f"Blends of the fine-tunings, judged against {self.compared_with}")
        axis.margins(0.15)
        axis.legend(loc="upper left", bbox_to_anchor=(0.0, -0.12), ncols=2, fontsize="small")
        with atomic.atomic_write(Path(path)) as temporary:
            figure.savefig(temporary, dpi=110)


_COLORS = {
    metrics.Outcome.STABILIZED.value: "tab:green",
    metrics.Outcome.TRADE_OFF.value: "tab:orange",
    metrics.Outcome.NO_GAIN.value: "tab:red",
    metrics.Outcome.NOT_APPLICABLE.value: "tab:gray",
}


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """The trials than which none has both less flicker and more PSNR, by flicker, most first."""
    front: list[Trial] = []
    for trial in sorted(_with_flicker(trials), key=lambda t: (_place(t)[0], -_place(t)[1])):
        if not front or trial.measures["psnr"] > front[-1].measures["psnr"]:
            front.append(trial)
    return front[::-1]


def _place(trial: Trial) -> tuple[float, float]:
    return trial.measures["flicker"], trial.measures["psnr"]


def _with_flicker(trials: Iterable[Trial]) -> list[Trial]:
    """Those whose results have contrast, without which flicker is NaN."""
    return [trial for trial in trials if not math.isnan(trial.measures["flicker"])]

"""The names, titles and units of all measures: one table for every report, plot and log."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Literal

Better = Literal["lower", "higher", "nearer to 1", ""]


@dataclasses.dataclass(frozen=True)
class Measure:
    """How a measure is named, formatted and read.

    Attributes:
        key: name in dicts of measures, in JSON and in logs.
        title: name in tables and plots.
        meaning: one or two sentences.
        better: which values are better: ``"lower"``, ``"higher"``, ``"nearer to 1"``, or ``""``
            for neither.
        digits: number of decimals in tables.
        unit: unit of the numbers in tables; ``""`` for a pure number.
        factor: what a value is multiplied by to be in that unit.
    """

    key: str
    title: str
    meaning: str
    better: Better
    digits: int = 3
    unit: str = ""
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def in_unit(self, value: float) -> float:
        """A value in the unit of tables."""
        return self.factor * value

    def text(self, value: float) -> str:
        """A value as tables print it, in their unit; ``"-"`` for NaN and infinity."""
        return f"{self.in_unit(value):.{self.digits}f}" if math.isfinite(value) else "-"


MEASURES: Mapping[str, Measure] = types.MappingProxyType(
    {
        measure.key: measure
        for measure in (
            Measure(
                "flicker",
                "Flicker",
                "Change between neighbouring frames that the motion of the reference does not "
                "explain, per contrast of the result. What the reference itself has is the floor.",
                "lower",
                digits=2,
                unit="% of contrast",
            ),
            Measure(
                "temporal_error",
                "Temporal error",
                "Change over time that the reference does not have, divided by the change that it "
                "has. 0 is perfect, 1 is what a frozen image gets. It approaches 1 when a result "
                "fades.",
                "lower",
            ),
            Measure(
                "error",
                "Error",
                "Root mean square difference from the reference, per contrast of the reference: in "
                "the unit of flicker.",
                "lower",
                digits=1,
                unit="% of contrast",
            ),
            Measure(
                "psnr",
                "PSNR",
                "Peak signal-to-noise ratio against the reference.",
                "higher",
                digits=2,
                unit="dB",
            ),
            Measure(
                "ssim",
                "SSIM",
                "Structural similarity to the reference (Wang et al. 2004).",
                "higher",
            ),
            Measure(
                "smoothness",
                "Smoothness S",
                "Fast change of the reference divided by that of the result; above 1 is smoother. "
                "Fading and blurring raise it too, so read it beside the contrast ratio and PSNR.",
                "higher",
            ),
            Measure(
                "contrast_ratio",
                "Contrast C",
                "Spatial standard deviation of the result divided by that of the reference.",
                "nearer to 1",
            ),
            Measure(
                "relative_smoothness",
                "S x C",
                "Smoothness for the same amount of signal.",
                "higher",
            ),
            Measure(
                "structure",
                "Structure",
                "Correlation with the reference about the mean of each frame, whatever the "
                "contrast.",
                "higher",
            ),
            Measure(
                "detail",
                "Detail",
                "Share of the edges of the reference that the result has at the same places. "
                "Blurring lowers it; noise does not raise it.",
                "nearer to 1",
            ),
            Measure(
                "warping_error",
                "Warping error",
                "Squared difference of neighbouring frames that their motion does not explain (Lai "
                "et al. 2018), of values in [0, 1].",
                "lower",
                digits=2,
                unit="10^-4",
                factor=1e4,
            ),
            Measure(
                "flow_difference",
                "tOF",
                "Mean length of the difference between the optical flow of the reference and that "
                "of the result (Farneback), at up to 25 pairs of neighbours.",
                "lower",
                unit="pixels",
            ),
        )
    }
)
"""Key of each measure to the measure, in the order of tables."""

"""What was measured becomes the content of the page: labels, units, baselines, frames shown."""

import math
from fractions import Fraction

import numpy as np
import pytest
from helpers.clips import ramp

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.evaluation import previews, report_content
from keras_temporal_reg.evaluation.api import Evaluation
from keras_temporal_reg.evaluation.clip_evaluator import ClipEvaluation

MEASURED = {**dict.fromkeys(metrics.MEASURES, 0.5), "warping_error": 0.0012}


@pytest.fixture
def shown(tmp_path):
    frames = np.stack(ramp(32, 48, 4)) / np.float32(255)
    with previews.Previews(tmp_path / "new", Fraction(25)) as found:
        for name in ("input", "net", "reference"):
            found.add(name, frames)
    found.flicker_maps = {"net": np.ones((32, 48))}
    return found


def clip(frames=4, measured=MEASURED):
    return ClipEvaluation(
        name="clip",
        frames=frames,
        size=(32, 48),
        rate=25.0,
        measures={name: measured for name in ("input", "net", "reference")},
        per_frame={
            "flicker": {name: [9.0] * frames for name in ("net", "reference")},
            "fast_error": {"net": [0.1] * frames},
            "psnr": {"net": [30.0] * frames},
        },
        reference="the truth",
        notes=("A note.",),
    )


def test_a_section_shows_each_result_with_its_video_slice_and_map(shown):
    section = report_content.clip_section(clip(), shown, tasks.colorization)
    assert [panel.label for panel in section.panels] == ["input (grey)", "net", "reference"]
    assert all(panel.video.is_file() for panel in section.panels)
    assert [panel.slice.shape for panel in section.panels] == [(32, 4, 3)] * 3
    assert [panel.heat is None for panel in section.panels] == [True, False, True]
    assert section.notes == ["Compared with the truth.", "A note."]
    assert section.rows["net"]["warping_error"] == pytest.approx(12.0)  # in units of 10^-4
    assert section.rows["net"]["psnr"] == 0.5
    assert [*section.rows] == ["input (grey)", "net", "reference"]
    assert [*section.per_frame] == ["Flicker, % of contrast", "Fast error", "PSNR, dB"]
    assert [*section.per_frame["Flicker, % of contrast"]] == ["net", "reference"]


@pytest.mark.parametrize(
    ("flicker", "words"), [(9.0, "% of the contrast"), (math.nan, "high-pass")]
)
def test_a_section_says_what_its_maps_show(shown, flicker, words):
    measured = clip(measured={**MEASURED, "flicker": flicker})
    section = report_content.clip_section(measured, shown, tasks.colorization)
    assert words in section.heat_meaning


def test_a_long_clip_is_shown_in_part(shown, monkeypatch):
    monkeypatch.setattr(report_content, "MAX_FRAMES", 4)
    section = report_content.clip_section(clip(frames=9), shown, tasks.restoration)
    assert section.frames == 4 and "first 4 of 9 frames" in section.notes[-1]
    assert all(len(v) == 4 for lines in section.per_frame.values() for v in lines.values())
    assert section.panels[0].label == "input"  # where the baseline is the input itself


@pytest.mark.parametrize("outcome", [None, *metrics.Outcome])
def test_the_report_holds_the_outcome(outcome):
    verdict = None if outcome is None else metrics.Verdict(outcome, ("a reason",), {})
    removed = None if outcome is None else 0.52
    result = Evaluation(
        verdict=verdict,
        outcome=outcome,
        excess_removed=removed,
        summary="A summary.",
        warnings=("A warning.",),
        mean={name: MEASURED for name in ("input", "net", "reference")},
        clips=(clip(),),
        settings={"task": "colorization", "flow": "none", "sigma": 2.0},
        versions={"python": "3"},
        seconds=1.0,
    )
    page = report_content.whole_report(result, [], tasks.colorization, "ktr evaluate")
    assert page.outcome == ("not_judged" if outcome is None else outcome.value)
    assert page.warnings == ("A warning.",)
    if verdict is None:
        assert (page.verdict, page.next_step) == ("A summary.", "")
    else:
        assert page.verdict == (
            f"{verdict} It removes 52 % of the flicker that the reference does not have."
        )
        assert page.next_step == verdict.next_step
    assert page.baselines == ["input (grey)", "reference"]
    assert [*page.mean] == ["input (grey)", "net", "reference"]
    assert page.facts["sigma"] == "2 frames" and page.title.endswith("net")

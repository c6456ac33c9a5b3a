"""The demo's last part: the network before fine-tuning, steadied on one of the test clips itself.

As with `ktr steady`: single frames of the clip, as grey pictures, and no ground truth. The colours
of the clip are for the measures alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.experiments import datasets, measures, media
from keras_temporal_reg.experiments.configs import DemoConfig
from keras_temporal_reg.io import video
from keras_temporal_reg.steadying import adaptation, job
from keras_temporal_reg.steadying.config import SteadyConfig

BEFORE, STEADIED = "before", "steadied"


def run(
    original: Path,
    problem: datasets.Problem,
    splits: Sequence[media.SplitClip],
    config: DemoConfig,
    output: Path,
) -> dict[str, Any]:
    """Steady a network on the smallest test clip, and measure it by the hidden colours.

    Args:
        original: file of the network.
        problem: with the test clips.
        splits: the same clips.
        config: the steps, and the seed.
        output: file for the steadied network; it is not written where no blend was found.

    Returns:
        The part ``on_the_clip`` of ``summary.json``: ``clip``, its name; ``reason``, why this blend
        was chosen without the colours; by the colours, the measures ``before`` and ``steadied``,
        ``outcome`` and ``verdict``; ``weights`` of the blend, and ``seconds``.

    Raises:
        NothingToSteady: if the network's results do not flicker.
    """
    started = time.monotonic()
    clips = problem.sets[datasets.CLIPS]
    split = min(splits, key=lambda split: clips[split.name].x.size)
    clip = clips[split.name]
    # One of the two methods, the one that steadies this network more, for the time.
    steady = SteadyConfig(
        method="transform-invariance",
        steps=config.steady_steps,
        seed=config.seed,
        show_progress=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames"
        grey = (np.repeat(luma, 3, axis=-1) for luma in clip.x)
        video.write(frames, grey, split.rate)
        running = job.prepare(original, (frames,), Path(folder) / output.name, "keras", steady)
        choice, _ = adaptation.adapt(running, adaptation.judged(running), config.steady_steps)
        found = {
            BEFORE: clip.measures(measures.predict(running.teacher, clip.x)),
            STEADIED: clip.measures(measures.predict(running.model, clip.x)),
        }
    baseline_psnr = metrics.psnr(clip.y, problem.task.baseline(clip.x))
    verdict = metrics.verdict(found[BEFORE], found[STEADIED], baseline_psnr)
    if choice.weights:
        saved_models.save(running.model, output, "keras")
    return {
        "clip": split.name,
        "reason": choice.reason,
        **found,
        "outcome": verdict.outcome.name,
        "verdict": verdict.sentence,
        "weights": dict(choice.weights),
        "seconds": round(time.monotonic() - started, 1),
    }

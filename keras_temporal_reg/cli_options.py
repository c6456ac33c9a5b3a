"""Options that commands of the command line share.

Like `cli`, it imports no TensorFlow.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keras_temporal_reg.core import validation
from keras_temporal_reg.finetuning.config import FinetuneConfig, parse_value_range

TASKS = (
    "colorization, deblurring, denoising, hdr, low-light, restoration, sensor-denoising, "
    "super-resolution, super-resolution-3, super-resolution-4"
)
OPTIONS = {field.name: field for field in dataclasses.fields(FinetuneConfig)}
# Of several commands.
MODEL_OPTIONS = ("task", "value_range", "allow_code", "custom_objects", "show_progress")
CLIP_SUFFIXES = ".mp4, .mov, .mkv, .webm, .avi or .gif"
FOLDER: dict[str, Any] = {"type": Path, "metavar": "DIR"}
CLIPS: dict[str, Any] = {"type": Path, "metavar": "CLIP", "action": "append"}
MODEL = "a .keras or .h5 file, or a SavedModel folder"
CLIP = "a video file, or a folder with one image per frame"


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default of an option to its help where it has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default == [] or isinstance(action.default, bool):
            return action.help
        if isinstance(action.default, tuple):
            return f"{action.help} (default: {','.join(action.default)})"
        return super()._get_help_string(action)


def checked(convert: Callable[[str], Any], check: Callable[..., Any] | None, *bounds: Any) -> Any:
    """An argparse type: `convert` the text, then `check` the value as the functions do."""

    def parse(text: str) -> Any:
        """A value of a word of the command line."""
        value = convert(text)
        try:
            if check is not None:
                check("value", value, *bounds)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    # What argparse says of a text that cannot be converted: "invalid float value: 'a'".
    parse.__name__ = "LOW,HIGH" if convert is parse_value_range else convert.__name__
    return parse


def weights(text: str) -> tuple[float, ...]:
    """An argparse type: numbers with commas between them."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be numbers with commas between them, such as 0.4,0.6. Received: {text!r}"
        ) from error


positive = checked(float, validation.positive)
seed = checked(int, validation.whole_number, 0)


def add_command(
    commands: Any, name: str, run: Callable[..., int], summary: str, description: str
) -> Any:
    """Add the parser of a command, whose options `run` takes."""
    parser = commands.add_parser(name, help=summary, description=description, formatter_class=Help)
    parser.set_defaults(run=run)
    return parser


class Deprecated(argparse.Action):
    """An old spelling of an option: `const` is the new one."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option: str | None = None) -> None:
        print(
            f"ktr: warning: {option} is deprecated and will be removed in the next release; "
            f"use {self.const}",
            file=sys.stderr,
        )
        setattr(namespace, self.dest, value)


def add_options(
    parser: argparse.ArgumentParser,
    *names: str,
    declared: Mapping[str, Any] = OPTIONS,
    **defaults: Any,
) -> None:
    """Add options as a config declares them, some with a default of their own."""
    for name in names:
        field = declared[name]
        about = field.metadata
        flag = "--" + name.replace("_", "-")
        text = about["help"].replace("`", "")
        if "off" in about:
            off, text = about["off"]
            parser.add_argument(off, dest=name, action="store_false", help=text)
        elif field.default is False:
            parser.add_argument(flag, action="store_true", help=text)
        elif "parse" in about:
            parser.add_argument(
                flag,
                type=checked(about["parse"], about["check"]),
                default=defaults.get(name, field.default),
                choices=about.get("choices"),
                metavar=about.get("metavar"),
                help=text,
            )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what each command asks that runs a model of the user."""
    parser.add_argument(
        "--task",
        default=OPTIONS["task"].default,
        help=f"what the model does: one of {TASKS}, or the dotted path of a "
        "keras_temporal_reg.tasks.Task of your own, such as my_module.my_task",
    )
    # Left out, the default of the function applies.
    add_options(parser, "value_range", value_range=argparse.SUPPRESS)
    parser.add_argument(
        "--values",
        type=checked(parse_value_range, OPTIONS["value_range"].metadata["check"]),
        dest="value_range",
        action=Deprecated,
        const="--value-range",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    add_options(parser, "allow_code", "custom_objects")
    add_output_options(parser)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add what each command asks that has a result."""
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print the result as JSON"
    )
    add_options(parser, "show_progress")


def add_clip_options(parser: argparse.ArgumentParser) -> None:
    """Add what each command asks that runs a model on a clip."""
    parser.add_argument(
        "--memory",
        type=positive,
        metavar="MB",
        help="memory limit of the model's layers, in megabytes (default: half of what is free); "
        "larger frames are cut into tiles",
    )
    parser.add_argument(
        "--rate", type=positive, metavar="FPS", help="frames per second of folders of images"
    )

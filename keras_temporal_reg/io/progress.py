"""Progress on standard error: bars in a terminal, lines elsewhere. Needs ``video`` (rich)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Advance = Callable[..., None]


@contextlib.contextmanager
def bars(
    shown: bool = True, time_left: bool = True
) -> Iterator[Callable[[str, float | None], Advance]]:
    """Show progress bars within the block; where standard error is a pipe, a line per tenth.

    Args:
        shown: False for no output.
        time_left: whether to show the time that is left, estimated from the speed so far.

    Yields:
        ``start(label, total)``, which adds a bar and returns ``advance(count=1, note=None,
        label=None)``: it moves the bar by `count` and, where they are given, replaces the note
        behind the bar and its label. `total` is None where it is unknown.

    Raises:
        ImportError: if rich is missing.

    Example:
        >>> from keras_temporal_reg.io import progress
        >>> with progress.bars(shown=False) as start:
        ...     advance = start("frames", 10)
        ...     advance(2, note="scene 1")
    """
    if not shown:
        yield lambda label, total=None: lambda count=1, note=None, label=None: None
        return
    try:
        from rich import console, markup, progress
    except ImportError as error:
        raise ImportError("progress bars need pip install keras-temporal-reg[video]") from error
    # Standard output can be a pipe that takes a command's results.
    terminal = console.Console(stderr=True)
    if not terminal.is_terminal:
        yield _lines
        return
    with progress.Progress(
        progress.TextColumn("{task.description:<24}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        *([progress.TimeRemainingColumn()] if time_left else []),
        console=terminal,
    ) as shown_bars:

        def start(label: str, total: float | None = None) -> Advance:
            task = shown_bars.add_task(markup.escape(label), total=total, note="")

            def advance(
                count: float = 1, note: str | None = None, label: str | None = None
            ) -> None:
                changes: dict[str, Any] = {} if note is None else {"note": note}
                if label is not None:
                    changes["description"] = markup.escape(label)
                shown_bars.update(task, advance=count, **changes)

            return advance

        yield start


def say(shown: bool, sentence: str) -> None:
    """Print a sentence on standard error, where the bars are, if `shown`."""
    if shown:
        print(sentence, file=sys.stderr, flush=True)


def _lines(label: str, total: float | None = None) -> Advance:
    """As `start` of `bars`: prints how much is done, once per tenth."""
    done, printed, name, last_note = 0.0, 0, label, ""

    def advance(count: float = 1, note: str | None = None, label: str | None = None) -> None:
        nonlocal done, printed, name, last_note
        done += count
        name = name if label is None else label
        last_note = last_note if note is None else note
        tenths = int(10 * done / total) if total else 0
        if tenths > printed:
            printed = tenths
            line = f"{name}: {10 * tenths} % ({done:g} of {total:g}) {last_note}".rstrip()
            print(line, file=sys.stderr, flush=True)

    return advance

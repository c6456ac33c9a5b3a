"""Progress bars on the terminal. Needs the extra ``video`` (rich) to show any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def bars(shown: bool = True) -> Iterator[Any]:
    """Start bars within a block: ``start(label, total)`` returns ``advance(count, note)``.

    Args:
        shown: False for bars that show nothing.

    Example:
        >>> from keras_temporal_reg.io import progress
        >>> with progress.bars(shown=False) as start:
        ...     advance = start("frames", 10)
        ...     advance(1)
    """
    if not shown:
        yield lambda label, total=None: lambda count=1, note="": None
        return
    try:
        from rich import console, markup, progress
    except ImportError as error:
        raise ImportError("progress bars need pip install keras-temporal-reg[video]") from error
    with progress.Progress(
        progress.TextColumn("{task.description:<24}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeRemainingColumn(),
        # What a command prints may go into a pipe; the bars do not.
        console=console.Console(stderr=True),
    ) as bar:

        def start(label: str, total: int | None = None) -> Any:
            number = bar.add_task(markup.escape(label), total=total, note="")
            return lambda count=1, note="": bar.update(number, advance=count, note=note)

        yield start

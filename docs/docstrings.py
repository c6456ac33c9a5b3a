"""Has the site read docstrings as doctest and people do: `Example:` holds an example."""

from __future__ import annotations

from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Turns headings that only `griffe` does not know into ones that it does."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            # Where reStructuredText opens a block of code, a colon ends the line in Markdown.
            obj.docstring.value = text.replace("::\n\n    ", ":\n\n    ")

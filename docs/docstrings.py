"""Adapt the docstrings to griffe and Markdown."""

from __future__ import annotations

from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Rename the heading `Example:`, which griffe does not parse, to `Examples:`."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            # A double colon opens a code block in reStructuredText; Markdown needs one colon.
            obj.docstring.value = text.replace("::\n\n    ", ":\n\n    ")

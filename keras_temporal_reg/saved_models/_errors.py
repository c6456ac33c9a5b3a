"""The error for models that cannot be used."""

from __future__ import annotations

import re


class ModelError(ValueError):
    """A model file that cannot be used; the message says which and why."""


def cause_of(error: Exception) -> str:
    """The part of an error of Keras that names the cause; the rest can quote a whole config."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    inner = [line for line in lines if line.startswith("Exception encountered: ")]
    cause = inner[-1].partition(": ")[2] if inner else lines[0] if lines else repr(error)
    # What follows is advice for those who wrote the model, and its config.
    return re.split(r"\. (?:Make sure|Please ensure|Full object config)", cause)[0][:500]

"""The same for PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def finishing(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, which then returns when its result is there."""

    @functools.wraps(call)
    def wait() -> Any:
        result = call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return result

    return wait

"""How much memory is free."""

from __future__ import annotations

import contextlib
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """What this process can still take, of the machine and of its control group.

    Raises:
        ImportError: without the extra ``video``.
    """
    try:
        import psutil
    except ImportError as error:
        raise ImportError(
            "the free memory is read with psutil: pip install keras-temporal-reg[video]"
        ) from error
    free = psutil.virtual_memory().available
    # Without such a group or its limit there are no numbers to read.
    with contextlib.suppress(OSError, ValueError, KeyError):
        limit, used = (
            int((_CONTROL_GROUP / f"memory.{name}").read_text()) for name in ("max", "current")
        )
        statistics = (_CONTROL_GROUP / "memory.stat").read_text().splitlines()
        # Cached files are given up where memory is needed.
        cached = int(dict(line.split() for line in statistics)["file"])
        free = min(free, max(limit - used + cached, 0))
    return free

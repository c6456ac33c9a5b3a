"""Runs one case in an environment of its own, timed when asked to.

Reads requests and writes answers as lines of JSON; see `run.Worker`, which is the other end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not be taken for an answer
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    case = importlib.import_module(f"cases.{sys.argv[1]}")
    call: Callable[[], Any] | None = None
    before = 0
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            call = None
            gc.collect()
            before = reset_peak()
            try:
                started = time.perf_counter()
                call = case.prepare(**request["prepare"])
                call()
                answer = {"first": time.perf_counter() - started, "once": seconds(call, 1)}
            except NotImplementedError as error:
                answer = {"not": str(error)}
        elif "time" in request:
            answer = {"seconds": seconds(call, request["time"])}
        else:
            answer = {"peak": memory("VmHWM"), "before": before, "version": case.version()}
        print(json.dumps(answer), file=answers, flush=True)


def seconds(call: Callable[[], Any] | None, calls: int) -> float:
    """Of one call, the mean of so many in a row."""
    assert call is not None, "prepare comes first"
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - started) / calls


def memory(key: str) -> int:
    """Bytes: VmRSS, what this process holds now; VmHWM, the most it ever held."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


def reset_peak() -> int:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


if __name__ == "__main__":
    main()

"""How a process starts: whether it is the command ``ktr``, and TensorFlow without its first lines.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

COMMAND_FILES = ("ktr", "ktr.exe", "ktr-script.py")

# Lines that TensorFlow's C++ code writes to file descriptor 2 whatever the log level. A CUDA driver
# that is there and fails writes another error than the last of these, which is shown.
START_LINES = "|".join(
    (
        r"All log messages before absl::InitializeLog\(\) is called",
        r"Could not find cuda drivers on your machine",
        r"Unable to register cu(DNN|FFT|BLAS) factory",
        r"computation placer already registered",
        r"oneDNN custom operations are on",
        r"This TensorFlow binary is optimized to use available CPU instructions",
        r"To enable the following instructions: .*rebuild TensorFlow",
        r"Could not find TensorRT",
        r"Compiled cluster using XLA!",
        r"SetPriority unimplemented for this stream",
        r"failed call to cuInit: .*(UNKNOWN ERROR \(303\)|NO_DEVICE|no CUDA-capable device)",
    )
)
_FILTER = """
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
known = re.compile(sys.argv[1].encode())
for line in sys.stdin.buffer:
    if not known.search(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def is_command(argv: Sequence[str], orig_argv: Sequence[str]) -> bool:
    """Whether a process is ``ktr`` or ``python -m keras_temporal_reg``.

    Args:
        argv: its `sys.argv`.
        orig_argv: its `sys.orig_argv`.
    """
    if not argv:
        return False
    if argv[0] == "-m":
        # While Python looks for the module to run, only orig_argv has the name, glued to -m or not.
        return re.fullmatch(r"(-\w*m)?keras_temporal_reg", orig_argv[-len(argv)]) is not None
    return re.split(r"[\\/]", argv[0])[-1].lower() in COMMAND_FILES


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Run a block in which TensorFlow is imported and used without its start-up lines.

    C++ code writes to file descriptor 2 through a process that leaves out `START_LINES` and
    nothing else, and that also prints what a crash leaves behind. Python's `sys.stderr` goes
    straight to the terminal. Does nothing where TensorFlow is imported already, where `sys.stderr`
    is not file descriptor 2, or where the user asks for TensorFlow's log by
    ``TF_CPP_MIN_LOG_LEVEL=0`` or ``1``.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules or level in ("0", "1") or not _is_standard(sys.stderr):
        yield
        return
    stderr = sys.stderr
    terminal = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, START_LINES]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    sys.stderr = open(terminal, "w", buffering=1, encoding=stderr.encoding, errors=stderr.errors)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)  # closes the pipe, so that the process ends
        sys.stderr = stderr
        # A child process that outlives the block keeps the pipe open.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def _is_standard(stream: TextIO) -> bool:
    try:
        return stream is sys.__stderr__ is not None and stream.fileno() == 2
    except (OSError, ValueError):
        return False

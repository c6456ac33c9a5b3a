"""Check an HDF5 file before this process reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_temporal_reg.saved_models._errors import ModelError

# Limits on processor time. A network of 10,000 arrays takes 7 seconds, in 8 megabytes or more.
SECONDS, SECONDS_PER_MEGABYTE, MAX_SECONDS = 3, 2, 60


def check_hdf5(path: Path, content: Any, max_bytes: int) -> int:
    """Refuse an HDF5 file that HDF5 cannot read, or with arrays in other files.

    Args:
        path: of the model, for messages.
        content: the open HDF5 file.
        max_bytes: of all arrays, unpacked, beyond which strings are not read.

    Returns:
        The bytes of all arrays, unpacked.

    Raises:
        ModelError: if it is refused.
    """
    megabytes = content.seek(0, os.SEEK_END) // 10**6
    seconds = min(SECONDS + SECONDS_PER_MEGABYTE * megabytes, MAX_SECONDS)
    content.seek(0)
    probe = Path(__file__).with_name("_hdf5_probe.py")
    # -I and sys.path: no modules from the current folder, where the model may have come with some.
    command = [sys.executable, "-I", str(probe), str(seconds), str(max_bytes)]
    try:
        done = subprocess.run(
            [*command, *filter(None, sys.path)],
            stdin=content,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20 * seconds,  # of a busy machine; on Windows the only limit
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"model {path} is a broken H5 file (HDF5 hangs when reading it)"
        ) from error
    if done.returncode < 0:  # killed by a signal
        raise ModelError(
            f"model {path} is a broken H5 file (HDF5 crashes or hangs when reading it)"
        )
    if done.returncode > 0:
        raised = (done.stderr.strip().splitlines() or ["unknown error"])[-1]
        raise ModelError(f"model {path} is or holds a broken H5 file ({raised})")
    found = json.loads(done.stdout)
    if found["elsewhere"]:
        names = ", ".join(found["elsewhere"][:5])
        raise ModelError(f"model {path} has weights in another file ({names})")
    return int(found["bytes"])

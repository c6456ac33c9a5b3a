"""Write files atomically, and keep two runs from writing the same output."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block ends without an error.

    The temporary path is on the same file system and has the same suffix. A process that is killed
    in the block leaves a folder ``.writing-...`` beside `path`, which can be deleted.

    Raises:
        OSError: if the disk is full; the message names `path`.
    """
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        try:
            yield temporary
        except Exception as error:
            # HDF5 and TensorFlow raise their own errors, with the system's message at best.
            for number in _NO_SPACE:
                if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                    raise OSError(f"{path} cannot be written: {os.strerror(number)}") from error
            raise
        os.replace(temporary, path)


def writable_folder(path: Path) -> Path:
    """Create the folder `path` where it does not exist, and return it.

    Raises:
        OSError: if it cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(f"output folder {path} cannot be written to: {error.strerror}") from error
    return path


@contextlib.contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold a lock on `output` within the block; the system releases that of a killed process.

    Raises:
        FileExistsError: if another run holds it.
        ImportError: if filelock, of the extra ``video``, is missing.
    """
    try:
        import filelock
    except ImportError as error:
        raise ImportError(
            "locks on outputs need filelock: pip install keras-temporal-reg[video]"
        ) from error
    path = output.parent.resolve() / f".{output.name}.write-lock"
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise FileExistsError(
            f"another run is writing {output}: wait until it ends, or choose another output"
        ) from error
    try:
        yield
    finally:
        # Before the release, so that no other run locks a file that is then deleted. Windows
        # cannot delete an open file; filelock does it there.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()

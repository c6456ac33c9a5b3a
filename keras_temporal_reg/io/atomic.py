"""Write files so that nothing half-written is ever left under a final name."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_held: set[Path] = set()
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, of the same suffix, renamed to it when all went well.

    A process that is killed leaves a folder ``.writing-...``, which nothing reads again.

    Raises:
        OSError: if there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        try:
            yield temporary
        except Exception as error:
            # HDF5 and TensorFlow have errors of their own, and the number in their words at best.
            for number in _NO_ROOM:
                if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                    raise OSError(f"{path} cannot be written: {os.strerror(number)}") from error
            raise
        os.replace(temporary, path)


def writable_folder(path: Path) -> Path:
    """Make the folder `path` if need be.

    Raises:
        OSError: if it cannot be made or written to.
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
    """Hold ``.OUTPUT.lock``, a folder with the number of this process, within a block.

    Raises:
        OSError: if another process that still runs holds it.
    """
    lock = output.parent.resolve() / f".{output.name}.lock"
    for _ in range(2):
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=lock.parent) as folder:
            own = Path(folder) / "lock"
            own.mkdir()
            (own / "pid").write_text(str(os.getpid()))
            try:
                # No folder is renamed onto another with something in it: the first one wins.
                os.rename(own, lock)
                break
            except OSError:
                if not lock.exists():
                    raise
        holder = _holder(lock)
        if holder is not None:
            raise FileExistsError(
                f"another run, process {holder}, is writing {output}. If there is none, delete "
                f"the folder {lock}"
            )
        shutil.rmtree(lock, ignore_errors=True)
    else:
        raise FileExistsError(f"another run is writing {output}")
    _held.add(lock)
    try:
        yield
    finally:
        _held.discard(lock)
        shutil.rmtree(lock, ignore_errors=True)


def _holder(lock: Path) -> int | None:
    """The process that holds a lock; None where it died."""
    try:
        number = int((lock / "pid").read_text())
    except (OSError, ValueError):
        return None
    if number == os.getpid():
        # In a container an earlier process often had the number of this one.
        return number if lock in _held else None
    if os.name == "nt":
        return number  # there, asking a process would end it
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return number

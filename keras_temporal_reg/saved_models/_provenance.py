"""What footage a model was steadied on, in a file beside the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_temporal_reg.io import jsonable

_HEAD = 2**20  # bytes of a file that are compared, beside its size


def record_of(model: Path) -> Path:
    """The file that says what a model was steadied on, where there is one."""
    return model.with_name(f"{model.stem}.steadied.json")


def write_record(model: Path, clips: Sequence[Path], facts: dict[str, Any]) -> None:
    """Write what a model was steadied on.

    Args:
        model: the file or folder of the model.
        clips: files or folders.
        facts: kept beside them.
    """
    footage = {str(clip): _fingerprint(clip) for clip in clips}
    jsonable.write(record_of(model), {"steadied_on": footage, **facts})


def other_footage(model: Any, clip: Path) -> str | None:
    """A sentence where a model was steadied on other footage than this clip.

    Args:
        model: a file or folder, or a model in memory, of which nothing is known.
        clip: a file or folder.
    """
    if not isinstance(model, (str, Path)):
        return None
    try:
        footage = json.loads(record_of(Path(model)).read_text())["steadied_on"]
        known = {*footage.values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if _fingerprint(clip) in known:
        return None
    return (
        f"{model} was steadied on {', '.join(map(str, footage))}; on other footage, such as "
        f"{clip}, it can be worse than the original: compare the two with ktr evaluate."
    )


def _fingerprint(clip: Path) -> str:
    """Of the beginning and the size of a file, or of the names and sizes in a folder."""
    digest = hashlib.sha256()
    if clip.is_dir():
        for path in sorted(clip.iterdir()):
            digest.update(f"{path.name} {path.stat().st_size} ".encode())
    else:
        with clip.open("rb") as file:
            digest.update(file.read(_HEAD))
        digest.update(str(clip.stat().st_size).encode())
    return digest.hexdigest()[:16]

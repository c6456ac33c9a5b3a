"""Write results as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_temporal_reg.io import atomic


def as_json(result: Any) -> Any:
    """Convert a result to what JSON can hold; NaN and infinity become null."""
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {f.name: as_json(getattr(result, f.name)) for f in dataclasses.fields(result)}
    if isinstance(result, Mapping):
        return {str(key): as_json(value) for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [as_json(value) for value in result]
    if isinstance(result, float):
        return result if math.isfinite(result) else None
    return str(result) if isinstance(result, Path) else result


def write(path: Path, value: Any) -> None:
    """Write a result as JSON, atomically."""
    with atomic.atomic_write(path) as temporary, temporary.open("w") as file:
        json.dump(as_json(value), file, indent=1)  # json.dumps would hold the whole text in memory
        file.write("\n")

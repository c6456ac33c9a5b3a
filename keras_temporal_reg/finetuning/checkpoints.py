"""The state of an interrupted run: written whole or not at all, and read with its settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_temporal_reg.io import atomic

_STATE = "state.npz"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A run after one of its parts.

    Attributes:
        history: what it has done so far, as JSON.
        values: of the network's and then the optimizer's variables.
        best: of the network's variables after the best part; empty without early stopping.
    """

    history: dict[str, Any]
    values: Sequence[np.ndarray]
    best: Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of a run, which is made when the run is first saved.

    Attributes:
        path: the folder.
        settings: what must be the same when the run is continued, as JSON.
    """

    path: Path
    settings: Mapping[str, Any]

    def write(self, checkpoint: Checkpoint) -> None:
        """Save the run in place of what was saved before."""
        self.path.mkdir(parents=True, exist_ok=True)
        state = json.dumps({"settings": self.settings, "history": checkpoint.history})
        arrays: dict[str, Any] = {
            f"{name}{number}": _as_stored(value)
            for name in ("values", "best")
            for number, value in enumerate(getattr(checkpoint, name))
        }
        with atomic.atomic_write(self.path / _STATE) as temporary:
            np.savez(temporary, state=np.array(state), **arrays)

    def read(self) -> Checkpoint | None:
        """The run where it was last saved; None if it was not.

        Raises:
            ValueError: if it cannot be read, or had other settings.
        """
        path = self.path / _STATE
        if not path.is_file():
            return None
        try:
            with np.load(path) as stored:
                arrays = {name: stored[name] for name in stored.files}
            state = json.loads(str(arrays.pop("state")))
            values, best = (
                [arrays[f"{name}{n}"] for n in range(sum(key.startswith(name) for key in arrays))]
                for name in ("values", "best")
            )
            checkpoint, settings = Checkpoint(state["history"], values, best), state["settings"]
        except (OSError, EOFError, ValueError, LookupError, TypeError, zipfile.BadZipFile) as error:
            raise self._unreadable(error) from error
        self._check_settings(settings)
        return checkpoint

    def check_settings(self) -> None:
        """Check that nothing is saved, or that it can be read and had the same settings.

        Raises:
            ValueError: if not.
        """
        self.read()

    def delete(self) -> None:
        """Delete the folder, if there is one."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(
            f"the interrupted run in {self.path} cannot be read ({error}); discard it with "
            "--restart (resume=False)"
        )

    def _check_settings(self, earlier: Mapping[str, Any]) -> None:
        changed = {
            name: f"{name} {earlier.get(name)} -> {value}"
            for name, value in self.settings.items()
            if value != earlier.get(name)
        }
        if changed:
            # Digests say nothing to a reader.
            for name in ("model", "images"):
                if name in changed:
                    changed[name] = name
            raise ValueError(
                f"the interrupted run in {self.path} had other settings "
                f"({', '.join(changed.values())}): repeat them to continue it, or discard it with "
                "--restart (resume=False)"
            )


def _as_stored(value: np.ndarray) -> np.ndarray:
    # NumPy's files cannot hold bfloat16, of which float32 holds every value.
    return value.astype(np.float32) if value.dtype.name == "bfloat16" else value


def digest(parts: Sequence[bytes]) -> str:
    """A few characters that tell data apart, for the settings of a run."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

"""What is checked before a fine-tuning starts, so that none fails after hours."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning.config import SEARCH_PACKAGES, FinetuneConfig
from keras_temporal_reg.io import atomic


def check_packages(config: FinetuneConfig) -> None:
    """Check that what a run needs is installed.

    Raises:
        ImportError: if it is not, naming the extra.
    """
    if config.logs is not None and importlib.util.find_spec("tensorboard") is None:
        raise ImportError("logs need pip install tensorboard")
    missing = [name for name in SEARCH_PACKAGES if importlib.util.find_spec(name) is None]
    if config.blend_strength is not None and missing:
        raise ImportError(
            f"strength {config.blend_strength} needs {', '.join(missing)}: pip install "
            "keras-temporal-reg[video]"
        )


def check_output(model: Path, output: Path, format: str) -> None:
    """Check that a model can be written to `output`, without harm to `model`.

    Raises:
        ValueError: if one lies in the other, or the format does not fit.
        OSError: if the folder cannot be written to.
    """
    a, b = model.resolve(), output.resolve()
    if a == b or a in b.parents or b in a.parents or (b.exists() and a.samefile(b)):
        raise ValueError(f"output must be another file than model, {model}. Received: {output}")
    saved_models.check_target(output, format)
    atomic.writable_folder(output.parent)


def check_model(model: Any, output: Path, format: str) -> None:
    """Check that there are weights to train, and save and load the model on trial."""
    if not model.trainable_variables:
        raise ValueError("the model must have weights to train. Received: none, or all are frozen")
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output.parent) as folder:
        try:
            saved_models.save(model, Path(folder) / "trial", format)
            # Code in the model's own file was allowed when it was loaded.
            saved_models.load(Path(folder) / "trial", allow_code=True)
        except OSError as error:
            raise OSError(f"output {output} cannot be written: {error}") from error
        except (ValueError, TypeError, NotImplementedError) as error:
            raise saved_models.ModelError(
                f"output {output} cannot hold this model in the format {format} ({error})"
            ) from error

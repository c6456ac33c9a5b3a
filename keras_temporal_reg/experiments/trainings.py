"""Networks of an experiment, each trained once and kept in a file."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow import keras

from keras_temporal_reg.experiments import runner
from keras_temporal_reg.experiments.configs import (
    BLENDS,
    METHODS,
    PLAIN,
    ExperimentConfig,
    Run,
    trainings_of,
)
from keras_temporal_reg.experiments.datasets import Problem
from keras_temporal_reg.finetuning import blending, members
from keras_temporal_reg.io import atomic


@dataclasses.dataclass(frozen=True)
class Workshop:
    """Where and how the networks of an experiment are trained.

    Attributes:
        problem: the task with its data.
        config: how large the networks are, and how long to train.
        folder: that keeps their weights, of one problem and config.
        advance: moves a progress bar by a number of passes.
    """

    problem: Problem
    config: ExperimentConfig
    folder: Path
    advance: runner.Advance


def missing_passes(config: ExperimentConfig, folder: Path, runs: Sequence[Run]) -> int:
    """Batches through networks that trainings for these runs still take."""
    needed = {training for run in runs for training in trainings_of(run)}
    missing = [training for training in needed if not _file(folder, training).is_file()]
    bases = {(run.data, run.seed): _base_file(folder, run) for run in missing}
    untrained = sum(not path.is_file() for path in bases.values())
    return untrained * config.rounds * config.base_steps + sum(
        METHODS[training.method].passes * training.steps for training in missing
    )


def network_of(workshop: Workshop, run: Run) -> tuple[keras.Model, dict[str, Any]]:
    """The network of a run, trained where it is not kept yet, and facts about its training.

    Returns:
        The network, and for the row of the run ``seconds`` of its trainings and ``converged``.
    """
    needed = trainings_of(run)
    found = [_trained(workshop, training) for training in needed]
    network = workshop.problem.network(workshop.config.channels)
    values = {training.method: weights for training, (weights, _) in zip(needed, found)}
    blending.assign(network, values, _shares(run) or {needed[0].method: 1.0})
    seconds = round(sum(facts["seconds"] for _, facts in found), 1)
    return network, {"seconds": seconds, "converged": found[0][1]["converged"]}


def _shares(run: Run) -> dict[str, float]:
    """The share of each member of a blend."""
    if run.method not in BLENDS:
        return {}
    parts = BLENDS[run.method].parts
    return {
        PLAIN: 1.0 - run.strength,
        **{name: run.strength * part for name, part in parts.items()},
    }


def _trained(workshop: Workshop, run: Run) -> tuple[list[np.ndarray], dict[str, Any]]:
    path = _file(workshop.folder, run)
    if path.is_file():
        return _read(path)
    config = dataclasses.replace(workshop.config, steps=run.steps)
    pictures = workshop.problem.pictures(run.data)
    setting = runner.Setting(workshop.problem, config, pictures, run.seed, config.xla)
    base = _base(workshop, setting, run)
    workshop.advance(0, label=str(run))
    keras.backend.clear_session()
    started = time.monotonic()
    network = runner.fine_tune(setting, METHODS[run.method], run.strength, base, workshop.advance)
    facts = {"seconds": time.monotonic() - started, "converged": base.converged}
    values = members.values_of(network)
    _write(path, values, facts)
    return values, facts


def _base(workshop: Workshop, setting: runner.Setting, run: Run) -> runner.Base:
    path = _base_file(workshop.folder, run)
    if path.is_file():
        weights, facts = _read(path)
        return runner.Base(weights, facts["converged"])
    workshop.advance(0, label=f"seed {run.seed}: training")
    keras.backend.clear_session()
    base = runner.train_base(setting, workshop.advance)
    if workshop.config.base_steps:
        _write(path, base.weights, {"converged": base.converged})
    return base


def _file(folder: Path, run: Run) -> Path:
    return folder / f"{run.method}-{run.strength:g}-{run.steps}-{run.data}-{run.seed}.npz"


def _base_file(folder: Path, run: Run) -> Path:
    return folder / f"base-{run.data}-{run.seed}.npz"


def _read(path: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    with np.load(path) as stored:
        weights = [stored[f"arr_{n}"] for n in range(len(stored.files) - 1)]
        return weights, json.loads(str(stored["facts"]))


def _write(path: Path, weights: list[np.ndarray], facts: dict[str, Any]) -> None:
    atomic.writable_folder(path.parent)
    with atomic.atomic_write(path) as temporary:
        np.savez(temporary, *weights, facts=np.array(json.dumps(facts)))

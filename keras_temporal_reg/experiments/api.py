"""Reproduce what Eilertsen, Mantiuk and Unger report (CVPR 2019; section III of their poster).

For each seed one network is trained without a regularizer, then fine-tuned from the same weights
on the same batches by each method. A run is a row of ``rows.json``. Plots, a summary and the
verdict on each of the poster's claims follow from the rows, by written rules.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_temporal_reg import __version__, metrics, saved_models
from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.experiments import claims, configs, datasets, media, results, runner
from keras_temporal_reg.experiments.configs import ExperimentConfig, Run
from keras_temporal_reg.experiments.statistics import BASELINE_PSNR, MEASURES, Row, number
from keras_temporal_reg.io import atomic, jsonable, progress


@deprecation.renamed_arguments(plan="config")
def reproduce(
    experiment: str,
    output: Any,
    *,
    quick: bool = True,
    data: Any = None,
    seeds: Sequence[int] | None = None,
    config: ExperimentConfig | None = None,
    show_progress: bool = True,
) -> results.Reproduction:
    """Run an experiment of the poster, and test the poster's claims on it.

    Runs that `output` holds already, of the same settings and software, are not repeated; so the
    same call resumes an interrupted experiment.

    Args:
        experiment: one of ``"colorization"``, ``"small-data"``, ``"hdr"``, ``"finetune"`` and
            ``"super-resolution"``.
        output: folder for ``rows.json``, ``summary.json``, ``results.md`` and a plot; created if
            it is missing.
        quick: a small grid, within about ten minutes on two cores; False: the whole grid, in
            hours.
        data: a folder of your own: clips and photographs for colorization, EXR and HDR pictures
            for ``hdr``. None: what ships with packages, and generated scenes.
        seeds: each of them runs the whole grid. None: 0 for quick runs, else 0, 1 and 2.
        config: how large it is, in place of `quick`.
        show_progress: show a bar with an estimate of the time left; needs rich.

    Raises:
        ValueError: for an argument or data that cannot be used.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``demo`` is missing.

    Example:
        >>> import keras_temporal_reg as ktr
        >>> result = ktr.reproduce("hdr", "reproduced")  # doctest: +SKIP
        >>> print(result.claims[0].verdict)  # doctest: +SKIP
    """
    started = time.monotonic()
    validation.one_of("experiment", experiment, configs.EXPERIMENTS)
    seeds = _checked_seeds(seeds, (0,) if quick else configs.SEEDS)
    config = config or (configs.QUICK if quick else configs.FULL)[experiment]
    folder = None if data is None else Path(data)
    output = atomic.writable_folder(Path(output))
    settings = _settings(experiment, config, folder)
    stored = _read_rows(output / "rows.json")
    rows = {_run_of(row): row for row in stored if row["settings"] == settings}
    runs = configs.runs(config, seeds)
    missing = [run for run in runs if run not in rows]
    if missing:
        problem = datasets.problem(experiment, config, folder)
        weights = output / "weights" / settings
        with progress.bars(show_progress) as start:
            advance = start(experiment, _passes(config, missing))
            for row in _make_rows(problem, config, missing, weights, advance):
                run = _run_of(row)
                plain = rows.get(run._replace(method=configs.PLAIN, alpha=0.0))
                verdict = verdict_on(row, plain)
                rows[run] = {"experiment": experiment, **row, **verdict, "settings": settings}
                stored.append(rows[run])
                jsonable.write(output / "rows.json", stored)
    found = tuple(rows[run] for run in runs)
    result = results.Reproduction(
        experiment,
        found,
        tuple(claims.claims(experiment, found)),
        tuple(claims.goals(experiment, found)),
        output,
        len(missing),
        round(time.monotonic() - started, 1),
    )
    results.write(result, config)
    return result


def _run_of(row: Row) -> Run:
    return Run(*(row[name] for name in Run._fields))


def _make_rows(
    problem: datasets.Problem,
    config: ExperimentConfig,
    runs: Sequence[Run],
    weights: Path,
    advance: runner.Advance,
) -> Iterator[dict[str, Any]]:
    """Make the rows of runs; `weights` is where the networks that they start from are kept."""
    for (size, seed), several in itertools.groupby(runs, lambda run: (run.data, run.seed)):
        setting = runner.Setting(problem, config, problem.pictures(size), seed)
        advance(0, label=f"seed {seed}: training")
        base = _stored_base(setting, weights / f"{size}-{seed}.npz", advance)
        for run in several:
            advance(0, label=str(run))
            yield runner.make_row(setting, run, base, advance)


def verdict_on(row: Row, plain: Row | None) -> dict[str, Any]:
    """The verdict on a row, compared with the plain run of the same seed and data."""
    if plain is None:
        return {"stabilized": None, "outcome": None, "verdict": ""}
    before, after = ({key: number(each, key) for key in MEASURES} for each in (plain, row))
    verdict = metrics.verdict(before, after, number(plain, BASELINE_PSNR))
    return {
        "stabilized": verdict.is_stabilized,
        "outcome": verdict.outcome.value,
        "verdict": verdict.sentence,
    }


def _checked_seeds(seeds: Sequence[int] | None, default: Sequence[int]) -> Sequence[int]:
    if seeds is None:
        return default
    if not seeds or len({*seeds}) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, at least one. Received: {seeds}")
    for seed in seeds:
        validation.whole_number("seeds", seed, 0)
    return seeds


def _settings(experiment: str, config: ExperimentConfig, folder: Path | None) -> str:
    """A digest of all that a row depends on, besides its own method, alpha, data and seed."""
    relevant = dataclasses.asdict(config)
    for name in ("methods", "alphas", "sizes"):  # which runs there are
        relevant.pop(name)
    files = [] if folder is None else media.list_files(folder)
    contents = [(path.name, path.stat().st_size) for path in files]
    software = (__version__, tf.__version__, saved_models.keras_version())
    text = json.dumps([experiment, relevant, contents, software], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())
        is_valid = all({"settings", *Run._fields} <= row.keys() for row in rows)
    except (ValueError, TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise ValueError(f"{path} must hold the rows of earlier runs; move it away")
    return rows


def _passes(config: ExperimentConfig, runs: Sequence[Run]) -> int:
    """Batches through the network that training takes, for the progress bar."""
    bases = len({(run.data, run.seed) for run in runs})
    of_runs = config.steps * sum(configs.METHODS[run.method].passes for run in runs)
    return bases * config.rounds * config.base_steps + of_runs


def _stored_base(setting: runner.Setting, path: Path, advance: Any) -> runner.Base:
    """`runner.train_base`, kept in a file from call to call."""
    if path.is_file():
        with np.load(path) as stored:
            weights = [stored[f"arr_{n}"] for n in range(len(stored.files) - 1)]
            return runner.Base(weights, json.loads(str(stored["converged"])))
    base = runner.train_base(setting, advance)
    if setting.config.base_steps:
        atomic.writable_folder(path.parent)
        with atomic.atomic_write(path) as temporary:
            np.savez(temporary, *base.weights, converged=np.array(json.dumps(base.converged)))
    return base

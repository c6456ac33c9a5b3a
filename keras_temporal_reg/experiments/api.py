"""Reproduce what Eilertsen, Mantiuk and Unger report (CVPR 2019; section III of their poster).

For each seed one network is trained without a regularizer, then fine-tuned from the same weights
on the same batches by each method; blends of these networks, and filters of the plain one's
results, are measured beside them. Each is a row of ``rows.json``. Plots, a page, and the verdict on
each of the poster's claims follow from the rows, by written rules.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_temporal_reg import __version__, saved_models
from keras_temporal_reg.core import deprecation, validation
from keras_temporal_reg.experiments import (
    alternatives,
    claims,
    configs,
    datasets,
    measures,
    media,
    results,
    trainings,
)
from keras_temporal_reg.experiments.configs import ExperimentConfig, Run
from keras_temporal_reg.experiments.statistics import Row
from keras_temporal_reg.io import atomic, jsonable, progress

_PASSES_OF_A_ROW = 300  # through a network in training take as long as measuring a row
# Fields of a config that all rows depend on; the others say which runs there are.
_OF_ALL_RUNS = ("base_steps", "rounds", "rate", "channels", "frames")


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
        experiment: one of ``"colorization"``, ``"small-data"``, ``"hdr"``, ``"finetune"``,
            ``"super-resolution"`` and ``"denoising"``.
        output: folder for ``rows.json``, ``summary.json``, ``results.md`` and a plot; created if
            it is missing.
        quick: a small grid, within about ten minutes on two cores; False: the whole grid, in
            hours.
        data: a folder of your own: EXR and HDR pictures for ``hdr``, else clips, photographs or
            both. None: what ships with packages, and generated scenes.
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
    path = output / "rows.json"
    stored = _read_rows(path, experiment)
    rows = {_run_of(row): row for row in stored if row["settings"] == settings}
    runs = configs.runs(config, seeds, _alternatives(experiment, config))
    missing = [run for run in runs if run not in rows]
    if missing:
        problem = datasets.problem(experiment, config, folder)
        weights = output / "weights" / settings
        total = trainings.missing_passes(config, weights, missing)
        total += _PASSES_OF_A_ROW * len(missing)
        with progress.bars(show_progress) as start:
            workshop = trainings.Workshop(problem, config, weights, start(experiment, total))
            for run, row in _rows(workshop, missing):
                rows[run] = {"experiment": experiment, **run._asdict(), **row, "settings": settings}
                stored.append(rows[run])
                jsonable.write(path, stored)
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


def _alternatives(experiment: str, config: ExperimentConfig) -> Mapping[str, Sequence[float]]:
    """The strengths of the filters to compare with."""
    if not config.alternatives:
        return {}
    names = alternatives.of_task(datasets.task_of(experiment))
    return {name: alternatives.ALTERNATIVES[name].strengths for name in names}


def _rows(workshop: trainings.Workshop, runs: Sequence[Run]) -> Iterator[tuple[Run, Row]]:
    """Make the rows of runs, neighbours that need the same networks one after the other."""
    problem, advance = workshop.problem, workshop.advance
    references = measures.of_references(problem)
    for (is_filter, *_), several in itertools.groupby(
        runs, lambda run: (run.method in alternatives.ALTERNATIVES, run.steps, run.data, run.seed)
    ):
        group = [*several]
        if is_filter:
            network, facts = trainings.network_of(workshop, group[0])
            measured = measures.measure_alternatives(problem, network, group, references)
            for run, part in zip(group, measured):
                advance(_PASSES_OF_A_ROW, label=str(run))
                yield run, {**facts, **part}
            continue
        for run in group:
            network, facts = trainings.network_of(workshop, run)
            part = measures.measure_network(problem, network, references)
            advance(_PASSES_OF_A_ROW, label=str(run))
            yield run, {**facts, **part}


def _checked_seeds(seeds: Sequence[int] | None, default: Sequence[int]) -> Sequence[int]:
    if seeds is None:
        return default
    if not seeds or len({*seeds}) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, at least one. Received: {seeds}")
    for seed in seeds:
        validation.whole_number("seeds", seed, 0)
    return seeds


def _settings(experiment: str, config: ExperimentConfig, folder: Path | None) -> str:
    """A digest of all that a row depends on, besides its own run."""
    relevant = {name: getattr(config, name) for name in _OF_ALL_RUNS}
    files = [] if folder is None else media.list_files(folder)
    contents = [(path.name, path.stat().st_size) for path in files]
    software = (__version__, tf.__version__, saved_models.keras_version())
    text = json.dumps([experiment, relevant, contents, software], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _read_rows(path: Path, experiment: str) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text())
        is_valid = all({"settings", "clips", *Run._fields} <= row.keys() for row in rows)
    except (ValueError, TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"{path} must hold rows of this version, with measures of each clip. Received: another "
            "file, or rows of an earlier version. Move it away, and make rows anew: ktr reproduce "
            f"{experiment} --output {path.parent}"
        )
    return rows

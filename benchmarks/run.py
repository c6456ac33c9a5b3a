"""Time this package against its limits and its peers: `make bench`. README.md has the rules."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
ENVIRONMENTS = {
    "main": HERE.parent / ".venv/bin/python",
    "addons": HERE.parent / ".venv-addons/bin/python",
    "peers": HERE.parent / ".venv-peers/bin/python",
}
HIDE_GPUS = {"CUDA_VISIBLE_DEVICES": "-1"}


class Variant(NamedTuple):
    """One implementation: a file in cases/, where it runs, and the settings that only it gets."""

    label: str
    case: str
    environment: str = "main"
    setting: dict[str, Any] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The settings that only it gets."""
        return self.setting or {}


class Group(NamedTuple):
    """Variants that are timed in turn, at each of several settings."""

    name: str
    reference: str  # the label that ratios are against
    variants: list[Variant]
    settings: list[dict[str, Any]]


OP, OP_EAGER = "TensorFlow's op", "TensorFlow's op, eager"
READ_WRITE = "read and write"  # what the memory allows
TORCH = "torch grid_sample"
WARPS = [
    Variant(OP, "warp_op"),
    Variant(READ_WRITE, "warp_floor", "peers"),
    Variant("ktr inside XLA", "warp_ktr", setting={"jit_compile": True}),
    Variant("ktr outside XLA, auto", "warp_ktr"),
    Variant("ktr outside XLA, op", "warp_ktr", setting={"backend": "op"}),
    Variant(OP_EAGER, "warp_op", setting={"eager": True}),
    Variant("ktr eager, auto", "warp_ktr", setting={"eager": True}),
    Variant("tfa.image.transform", "warp_tfa", "addons"),
    Variant("keras RandomRotation", "warp_keras"),
    Variant("OpenCV warpAffine", "warp_opencv", "peers"),
    Variant(TORCH, "warp_torch", "peers"),
    Variant("kornia warp_affine", "warp_kornia", "peers"),
]
WARP_SIZES = [(8, 256), (8, 64), (8, 128), (8, 512), (8, 1024), (1, 256), (64, 256)]
TWICE = "plain Keras at 2B"
STEPS = [
    Variant(TWICE, "step_keras", setting={"rows": 2}),
    Variant("plain Keras at B", "step_keras"),
    Variant("sparse Jacobian at B", "step_ktr"),
    Variant("transform invariance at B", "step_ktr", setting={"loss": "TransformInvarianceLoss"}),
    Variant("pair_fraction=0.25", "step_ktr", setting={"pair_fraction": 0.25}),
    Variant("two passes and the op", "step_two_passes"),
    Variant("torch and kornia", "step_torch", "peers"),
]
PARTS = [
    Variant(TWICE, "step_keras", setting={"rows": 2}),
    Variant("pairing", "step_part", setting={"part": "pairing"}),
    Variant("pairing a quarter", "step_part", setting={"part": "pairing", "pair_fraction": 0.25}),
    Variant("sparse Jacobian", "step_part", setting={"part": "loss"}),
    Variant(
        "transform invariance",
        "step_part",
        setting={"part": "loss", "loss": "TransformInvarianceLoss"},
    ),
    Variant("mean squared error", "step_part", setting={"part": "plain loss"}),
]
PIPELINES = [
    Variant("no pairing", "pipeline", setting={"paired": "no"}),
    Variant("pair_with_transformed", "pipeline"),
    Variant("pair_fraction=0.25", "pipeline", setting={"pair_fraction": 0.25}),
    Variant("the op in a map", "pipeline", setting={"paired": "op"}),
]

IN_MEMORY = "steps on a batch in memory"
PICTURES = [
    Variant(IN_MEMORY, "pictures", setting={"on_disk": False}),
    Variant("steps on photographs", "pictures"),
]
PICTURE_TASKS = ("colorization", "denoising")

READ, WRITTEN = "read twice and run", "read, run and write"
EVALUATIONS = [
    Variant(READ, "clip", setting={"part": READ}),
    Variant("ktr evaluate", "clip", setting={"part": "evaluate"}),
]
PROCESSES = [
    Variant(WRITTEN, "clip", setting={"part": WRITTEN}),
    Variant("ktr process", "clip", setting={"part": "process"}),
]
CLIPS = [(100, 180), (4, 1080)]  # frames, and rows of 16:9
NETWORKS = ("small", "large")


def groups(quick: bool) -> Iterator[Group]:
    for gradient in (False, True):
        name = "warp, forward and backward" if gradient else "warp, forward"
        sizes = WARP_SIZES[:1] if quick else WARP_SIZES
        settings = [{"batch": b, "size": s, "gradient": gradient} for b, s in sizes]
        yield Group(name, OP, WARPS, settings)
    for compiled in (False, True):
        for batch, size in ((16, 64), (4, 256)):
            setting = {"batch": batch, "size": size, "jit_compile": compiled}
            name = f"training step, {'with' if compiled else 'without'} XLA"
            yield Group(name, TWICE, STEPS, [setting])
            if not quick:
                name = f"parts of a step, {'with' if compiled else 'without'} XLA"
                yield Group(name, TWICE, PARTS, [setting])
    yield Group("pipeline", "the op in a map", PIPELINES, [{"batch": 16, "size": 64}])
    if not quick:
        yield Group("pipeline", "the op in a map", PIPELINES, [{"batch": 4, "size": 256}])
        for task in PICTURE_TASKS:
            settings = [{"batch": 16, "size": 64, "task": task}]
            yield Group(f"photographs, {task}", IN_MEMORY, PICTURES, settings)
        for network in NETWORKS:
            settings = [{"batch": b, "size": s, "network": network} for b, s in CLIPS]
            yield Group(f"evaluation, {network} network", READ, EVALUATIONS, settings)
            yield Group(f"processing, {network} network", WRITTEN, PROCESSES, settings)


# What the project promises: group, setting, which label against which, at most.
BARS = [
    ("warp, forward", (8, 256), "ktr inside XLA", OP, 0.35),
    ("warp, forward and backward", (8, 256), "ktr inside XLA", OP, 0.9),
    ("warp, forward", (8, 256), "ktr outside XLA, auto", OP, 1.1),
    ("warp, forward and backward", (8, 256), "ktr outside XLA, auto", OP, 1.3),
    *(
        (f"warp, forward{how}", (8, size), "ktr inside XLA", *bar)
        for how in ("", " and backward")
        for size in (64, 128, 512, 1024)
        for bar in ((TORCH, 1.5 if size < 256 else 1.0), (READ_WRITE, None))
    ),
    *(
        ("warp, forward and backward", size, "ktr eager, auto", OP_EAGER, 1.0)
        for size in ((8, 64), (8, 128), (1, 256))
    ),
    *(
        (f"training step, {how} XLA", size, *bar)
        for how in ("without", "with")
        for size in ((16, 64), (4, 256))
        for bar in (
            ("sparse Jacobian at B", TWICE, 1.05),
            ("transform invariance at B", TWICE, 1.05),
            ("pair_fraction=0.25", "plain Keras at B", 1.3),
            ("sparse Jacobian at B", "two passes and the op", 0.9),
            ("sparse Jacobian at B", "torch and kornia", None),
        )
    ),
    *(
        (f"photographs, {task}", (16, 64), "steps on photographs", IN_MEMORY, 1.05)
        for task in PICTURE_TASKS
    ),
    *(
        (f"{what}, {network} network", size, *bar)
        for network in NETWORKS
        for size in CLIPS
        for what, *bar in (
            ("evaluation", "ktr evaluate", READ, None),
            ("processing", "ktr process", WRITTEN, 1.1),
        )
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the promised cases, fewer rounds")
    parser.add_argument("--only", default="", help="groups whose name begins with this")
    parser.add_argument("--rounds", type=int, help="of each setting (15; with --quick, 7)")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=HERE / "results/bench.json",
        help="written anew (%(default)s)",
    )
    options = parser.parse_args()
    rounds = options.rounds or (7 if options.quick else 15)
    results: dict[str, Any] = {"machine": machine(), "versions": {}, "rounds": rounds}
    results |= {"cases": [], "bars": [], "seconds": 0}
    started = time.time()
    for group in groups(options.quick):
        if group.name.startswith(options.only):
            for rows in measured(group, rounds, results["versions"]):
                results["cases"] += rows
                results["bars"] = list(held_against_bars(results["cases"]))
                results["seconds"] = round(time.time() - started)
                show(rows)
                save(results, options.output)
    show_bars(results["bars"])
    print(f"\nWritten to {options.output} after {results['seconds']} s.")


def save(results: dict[str, Any], path: pathlib.Path) -> None:
    """What was measured so far, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=1) + "\n")
    unfinished.replace(path)


class Worker:
    """The process that runs a variant, and the words spoken with it."""

    def __init__(self, variant: Variant, environment: Mapping[str, str]) -> None:
        self.variant = variant
        # A file: a worker that prints much would block on a pipe that is not read.
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [ENVIRONMENTS[variant.environment], HERE / "worker.py", variant.case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError(f"{self.variant.label} stopped:\n{self.errors.read()[-3000:]}")
        return json.loads(answer)

    def stop(self) -> None:
        self.process.communicate()
        self.errors.close()


def measured(
    group: Group,
    rounds: int,
    versions: dict[str, str],
    environment: Mapping[str, str] = types.MappingProxyType(HIDE_GPUS),
) -> Iterator[list[dict]]:
    """Rows of results, one list a setting."""
    workers = [Worker(variant, environment) for variant in group.variants]
    try:
        for setting in group.settings:
            yield in_turn(group, workers, setting, rounds, versions)
    finally:
        for worker in workers:
            worker.stop()


def in_turn(
    group: Group, workers: list[Worker], setting: dict, rounds: int, versions: dict
) -> list[dict]:
    rows, active = [], []
    for worker in workers:
        answer = worker.ask(prepare={**setting, **worker.variant.given})
        row = {"group": group.name, "label": worker.variant.label, "setting": setting}
        row |= {"reference": group.reference}
        rows.append(row)
        if "not" in answer:
            row["not"] = answer["not"]
            continue
        # Short calls are timed several in a row.
        row |= {"first": answer["first"], "calls": max(1, round(5e-3 / answer["once"]))}
        active.append((worker, row, []))
    for number in range(rounds + 1):
        for worker, row, seconds in active:
            taken = worker.ask(time=row["calls"])["seconds"]
            if number:  # the first round is a warm-up
                seconds.append(taken)
    for worker, row, seconds in active:
        end = worker.ask(end=True)
        versions |= end["version"]
        low, median, high = statistics.quantiles(seconds, n=4)
        row |= {"median": median, "quartiles": [low, high], "fastest": min(seconds)}
        row |= {"peak": end["peak"], "peak_above_start": end["peak"] - end["before"]}
    return rows


def held_against_bars(rows: list[dict]) -> Iterator[dict]:
    found = {(r["group"], r["setting"]["batch"], r["setting"]["size"], r["label"]): r for r in rows}
    for group, size, label, against, most in BARS:
        pair = [found.get((group, *size, name), {}) for name in (label, against)]
        if all("median" in row for row in pair):
            ratio = pair[0]["median"] / pair[1]["median"]
            memory = pair[0]["peak"] / pair[1]["peak"]
            bar = {"group": group, "size": size, "label": label, "against": against}
            yield {**bar, "ratio": ratio, "at_most": most, "memory_ratio": memory}


def show(rows: list[dict]) -> None:
    setting = rows[0]["setting"]
    batch, size = setting["batch"], setting["size"]
    shape = (
        f"{batch} frames of {size} rows" if "network" in setting else f"{batch} x {size} x {size}"
    )
    print(f"\n{rows[0]['group']}: {shape}, ratios to {rows[0]['reference']}")
    print(f"  {'':<28}{'median ms':>10}{'quartiles':>18}{'ratio':>8}{'peak MB':>9}{'first s':>9}")
    (reference,) = [r["median"] for r in rows if r["label"] == r["reference"]]
    for row in rows:
        if "not" in row:
            print(f"  {row['label']:<28}{'-':>10}  {row['not']}")
            continue
        spread = " - ".join(f"{1e3 * q:.1f}" for q in row["quartiles"])
        print(
            f"  {row['label']:<28}{1e3 * row['median']:>10.2f}{spread:>18}"
            f"{row['median'] / reference:>8.2f}{row['peak'] / 1e6:>9.0f}{row['first']:>9.1f}",
            flush=True,
        )


def show_bars(bars: list[dict]) -> None:
    for bar in bars:
        most = bar["at_most"]
        verdict = "no bar" if most is None else "met" if bar["ratio"] <= most else "NOT MET"
        aim = "" if most is None else f" (at most {most})"
        batch, size = bar["size"]
        print(
            f"{verdict:<8} {bar['group']}, {batch} x {size}: {bar['label']} over "
            f"{bar['against']} {bar['ratio']:.3f}{aim}, peak memory {bar['memory_ratio']:.2f}"
        )


def machine() -> dict[str, Any]:
    names = {
        line.split(":")[1].strip()
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "cpu": sorted(names),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
    }


if __name__ == "__main__":
    main()

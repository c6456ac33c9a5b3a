"""Time warp and step on a GPU, and compare values and gradients with those of the CPU.

    python benchmarks/gpu.py [--rounds 9] [--output results/gpu.json]

Needs a TensorFlow that sees a CUDA device; PyTorch and kornia are measured where `make bench` has
installed them. With `--cpu` all of it runs on the CPU, small, to try the script out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import run
from run import OP, TWICE, Group, Variant

from cases import common

HERE = pathlib.Path(__file__).parent
ALLOW_GROWTH = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}  # several processes share the device
FLOAT32 = "float32"
OURS = "ktr inside XLA"
# Those that take a precision; on a GPU the backend "auto" is "op" already.
WARPS = [v for v in run.WARPS if v.case in ("warp_op", "warp_ktr") and "backend" not in v.given]
STEPS = [v for v in run.STEPS if v.case in ("step_keras", "step_ktr")]
TORCH_WARPS = [v for v in run.WARPS if v.case in ("warp_torch", "warp_kornia")]
OTHER_STEPS = [v for v in run.STEPS if v not in STEPS]


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes, as batch and side, and how precise."""

    warps: tuple[tuple[int, int], ...]
    steps: tuple[tuple[int, int], ...]
    dtypes: tuple[str, ...] = (FLOAT32, "bfloat16", "float16")
    policies: tuple[str, ...] = (FLOAT32, "mixed_bfloat16", "mixed_float16")


GPU = Scale(((16, 64), (8, 256), (64, 256), (8, 1024)), ((16, 64), (16, 256)))
CPU = Scale(((2, 32),), ((2, 32),), (FLOAT32, "bfloat16"), (FLOAT32, "mixed_bfloat16"))


def groups(scale: Scale) -> Iterator[Group]:
    def with_peers(variants: list[Variant], others: list[Variant], dtype: str) -> list[Variant]:
        """In float32 those of others too, as far as they are installed."""
        there = [v for v in others if run.ENVIRONMENTS[v.environment].exists()]
        return [*variants, *there] if dtype == FLOAT32 else variants

    for dtype in scale.dtypes:
        for gradient in (False, True):
            name = f"warp, forward{' and backward' if gradient else ''}, {dtype}"
            settings = [{"batch": b, "size": s, "gradient": gradient} for b, s in scale.warps]
            variants = [_with_setting(v, dtype=dtype) for v in WARPS]
            # TensorFlow's op has no such gradient in bfloat16.
            reference = OURS if gradient and dtype == "bfloat16" else OP
            yield Group(name, reference, with_peers(variants, TORCH_WARPS, dtype), settings)
    for policy in scale.policies:
        for compiled in (False, True):
            name = f"training step, {'with' if compiled else 'without'} XLA, {policy}"
            settings = [{"batch": b, "size": s, "jit_compile": compiled} for b, s in scale.steps]
            variants = [_with_setting(v, policy=policy) for v in STEPS]
            yield Group(name, TWICE, with_peers(variants, OTHER_STEPS, policy), settings)


def _with_setting(variant: Variant, **setting: Any) -> Variant:
    return variant._replace(setting={**variant.given, **setting})


def checks() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Warp, pairing and losses with their gradients: functions by name, and their arguments."""
    import tensorflow as tf

    import keras_temporal_reg as ktr
    from cases import warps
    from keras_temporal_reg.data import _pairing as pairing

    shape = (4, 64, 64, 3)
    images, upstream = (tf.constant(common.pictures(*shape, seed=n)) for n in (0, 1))
    motions = tf.constant(common.motions(shape[0], shape[1]))

    def pair(images: tf.Tensor) -> Any:
        transform = ktr.RandomAffine(seed=0)
        return pairing.pair(images, images, transform, seed=tf.constant([0, 1]))[:2]

    with tf.device("CPU"):
        y_true = pair(images)[1]
        y_pred = tf.constant(common.pictures(len(y_true), *shape[1:], seed=2))

    bilinear = functools.partial(ktr.image.transform, interpolation="bilinear")

    def loss(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    losses = (ktr.losses.TransformInvarianceLoss, ktr.losses.SparseJacobianLoss)
    return {
        "warp and its gradient": (
            functools.partial(warps.with_gradient, bilinear),
            (images, upstream, motions),
        ),
        "paired x and y": (pair, (images,)),
        **{
            f"{each.__name__} and its gradient": (
                functools.partial(loss, each(common.ALPHA)),
                (y_true, y_pred),
            )
            for each in losses
        },
    }


def differences(device: str) -> list[dict[str, Any]]:
    """Values and gradients on a device against those of the CPU outside XLA: the largest
    difference, in units of the largest value.
    """
    import tensorflow as tf

    found = []
    for name, (function, arguments) in checks().items():
        with tf.device("CPU"):
            expected = [t.numpy() for t in tf.function(function, autograph=False)(*arguments)]
        for compiled in (False, True):
            with tf.device(device):
                made = tf.function(function, jit_compile=compiled, autograph=False)(*arguments)
            errors = [common.difference(a.numpy(), b) for a, b in zip(made, expected)]
            found.append({"of": name, "xla": compiled, "differences": errors})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results/gpu.json")
    parser.add_argument("--cpu", action="store_true", help="all on the CPU, small")
    options = parser.parse_args()
    environment = run.HIDE_GPUS if options.cpu else ALLOW_GROWTH
    os.environ.update(environment)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and not options.cpu:
        raise SystemExit("TensorFlow sees no CUDA device. --cpu tries the script out without one.")
    results: dict[str, Any] = {"machine": run.machine(), "versions": {}, "rounds": options.rounds}
    results["devices"] = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    results["differences"] = differences("GPU" if gpus else "CPU")
    for each in results["differences"]:
        print(
            f"{each['of']}, {'with' if each['xla'] else 'without'} XLA: differ from the CPU by "
            + " and ".join(f"{error:.1e}" for error in each["differences"])
        )
    results["cases"] = []
    for group in groups(CPU if options.cpu else GPU):
        for rows in run.measured(group, options.rounds, results["versions"], environment):
            results["cases"] += rows
            run.show(rows)
            run.save(results, options.output)
    print(f"\nWritten to {options.output}.")


if __name__ == "__main__":
    main()

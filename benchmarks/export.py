"""Export warps and training steps as StableHLO, for machines where TensorFlow cannot be installed.

    python benchmarks/export.py exported.bin [--small]

`exported.py` runs them. All are what XLA gets when TensorFlow compiles them: for a step the whole
`train_step`, from pairing to the optimizer, with the values of all variables.
"""

from __future__ import annotations

import argparse
import lzma
import pathlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from gpu import CPU, FLOAT32, GPU, STEPS, Scale, checks

import keras_temporal_reg as ktr
from cases import common, step_ktr, steps, warps

Exported = dict[str, Any]


def export(function: Callable[..., Any], arguments: tuple[tf.Tensor, ...]) -> Exported:
    """The text of a function, and the values that it captures."""
    compiled = tf.function(function, jit_compile=True, autograph=False)
    concrete = compiled.get_concrete_function(*[tf.TensorSpec(a.shape, a.dtype) for a in arguments])
    variables = {id(variable.handle): variable for variable in concrete.graph.variables}
    captured = [variables.get(id(tensor), tensor).numpy() for tensor in concrete.captured_inputs]
    text = compiled.experimental_get_compiler_ir(*arguments)(stage="stablehlo")
    return {"text": text, "captured": captured}


def exported_checks() -> Iterator[Exported]:
    """With the values that the CPU gives outside XLA."""
    for name, (function, arguments) in checks().items():
        expected = tf.nest.flatten(tf.function(function, autograph=False)(*arguments))
        yield {
            "group": "check",
            "label": name,
            "arguments": [argument.numpy() for argument in arguments],
            "expected": [tensor.numpy() for tensor in expected],
            **export(function, arguments),
        }


def exported_warps(scale: Scale) -> Iterator[Exported]:
    # No partial: TensorFlow takes the arguments of its traced functions by their names.
    def forward(images: tf.Tensor, motions: tf.Tensor) -> tf.Tensor:
        return ktr.image.transform(images, motions, interpolation="bilinear")

    def both(images: tf.Tensor, upstream: tf.Tensor, motions: tf.Tensor) -> Any:
        return warps.with_gradient(forward, images, upstream, motions)

    for dtype in scale.dtypes:
        for batch, size in scale.warps:
            for gradient in (False, True):
                seeds = (0, 1) if gradient else (0,)
                # Pictures are drawn where they are needed: they are many megabytes.
                drawn = [((batch, size, size, 3), seed, dtype) for seed in seeds]
                motions = tf.constant(common.motions(batch, size))
                pictures = [tf.constant(common.pictures(*s, seed=n), d) for s, n, d in drawn]
                yield {
                    "group": f"warp, forward{' and backward' if gradient else ''}",
                    "label": "ktr inside XLA",
                    "setting": {"batch": batch, "size": size, "precision": dtype},
                    "arguments": [*drawn, motions.numpy()],
                    **export(both if gradient else forward, (*pictures, motions)),
                }


def exported_steps(scale: Scale) -> Iterator[Exported]:
    for policy in scale.policies:
        for batch, size in scale.steps:
            for variant in STEPS:
                tf.keras.backend.clear_session()
                given = dict(variant.given)
                rows = batch * given.pop("rows", 1)
                if variant.case == "step_ktr":
                    model, loss = step_ktr.build(**given, policy=policy)
                else:
                    model, loss = steps.network(policy), "mse"
                steps.compile_model(model, loss, jit_compile=True)
                model.optimizer.build(model.trainable_variables)
                drawn = [((rows, size, size, n), n - 1, FLOAT32) for n in (1, 2)]
                arguments = tuple(tf.constant(common.pictures(*s, seed=n)) for s, n, _ in drawn)
                yield {
                    "group": "training step",
                    "label": variant.label,
                    "setting": {"batch": batch, "size": size, "precision": policy},
                    "arguments": drawn,
                    **export(_train_step(model), arguments),
                }


def _train_step(model: Any) -> Callable[..., tf.Tensor]:
    return lambda x, y: model.train_step((x, y))["loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--small", action="store_true", help="small sizes, to try it out on a CPU")
    options = parser.parse_args()
    scale = CPU if options.small else GPU
    cases = []
    for case in (*exported_checks(), *exported_warps(scale), *exported_steps(scale)):
        print(case["group"], case["label"], case.get("setting", ""), flush=True)
        cases.append(case)
    options.file.write_bytes(lzma.compress(pickle.dumps(cases), preset=1))


if __name__ == "__main__":
    main()

"""Run what `export.py` exported with JAX, beside PyTorch, and compare values with the CPU's.

    python benchmarks/exported.py exported.bin [--rounds 9] [--output results/gpu-stablehlo.json]

Needs JAX and, for its warps, PyTorch; no TensorFlow. The time of a call is that of `CALLS` calls in
one program, so without what it takes to start one, over their number.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import functools
import importlib.util
import itertools
import lzma
import os
import pathlib
import pickle
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import run
from jax import export
from jax._src.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from cases import common

CALLS = 10
HAS_TORCH = importlib.util.find_spec("torch") is not None
Call = Callable[[], Any]


def to_portable(text: str) -> tuple[bytes, list[int]]:
    """The bytes that JAX reads, and the arguments that results renew, in the order of those."""
    with mlir.make_ir_context():
        text = ir.Module.parse(text).operation.get_asm(enable_debug_info=False)
        head, body = text.split("\n", 1)
        pattern = r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>"
        renewed = {int(result): int(argument) for argument, result in re.findall(pattern, head)}
        # The one operation that StableHLO does not have.
        body = re.sub(
            r"mhlo\.copy (%\S+) : (.*)$", r"stablehlo.reshape \1 : (\2) -> \2", body, flags=re.M
        )
        module = ir.Module.parse("module @exported {\n" + body)
        oldest = stablehlo.StablehloCompatibilityRequirement.WEEK_4
        version = stablehlo.get_version_from_compatibility_requirement(oldest)
        return stablehlo.serialize_portable_artifact(module, version), [
            renewed[result] for result in sorted(renewed)
        ]


def to_function(module: bytes, arguments: list[Any], results: list[Any]) -> Callable[..., Any]:
    """A JAX function that runs the module, inside other functions too."""

    def template(*arguments: jax.Array) -> tuple[jax.Array, ...]:
        total = sum(jnp.sum(argument).astype(jnp.float32) for argument in arguments)
        return tuple(jnp.zeros(r.shape, r.dtype) + total.astype(r.dtype) for r in results)

    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    exported = export.export(jax.jit(template), platforms=[platform])(*arguments)
    return dataclasses.replace(exported, mlir_module_serialized=module).call


class Case:
    """An exported function, its arguments, and `CALLS` calls of it as one program."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.group, self.label = case["group"], case["label"]
        self.setting, self.expected = case.get("setting", {}), case.get("expected")
        arguments = [_argument(argument) for argument in case["arguments"]]
        captured = [jnp.asarray(value) for value in case["captured"]]
        module, renewed = to_portable(case["text"])
        if self.expected is not None:
            results = self.expected
        elif "warp" in self.group:
            results = arguments[:-1]
        else:
            loss = jax.ShapeDtypeStruct((), jnp.float32)
            results = [loss, *[[*arguments, *captured][place] for place in renewed]]
        specs = [[_spec(a) for a in several] for several in ([*arguments, *captured], results)]
        function = to_function(module, *specs)
        self.inputs = tuple([*arguments, *captured])
        if self.expected is not None:
            self.function = function
        elif "warp" in self.group:
            # From picture to picture, so that no call can be left out.
            self.inputs = tuple(arguments[:-1])
            self.function = functools.partial(_warps, function, arguments[-1])
        else:
            self.inputs = tuple(captured)
            places = [place - len(arguments) for place in renewed]
            self.function = functools.partial(_steps, function, arguments, places)

    def compile(self) -> None:
        started = time.perf_counter()
        self.compiled = jax.jit(self.function).lower(*self.inputs).compile()
        self.seconds = time.perf_counter() - started

    def __call__(self) -> Any:
        return jax.block_until_ready(self.compiled(*self.inputs))


def _argument(argument: Any) -> jax.Array:
    if isinstance(argument, tuple):
        shape, seed, dtype = argument
        return jnp.asarray(common.pictures(*shape, seed=seed)).astype(dtype)
    return jnp.asarray(argument)


def _spec(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _warps(warp: Callable[..., Any], motions: jax.Array, *pictures: jax.Array) -> Any:
    return jax.lax.scan(lambda c, _: (tuple(warp(*c, motions)), None), pictures, length=CALLS)[0]


def _steps(
    step: Callable[..., Any], arguments: list[jax.Array], places: list[int], *variables: jax.Array
) -> Any:
    def one(variables: tuple[jax.Array, ...], _: Any) -> tuple[Any, Any]:
        loss, *new = step(*arguments, *variables)
        renewed = dict(zip(places, new))
        return tuple(renewed.get(n, v) for n, v in enumerate(variables)), loss

    return jax.lax.scan(one, variables, length=CALLS)


def peers(case: Case) -> dict[str, Call]:
    """The same warps in PyTorch, and a program that only reads and writes the pictures."""
    if "warp" not in case.group:
        return {}
    images = case.inputs[0]

    def copies(images: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda c, _: (c + jnp.ones((), c.dtype), None), images, length=CALLS)[0]

    copy = jax.jit(copies)
    found: dict[str, Call] = {"read and write": lambda: jax.block_until_ready(copy(images))}
    if HAS_TORCH and case.setting["precision"] == "float32":
        from cases import warp_torch

        sizes = (case.setting["batch"], case.setting["size"])
        call = warp_torch.build(*sizes, gradient="backward" in case.group)
        on_gpu = warp_torch.DEVICE == "cuda"
        found["torch grid_sample"] = _several(call, on_gpu)
        if on_gpu and "backward" not in case.group:
            found["torch grid_sample, CUDA graph"] = _several(_as_graph(call), on_gpu)
    return found


def _several(call: Call, on_gpu: bool) -> Call:
    import torch

    def calls() -> None:
        for _ in range(CALLS):
            call()
        if on_gpu:
            torch.cuda.synchronize()

    return calls


def _as_graph(call: Call) -> Call:
    """The call without what starting each of its kernels takes."""
    from torch import cuda

    with cuda.stream(cuda.Stream()):
        for _ in range(3):
            call()
    cuda.synchronize()
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        call()
    return graph.replay


def timed(cases: list[Case], rounds: int) -> list[dict[str, Any]]:
    """Rows of one comparison: each call in turn, round by round; the first round is dropped."""
    calls: dict[str, Call] = {case.label: case for case in cases} | peers(cases[0])
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    for number, (label, call) in itertools.product(range(rounds + 1), calls.items()):
        started = time.perf_counter()
        call()
        if number:
            seconds[label].append((time.perf_counter() - started) / CALLS)
    compiling = {case.label: round(case.seconds, 2) for case in cases}
    return [
        {
            "group": cases[0].group,
            "setting": cases[0].setting,
            "label": label,
            "median": statistics.median(several),
            "quartiles": statistics.quantiles(several, n=4)[::2],
            **({"compiling": compiling[label]} if label in compiling else {}),
        }
        for label, several in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--output", type=pathlib.Path, default=run.HERE / "results/gpu-stablehlo.json"
    )
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)  # TensorFlow counts steps in 64 bits
    cases = [Case(case) for case in pickle.loads(lzma.decompress(options.file.read_bytes()))]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        [*pool.map(Case.compile, cases)]
    results: dict[str, Any] = {
        "machine": run.machine(),
        "device": jax.devices()[0].device_kind,
        "flags": os.environ.get("XLA_FLAGS", ""),
        "versions": common.versions("jax", *(["torch"] if HAS_TORCH else [])),
        "rounds": options.rounds,
        "differences": {},
        "cases": [],
    }
    groups: dict[Any, list[Case]] = {}
    for case in cases:
        if case.expected is None:
            groups.setdefault((case.group, *case.setting.items()), []).append(case)
            continue
        errors = [common.difference(a, b) for a, b in zip(case(), case.expected)]
        results["differences"][case.label] = errors
        print(case.label, "differ from the CPU by", *(f"{error:.1e}" for error in errors))
    for several in groups.values():
        rows = timed(several, options.rounds)
        results["cases"] += rows
        run.save(results, options.output)
        print(f"\n{rows[0]['group']}, {rows[0]['setting']}", flush=True)
        for row in rows:
            print(f"  {row['label']:<32}{1e6 * row['median']:>10.1f} us", flush=True)


if __name__ == "__main__":
    main()

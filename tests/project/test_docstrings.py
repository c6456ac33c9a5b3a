"""Every example in a docstring runs, and everything public has a docstring."""

import doctest
import importlib
import inspect
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr

PACKAGE = pathlib.Path(ktr.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
    and path.parent != PACKAGE / "core"
    and path != PACKAGE / "__init__.py"
)
# Keras, or the class itself, says what these do.
HOOKS = {
    "build",
    "call",
    "compile_from_config",
    "compute_metrics",
    "from_config",
    "get_compile_config",
    "get_config",
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_train_begin",
    "reset_state",
    "result",
    "train_step",
    "update_state",
}


def module_of(name):
    return importlib.import_module(f"keras_temporal_reg.{name}")


def examples(name):
    names = {"tf": tf, "np": np, "keras": keras, "ktr": ktr}
    found = doctest.DocTestFinder(exclude_empty=True).find(module_of(name), extraglobs=names)
    return [test for test in found if test.examples]


EXAMPLES = [test for name in MODULES for test in examples(name)]


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_example_runs(test):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    output = []
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    backend = ktr.image.get_backend()
    try:
        result = runner.run(test, out=output.append, clear_globs=False)
    finally:
        ktr.image.set_backend(backend)
    assert result.attempted > 0
    assert result.failed == 0, "".join(output)


def test_examples_are_found():
    assert len(EXAMPLES) >= 10
    names = {test.name.rpartition(".")[2] for test in EXAMPLES}
    assert {
        "transform",
        "RandomAffine",
        "TransformInvarianceLoss",
        "SparseJacobianLoss",
        "RegularizedModel",
        "pair_with_transformed",
        "augment",
        "from_directory",
        "from_hdf5",
        "TemporalStability",
        "Stability",
    } <= names


def public_members(module):
    """Functions, classes and their own methods, by name."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for method, member in vars(value).items():
                member = getattr(member, "__func__", member)
                if not method.startswith("_") and inspect.isfunction(member):
                    yield f"{name}.{method}", member


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    module = module_of(name)
    assert module.__doc__ and module.__doc__.strip()
    missing = [
        member
        for member, value in public_members(module)
        if member.split(".")[-1] not in HOOKS and not (value.__doc__ or "").strip()
    ]
    assert missing == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_start_with_one_line(name):
    for member, value in public_members(module_of(name)):
        lines = (value.__doc__ or "").strip().splitlines()
        if len(lines) > 1 and member.split(".")[-1] not in HOOKS:
            assert lines[0].strip(), member


@pytest.mark.parametrize("name", MODULES)
def test_arguments_with_a_section_are_all_named_in_it(name):
    for member, value in public_members(module_of(name)):
        text = value.__doc__ or ""
        if "Args:" not in text:
            continue
        function = value.__init__ if inspect.isclass(value) else value
        for argument in inspect.signature(function).parameters.values():
            if argument.name in ("self", "cls") or argument.kind is argument.VAR_KEYWORD:
                continue
            assert f" {argument.name}:" in text, f"{member}: {argument.name}"

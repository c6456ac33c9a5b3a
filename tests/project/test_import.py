"""What an import loads, and in which direction the modules import each other."""

import ast
import graphlib
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest
from tensorflow import keras

import keras_temporal_reg

PACKAGE = pathlib.Path(keras_temporal_reg.__file__).parent
LIBRARY = (
    "core",
    "image",
    "transforms",
    "perturbations",
    "tasks",
    "data",
    "losses",
    "metrics",
    "model",
    "callbacks",
)
# The packages and modules of the package, from the bottom of the stack of imports to its top: each
# imports only from those before it, lazy imports included.
LAYERS = (
    "core",
    "io",
    "image",
    "transforms",
    "perturbations",
    "tasks",
    "data",
    "losses",
    "metrics",
    "model",
    "callbacks",
    "saved_models",
    "evaluation",
    "finetuning",
    "steadying",
    "experiments",
    "cli_options",
    "cli",
    "__main__",
)
KERAS_3 = hasattr(keras, "ops")


def run(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **environment},
    )


def output_of(script):
    done = run(script)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_the_import_loads_the_library_alone():
    """Beside TensorFlow, NumPy and h5py, which it needs, it loads no other package and no tool."""
    output = output_of(
        """
        import sys
        import numpy, h5py
        import tensorflow as tf
        from tensorflow import keras
        keras.layers.Conv2D, keras.Model, keras.losses.Loss, keras.metrics.Metric
        keras.callbacks.Callback, keras.utils, keras.backend.backend()
        before = {name.partition(".")[0] for name in sys.modules}
        import keras_temporal_reg
        loaded = {name.partition(".")[0] for name in sys.modules} - before
        print(*sorted(loaded - sys.stdlib_module_names))
        own = [name.split(".")[1] for name in sys.modules if name.startswith("keras_temporal_reg.")]
        print(*sorted(set(own)))
        """
    )
    others, own = output.splitlines()[-2:]
    assert others == "keras_temporal_reg"
    assert {*LIBRARY} <= {*own.split()} <= {*LIBRARY, "io"}  # data.from_directory reads images


def test_the_command_is_imported_without_tensorflow():
    output = output_of(
        """
        import sys
        sys.argv = ["ktr"]
        import keras_temporal_reg
        from keras_temporal_reg import cli
        assert {*keras_temporal_reg.__all__} <= {*dir(keras_temporal_reg)}
        print([name for name in ("keras", "numpy", "tensorflow") if name in sys.modules])
        """
    )
    assert output == "[]\n"


@pytest.mark.slow
def test_library_needs_none_of_the_extras():
    output = output_of(
        f"""
        import importlib.abc
        import sys

        from tensorflow import keras
        keras.Model  # loads Keras, which needs one of these itself

        EXTRAS = {{
            "OpenEXR", "PIL", "av", "cv2", "filelock", "imageio", "imageio_ffmpeg", "jinja2",
            "keras_cv", "matplotlib", "natsort", "rich", "scipy", "skimage", "skvideo", "sklearn",
            "tensorflow_addons",
        }}

        class Blocker(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in EXTRAS:
                    raise ModuleNotFoundError(f"No module named {{name!r}} (blocked)", name=name)

        for name in [name for name in sys.modules if name.split(".")[0] in EXTRAS]:
            del sys.modules[name]
        sys.meta_path.insert(0, Blocker())
        import keras_temporal_reg as ktr
        for name in {LIBRARY}:
            __import__("keras_temporal_reg." + name)
        assert not EXTRAS & set(sys.modules), EXTRAS & set(sys.modules)
        print("imported")
        """
    )
    assert output.endswith("imported\n")


@pytest.mark.slow
@pytest.mark.skipif(not KERAS_3, reason="Keras 2 knows no other backend")
def test_other_backend_is_refused_in_one_line():
    done = run("import keras_temporal_reg", KERAS_BACKEND="jax")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_temporal_reg needs"), done.stderr[-2000:]
    assert "TensorFlow backend" in last and "KERAS_BACKEND=tensorflow" in last and "jax" in last


def imported_by(path, for_types=True):
    """Modules of the package that a file imports anywhere in it, with the names from them.

    `for_types`: those that only type checkers import, too.
    """
    tree = ast.parse(path.read_text())
    if not for_types:
        tree.body = [
            node
            for node in tree.body
            if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names = [[*(node.module or "").split("."), alias.name] for alias in node.names]
        else:
            continue
        for parts in names:
            if parts[0] == "keras_temporal_reg":
                # `import keras_temporal_reg as ktr` reaches everything.
                yield parts[1:] or ["__init__"]


def lazily_imported_by(path):
    """Targets of `core.lazy.attach` in a file, which no import statement shows."""
    package = list(path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.attach":
            for target in ast.literal_eval(node.args[1]).values():
                yield [*package, *target.split(".")]


def files_below(*parts):
    return sorted(path for path in PACKAGE.joinpath(*parts).rglob("*.py"))


FILES = [path for path in files_below() if path != PACKAGE / "__init__.py"]


def name_of(path):
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def is_module(parts):
    place = PACKAGE.joinpath(*parts)
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path):
    """A file imports from its own package and from the layers below, lazily or not."""
    own = LAYERS.index(path.relative_to(PACKAGE).with_suffix("").parts[0])
    for parts in (*imported_by(path), *lazily_imported_by(path)):
        if parts[0] in ("__version__", "import_library"):
            continue
        assert parts[0] in LAYERS, f"{name_of(path)} imports {'.'.join(parts)}: no layer"
        assert LAYERS.index(parts[0]) <= own, f"{name_of(path)} imports {'.'.join(parts)}"


def test_no_package_has_a_circle_of_imports():
    graph = {}
    for path in FILES:
        own = path.relative_to(PACKAGE).with_suffix("").parts
        for parts in (*imported_by(path, for_types=False), *lazily_imported_by(path)):
            while len(parts) > 1 and not is_module(parts):
                parts = parts[:-1]
            # A name from the package's own front door would be a circle.
            target = (*parts, "__init__") if PACKAGE.joinpath(*parts).is_dir() else tuple(parts)
            if target != own:
                graph.setdefault(own, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("name", [name for name in LAYERS if (PACKAGE / name).is_dir()])
def test_front_door_holds_no_code(name):
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text())
    for node in tree.body:
        assert not isinstance(node, (ast.FunctionDef, ast.ClassDef)), ast.unparse(node)[:80]


def code_outside_the_package():
    """The code of tests, benchmarks and notebooks, by the name of its file."""
    root = pathlib.Path(__file__).parents[2]
    for folder in ("tests", "benchmarks"):
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text()
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            if cell["cell_type"] == "code":
                # Commands of the shell, such as an installation, are no Python.
                code = re.sub(
                    r"^( *)[!%].*", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE
                )
                yield f"{path.name}, cell {number}", code


def modules_imported_by(tree):
    """Modules of the package by the names that a file has for them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            for alias in node.names:
                parts = [*node.module.split(".")[1:], alias.name]
                if is_module(parts):
                    yield alias.asname or alias.name, ".".join(parts)


# Of old names there are tests.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_outside_the_package_takes_names_that_exist():
    missing, imported = [], {}
    for name, code in code_outside_the_package():
        tree = ast.parse(code)
        # Later cells of a notebook use what earlier ones import.
        known = imported.setdefault(name.partition(",")[0], {})
        known.update(modules_imported_by(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = known.get(node.value.id)
                if module and not hasattr(
                    importlib.import_module(f"{PACKAGE.name}.{module}"), node.attr
                ):
                    missing.append(f"{name}, line {node.lineno}: {node.value.id}.{node.attr}")
    assert imported["01_quick_start.ipynb"] and not missing, "\n".join(missing)

"""House rules of files: sizes, tests beside what they test, helpers in one place."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "keras_temporal_reg"
TESTS = ROOT / "tests"
SOURCES = [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
TEST_MODULES = sorted(TESTS.rglob("test_*.py"))
MOST_LINES, MOST_CODE_LINES = 400, 60
# What the docstring of a longer function says, followed by the reason.
REASON = "Long because"


def relative(path):
    return path.relative_to(ROOT).as_posix()


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def code_lines(function, lines):
    """How many lines of a function are neither blank nor a comment nor its docstring."""
    first = function.body[0]
    is_docstring = ast.get_docstring(function) is not None
    docstring = range(first.lineno, first.end_lineno + 1) if is_docstring else ()
    return sum(
        1
        for number in range(function.lineno, function.end_lineno + 1)
        if number not in docstring
        and lines[number - 1].strip()
        and not lines[number - 1].strip().startswith("#")
    )


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_function_has_more_than_60_lines_of_code_without_a_reason(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    long = {
        node.name: code_lines(node, lines)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef) and REASON not in (ast.get_docstring(node) or "")
    }
    assert {name: count for name, count in long.items() if count > MOST_CODE_LINES} == {}


# Modules without a test file of their own name, and where their tests are.
TESTED_ELSEWHERE = {
    "__main__": "test_cli.py",
    "cli_options": "test_cli.py",
    "core/degradations": "test_perturbations.py and tasks/test_enhancement.py",
    "core/keras_backend": "project/test_import.py",
    "core/lazy": "project/test_import.py",
    "core/validation": "the tests of what checks its arguments",
    "data/_motion": "data/test_pairing.py and transforms/test_flow.py",
    "finetuning/options": "finetuning/test_config.py",
    "finetuning/result": "finetuning/test_api.py",
    "io/video/_clip": "io/video/test_reader.py",
    "steadying/adaptation": "steadying/test_api.py",
    "steadying/job": "steadying/test_api.py",
    "transforms/_grids": "transforms/test_affine.py",
    "saved_models/_errors": "saved_models/test_loading.py",
    "saved_models/_formats": "saved_models/test_loading.py and saved_models/test_saving.py",
    "saved_models/_hdf5": "saved_models/test_containers.py",
    "saved_models/_hdf5_probe": "saved_models/test_containers.py",
    "saved_models/_saved_model": "saved_models/test_loading.py and saved_models/test_safety.py",
    "saved_models/_versions": "evaluation/test_report_content.py and experiments/test_results.py",
}
# Folders and files of tests that are named by what they ask, not by a module.
OTHER_TESTS = {
    "fuzz",
    "project",
    "system",
    "evaluation/test_clip_looks.py",
    "io/test_untrusted_images.py",
    "io/video/test_untrusted_clips.py",
}


def expected_test(path):
    """The test file of a module, with the same folder and name but for a leading underscore."""
    place = path.relative_to(PACKAGE)
    return TESTS / place.parent / f"test_{place.stem.removeprefix('_')}.py"


MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


@pytest.mark.parametrize("name", MODULES)
def test_each_module_has_a_test_file_of_its_name_or_a_reason(name):
    assert expected_test(MODULES[name]).is_file() != (name in TESTED_ELSEWHERE)


def test_each_test_file_has_the_name_of_a_module_or_is_listed():
    named = {expected_test(path) for path in MODULES.values()}
    others = {path.relative_to(TESTS) for path in TEST_MODULES if path not in named}
    assert {p.as_posix() for p in others if p.parts[0] not in OTHER_TESTS} <= OTHER_TESTS


def test_what_is_tested_elsewhere_exists():
    assert {*TESTED_ELSEWHERE} <= {*MODULES}
    for places in TESTED_ELSEWHERE.values():
        for place in re.findall(r"[\w/]+\.py", places):
            assert (TESTS / place).is_file(), place


@pytest.mark.parametrize("path", TEST_MODULES, ids=relative)
def test_no_test_module_imports_another(path):
    modules = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import"
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    assert not [name for name in modules if re.search(r"(^|\.)(tests|test_\w+)(\.|$)", name)]


@pytest.mark.parametrize("path", TEST_MODULES, ids=relative)
def test_no_test_is_timed(path):
    used = {
        node.attr
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time"
    }
    assert not used & {"monotonic", "perf_counter", "process_time", "time"}


VERDICT = re.compile(r"(not )?stabili[sz]ed\.?", re.I)


@pytest.mark.parametrize("path", TEST_MODULES, ids=relative)
def test_no_test_searches_for_a_word_that_its_negation_contains(path):
    """``"STABILISED" in text`` also holds for "NOT STABILISED"."""
    searched = [
        ast.unparse(node)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.In)
        and isinstance(node.left, ast.Constant)
        and VERDICT.fullmatch(str(node.left.value))
    ]
    assert searched == []


def test_each_shared_helper_is_used():
    texts = [path.read_text() for path in (*TEST_MODULES, TESTS / "conftest.py")]
    for path in sorted((TESTS / "helpers").glob("[!_]*.py")):
        assert any(re.search(rf"\bhelpers.*\b{path.stem}\b", text) for text in texts), path

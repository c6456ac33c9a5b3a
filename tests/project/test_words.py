"""Standard terms: no home-made phrase or name is left in code, docs and messages."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "keras_temporal_reg"
PHRASES = re.compile(
    r"\b(?:"
    r"knows nothing|knowing nothing|held against|counts as stabili|of another|no number any more|"
    r"frames a second|(?:one|value|values) a (?:pixel|sample|frame)|stands? in turn|forgives|"
    r"by a hair|nobody|no one can|is told|are told|mends?|mended|what is measured on|of strangers|"
    r"that are none"
    r")\b",
    re.I,
)
# Names that functions, classes and modules had, and that the field calls otherwise.
OLD_NAMES = {
    "Material",
    "Measuring",
    "ahead",
    "carry_over",
    "checks",
    "choosing",
    "displace",
    "findings",
    "inside",
    "is_torn",
    "listed",
    "materials",
    "measuring",
    "originals",
    "pays",
    "plans",
    "replacing",
    "sources",
    "trivial",
}


def text_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


PATTERNS = ("*.md", "docs/**/*.md", "notebooks/*.*", "*.py", "Makefile", "pyproject.toml")
PATHS = sorted(
    {
        *(path for pattern in PATTERNS for path in ROOT.glob(pattern)),
        *(
            path
            for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks")
            for path in folder.rglob("*")
            if path.suffix in (".py", ".md", ".css", ".js", ".html", ".jinja")
        ),
    }
    - {Path(__file__), ROOT / "CHANGELOG.md"}
)


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PATHS, ids=relative)
def test_no_home_made_phrase_is_left(path):
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if PHRASES.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=relative)
def test_no_old_name_is_left(path):
    definitions = (ast.FunctionDef, ast.ClassDef)
    names = {
        node.name for node in ast.walk(ast.parse(text_of(path))) if isinstance(node, definitions)
    }
    assert not {path.stem.removeprefix("_"), *(name.lstrip("_") for name in names)} & OLD_NAMES

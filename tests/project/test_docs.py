"""The code in README and on the site runs, and the site shows everything public."""

import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
}
BLOCK = re.compile(r"(?:<!-- needs: (\w+) -->\n)?^```([\w-]*)[^\n]*\n(.*?)^```$", re.M | re.S)
QUICK = "README.md"  # the other pages take minutes together
PRINTED = {"README.md": "temporal_error", "docs/tutorial.md": "alpha 0.8: "}


def blocks(page, *languages):
    """``(needed package or None, code, line)`` of each block in one of these languages."""
    text = PAGES[page]
    return [
        (found[1], found[3], text.count("\n", 0, found.start(3)))
        for found in BLOCK.finditer(text)
        if found[2] in languages
    ]


def commands(page):
    """Lines of shell blocks without comments; a backslash continues a line."""
    for _, text, _ in blocks(page, "", "sh", "bash", "shell", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            yield shlex.split(line.removeprefix("$ "), comments=True)


WITH_PYTHON = [
    pytest.param(page, marks=[] if page == QUICK else [pytest.mark.slow])
    for page in PAGES
    if blocks(page, "python", "py")
]
KTR = [
    # Environment variables may come first.
    (page, words[words.index("ktr") + 1 :])
    for page in PAGES
    for words in commands(page)
    if "ktr" in words and all("=" in word for word in words[: words.index("ktr")])
]


def test_pages_are_found():
    assert {"README.md", "docs/tutorial.md", "docs/how-to/finetune.md"} <= {
        parameter.values[0] for parameter in WITH_PYTHON
    }
    assert len({page for page, _ in KTR}) >= 5
    for page, text in PAGES.items():
        # Each fence belongs to a block that BLOCK finds.
        assert text.count("```") == 2 * len(BLOCK.findall(text)), page


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_blocks_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for needed, code, line in blocks(page, "python", "py"):
        if needed is None or importlib.util.find_spec(needed) is not None:
            # Tracebacks name the line of the page.
            exec(compile("\n" * line + code, page, "exec"), names)
    assert PRINTED.get(page, "") in capsys.readouterr().out
    if page == "README.md":
        assert (tmp_path / "stable.keras").is_file()


@pytest.mark.parametrize(("page", "words"), KTR, ids=[f"{p}: {shlex.join(w)}" for p, w in KTR])
def test_the_commands_parse(page, words):
    try:
        cli._parser().parse_args(words)
    except SystemExit as end:  # --help and --version exit with 0
        assert end.code == 0, f"{page}: ktr {shlex.join(words)}"


def test_every_make_command_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for text in PAGES.values() for name in re.findall(r"`make ([a-z-]+)", text)}
    named |= {w[1] for page in PAGES for w in commands(page) if w[:1] == ["make"] and len(w) > 1}
    assert named > {"demo", "test", "docs"}
    missing = [name for name in named if not re.search(rf"^{name}:", makefile, flags=re.M)]
    assert missing == []


# The names of the package, and the modules that are public under their own paths.
PUBLIC = [*ktr.__all__, "evaluation.camera", "experiments.networks", "experiments.scenes"]
# What mkdocstrings shows, by page.
SHOWN = {
    name: page
    for page, text in PAGES.items()
    if page.startswith("docs/api/")
    for name in re.findall(r"^::: ([\w.]+)$", text, flags=re.M)
}


def public_value(name):
    if name in ktr.__all__:
        return getattr(ktr, name)
    return importlib.import_module(f"keras_temporal_reg.{name}")


def public_members(module):
    """Path and value of the functions, classes and tasks that a module exports or defines."""
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if callable(value) or isinstance(value, ktr.tasks.Task):
            yield f"{module.__name__}.{name}", value


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented_on_an_api_page(name):
    value = public_value(name)
    assert f"`ktr.{name}`" in PAGES["docs/api/index.md"] or name not in ktr.__all__
    assert (value.__doc__ or "").strip(), name
    if not inspect.ismodule(value):
        path = f"{value.__module__}.{value.__name__}"
        assert path in SHOWN or value.__module__.partition("._")[0] in SHOWN
        return
    assert value.__name__ in SHOWN
    for path, member in public_members(value):
        assert (member.__doc__ or "").strip(), path
    page = PAGES[SHOWN[value.__name__]]
    assert "members:" not in page and "filters:" not in page  # nothing is left out


def test_public_pages_show_names_that_exist():
    for path in SHOWN:
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path


def test_public_pages_and_all_others_are_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert {page for page in pages if not page.startswith("results/")} <= listed


def test_the_site_builds_without_a_warning_and_holds_what_is_public(tmp_path):
    for package in ("mkdocs", "mkdocstrings"):
        pytest.importorskip(package, reason="make docs installs it")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
    )
    from mkdocstrings import Inventory

    with (tmp_path / "objects.inv").open("rb") as file:
        inventory = Inventory.parse_sphinx(file)
    for name in PUBLIC:
        value = public_value(name)
        if inspect.ismodule(value):
            for path, _ in public_members(value):
                assert path in inventory
        else:
            assert f"{value.__module__}.{value.__name__}" in inventory
    remote = re.compile(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?https?://")
    for page in tmp_path.rglob("*.html"):
        assert not remote.search(page.read_text(encoding="utf-8")), page

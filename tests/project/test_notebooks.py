"""The notebooks run, each in a kernel of its own, shrunk by their cell of parameters."""

import importlib.util
import json
import os
import pathlib
import re
import sys

import pytest
from tensorflow import keras

import keras_temporal_reg as ktr

FOLDER = pathlib.Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SMALL = {
    "01_quick_start": {"TRAINING_STEPS": 3, "TUNING_STEPS": 2, "FRAMES": 6},
    "02_finetune_saved_model": {
        "TRAINING_STEPS": 3,
        "TUNING_STEPS": 2,
        "STRENGTH": 0.5,
        "FRAMES": 6,
    },
    "03_hdr": {"TRAINING_STEPS": 2, "TUNING_STEPS": 2, "SCENES": 2, "FRAMES": 6},
    "04_your_own": {"STEPS": 2, "FRAMES": 6},
}
KERAS_3 = hasattr(keras, "ops")
OUTCOMES = "|".join(outcome.name.replace("_", " ") for outcome in ktr.metrics.Outcome)


def read(path):
    return json.loads(path.read_text())


def code_of(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The name of a kernel that runs this interpreter."""
    folder = tmp_path / "kernels" / "this"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "this", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(specification))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    # The kernel starts in another folder and must import the package that is tested.
    package = str(FOLDER.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))
    return "this"


def test_all_notebooks_are_tested():
    assert [path.stem for path in NOTEBOOKS] == sorted(SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_and_ends_in_a_verdict(path, kernel, tmp_path):
    papermill = pytest.importorskip("papermill")
    if not KERAS_3 and path.stem != "04_your_own":
        pytest.skip("on the default stack only")
    ran = tmp_path / "ran.ipynb"
    papermill.execute_notebook(
        str(path), str(ran), SMALL[path.stem], kernel_name=kernel, cwd=tmp_path, progress_bar=False
    )
    printed = "".join(
        "".join(output.get("text", "")) for cell in code_of(ran) for output in cell["outputs"]
    )
    assert re.search(rf"^({OUTCOMES}): ", printed, re.M)
    if path.stem == "04_your_own":
        own = keras.layers.Layer.__module__.split(".")[0]
        assert f"['{'keras_cv' if importlib.util.find_spec('keras_cv') else own}'" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_committed_as_it_ran(path):
    cells = code_of(path)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any(output["output_type"] == "display_data" or "data" in output for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    text = path.read_text()
    assert not [place for place in ("/tmp/", "/root/", "/home/", "site-packages") if place in text]
    # Stills take the place of videos, see clean.py.
    assert "data:video" not in text and "<video" not in text
    assert len(text) < 200_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_opens_on_colab_and_installs_itself_there(path):
    assert f"/blob/main/notebooks/{path.name})" in "".join(read(path)["cells"][0]["source"])
    first = "".join(code_of(path)[0]["source"])
    assert '"google.colab" in sys.modules' in first and "%pip install" in first
    tagged = [cell["metadata"].get("tags") for cell in code_of(path)]
    assert tagged.count(["parameters"]) == 1
    parameters = "".join(code_of(path)[tagged.index(["parameters"])]["source"])
    assert all(f"{name} = " in parameters for name in SMALL[path.stem])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize("missing", ["av", "matplotlib", "skimage"])
def test_without_the_extra_its_first_cell_says_what_to_install(path, missing, monkeypatch):
    first = "".join(code_of(path)[0]["source"]).replace("%pip", "pass  #")
    exec(first, {})  # raises nothing where all of them are installed
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    with pytest.raises(ImportError, match=r"pip install 'keras-temporal-reg\[demo\]'"):
        exec(first, {})

"""Archives and HDF5 files that are bombs, damaged or point elsewhere are refused."""

import io
import pathlib
import pickle
import zipfile

import h5py
import numpy as np
import pytest
from helpers.models import change_weights, replace_weights, trainable
from helpers.pickles import Marker

from keras_temporal_reg import saved_models
from keras_temporal_reg.saved_models import _containers


def test_pickled_weights_are_refused(tmp_path):
    ran, content = tmp_path / "ran", io.BytesIO()
    np.savez(content, __root__=np.array([Marker(ran)], object))
    path = tmp_path / "m.keras"
    trainable().save(str(path))
    replace_weights(path, "model.weights.npz", content.getvalue())
    for allow_code in (False, True):
        with pytest.raises(
            saved_models.ModelError, match=r"weights in model\.weights\.h5, not npz"
        ):
            saved_models.load(path, allow_code=allow_code)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Marker(ran)))
    assert ran.exists()  # or this test would prove nothing


def with_member(path, name, content):
    """A whole .keras file with one more member, of any name."""
    trainable().save(str(path))
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(zipfile.ZipInfo(name), content)
    return path


@pytest.mark.parametrize(
    "name", ["../../evil", "assets/../../../evil", "/tmp/ktr-evil", "assets/evil", "C:\\evil"]
)
def test_an_archive_writes_nothing_outside(name, tmp_path, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = with_member(inside / "m.keras", name, b"evil")
    monkeypatch.chdir(inside)
    monkeypatch.setenv("TMPDIR", str(inside))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert saved_models.load(path).model.count_params() == 12
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert not pathlib.Path("/tmp/ktr-evil").exists()


@pytest.mark.parametrize("format", ["keras", "h5"])
@pytest.mark.parametrize("kind", ["link", "data", "virtual"])
def test_weights_in_other_files_are_refused(format, kind, tmp_path):
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.full((3,), 7.0, np.float32)
    model, path = trainable(), tmp_path / f"m.{format}"
    model.save(str(path))

    def attack(file):
        if kind == "link":
            file["evil"] = h5py.ExternalLink(str(secret), "/kernel")
        elif kind == "data":
            file.create_dataset("evil", (3,), "f4", external=[(str(secret), 0, 12)])
        else:
            layout = h5py.VirtualLayout((3,), "f4")
            layout[:] = h5py.VirtualSource(str(secret), "kernel", (3,))
            file.create_virtual_dataset("evil", layout)

    change_weights(path, format, attack)
    with pytest.raises(saved_models.ModelError, match=r"weights in another file \(evil\)"):
        saved_models.load(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(_containers, "MAX_CONFIG_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("config.json", " " * (2**20 + 1))
    with pytest.raises(saved_models.ModelError, match=r"at most 1 MiB of config\.json"):
        saved_models.load(tmp_path / "b.keras")


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_too_large_weights_are_refused(format, tmp_path, memory):
    path = tmp_path / f"m.{format}"
    trainable().save(str(path))
    change_weights(
        path, format, lambda file: file.create_dataset("evil", (10**12,), "f4", chunks=(10**5,))
    )
    with pytest.raises(saved_models.ModelError, match="unpack to at most 4096 MiB"):
        saved_models.load(path)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_containers, "MAX_WEIGHTS_BYTES", 2**20)
    path = tmp_path / "m.keras"
    trainable().save(str(path))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("assets/zeros", bytes(2**21))
    assert path.stat().st_size < 2**17
    with pytest.raises(saved_models.ModelError, match=r"unpack to at most 1 MiB\. Received: 2 MiB"):
        saved_models.load(path)


CORPUS = pathlib.Path(__file__).parents[1] / "fuzz" / "corpus"


@pytest.mark.parametrize("find", ["h5-crashing_attribute", "h5-endless_heap"])
def test_weights_that_crash_or_hang_hdf5_are_refused(find, tmp_path):
    path = tmp_path / "m.keras"
    trainable().save(str(path))
    replace_weights(path, "model.weights.h5", (CORPUS / find).read_bytes())
    with pytest.raises(saved_models.ModelError, match=r"m\.keras is a broken H5 file"):
        saved_models.load(path)


def test_an_attribute_of_long_text_and_an_array_of_strings_load(tmp_path):
    path = tmp_path / "m.h5"
    trainable().save(str(path))
    with h5py.File(path, "r+") as file:
        file.attrs["notes"] = "text " * 5000
        file["labels"] = ["a", "b"]
    assert saved_models.load(path).model.count_params() == 12

"""Commands on untrusted files: they write their output only, and open no connection."""

import os
import pathlib
import subprocess
import sys
import textwrap
from fractions import Fraction

import h5py
import numpy as np
import pytest
from helpers.pickles import Marker
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _hdf5
from keras_temporal_reg.io import image_files, video

PACKAGE = pathlib.Path(ktr.__file__).parent


ALERT = "<img src=x onerror=alert(1)>"


def network():
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)])


def clip_in(path, count=3):
    path.mkdir(parents=True)
    for number in range(count):
        image = np.random.default_rng(number).random((16, 16, 3)).astype(np.float32)
        image_files.write(path / f"{number}.png", image)
    return path


def everything_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_an_interrupted_run_with_a_pickle_is_not_resumed(tmp_path):
    model = tmp_path / "m.keras"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(str(model))
    inputs, ran = clip_in(tmp_path / "in"), tmp_path / "ran"
    state = tmp_path / ".out.keras.training" / "state.npz"
    state.parent.mkdir()
    np.savez(state, state=np.array([Marker(ran)], object))
    with pytest.raises(ValueError, match=r"\.out\.keras\.training"):
        ktr.finetune(
            model, tmp_path / "out.keras", inputs, inputs, steps=1, crop=8, batch_size=1,
            show_progress=False,
        )  # fmt: skip
    assert not ran.exists()


@pytest.mark.parametrize("name", ["../../evil", "/tmp/ktr-evil", "..", "a/../../b", ALERT])
def test_evaluate_writes_only_to_its_folder(name, tmp_path):
    clip = clip_in(tmp_path / "in" / "clip")
    before = everything_in(tmp_path)
    ktr.evaluate({name: network()}, [clip], tmp_path / "out", show_progress=False)
    after = everything_in(tmp_path)
    assert sorted({*after} - {*before}) == ["out/evaluation.json", "out/report.html"]
    assert not pathlib.Path("/tmp/ktr-evil").exists()


def test_finetune_and_process_write_only_their_output(tmp_path):
    inputs = clip_in(tmp_path / "in" / "..evil; rm x &")
    model = tmp_path / "in" / f"{ALERT}.keras"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(str(model))
    before = everything_in(tmp_path)
    options = {"show_progress": False}
    output = tmp_path / "out" / "..evil.keras"
    output.parent.mkdir()
    training = {"alpha": 0.8, "steps": 1, "crop": 8, "batch_size": 1}
    ktr.finetune(model, output, inputs, inputs, **training, **options)
    ktr.process(output, inputs, tmp_path / "out" / "..evil.gif", **options)
    after = everything_in(tmp_path)
    assert sorted({*after} - {*before}) == ["out/..evil.gif", "out/..evil.keras"]


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    """The report of a clip and a model whose names are HTML."""
    folder = tmp_path_factory.mktemp("hostile")
    # A slash ends a name, so the end tag spans two folders.
    clip = folder / "<script>alert(1)<" / "script>.mp4"
    clip.parent.mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    video.write(clip, frames, Fraction(25))
    image = clip_in(folder / ALERT)
    names = {"<script>alert(1)</script>": network(), ALERT: network()}
    command = f"ktr evaluate '{clip}'"
    ktr.evaluate(names, [clip, image], folder / "out", show_progress=False, command=command)
    return folder / "out" / "report.html"


def test_names_in_a_report_are_text(hostile_page):
    page = hostile_page.read_text(encoding="utf-8")
    assert page.count("<script>alert(1)") == page.count("<img src=x") == 0
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_browser_shows_hostile_names_as_text_and_asks_for_nothing(hostile_page, chromium):
    page = chromium.new_page()
    alerts, asked = [], []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(hostile_page.as_uri())
    page.wait_for_function("() => document.querySelector('video').readyState > 1")
    shown = page.inner_text("body")
    page.close()
    assert "<script>alert(1)</script>" in shown and ALERT in shown
    assert alerts == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.slow
def test_no_command_opens_a_network_connection(tmp_path):
    clip_in(tmp_path / "clip", 4)
    script = """
        import socket, sys
        def refuse(*args, **kwargs):
            raise AssertionError(f"a network was asked: {args}")
        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, refuse)
        for name in ("getaddrinfo", "gethostbyname", "create_connection"):
            setattr(socket, name, refuse)
        import numpy as np
        from tensorflow import keras
        import keras_temporal_reg as ktr
        x = np.zeros((2, 16, 16, 3), "float32")
        base = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
        model = ktr.RegularizedModel(base, ktr.RandomAffine())
        model.compile("sgd", ktr.losses.SparseJacobianLoss(), jit_compile=False)
        model.fit(x, x, verbose=0)
        base.save("m.keras")
        options = {"show_progress": False}
        ktr.evaluate(["m.keras"], ["clip"], "out", **options)
        training = {"alpha": 0.8, "steps": 1, "crop": 8, "batch_size": 1}
        ktr.finetune("m.keras", "n.keras", "clip", "clip", **training, **options)
        ktr.process("n.keras", "clip", "out.mp4", **options)
        try:
            socket.create_connection(("127.0.0.1", 9))
        except AssertionError:
            print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip().endswith("done"), done.stderr[-3000:]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((10**12, 8, 8, 3), {}, "at most 16777216 samples. Received: 1000000000000"),
        ((3, 10**6, 10**6, 3), {}, "at most 268435456 values.*1000000 x 1000000 x 3"),
        ((3, 64, 64, 10**9), {"crop": 8}, "at most 268435456 values.*8 x 8 x 1000000000"),
    ],
)
def test_too_large_hdf5_data_sets_are_refused(shape, options, message, tmp_path, memory):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("x", "y"):
            file.create_dataset(name, shape, "uint8", chunks=(1, 8, 8, 1))
    with pytest.raises(ValueError, match=message):
        ktr.data.from_hdf5(tmp_path / "a.h5", **options)


def test_too_large_hdf5_chunks_are_refused(tmp_path, memory, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("x", "y"):
            file.create_dataset(name, (2, 2**15, 2**15, 3), "u1", chunks=(1, 2**15, 2**15, 3), compression="gzip")  # fmt: skip # noqa: E501
    with pytest.raises(ValueError, match=r"compressed chunks of at most 1024 MiB.*3072 MiB"):
        ktr.data.from_hdf5(tmp_path / "a.h5", crop=8)
    assert _hdf5.MAX_CHUNK == 2**30

"""What a stranger's file cannot do: run code, write elsewhere, ask a network, fill the memory."""

import ast
import io
import itertools
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import textwrap
import zipfile
import zlib
from fractions import Fraction

import h5py
import numpy as np
import pytest
import tensorflow as tf
from helpers.models import KERAS_3, config_file
from PIL import Image
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg.data import _hdf5
from keras_temporal_reg.io import image_files, video
from keras_temporal_reg.saved_models import model_files

PACKAGE = pathlib.Path(ktr.__file__).parent
VERSION = "3.15.1" if KERAS_3 else "2.15.0"
ALERT = "<img src=x onerror=alert(1)>"
RUNS_CODE = r"holds .*loading it would run code.*--allow-code"


def network():
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)])


def trainable():
    x = keras.Input((8, 8, 3))
    return keras.Model(x, keras.layers.Conv2D(3, 1)(x))


def clip_in(path, count=3):
    path.mkdir(parents=True)
    for number in range(count):
        picture = np.random.default_rng(number).random((16, 16, 3)).astype(np.float32)
        image_files.write(path / f"{number}.png", picture)
    return path


def everything_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# Code in model files.


def functional(*layers):
    """The config of a model of Keras 2, in whose graph these layers stand beside the input."""
    given = {
        "class_name": "InputLayer",
        "name": "x",
        "config": {"name": "x", "batch_input_shape": [None, 8, 8, 3], "dtype": "float32"},
        "inbound_nodes": [],
    }
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]}
    config = {"name": "m", "layers": [given, *layers], **ends}
    return {"class_name": "Functional", "config": config}


def h5_file(path, config):
    with h5py.File(path, "w") as file:
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.zeros(0, "S1")
        for group in (file, weights):
            group.attrs["keras_version"], group.attrs["backend"] = VERSION, "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
    return path


def that_calls(function, first, **others):
    """A layer of Keras 2 that calls a function of TensorFlow while the model is loaded."""
    return {
        "class_name": "TFOpLambda",
        "name": "call",
        "config": {"name": "call", "function": function},
        "inbound_nodes": [["_CONSTANT_VALUE", -1, first, others]],
    }


def test_a_function_that_writes_files_is_not_called(tmp_path):
    written = tmp_path / "written.png"
    layer = that_calls("keras.utils.save_img", str(written), x=[[[0.0]]])
    path = h5_file(tmp_path / "m.h5", functional(layer))
    with pytest.raises(model_files.ModelError, match=RUNS_CODE):
        model_files.load(path)
    assert not written.exists()
    if not KERAS_3:  # where it does so, or this test would prove nothing
        with pytest.raises(model_files.ModelError, match="cannot be loaded"):
            model_files.load(path, allow_code=True)
        assert written.exists()


CODE = {
    "writes a picture": that_calls("keras.utils.save_img", "x"),
    "loads a model": that_calls("keras.models.load_model", "x"),
    "downloads": that_calls("keras.utils.get_file", "x"),
    "loads a library": that_calls("compat.v1.load_file_system_library", "x"),
    "prints to a file": that_calls("compat.v1.Print", "x"),
    "runs a graph": that_calls("compat.v1.import_graph_def", "x"),
    "writes logs": that_calls("summary.create_file_writer", "x"),
    "writes data": that_calls("data.Dataset.save", "x"),
    "is a method": {
        "class_name": "ClassMethod",
        "config": {"cls_symbol": "io.TFRecordWriter", "method_name": "write"},
    },
    "is an operation": {
        "class_name": "TensorFlowOpLayer",
        "config": {"node_def": {"name": "w", "op": "WriteFile"}},
    },
    "is an unread operation": {"class_name": "TensorFlowOpLayer", "config": {"node_def": "\n\x01"}},
    "reads a file": {"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}},
    "is a function in place of a class": {
        "module": "keras.src.utils.data_utils",
        "class_name": "urlretrieve",
        "config": {},
    },
    "is a function of this package": {
        "module": "keras_temporal_reg.pictures",
        "class_name": "function",
        "config": "write",
    },
    "is a Lambda layer": {"class_name": "Lambda", "module": "keras.layers", "config": {}},
}
WRAPPINGS = {
    "alone": lambda entry: entry,
    "in a layer": lambda entry: {
        "module": "keras.layers",
        "class_name": "TimeDistributed",
        "registered_name": None,
        "config": {"layer": entry},
    },
    "in a model in a model": lambda entry: functional(functional(entry)),
    "in a regularized model": lambda entry: {
        "module": "keras_temporal_reg.model",
        "class_name": "RegularizedModel",
        "registered_name": "keras_temporal_reg>RegularizedModel",
        "config": {"base_model": functional(), "perturbation": entry},
    },
    "compiled within": lambda entry: functional(
        {**functional(), "compile_config": {"loss": entry}}
    ),
    "in how it is built": lambda entry: {**functional(), "build_config": {"input_shape": [entry]}},
    "in a list in a list": lambda entry: functional({"inbound_nodes": [[[["x", 0, 0, entry]]]]}),
}


@pytest.mark.parametrize("entry", CODE.values(), ids=CODE)
def test_no_layer_of_a_file_may(entry, tmp_path):
    for make, name in ((config_file, "m.keras"), (h5_file, "m.h5")):
        with pytest.raises(model_files.ModelError, match=RUNS_CODE):
            model_files.load(make(tmp_path / name, functional(entry)))


@pytest.mark.parametrize("wrapped", WRAPPINGS.values(), ids=WRAPPINGS)
def test_code_is_found_wherever_it_hides(wrapped, tmp_path):
    entry = {"class_name": "__lambda__", "config": {"value": "4wAAAAAA"}}
    for make, name in ((config_file, "m.keras"), (h5_file, "m.h5")):
        with pytest.raises(model_files.ModelError, match=RUNS_CODE):
            model_files.load(make(tmp_path / name, wrapped(entry)))


class Marker:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_weights_that_bring_a_pickle_are_not_read(tmp_path):
    ran, content = tmp_path / "ran", io.BytesIO()
    np.savez(content, __root__=np.array([Marker(ran)], object))
    path = tmp_path / "m.keras"
    trainable().save(str(path))
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    del members["model.weights.h5"]
    with zipfile.ZipFile(path, "w") as opened:
        for name, member in {**members, "model.weights.npz": content.getvalue()}.items():
            opened.writestr(name, member)
    for allow_code in (False, True):
        with pytest.raises(model_files.ModelError, match=r"weights in model\.weights\.h5, not npz"):
            model_files.load(path, allow_code=allow_code)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Marker(ran)))
    assert ran.exists()  # or this test would prove nothing


def test_an_interrupted_run_with_a_pickle_is_not_taken_up(tmp_path):
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


def test_python_files_beside_a_model_are_not_run(tmp_path, monkeypatch):
    for module in ("h5py", "numpy", "contextlib"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w')")
    layer = keras.layers.Conv2D(3, 3, padding="same")
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    model_files.save(model, tmp_path / "model.h5", "h5")
    monkeypatch.chdir(tmp_path)
    model_files.load("model.h5")
    assert not (tmp_path / "ran").exists()


def test_the_package_neither_pickles_nor_evaluates_strings():
    suspicious = {"pickle", "marshal", "dill", "cloudpickle", "shelve", "eval", "exec"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = set()
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.Call):
                function = node.func
                names |= {getattr(function, "id", ""), getattr(function, "attr", "")}
                assert "allow_pickle" not in [k.arg for k in node.keywords], path
            assert not names & suspicious, (path, node.lineno)


def graph_of(call):
    class Called(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, x):
            with tf.control_dependencies([call(x)]):
                return tf.identity(x)

    return Called()


def inner(x):
    """An operation two functions further in."""
    return tf.cond(tf.size(x) > 0, lambda: tf.function(writes)(x), lambda: tf.constant(False))


def writes(x):
    with tf.control_dependencies([tf.io.write_file("/nowhere/file", "text")]):
        return tf.constant(True)


def written_as_checkpoint(x):
    return tf.raw_ops.SaveV2(prefix="/nowhere/x", tensor_names=["x"], shape_and_slices=[""], tensors=[x])  # fmt: skip # noqa: E501


GRAPHS = {
    "WriteFile": writes,
    "WriteFile ": inner,
    "MatchingFiles": lambda x: tf.io.matching_files("/etc/*"),
    "EagerPyFunc": lambda x: tf.py_function(lambda: 1.0, [], tf.float32),
    "PrintV2": lambda x: tf.print(x, output_stream="file:///nowhere/file"),
    "TFRecordDataset": lambda x: tf.data.TFRecordDataset("/nowhere/file").reduce(
        tf.constant(0), lambda a, b: a + 1
    ),
    "SaveV2": written_as_checkpoint,
    "RestoreV2": lambda x: tf.raw_ops.RestoreV2(
        prefix="/nowhere/x", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0],
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_reaches_out_needs_consent(name, tmp_path):
    module = graph_of(GRAPHS[name])
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.__call__})
    with pytest.raises(model_files.ModelError, match=rf"holds the operations .*{name.strip()}"):
        model_files.load(tmp_path / "m")
    model_files.load(tmp_path / "m", allow_code=True)


def test_a_graph_with_variables_is_loaded(tmp_path):
    # All of them have operations that save and restore, which nothing calls.
    model = trainable()
    if KERAS_3:
        model.export(str(tmp_path / "m"), verbose=False)
    else:
        model.save(str(tmp_path / "m"), save_format="tf")
    x = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(model_files.load(tmp_path / "m").model(x), model(x), atol=1e-6)


# Other files and folders.


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
    assert model_files.load(path).model.count_params() == 12
    assert everything_in(tmp_path) == ["a/b/m.keras"]
    assert not pathlib.Path("/tmp/ktr-evil").exists()


@pytest.mark.parametrize("form", ["keras", "h5"])
@pytest.mark.parametrize("kind", ["link", "data", "virtual"])
def test_weights_cannot_stand_in_other_files(form, kind, tmp_path):
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.full((3,), 7.0, np.float32)
    model, path = trainable(), tmp_path / f"m.{form}"
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

    change_weights(path, form, attack)
    with pytest.raises(model_files.ModelError, match=r"weights in another file \(evil\)"):
        model_files.load(path)


def change_weights(path, form, change):
    if form == "h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    weights = path.with_name("weights")
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    with zipfile.ZipFile(path, "w") as opened:
        for name, member in {**members, "model.weights.h5": weights.read_bytes()}.items():
            opened.writestr(name, member)


@pytest.mark.parametrize("name", ["../../evil", "/tmp/ktr-evil", "..", "a/../../b", ALERT])
def test_evaluate_writes_into_its_folder_alone(name, tmp_path):
    clip = clip_in(tmp_path / "in" / "clip")
    before = everything_in(tmp_path)
    ktr.evaluate({name: network()}, [clip], tmp_path / "out", show_progress=False)
    after = everything_in(tmp_path)
    assert sorted({*after} - {*before}) == ["out/evaluation.json", "out/report.html"]
    assert not pathlib.Path("/tmp/ktr-evil").exists()


def test_finetune_and_process_write_their_output_alone(tmp_path):
    inputs = clip_in(tmp_path / "in" / "..evil; rm x &")
    model = tmp_path / "in" / f"{ALERT}.keras"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(str(model))
    before = everything_in(tmp_path)
    options = {"show_progress": False}
    output = tmp_path / "out" / "..evil.keras"
    output.parent.mkdir()
    ktr.finetune(model, output, inputs, inputs, steps=1, crop=8, batch_size=1, **options)
    ktr.process(output, inputs, tmp_path / "out" / "..evil.gif", **options)
    after = everything_in(tmp_path)
    assert sorted({*after} - {*before}) == ["out/..evil.gif", "out/..evil.keras"]


def test_a_clip_that_names_other_files_reads_none_from_the_network(tmp_path, monkeypatch):
    # What FFmpeg calls goes past Python's sockets, so a server listens for it.
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(1.0)
    address = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
    playlists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n",
        "b.mp4": f"ffconcat version 1.0\nfile {address}\n",
        "c.sdp": f"v=0\ns=x\nc=IN IP4 127.0.0.1\nm=video {server.getsockname()[1]} RTP/AVP 96\n",
    }
    for name, content in playlists.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(video.ClipError, match=name):
            list(video.frames(tmp_path / name))
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


# The report.


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


# The network.


def test_nothing_asks_a_network(tmp_path):
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
        ktr.finetune("m.keras", "n.keras", "clip", "clip", steps=1, crop=8, batch_size=1, **options)
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


# Bombs: small files that claim to be large.


def png(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def exr(width, height):
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "made.exr"
        image_files.write(made, np.zeros((4, 4, 3)))
        content = made.read_bytes()
    window = struct.pack("<4i", 0, 0, 3, 3)
    return content.replace(window, struct.pack("<4i", 0, 0, width - 1, height - 1))


HDR_PIXELS = b"FORMAT=32-bit_rle_rgbe\n\n-Y 60000 +X 60000\n"
PICTURES = {
    "a.png": png(60000, 60000),
    "a.exr": exr(60000, 60000),
    "negative.exr": exr(-5, 3),
    "a.hdr": b"#?RADIANCE\n" + HDR_PIXELS,
    "comment.hdr": b"#?RADIANCE\n# -Y 4 +X 4\n" + HDR_PIXELS,
    # OpenCV takes the end of so long a line for the empty one.
    "long.hdr": b"#?RADIANCE\n" + HDR_PIXELS[:23] + b"x" * 127 + HDR_PIXELS[23:] + b"\n-Y 4 +X 4\n",
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_absurd_sizes_are_refused(name, tmp_path, memory):
    (tmp_path / name).write_bytes(PICTURES[name])
    with pytest.raises(image_files.ImageError, match=rf"{name} (.*most 134217728|cannot)"):
        image_files.read(tmp_path / name)


def test_pictures_are_read_by_known_readers_alone(tmp_path):
    # Pillow has another program draw EPS, whatever the file is called.
    Image.new("RGB", (8, 8)).save(tmp_path / "drawn.eps")
    drawn = (tmp_path / "drawn.eps").rename(tmp_path / "drawn.png")
    with pytest.raises(image_files.ImageError, match=r"drawn\.png cannot be read"):
        image_files.read(drawn)


@pytest.fixture
def memory():
    """The test must not have taken 500 MB."""
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_a_clip_of_absurd_frames_is_refused(tmp_path, memory):
    path = tmp_path / "a.gif"
    video.write(path, np.zeros((3, 16, 16, 3), np.uint8), Fraction(25))
    size, absurd = struct.pack("<HH", 16, 16), struct.pack("<HH", 16000, 16000)
    path.write_bytes(path.read_bytes().replace(size, absurd))
    for read in (video.info, lambda path: list(video.frames(path))):
        with pytest.raises(video.ClipError, match=r"at most 67108864 pixels.*16000 x 16000"):
            read(path)


def test_frames_that_grow_beyond_the_limit_end_the_clip(tmp_path, monkeypatch):
    import av

    content = b""
    for size in (32, 512):
        part = tmp_path / f"{size}.h264"
        with av.open(str(part), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
            for _ in range(3):
                picture = np.zeros((size, size, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())
        content += part.read_bytes()
    (tmp_path / "grows.mp4").write_bytes(content)
    with pytest.raises(video.BrokenClip, match="changes its size"):
        list(video.frames(tmp_path / "grows.mp4"))
    monkeypatch.setattr(video, "MAX_PIXELS", 2**14)
    with pytest.raises(video.BrokenClip, match="breaks off"):
        list(video.frames(tmp_path / "grows.mp4"))


def test_a_clip_of_too_many_frames_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    video.write(path, np.zeros((9, 16, 16, 3), np.uint8), Fraction(25))
    assert len(video.read(path).frames) == 9
    monkeypatch.setattr(video, "MAX_READ", 2**20)
    frame = video.ClipFrame(np.zeros((16, 16, 3), np.uint8), None)
    monkeypatch.setattr(video, "frames", lambda path: itertools.repeat(frame))
    with pytest.raises(video.ClipError, match=r"at most 1365 frames of 16 x 16.*1 MiB"):
        video.read(path)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((10**12, 8, 8, 3), {}, "at most 16777216 samples. Received: 1000000000000"),
        ((3, 10**6, 10**6, 3), {}, "at most 268435456 values.*1000000 x 1000000 x 3"),
        ((3, 64, 64, 10**9), {"crop": 8}, "at most 268435456 values.*8 x 8 x 1000000000"),
    ],
)
def test_hdf5_files_of_absurd_sizes_are_refused(shape, options, message, tmp_path, memory):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("x", "y"):
            file.create_dataset(name, shape, "uint8", chunks=(1, 8, 8, 1))
    with pytest.raises(ValueError, match=message):
        ktr.data.from_hdf5(tmp_path / "a.h5", **options)


def test_hdf5_files_of_absurd_chunks_are_refused(tmp_path, memory, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("x", "y"):
            file.create_dataset(name, (2, 2**15, 2**15, 3), "u1", chunks=(1, 2**15, 2**15, 3), compression="gzip")  # fmt: skip # noqa: E501
    with pytest.raises(ValueError, match=r"compressed chunks of at most 1024 MiB.*3072 MiB"):
        ktr.data.from_hdf5(tmp_path / "a.h5", crop=8)
    assert _hdf5.MAX_CHUNK == 2**30


@pytest.mark.parametrize("form", ["keras", "h5"])
def test_weights_of_absurd_sizes_are_refused(form, tmp_path, memory):
    path = tmp_path / f"m.{form}"
    trainable().save(str(path))
    change_weights(
        path, form, lambda file: file.create_dataset("evil", (10**12,), "f4", chunks=(10**5,))
    )
    with pytest.raises(model_files.ModelError, match="unpack to at most 4096 MiB"):
        model_files.load(path)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "MAX_WEIGHTS_BYTES", 2**20)
    path = tmp_path / "m.keras"
    trainable().save(str(path))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("assets/zeros", bytes(2**21))
    assert path.stat().st_size < 2**17
    with pytest.raises(model_files.ModelError, match=r"unpack to at most 1 MiB\. Received: 2 MiB"):
        model_files.load(path)

"""A clip through a network: read, run and written, and by `ktr.evaluate` and `ktr.process`.

The clip is its own reference, as it is of a denoising network; whoever evaluates reads both.
"""

import fractions
import functools
import pathlib
import tempfile

import numpy as np
from tensorflow import keras

import keras_temporal_reg as ktr
from cases import common
from keras_temporal_reg.experiments import media, networks
from keras_temporal_reg.io import video

BATCH = 8
CHANNELS = {"small": (8, 1), "large": (24, 4)}  # and depth
FORMAT = ".mp4"


def prepare(batch, size, network, part):
    temporary = tempfile.TemporaryDirectory(prefix="clip-")
    folder = pathlib.Path(temporary.name)
    path = folder / f"clip{FORMAT}"
    frames, _ = video.read(media.shipped_clips()[1])
    width = round(size * 16 / 9)
    video.write(
        path,
        [video.resize(frame, width, size) / np.float32(255) for frame in frames[:batch]],
        fractions.Fraction(25),
    )
    keras.utils.set_random_seed(0)
    model = networks.denoising_net(*CHANNELS[network])
    # A new one returns its input; what a trained one returns leaves [0, 1] here and there.
    noise = np.random.default_rng(0)
    model.set_weights([w + noise.normal(0.0, 0.02, w.shape) for w in model.get_weights()])
    call = functools.partial(PARTS[part], model, path, folder)
    call.folder = temporary  # goes when the call does
    return call


def run(model, path, folder, times=1):
    for _ in range(times):
        frames = video.read(path).frames
    return model.predict(video.to_float32(frames), batch_size=BATCH, verbose=0)


def write(model, path, folder):
    results = run(model, path, folder)
    video.write(folder / f"written{FORMAT}", [*results], fractions.Fraction(25))


def evaluate(model, path, folder):
    ktr.evaluate({"model": model}, [path], folder, references=[path], show_progress=False)


def process(model, path, folder):
    output = folder / f"processed{FORMAT}"
    ktr.process(model, path, output, value_range=(0.0, 1.0), show_progress=False)


PARTS = {
    "read twice and run": functools.partial(run, times=2),
    "read, run and write": write,
    "evaluate": evaluate,
    "process": process,
}
version = functools.partial(common.versions, "tensorflow", "keras", "opencv-python-headless")

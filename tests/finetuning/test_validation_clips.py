"""Clips that alpha is chosen on: given ones, or images under a virtual camera."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg import tasks
from keras_temporal_reg.data._crops import CropShape
from keras_temporal_reg.evaluation import camera
from keras_temporal_reg.experiments import scenes
from keras_temporal_reg.finetuning import data, validation_clips

FRAMES = validation_clips.STILL_FRAMES


def test_inputs_of_stills_are_made_after_the_motion():
    y = scenes.scene(0, 48, 64)
    made, frames = validation_clips.film(
        y[::2, ::2], y, lambda t: tf.nn.avg_pool2d(t, 2, 2, "VALID"), 0, 0
    )
    assert frames.shape == (FRAMES, 36, 48, 3)
    np.testing.assert_allclose(
        made,
        frames.reshape(FRAMES, 18, 2, 24, 2, 3).mean(axis=(2, 4)),
        rtol=1e-5,
    )


def test_x_is_not_needed_where_it_is_made():
    y = scenes.scene(0, 52, 64)
    make_input = tasks.super_resolution_3.make_input
    ((x, frames),) = validation_clips.gather(None, None, [(None, y)], make_input, 0)
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
    made, frames = validation_clips.film(x, y, None, 0, 0)
    assert made.shape == (FRAMES, *camera.frame_size(48, 64), 2)
    count, height, width = made.shape[:3]
    means = frames.reshape(count, height, 2, width, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(made, means, atol=1e-2)


def held_out(*samples):
    """Image data whose held-out images are in memory."""
    pairs = [SimpleNamespace(x=Path(f"{n}.png"), sample=s) for n, s in enumerate(samples)]
    return data.ImageData([], pairs, [], lambda pair: pair.sample, CropShape(16, 16), None, 2, 0)


def test_stills_are_the_centers_of_large_images():
    y = np.arange(100 * 400, dtype=np.float32).reshape(100, 400, 1)
    ((x, shown),), too_small = validation_clips.stills_of(held_out((None, y)))
    assert x is None and too_small == []
    np.testing.assert_array_equal(shown, y[:, 72:328])


def test_no_more_stills_are_used_than_needed():
    y = np.zeros((32, 32, 1), np.float32)
    stills, _ = validation_clips.stills_of(held_out(*[(y, y)] * 6))
    assert len(stills) == validation_clips.STILLS < 6


def test_images_too_small_for_a_camera_are_named():
    small, large = (np.zeros((side, side, 1), np.float32) for side in (18, 32))
    stills, too_small = validation_clips.stills_of(held_out((None, small), (None, large)))
    assert len(stills) == 1
    assert too_small == [
        "0.png: not used to choose alpha, since a camera over 18 x 18 pixels has frames of "
        "12 x 12, smaller than the crop of 16 x 16"
    ]
    with pytest.raises(ValueError, match=r"larger images to validate on, .*18 x 18 pixels"):
        validation_clips.stills_of(held_out((None, small)))

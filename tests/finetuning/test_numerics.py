"""NaN and infinity in training: named with the step and the images."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_temporal_reg.finetuning import numerics

NAMES = [["a", "b"], ["c", "a"], ["b", "b"]]


def batches(bad_x=None, bad_y=None):
    """Three steps of two rows, with a bad value at ``(step, row)``."""
    x, y = (np.zeros((3, 2, 4, 4, 1), np.float32) for _ in "xy")
    for part, place, value in ((x, bad_x, np.nan), (y, bad_y, np.inf)):
        if place is not None:
            part[place][..., 0, 1, :] = value
    return lambda start, stop: tf.data.Dataset.from_tensor_slices((x[start:stop], y[start:stop]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"bad_x": (1, 1)}, "the x of step 1 is NaN or infinite.* Its images: a$"),
        ({"bad_y": (2, 0)}, "the y of step 2 is NaN or infinite.* Its images: b$"),
        ({"bad_x": (2, slice(None))}, "the x of step 2 .* Its images: b$"),
        ({"bad_x": (1, slice(None))}, "the x of step 1 .* Its images: c, a$"),
    ],
)
def test_a_bad_batch_names_its_images(bad, message):
    checked = numerics.CheckedBatches(batches(**bad), lambda step: NAMES[step])
    with pytest.raises(tf.errors.OpError):
        for _ in checked(1, 3):
            pass
    with pytest.raises(ValueError, match=message):
        raise checked.error


def test_good_batches_pass_unchanged():
    checked = numerics.CheckedBatches(batches(), lambda step: NAMES[step])
    passed = [*checked(0, 3)]
    assert len(passed) == 3
    for (x, y), (a, b) in zip(passed, batches()(0, 3)):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)
    assert checked.error is None


def test_batches_before_the_bad_one_come_first():
    checked = numerics.CheckedBatches(batches(bad_x=(2, 0)), lambda step: NAMES[step])
    assert len([*checked(0, 2)]) == 2


@pytest.mark.parametrize("logs", [{"loss": np.nan}, {"loss": 1.0, "val_loss": np.inf}])
def test_a_part_with_a_bad_loss_stops_the_run(logs):
    callback = numerics.StopAtNonFiniteLoss(0.5)
    callback.set_model(SimpleNamespace(optimizer=SimpleNamespace(iterations=np.int64(30))))
    callback.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    with pytest.raises(numerics.NonFiniteLoss, match=r"after 30 steps, .*Received: 0\.5$"):
        callback.on_epoch_end(2, logs)

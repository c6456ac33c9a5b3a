"""The images of a fine-tuning: split, cropped and named."""

import numpy as np
import pytest
from helpers.models import network

from keras_temporal_reg import tasks
from keras_temporal_reg.data._crops import CropShape
from keras_temporal_reg.finetuning import data
from keras_temporal_reg.finetuning.config import FinetuneConfig
from keras_temporal_reg.io import image_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one color each, that of their number."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(5):
        image_files.write(folder / f"{number}.png", np.full((16, 20, 3), number / 10))
    return folder


def prepare(folder, task=tasks.colorization, **options):
    config = FinetuneConfig(batch_size=3, alpha=0.8, **options)
    return data.prepare(folder, None, task, CropShape(8, 8), config)


@pytest.mark.parametrize(("validation", "count"), [(0.0, 0), (0.01, 1), (0.4, 2), (0.99, 4)])
def test_held_out_images_are_not_trained_on(folder, validation, count):
    images = prepare(folder, validation=validation)
    assert len(images.held_out) == count
    names = {pair.x.name for pair in (*images.held_out, *images.training)}
    assert len(names) == 5 and images.skipped == []
    assert (images.validation() is None) == (count == 0)


def test_the_seed_chooses_the_held_out_images(folder):
    chosen = {prepare(folder, seed=seed).held_out[0] for seed in range(8)}
    assert len(chosen) > 1
    assert prepare(folder, seed=1).held_out == prepare(folder, seed=1).held_out


def test_the_rows_of_a_step_are_of_the_images_with_those_names(folder):
    images = prepare(folder)
    for step, (x, _) in enumerate(images.batches(0, 5)):
        numbers = np.round(10 * x.numpy()[:, 0, 0, 0]).astype(int)
        assert [f"{number}.png" for number in numbers] == images.names_of_step(step)


def test_validation_is_the_same_each_time_for_inputs_made_at_random(folder):
    validation = prepare(folder, tasks.denoising, validation=0.4).validation()
    (first,), (again,) = [*validation], [*validation]
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)
    x, y = first
    assert (x - y).numpy().std() == pytest.approx(0.05, rel=0.2)


def test_crops_have_the_size_that_the_model_is_made_for():
    model = network(scale=2)
    assert data.crop_shape(model, tasks.super_resolution, None, False) == CropShape(64, 64, 2)
    assert data.crop_shape(model, tasks.super_resolution, 16, False) == CropShape(16, 16, 2)
    with pytest.raises(ValueError, match=r"2 times .* the task denoising wants 1 times"):
        data.crop_shape(model, tasks.denoising, 16, False)


def test_a_task_without_a_degradation_needs_targets():
    model = network(scale=1)
    assert data.crop_shape(model, tasks.restoration, 16, True) == CropShape(16, 16, 1)
    with pytest.raises(ValueError, match=r"task restoration .* --targets"):
        data.crop_shape(model, tasks.restoration, 16, False)


def test_the_first_image_that_can_be_read_is_the_sample(tmp_path):
    (tmp_path / "a.png").write_bytes(b"gone")
    with pytest.raises(image_files.ImageError, match=r"none in .*(?s:.*)a\.png: .*cannot be read"):
        data.first_sample(tmp_path, None, tasks.restoration)
    image_files.write(tmp_path / "b.png", np.full((9, 8, 3), 0.2))
    x, y = data.first_sample(tmp_path, None, tasks.colorization)
    assert x.shape == (9, 8, 1) and y.shape == (9, 8, 2)
    x, y = data.first_sample(tmp_path, None, tasks.restoration, has_teacher=True)
    np.testing.assert_allclose(x, 0.2, atol=1e-6)
    assert y is None


def test_pictures_that_are_not_read_are_counted_among_the_skipped(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "a.heic").write_bytes(b"")
    assert prepare(tmp_path).skipped == ["1 file is skipped: .heic (1); convert it to PNG."]

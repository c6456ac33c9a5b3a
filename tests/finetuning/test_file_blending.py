"""Blending of files: the result in its format, statistics from a folder, errors by name."""

import numpy as np
import pytest
from helpers import models as helpers
from tensorflow import keras

import keras_temporal_reg as ktr
from keras_temporal_reg import saved_models
from keras_temporal_reg.finetuning import file_blending
from keras_temporal_reg.io import image_files

layers = keras.layers


def network(seed, has_statistics=True):
    keras.utils.set_random_seed(seed)
    stack = [keras.Input((None, None, 3)), layers.Conv2D(3, 3, padding="same")]
    if has_statistics:
        stack.append(layers.BatchNormalization())
    return keras.Sequential(stack)


@pytest.fixture
def pair(tmp_path):
    """Two models with statistics in .keras files, and their paths."""
    models = [network(seed) for seed in range(2)]
    paths = [tmp_path / f"{seed}.keras" for seed in range(2)]
    for model, path in zip(models, paths):
        saved_models.save(model, path, "keras")
    return models, paths


@pytest.fixture
def images(tmp_path):
    """A folder of images that are all blue, and one that is smaller than a crop."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(4):
        image_files.write(folder / f"{n}.png", np.full((128, 128, 3), [0.0, 0.2, 1.0]))
    image_files.write(folder / "small.png", np.zeros((8, 8, 3)))
    return folder


def blend(*arguments, **options):
    return file_blending.blend_files(*arguments, show_progress=False, **options)


def test_statistics_are_those_of_the_images(tmp_path, pair, images, capsys):
    models, paths = pair
    output = tmp_path / "out.keras"
    result = blend(paths, [0.25, 0.75], output, images, task="restoration")
    assert (result.statistics, result.pictures) == ("estimated", 4)
    assert [reason.partition(":")[0] for reason in result.skipped] == ["small.png"]
    blue = np.full((8, 64, 64, 3), [0.0, 0.2, 1.0], np.float32)
    expected = ktr.blend(models, [0.25, 0.75], [np.round(255 * blue) / 255])
    found = saved_models.load(output).model
    for a, b in zip(found.get_weights(), expected.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    file_blending.show(result)
    printed = capsys.readouterr().out
    assert "estimated on 4 images" in printed and str(output) in printed


def test_the_value_range_is_that_of_the_inputs(tmp_path, pair, images):
    models, paths = pair
    blend(paths, [0.5, 0.5], tmp_path / "o.keras", images, task="restoration", value_range=(-1, 3))
    blue = np.full((8, 64, 64, 3), [0.0, 0.2, 1.0], np.float32)
    expected = ktr.blend(models, [0.5, 0.5], [np.round(255 * blue) / 255 * 4 - 1])
    found = saved_models.load(tmp_path / "o.keras").model
    for a, b in zip(found.get_weights(), expected.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_value_range_is_found_where_it_is_not_given(tmp_path, images):
    paths = [tmp_path / f"{seed}.keras" for seed in range(2)]
    for seed, path in enumerate(paths):
        body = network(seed).layers
        model = keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(1 / 255), *body])
        saved_models.save(model, path, "keras")
    found = blend(paths, [0.5, 0.5], tmp_path / "found.keras", images, task="restoration")
    options = {"task": "restoration", "value_range": (0, 255)}
    given = blend(paths, [0.5, 0.5], tmp_path / "given.keras", images, **options)
    assert "0..255 in" in found.notes[0] and given.notes == ()
    a, b = (saved_models.load(r.output).model.get_weights() for r in (found, given))
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def test_a_task_that_makes_its_input_is_read_too(tmp_path, images):
    paths = [tmp_path / f"{seed}.keras" for seed in range(2)]
    for path in paths:
        saved_models.save(helpers.network(scale=2), path, "keras")
    result = blend(paths, [0.5, 0.5], tmp_path / "o.keras", images, task="super-resolution")
    assert result.statistics == "estimated"


def test_without_images_statistics_are_averaged_and_the_option_is_named(tmp_path, pair, capsys):
    result = blend(pair[1], [0.5, 0.5], tmp_path / "out.keras")
    assert result.statistics == "averaged"
    file_blending.show(result)
    assert "--inputs" in capsys.readouterr().out


def test_statistics_are_kept_where_nothing_changes_them(tmp_path, pair, images):
    assert blend(pair[1], [0, 1], tmp_path / "a.keras", images).statistics == "kept"
    plain = [tmp_path / f"plain{seed}.keras" for seed in range(2)]
    for seed, path in enumerate(plain):
        saved_models.save(network(seed, has_statistics=False), path, "keras")
    assert blend(plain, [0.5, 0.5], tmp_path / "b.keras").statistics == "kept"


@pytest.mark.parametrize("name, format", [("out.h5", "h5"), ("out.keras", "keras")])
def test_the_suffix_says_the_format(tmp_path, pair, name, format):
    blend(pair[1], [0.5, 0.5], tmp_path / name)
    assert saved_models.format_of(tmp_path / name) == format


def test_an_unknown_suffix_is_refused_by_name(tmp_path, pair):
    with pytest.raises(saved_models.ModelError, match=r"out\.new must end in \.keras, \.h5"):
        blend(pair[1], [0.5, 0.5], tmp_path / "out.new")


def test_the_output_may_not_be_one_of_the_models(tmp_path, pair):
    _, paths = pair
    before = paths[1].read_bytes()
    for output in (paths[1], tmp_path / "sub" / ".." / "1.keras"):
        with pytest.raises(ValueError, match=r"output must be another file than model .*1\.keras"):
            blend(paths, [0.5, 0.5], output)
    (tmp_path / "link.keras").symlink_to(paths[1])
    with pytest.raises(ValueError, match="output must be another file"):
        blend(paths, [0.5, 0.5], tmp_path / "link.keras")
    assert paths[1].read_bytes() == before


def test_after_an_error_the_output_is_as_it_was(tmp_path, pair):
    output = tmp_path / "out.keras"
    output.write_bytes(b"earlier")
    other = tmp_path / "other.keras"
    saved_models.save(network(0, has_statistics=False), other, "keras")
    with pytest.raises(ValueError, match="same architecture"):
        blend([pair[1][0], other], [0.5, 0.5], output)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="inputs must have at least 2 usable images"):
        blend(pair[1], [0.5, 0.5], output, tmp_path / "empty", task="restoration")
    assert output.read_bytes() == b"earlier"
    assert not [*tmp_path.glob(".writing-*")]

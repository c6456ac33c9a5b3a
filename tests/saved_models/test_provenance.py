"""What a model was steadied on is known beside it, and other footage is named."""

import numpy as np
from helpers.footage import moving, write_folder

from keras_temporal_reg import saved_models


def test_other_footage_is_named(tmp_path):
    model = tmp_path / "steady.keras"
    clip = write_folder(tmp_path / "clip", moving(4))
    other = write_folder(tmp_path / "other", moving(5))
    assert saved_models.other_footage(model, clip) is None  # nothing is known
    saved_models.write_record(model, [clip], {"weights": {"original": 1.0}})
    assert saved_models.other_footage(model, clip) is None
    sentence = saved_models.other_footage(model, other)
    assert f"{model} was steadied on {clip}" in sentence and f"such as {other}" in sentence
    assert saved_models.other_footage(object(), other) is None


def test_files_are_told_apart_by_their_content(tmp_path):
    rng = np.random.default_rng(0)
    a, same, b = (tmp_path / name for name in ("a.mp4", "same.mp4", "b.mp4"))
    content = rng.bytes(2**20)
    a.write_bytes(content + b"a")
    same.write_bytes(content + b"a")
    b.write_bytes(content + b"a longer end")
    saved_models.write_record(tmp_path / "steady.h5", [a], {})
    assert saved_models.other_footage(tmp_path / "steady.h5", same) is None
    assert saved_models.other_footage(tmp_path / "steady.h5", b) is not None


def test_a_record_that_cannot_be_read_says_nothing(tmp_path):
    (tmp_path / "steady.steadied.json").write_text("{")
    assert saved_models.other_footage(tmp_path / "steady.keras", tmp_path / "clip") is None

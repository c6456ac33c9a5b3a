"""Tests of finding tasks by name and by dotted path."""

import pytest

import keras_temporal_reg as ktr
from keras_temporal_reg.tasks._registry import TASKS


def test_every_public_task_is_found_by_its_name():
    public = [getattr(ktr.tasks, name) for name in ktr.tasks.__all__]
    tasks = [task for task in public if isinstance(task, ktr.tasks.Task)]
    assert len(tasks) == len(TASKS) == 10
    for task in tasks:
        assert ktr.tasks.find(task.name) is task


def test_a_task_is_found_as_itself():
    assert ktr.tasks.find(ktr.tasks.denoising) is ktr.tasks.denoising


def test_a_task_is_found_by_its_dotted_path():
    assert ktr.tasks.find("keras_temporal_reg.tasks.denoising") is ktr.tasks.denoising


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "magic",
            "task must be one of colorization, deblurring, denoising, hdr.*Received: 'magic'",
        ),
        ("no_module.task", "Received: 'no_module.task'"),
        ("os.path", "must be a keras_temporal_reg.tasks.Task"),
    ],
)
def test_an_unknown_task_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        ktr.tasks.find(name)

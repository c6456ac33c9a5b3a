"""Training steps on crops of photographs on disk, as `ktr.finetune` reads them: seconds for 10."""

import functools
import pathlib
import tempfile

import cv2
import numpy as np
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr
from cases import common, devices, steps
from keras_temporal_reg.data import _crops
from keras_temporal_reg.experiments import networks
from keras_temporal_reg.finetuning import data
from keras_temporal_reg.finetuning.config import FinetuneConfig

COUNT = 12
ROWS, COLUMNS = 3000, 4000
STEPS = 10


def write(folder):
    """Photographs of 12 megapixels, as cameras write them: noise over smooth shapes."""
    for number in range(COUNT):
        coarse = common.pictures(30, 40, 3, seed=number)
        picture = cv2.resize(coarse, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
        picture += 0.02 * np.random.default_rng(number).standard_normal(picture.shape, np.float32)
        pixels = (255 * np.clip(picture, 0, 1)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])


def network():
    keras.utils.set_random_seed(0)
    return networks.denoising_net()


def train(step, batches, _):
    for _ in range(STEPS):
        devices.finish(step(batches))


def prepare(batch, size, task, on_disk=True):
    model = ktr.RegularizedModel(
        {"colorization": steps.network, "denoising": network}[task](), ktr.RandomAffine(seed=0)
    )
    steps.compile_model(model, ktr.losses.SparseJacobianLoss(common.ALPHA), False)
    temporary = tempfile.TemporaryDirectory(prefix="pictures-")  # goes when the call does
    folder = pathlib.Path(temporary.name)
    write(folder)
    task = getattr(ktr.tasks, task)
    shape = _crops.CropShape(size, size, 1)
    options = {"batch_size": batch, "validation": 0.0, "alpha": common.ALPHA}
    config = FinetuneConfig(task=task, **options)
    images = data.prepare(folder, None, task, shape, config)
    batches = images.batches(0, 10**6)
    first = next(iter(batches))
    if not on_disk:
        batches = tf.data.Dataset.from_tensors(first).repeat()
    model.train_on_batch(*first)
    step = model.make_train_function() or model.train_function
    return functools.partial(train, step, iter(batches), temporary)


version = functools.partial(common.versions, "tensorflow", "keras", "opencv-python-headless")

"""Write the models of this folder: run once, with version 0.1 of the package installed.

    python make.py keras3    # TensorFlow 2.21, Keras 3.15
    python make.py keras2    # TensorFlow 2.15, Keras 2.15

`../../system/test_saved_by_0_1.py` loads them with the package as it is now.
"""

import pathlib
import sys

import numpy as np
from tensorflow import keras

import keras_temporal_reg as ktr


def images(channels):
    shape = (4, 8, 8, channels)
    return np.linspace(0.0, 1.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def network():
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, padding="same")]
    return keras.Sequential(layers)


def regularized():
    model = ktr.RegularizedModel(
        network(),
        ktr.RandomAffine(translation=1.5, rotation=(0.0, 2.0), fill_mode="nearest", seed=3),
        perturbation=keras.layers.GaussianNoise(0.01),
        pair_fraction=0.5,
    )
    loss = ktr.losses.TransformInvarianceLoss(
        alpha=0.7, reconstruction="mae", distance="ssim", border=1, contrast=0.1
    )
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=["mae"])
    model.fit(images(1), images(2), batch_size=4, verbose=0)
    return model


def plain():
    model = network()
    loss = ktr.losses.SparseJacobianLoss(alpha=0.6, distance=keras.losses.LogCosh())
    metric = ktr.metrics.Unpaired(keras.metrics.MeanAbsoluteError(), name="mae", pair_fraction=0.5)
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=[metric])
    model.fit(images(1), images(2), batch_size=4, verbose=0)
    return model


def main(folder):
    folder = pathlib.Path(__file__).parent / folder
    folder.mkdir(exist_ok=True)
    keras.utils.set_random_seed(0)
    expected = {}
    for name, model in (("regularized", regularized()), ("plain", plain())):
        model.save(folder / f"{name}.keras")
        expected[name] = model.predict(images(1), verbose=0)
        if name == "plain" and folder.name == "keras2":
            model.save(folder / f"{name}.h5")
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main(sys.argv[1])

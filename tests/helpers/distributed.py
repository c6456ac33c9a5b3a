"""What test_distribution trains, in the test's own process and in those that it starts.

Called with names of cases and of a file, this is one process of several: it trains the cases under
the strategy that its environment asks for, and saves the weights there.
"""

import os
import sys

import numpy as np
import tensorflow as tf
from tensorflow import keras

import keras_temporal_reg as ktr

DEVICES = int(os.environ.get("TEST_DEVICES", "1"))
if __name__ != "__main__":
    strategy = tf.distribute.get_strategy()
elif DEVICES == 1:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
else:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * DEVICES,
    )
    strategy = tf.distribute.MirroredStrategy([f"CPU:{n}" for n in range(DEVICES)])

BATCH, STEPS, RATE, SIZE = 8, 5, 0.1, 12


class OneMotion:
    """The same T for every sample, step and replica."""

    def sample(self, batch_size, height, width, seed=None):
        motion = tf.constant([[1.01, 0.02, 0.5, -0.01, 0.99, -1.25, 0.0, 0.0]])
        return tf.tile(motion, (batch_size, 1))

    def apply(self, images, transforms):
        return ktr.image.transform(images, transforms, "bilinear", "reflect")


def samples(count=BATCH * STEPS):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(count, SIZE, SIZE, 1))
    weight = rng.uniform(0.5, 1.5, size=count)
    return [part.astype(np.float32) for part in (x, x**2, weight)]


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.Conv2D(3, 3, padding="same", activation="tanh"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ]
    )


def loss_of(name, alpha=0.7):
    return getattr(ktr.losses, name)(alpha=alpha)


def compiled(model, loss, **options):
    model.compile(keras.optimizers.SGD(RATE, **options), loss, jit_compile=False)
    return model


def dataset(*parts, batch_size=BATCH):
    made = tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch_size)
    options = tf.data.Options()
    # Each worker takes its share of every batch, as Keras asks for where it is given arrays.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return made.with_options(options)


def in_graph(loss, transform, *parts, batch_size=BATCH):
    with strategy.scope():
        model = compiled(ktr.RegularizedModel(network(), transform), loss)
    model.fit(dataset(*parts, batch_size=batch_size), verbose=0)
    return model.base_model


def in_the_pipeline(loss, transform, *parts):
    with strategy.scope():
        model = compiled(network(), loss)
    paired = ktr.data.pair_with_transformed(dataset(*parts), transform)
    if hasattr(keras, "ops") and strategy.num_replicas_in_sync == 1:
        # Keras 3 looks at a first batch where there is a strategy, and that is a draw.
        next(iter(paired))
    model.fit(paired, verbose=0)
    return model


def paired_for_each_replica(loss, transform, *parts, batch_size):
    """Batches that are made for a replica, and so never divided."""

    def of_worker(context):
        size = context.get_per_replica_batch_size(batch_size)
        batches = tf.data.Dataset.from_tensor_slices(parts).batch(size)
        return ktr.data.pair_with_transformed(batches, transform)

    with strategy.scope():
        model = compiled(network(), loss)
    steps = len(parts[0]) // batch_size
    batches = strategy.distribute_datasets_from_function(of_worker)
    model.fit(batches, steps_per_epoch=steps, verbose=0)
    return model


def plainly(*parts):
    with strategy.scope():
        model = compiled(network(), "mse")
    model.fit(dataset(*parts), verbose=0)
    return model


X, Y, WEIGHT = samples()
ODD = 2 * 3  # three samples for each of two replicas
UNEVEN = slice(0, 4 * BATCH + 7)  # the last batch has seven
# The same whatever the number of replicas.
SAME = {
    "invariance": lambda: in_graph(loss_of("TransformInvarianceLoss"), OneMotion(), X, Y),
    "data": lambda: in_the_pipeline(
        loss_of("TransformInvarianceLoss"), ktr.RandomAffine(seed=0), X, Y, WEIGHT
    ),
}
# Each replica's share counts for itself.
BY_REPLICA = {
    "uneven": lambda: in_graph(
        loss_of("TransformInvarianceLoss"), ktr.RandomAffine(seed=0), X[UNEVEN], Y[UNEVEN]
    ),
    "alpha 0": lambda: in_graph(
        loss_of("SparseJacobianLoss", 0.0), ktr.RandomAffine(seed=0), X[UNEVEN], Y[UNEVEN]
    ),
    "plain": lambda: plainly(X[UNEVEN], Y[UNEVEN]),
    "for each replica": lambda: paired_for_each_replica(
        loss_of("SparseJacobianLoss"), OneMotion(), X[: 4 * ODD], Y[: 4 * ODD], batch_size=ODD
    ),
}
CASES = {**SAME, **BY_REPLICA}


def split_pairs():
    """The error of a batch whose five pairs two replicas divide."""
    try:
        in_the_pipeline(loss_of("SparseJacobianLoss"), ktr.RandomAffine(seed=0), X[:5], Y[:5])
    except tf.errors.InvalidArgumentError as error:
        return str(error)
    return "none"


def accumulated():
    """The errors of gradients that are accumulated: of plain Keras, and of a regularized model."""
    errors = []
    jacobian = loss_of("SparseJacobianLoss")
    for wrap, loss in ((lambda base: base, "mse"), (ktr.RegularizedModel, jacobian)):
        try:
            with strategy.scope():
                model = compiled(wrap(network()), loss, gradient_accumulation_steps=2)
            model.fit(dataset(X, Y), verbose=0)
        except (NotImplementedError, RuntimeError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return errors


def main(cases, output):
    kept = {"replicas": strategy.num_replicas_in_sync}
    for case in cases.split(","):
        if case == "split pairs":
            kept[case] = split_pairs()
        elif case == "accumulated":
            kept[case] = accumulated()
        else:
            kept |= {f"{case}/{n}": v for n, v in enumerate(CASES[case]().get_weights())}
    np.savez(output, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])

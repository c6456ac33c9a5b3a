"""Reference networks: what they compute, which sizes they take, and that Keras alone loads them."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tensorflow import keras

from keras_temporal_reg.experiments import networks, scenes

NETWORKS = {
    "hdr": lambda: networks.hdr_unet(channels=4, levels=2),
    "super-resolution": lambda: networks.super_resolution_net(2, channels=4, depth=1),
    "denoising": lambda: networks.denoising_net(channels=4, depth=1),
}


def _random(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _changed(network):
    """The network with other weights than it was made with."""
    rng = np.random.default_rng(1)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(0.0, 0.1, variable.shape))
    return network


def test_unsaturated_pixels_come_from_the_input():
    network = _changed(networks.hdr_unet(channels=4, levels=2))
    x = np.linspace(0.0, 0.95, 16 * 24 * 3, dtype=np.float32).reshape(1, 16, 24, 3)
    expected = scenes.linearized(x)
    np.testing.assert_allclose(network.predict(x, verbose=0), expected, atol=0.01)


def test_saturated_pixels_come_from_the_network():
    network = networks.hdr_unet(channels=4, levels=2)
    x = _random(1, 16, 16, 3) * 0.9
    x[0, 4, 5, 1] = 1.0  # one channel is enough
    before = network.predict(x, verbose=0)
    last = [layer for layer in network.layers if layer.__class__.__name__ == "Conv2D"][-1]
    kernel, bias = last.get_weights()
    last.set_weights([kernel, bias + 2.0])
    change = network.predict(x, verbose=0) - before
    np.testing.assert_allclose(change[0, 4, 5], 2.0, atol=1e-4)
    change[0, 4, 5] = 0.0
    np.testing.assert_allclose(change, 0.0, atol=1e-5)


def test_the_logarithm_is_not_trained():
    network = networks.hdr_unet(channels=4, levels=1)
    x = _random(2, 8, 8, 3)
    network.compile("sgd", "mse")
    frozen = [w.numpy() for w in network.non_trainable_weights]
    assert frozen
    network.fit(x, x, verbose=0)
    for before, after in zip(frozen, network.non_trainable_weights):
        np.testing.assert_array_equal(before, after.numpy())


@pytest.mark.parametrize("size", [(8, 8), (8, 24), (40, 16)])
def test_hdr_unet_takes_any_multiple(size):
    network = networks.hdr_unet(channels=2, levels=3)
    x = _random(1, *size, 3)
    assert network.predict(x, verbose=0).shape == x.shape


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_begins_as_repeated_pixels(scale):
    network = networks.super_resolution_net(scale, channels=4, depth=1)
    x = _random(1, 5, 7, 3)
    repeated = x.repeat(scale, axis=1).repeat(scale, axis=2)
    np.testing.assert_allclose(network.predict(x, verbose=0), repeated, atol=1e-6)
    changed = _changed(network).predict(x, verbose=0)
    assert changed.shape == repeated.shape and np.abs(changed - repeated).max() > 1e-3


@pytest.mark.parametrize("depth", [1, 4])
def test_denoising_begins_as_the_identity_and_sees_as_far_as_its_layers(depth):
    network = networks.denoising_net(channels=4, depth=depth)
    x = _random(1, 31, 30, 3)
    np.testing.assert_allclose(network.predict(x, verbose=0), x, atol=1e-6)
    other = x.copy()
    other[0, 15, 15] += 0.5
    for variable in _changed(network).trainable_variables:
        variable.assign(np.abs(variable.numpy()))  # above 0, where ReLUs are linear
    change = network.predict(other, verbose=0) - network.predict(x, verbose=0)
    rows, columns = np.nonzero(np.abs(change[0]).max(axis=-1))
    # Each of the depth + 2 convolutions of 3 x 3 pixels reaches one pixel further.
    assert np.abs(rows - 15).max() == np.abs(columns - 15).max() == depth + 2


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NETWORKS)
def test_keras_alone_loads_them(tmp_path, name, suffix):
    network = _changed(NETWORKS[name]())
    x = _random(1, 16, 16, 3)
    network.save(tmp_path / f"network{suffix}")
    np.save(tmp_path / "x.npy", x)
    script = f"""
        import sys
        sys.modules["keras_temporal_reg"] = None  # cannot be imported
        import numpy as np
        from tensorflow import keras
        options = {{"safe_mode": True}} if {suffix!r} == ".keras" else {{}}
        network = keras.models.load_model("network{suffix}", compile=False, **options)
        kinds = {{type(layer).__name__ for layer in network.layers}}
        assert not any("Lambda" in kind for kind in kinds), kinds
        np.save("y.npy", network.predict(np.load("x.npy"), verbose=0))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), network.predict(x, verbose=0), atol=1e-5
    )


def test_they_stay_in_full_precision_where_it_counts():
    policy = keras.mixed_precision.global_policy
    before = policy() if callable(policy) else policy
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        network = networks.hdr_unet(channels=2, levels=1)
        x = _random(1, 8, 8, 3) * 0.9
        made = network.predict(x, verbose=0)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, scenes.linearized(x), atol=0.02)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: networks.hdr_unet(channels=0), "channels"),
        (lambda: networks.hdr_unet(levels=0), "levels"),
        (lambda: networks.super_resolution_net(1), "scale"),
        (lambda: networks.super_resolution_net(2, depth=0), "depth"),
        (lambda: networks.denoising_net(channels=0), "channels"),
        (lambda: networks.denoising_net(depth=0), "depth"),
    ],
)
def test_wrong_sizes_are_refused(make, name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
        make()

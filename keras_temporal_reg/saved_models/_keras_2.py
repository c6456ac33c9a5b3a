"""Rewrite the configs of H5 files that Keras 2 wrote, for Keras 3.

Keras 2 stores arguments that its layers inherit and do not use, such as the ``groups`` of
Conv2DTranspose, and counts the calls of a model within a model from 1. Keras 3 refuses a file for
these, although it computes the same without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

_SEPARABLE = ("SeparableConv1D", "SeparableConv2D")
_UNGROUPED = (
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    *("DepthwiseConv1D", "DepthwiseConv2D", *_SEPARABLE),
)
_RANDOM = (
    *("RandomBrightness", "RandomContrast", "RandomFlip"),
    *("RandomRotation", "RandomTranslation", "RandomZoom"),
)
_NEW_NAMES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}


def _always(value: Any) -> bool:
    return True


def _is(*values: Any) -> Callable[[Any], bool]:
    return lambda value: value in values


def _unused_arguments() -> dict[str, dict[str, Callable[[Any], bool]]]:
    """Class name to argument to whether its value changes nothing, so that it can be left out."""
    unused: dict[str, dict[str, Callable[[Any], bool]]] = {
        **{name: {"groups": _is(1)} for name in _UNGROUPED},
        # The kind of random numbers: no two runs of a layer draw the same ones.
        **{name: {"rng_type": _always} for name in _RANDOM},
        # Without weights, there is nothing to train.
        **{
            f"SpatialDropout{n}D": {"trainable": _always, "noise_shape": _is(None)}
            for n in (1, 2, 3)
        },
        "BatchNormalization": {
            "renorm": _is(False),
            "virtual_batch_size": _is(None),
            "fused": _always,
        },
    }
    for name in _SEPARABLE:  # has a kernel for depth and one for points, and none of this name
        unused[name] |= {
            "kernel_initializer": _always,
            **dict.fromkeys(("kernel_regularizer", "kernel_constraint"), _is(None)),
        }
    return unused


_UNUSED = _unused_arguments()


def rewritten(config: dict[str, Any]) -> dict[str, Any] | None:
    """The config of a model as Keras 3 reads it; None where nothing must be changed.

    Args:
        config: of an H5 file that Keras 2 wrote.
    """
    new = copy.deepcopy(config)
    changed = False
    waiting: list[Any] = [new]  # no recursion: the file determines the depth
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            changed |= _rewrite_layer(entry) | _rewrite_calls(entry)
            waiting.extend(entry.values())
        elif isinstance(entry, list):
            waiting.extend(entry)
    return new if changed else None


def _rewrite_layer(entry: dict[str, Any]) -> bool:
    """Change the entry of a layer in place; returns whether there was anything to change."""
    name, config = entry.get("class_name"), entry.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        return False
    changed = name in _NEW_NAMES
    if changed:
        name = entry["class_name"] = _NEW_NAMES[name]
    for key, changes_nothing in _UNUSED.get(name, {}).items():
        if key in config and changes_nothing(config[key]):
            del config[key]
            changed = True
    policy = config.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") == "Policy":
        config["dtype"] = policy["config"]["name"]
        changed = True
    return changed


def _rewrite_calls(model: dict[str, Any]) -> bool:
    """Count the calls of models within a model from 0, in place; returns whether there are any."""
    layers = model.get("layers")
    if not isinstance(layers, list) or "output_layers" not in model:
        return False
    names = {layer["name"] for layer in layers if isinstance(layer, dict) and _is_model(layer)}
    nodes = [layer.get("inbound_nodes") for layer in layers if isinstance(layer, dict)]
    references = [
        reference
        for reference in _references([nodes, model["output_layers"]])
        if reference[0] in names
    ]
    first = {name: min(r[1] for r in references if r[0] == name) for name, *_ in references}
    for reference in references:
        reference[1] -= first[reference[0]] > 0
    return any(first.values())


def _is_model(layer: dict[str, Any]) -> bool:
    """Whether the entry of a layer is a model that has a call of its own, with its inputs."""
    config = layer.get("config")
    inner = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(inner, list) or not inner or not isinstance(inner[0], dict):
        return False
    return inner[0].get("class_name") == "InputLayer" and "name" in layer


def _references(nested: Any) -> list[list[Any]]:
    """The lists ``[name of a layer, number of its call, number of its output, ...]`` in a list."""
    found, waiting = [], [nested]
    while waiting:
        entry = waiting.pop()
        if not isinstance(entry, list):
            continue
        if len(entry) >= 3 and isinstance(entry[0], str) and isinstance(entry[1], int):
            found.append(entry)
        else:
            waiting.extend(entry)
    return found

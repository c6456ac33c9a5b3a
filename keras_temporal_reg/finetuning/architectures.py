"""Whether two models have the same architecture, whatever their layers are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tensorflow import keras

# Settings that do not change what a layer computes in inference, or say it in another place.
_IGNORED = (
    "name",
    "trainable",
    "dtype",
    "momentum",
    "seed",
    "build_config",
    "module",
    "registered_name",
    "shared_object_id",
)
_IGNORED_ENDS = ("initializer", "regularizer", "constraint")
_SHAPES = ("batch_shape", "batch_input_shape")
_MAX_TEXT = 100  # characters of a setting in a message


class _Layer(NamedTuple):
    """A layer for comparison."""

    name: str
    type: str
    settings: dict[str, Any]


def check_same(first: keras.Model, other: keras.Model, names: tuple[str, str]) -> None:
    """Check that two models have the same architecture.

    Layers are compared by their place. Their names, how they were initialized and are trained, and
    the size of the images that the models take may differ. Of models without a config only the
    shapes of the variables are compared.

    Args:
        first: a model.
        other: a model.
        names: what to call the two in messages.

    Raises:
        ValueError: if they differ; it names the first layer that does.
    """
    difference = _difference(first, other)
    if difference:
        raise ValueError(
            f"models must have the same architecture. {names[1]} differs from {names[0]}: "
            f"{difference}"
        )


def shapes_of(model: Any) -> list[tuple[int, ...]]:
    """The shape of each variable."""
    return [tuple(variable.shape) for variable in model.variables]


def _difference(first: Any, other: Any) -> str | None:
    configs = _config_of(first), _config_of(other)
    if all(config is not None for config in configs):
        difference = _of_layers(*(_layers(config) for config in configs))
        if difference:
            return difference
    return _of_variables(first, other)


def _config_of(model: Any) -> Any:
    """The config; None where there is none that lists layers or settings."""
    try:
        config = model.get_config()
    # A model's own code can raise anything.
    except Exception:
        return None
    return config if isinstance(config, dict) else None


def _layers(config: Mapping[str, Any], prefix: str = "") -> list[_Layer]:
    """All layers of a model's config, those of inner models after their model."""
    if not isinstance(config.get("layers"), (list, tuple)):
        return [_Layer(prefix + str(config.get("name", "")), "model", _plain(config, {}))]
    entries = config["layers"]
    names = [str(entry.get("name") or entry["config"].get("name")) for entry in entries]
    places = {name: place for place, name in enumerate(names)}
    found = []
    for name, entry in zip(names, entries):
        inner = entry["config"]
        inputs = {"inputs": _plain(entry.get("inbound_nodes"), places)}
        if isinstance(inner.get("layers"), (list, tuple)):
            found.append(_Layer(prefix + name, entry["class_name"], inputs))
            found += _layers(inner, f"{prefix}{name}/")
        else:
            settings = {**_plain(inner, {}), **inputs}
            found.append(_Layer(prefix + name, entry["class_name"], settings))
    if found:
        found[-1].settings["outputs"] = _plain(config.get("output_layers"), places)
    return found


def _plain(value: Any, places: Mapping[str, int]) -> Any:
    """A config without what may differ, and with layers named by their places."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return _plain(value["config"]["keras_history"], places)
        return {
            key: _channels(part) if key in _SHAPES else _plain(part, places)
            for key, part in value.items()
            if key not in _IGNORED and not str(key).endswith(_IGNORED_ENDS)
        }
    if isinstance(value, (list, tuple)):
        head = [places.get(value[0], value[0])] if _is_reference(value) else []
        return [*head, *(_plain(part, places) for part in value[len(head) :])]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    return type(value).__name__  # how others compare is not known


def _is_reference(value: Sequence[Any]) -> bool:
    """Whether a list starts as a reference to a layer does: its name, two numbers."""
    return len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int)


def _channels(shape: Any) -> Any:
    """Number of axes and channels of an input; its height and width do not matter."""
    is_shape = isinstance(shape, (list, tuple)) and len(shape) > 0
    return {"axes": len(shape), "channels": shape[-1]} if is_shape else shape


def _of_layers(first: list[_Layer], other: list[_Layer]) -> str | None:
    for a, b in zip(first, other):
        if a.type != b.type:
            return f"layer {b.name} is a {b.type}, where {a.name} is a {a.type}" + _counts(
                first, other
            )
        for key in {**a.settings, **b.settings}:
            old, new = a.settings.get(key), b.settings.get(key)
            if old == new or (key == "outputs" and len(first) != len(other)):
                continue
            if key in ("inputs", "outputs"):
                return f"layer {b.name} is connected to other layers than {a.name}" + _counts(
                    first, other
                )
            return (
                f"layer {b.name} ({b.type}) has {key} {_text(new)}, where {a.name} has "
                f"{_text(old)}" + _counts(first, other)
            )
    if len(first) != len(other):
        longer = max(first, other, key=len)
        added = longer[min(len(first), len(other))]
        return f"only one of them has layer {added.name} ({added.type})" + _counts(first, other)
    return None


def _counts(first: list[_Layer], other: list[_Layer]) -> str:
    if len(first) == len(other):
        return ""
    return f"; it has {len(other)} layers, and not {len(first)}"


def _of_variables(first: Any, other: Any) -> str | None:
    for a, b in zip(first.variables, other.variables):
        if tuple(a.shape) != tuple(b.shape):
            return (
                f"variable {_name(b)} has the shape {tuple(b.shape)}, where {_name(a)} has "
                f"{tuple(a.shape)}"
            )
    counts = len(first.variables), len(other.variables)
    if counts[0] != counts[1]:
        return f"it has {counts[1]} variables, and not {counts[0]}"
    return None


def _name(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))


def _text(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."

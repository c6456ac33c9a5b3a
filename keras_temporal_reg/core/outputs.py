"""Which of a model's outputs is regularized, and its part of targets, losses and weights.

Outputs, targets, losses and weights are each one value, or a flat list, tuple or dict with one
entry per output. A key is what finds an entry there: None for the value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf


def key_of(what: str, structure: Any, output: str | int | None, names: Sequence[str] = ()) -> Any:
    """The key of the regularized output's entry.

    Args:
        what: the name of `structure`, for the message of an error.
        structure: outputs, targets or losses.
        output: name of the output, its key in a dict, or its place in a list; None for the only
            one.
        names: the names of the model's outputs, in the order of a list of them.

    Raises:
        ValueError: if there is no such entry, or several where `output` is None; or if an entry is
            a list or dict itself.
    """
    if not is_nested(structure):
        return None
    keys = [*structure] if isinstance(structure, Mapping) else [*range(len(structure))]
    if any(is_nested(part(structure, key)) for key in keys):
        raise ValueError(
            f"{what} must be one value, or a flat list or dict with one entry per output. "
            f"Received: {', '.join(type(part(structure, key)).__name__ for key in keys)}"
        )
    if output is None and len(keys) == 1:
        return keys[0]
    same = [output]
    if output in names:
        same.append([*names].index(output))  # type: ignore[arg-type]
    elif isinstance(output, int) and 0 <= output < len(names):
        same.append(names[output])
    found = [key for key in same if key in keys]
    if not found:
        labels = names if len(names) == len(keys) and isinstance(keys[0], int) else keys
        raise ValueError(
            f"output must say which one of {what} is regularized, by name or number: one of "
            f"{', '.join(map(str, labels))}. Received: output={output!r}"
        )
    return found[0]


def is_nested(structure: Any) -> bool:
    """Whether a structure is a list, tuple or dict; an array is not."""
    return isinstance(structure, (list, tuple, Mapping))


def part(structure: Any, key: Any) -> Any:
    """The entry of a key."""
    return structure if key is None else structure[key]


def count(structure: Any) -> int:
    """The number of entries."""
    return len(structure) if is_nested(structure) else 1


def mapped(
    structure: Any, key: Any, regularized: Callable[[Any], Any], other: Callable[[Any], Any]
) -> Any:
    """A structure whose entries have passed through one of two functions; None stays None.

    Args:
        structure: outputs, targets or weights.
        key: of the regularized output's entry.
        regularized: applied to that entry, or to a structure that is one value.
        other: applied to each of the others.
    """
    if not is_nested(structure):
        return None if structure is None else regularized(structure)
    keys = [*structure] if isinstance(structure, Mapping) else range(len(structure))
    values = [mapped(structure[k], None, regularized if k == key else other, other) for k in keys]
    if isinstance(structure, Mapping):
        return dict(zip(keys, values))
    return tf.nest.pack_sequence_as(structure, values)


def in_structure_of(outputs: Any, structure: Any, names: Sequence[str] = ()) -> Any:
    """Targets or weights in the structure of the outputs, where Keras would not find them.

    Args:
        outputs: what the model returns.
        structure: a list or dict of one entry where the model returns one tensor, or the reverse;
            a dict with the names of outputs where it returns a list. Others stay as they are.
        names: the names of the outputs.

    Raises:
        ValueError: if a dict has other keys than the outputs.
    """
    if isinstance(structure, Mapping) and is_nested(outputs):
        known = [*outputs] if isinstance(outputs, Mapping) else [*names]
        if not {*structure} <= {*known}:
            shown = ", ".join(map(str, known)) or "which has none: give lists"
            raise ValueError(
                f"y and sample_weight must have the names of the model's outputs, {shown}. "
                f"Received: {', '.join(map(str, structure))}"
            )
    if structure is None or is_nested(outputs) == is_nested(structure):
        if isinstance(structure, Mapping) and isinstance(outputs, (list, tuple)):
            return [structure.get(name) for name in names]
        return structure
    if is_nested(structure):
        return part(structure, key_of("y", structure, None))
    if count(outputs) > 1:
        return structure
    return tf.nest.pack_sequence_as(outputs, [structure])

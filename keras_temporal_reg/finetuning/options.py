"""Options of a command, each declared once: its default, its check and its help.

A config is a frozen dataclass whose fields are made by `option`. The function of the command, its
command line and the check of a resumed run all follow from it. No TensorFlow is imported.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _unchanged(value: Any) -> Any:
    return value


def option(
    default: Any,
    help: str,
    check: Callable[[str, Any], Any] | None = None,
    setting: Callable[[Any], Any] | None = _unchanged,
    **command_line: Any,
) -> Any:
    """Declare an option; one whose default is None may be None.

    Args:
        default: of a field of the dataclass.
        help: for the command line and the documentation.
        check: raises ValueError for a wrong value, given the option's name and value.
        setting: from a value to JSON that must be the same in a resumed run; None: it may differ.
        **command_line: `parse` makes a value of a word; without it the command line has no such
            option, unless it is a flag. Also `metavar`, `choices`, and for flags that are True by
            default `off`: the flag that turns it off, and its help.
    """
    metadata = {"help": help, "check": check, "setting": setting, **command_line}
    return dataclasses.field(default=default, metadata=metadata)


def same_option(config_class: Any, name: str, **changes: Any) -> Any:
    """Declare an option as another config does, with another `default` or `help` where given."""
    field = next(each for each in dataclasses.fields(config_class) if each.name == name)
    default = changes.pop("default", field.default)
    return dataclasses.field(default=default, metadata={**field.metadata, **changes})


@dataclasses.dataclass(frozen=True)
class CommandConfig:
    """What the configs of all commands share.

    Attributes:
        COMMAND: the name of the function, for messages.

    Raises:
        ValueError: for a value out of its range.
    """

    COMMAND: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, check = getattr(self, field.name), field.metadata["check"]
            if check is not None and not (value is None and field.default is None):
                check(field.name, value)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Make the config of the keyword arguments of the function.

        Raises:
            TypeError: for a name that is not an option.
        """
        accepted = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in options if name not in accepted]
        if unknown:
            raise TypeError(
                f"{cls.COMMAND} has no option {', '.join(unknown)}. Accepted: {', '.join(accepted)}"
            )
        return cls(**options)

    def settings(self) -> dict[str, Any]:
        """The options that must be the same when an interrupted run is resumed, as JSON."""
        found = {}
        for field in dataclasses.fields(self):
            value, setting = getattr(self, field.name), field.metadata["setting"]
            if setting is not None:
                found[field.name] = None if value is None else setting(value)
        return found


def takes_options(config_class: Any) -> Callable[[_Function], _Function]:
    """Give a function with ``**options`` the signature and the documentation of a config."""
    fields = dataclasses.fields(config_class)

    def decorated(function: _Function) -> _Function:
        signature = inspect.signature(function)
        kept = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
            )
            for f in fields
        ]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*kept, *options]
        )
        lines = (function.__doc__ or "").splitlines(keepends=True)
        for number, line in enumerate(lines):
            if line.lstrip().startswith("**options:"):
                lines[number : number + 1] = _documentation(fields, len(line) - len(line.lstrip()))
        function.__doc__ = "".join(lines)
        return function

    return decorated


def _documentation(fields: Sequence[Any], indent: int) -> list[str]:
    return [
        textwrap.fill(
            f"{field.name}: {field.metadata['help']}.",
            width=96,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + 4),
        )
        + "\n"
        for field in fields
    ]

"""What can be set of an objective or a controller: the typed tables of the library's registries, as Python sees
them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _bindings as c
from ._arguments import number, text
from ._library import ArgumentError


@dataclass(frozen=True)
class Parameter:
    """A parameter: `type` is "real", "whole", "choice" or "text"; `initial` what holds where nothing is set (NaN, ""
    for none)."""

    name: str
    type: str
    initial: float | str
    low: float
    high: float
    choices: tuple[str, ...]
    says: str
    source: str | None


def parameters(rows: Any, n: int) -> dict[str, Parameter]:
    """A table of the library."""
    return {made.name: made for made in (_parameter(rows[i]) for i in range(n))}


def _parameter(row: c.Parameter) -> Parameter:
    kind = c.ParameterType(row.type)
    choices: list[str] = []
    while row.choices and row.choices[len(choices)]:
        choices.append(row.choices[len(choices)].decode())
    initial: float | str = row.initial
    if kind == c.ParameterType.TEXT:
        initial = row.text.decode() if row.text else ""
    elif kind == c.ParameterType.CHOICE:
        initial = choices[int(row.initial)]
    return Parameter(
        row.name.decode(),
        kind.name.lower(),
        initial,
        row.low,
        row.high,
        tuple(choices),
        row.says.decode(),
        row.source.decode() if row.source else None,
    )


def settings(given: Mapping[str, object], known: Mapping[str, Parameter], what: str) -> tuple[Any, int]:
    """entrol_setting of keyword arguments, and how many. Errors: TypeError (no such parameter, as Python has it for a
    keyword; a wrong type)."""
    made = (c.Setting * max(1, len(given)))()
    for i, (name, value) in enumerate(given.items()):
        if name not in known:
            raise TypeError(f"{what} has no parameter {name!r}; it has {', '.join(known)}")
        made[i].name = name.encode()
        if isinstance(value, str):
            made[i].text = text(value, name)
        elif not hasattr(value, "__float__"):
            raise TypeError(f"{name}: expected {_expected(known[name])}, got {type(value).__name__}")
        elif known[name].type == "text":  # a target of so many nats
            made[i].text = repr(number(value, name)).encode()
        else:
            made[i].value = number(value, name)
    return made, len(given)


def _expected(parameter: Parameter) -> str:
    if parameter.type == "choice":
        return f"one of {', '.join(parameter.choices)}"
    if parameter.type == "text":
        return parameter.says.rstrip(".")
    return f"a {'whole number' if parameter.type == 'whole' else 'number'} from {parameter.low:g} to {parameter.high:g}"


def explain(error: ArgumentError, given: Mapping[str, object], known: Mapping[str, Parameter]) -> ArgumentError:
    """The same error, which also says what a parameter may be."""
    name = error.argument
    if name not in known:
        return error
    value = f"{name} = {given[name]!r}" if name in given else name
    return ArgumentError(f"{value}: expected {_expected(known[name])}", name)


def help_text(known: Mapping[str, Parameter]) -> str:
    """A line for each parameter."""
    return "\n".join(
        f"  {p.name} ({_expected(p) if p.type != 'text' else 'text'}; {p.initial!r}): {p.says}" for p in known.values()
    )

"""Single numbers and names that are given as arguments: what is refused is refused by the argument's name."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

from ._library import ArgumentError

MAX_UINT64 = (1 << 64) - 1
Kind = TypeVar("Kind", bound=IntEnum)


def number(value: Any, name: str) -> float:
    """One number; NaN and infinities are numbers. Errors: TypeError; ArgumentError for an array of several."""
    if isinstance(value, (str, bytes, bytearray)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # of an array of several, a number too great
        raise ArgumentError(f"{name}: expected a number, got {type(value).__name__}: {error}", name) from None


def whole(value: Any, name: str, low: int = 0, high: int = (1 << 63) - 1) -> int:
    """One whole number from low to high. Errors: TypeError, ArgumentError."""
    try:
        result = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected a whole number, got {_shown(value)}") from None
    if not low <= result <= high:
        raise ArgumentError(f"{name}: expected a whole number from {low} to {high}, got {result}", name)
    return result


def positive(value: Any, name: str) -> float:
    """One finite number above 0. Errors: TypeError, ArgumentError."""
    result = number(value, name)
    if not 0 < result < math.inf:
        raise ArgumentError(f"{name} = {result!r}: expected a finite number above 0", name)
    return result


def flag(value: Any, name: str) -> bool:
    """True or False. Error: TypeError."""
    if not isinstance(value, (bool, int, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {_shown(value)}")
    return bool(value)


def choice(value: Any, name: str, known: type[Kind] | Mapping[str, Kind]) -> Kind:
    """The member of an enumeration whose name in lower case it is, or what a table has of that name. Error:
    ArgumentError."""
    table = known if isinstance(known, Mapping) else {member.name.lower(): member for member in known}
    if not isinstance(value, str) or value not in table:
        raise ArgumentError(f"{name}: expected one of {', '.join(table)}, got {_shown(value)}", name)
    return table[value]


def names_of(value: Any, name: str, known: Collection[str]) -> set[str]:
    """One of the names that are known, or several. Errors: TypeError, ArgumentError."""
    try:
        names = {value} if isinstance(value, str) else set(value)
    except TypeError as error:
        raise TypeError(f"{name}: expected names, got {type(value).__name__}: {error}") from None
    unknown = sorted(map(str, names.difference(known)))
    if unknown:
        raise ArgumentError(f"{name}: expected some of {', '.join(known)}, got {unknown[0]!r}", name)
    return names


def text(value: Any, name: str) -> bytes:
    """A string as C reads it. Errors: TypeError, ArgumentError."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {type(value).__name__}")
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{name}: expected text, got {value!r}: {error}", name) from None
    if b"\0" in encoded:
        raise ArgumentError(f"{name}: expected text, got {value!r}", name)
    return encoded


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (str, int, float)) else type(value).__name__

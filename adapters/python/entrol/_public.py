"""Where a user finds things: what a package offers has the package's name, and parts that need more are loaded late."""

from __future__ import annotations

import importlib
import typing
from types import ModuleType
from typing import Any

#: The parts of entrol that are loaded when they are asked for, and the extra that has what they need; None for NumPy
#: alone.
PARTS = {
    "callbacks": None,
    "datasets": "datasets",
    "notebook": None,
    "sb3": "sb3",
    "torch": "torch",
    "trl": "trl",
    "verl": "verl",
}


def settle(package: dict[str, Any]) -> None:
    """Gives the public classes of a package, told by its globals, its name for their module's: it is what an error, a
    repr and a pickle say, wherever a class is written. Their annotations are made types first, since the package does
    not have all the names that are in them."""
    for name in package["__all__"]:
        made = package[name]
        if isinstance(made, type):
            written = vars(made).get("__annotations__", {})
            if written:
                types = typing.get_type_hints(made)
                written.update({key: types[key] for key in written})
            made.__module__ = package["__name__"]


def load(name: str) -> ModuleType:
    """entrol.NAME. Errors: AttributeError where there is none; ImportError, which names the extra, where what it needs
    is not installed."""
    if name not in PARTS:
        raise AttributeError(f"module 'entrol' has no attribute {name!r}")
    try:
        return importlib.import_module(f"entrol.{name}")
    except ModuleNotFoundError as error:
        extra = PARTS[name]
        if extra is None or (error.name or "entrol").partition(".")[0] == "entrol":
            raise
        raise ImportError(
            f"entrol.{name} needs {error.name}, which is not installed: pip install 'entrol[{extra}]', or "
            f"pip install '.[{extra}]' in Entrol's folder",
            name=error.name,
        ) from error

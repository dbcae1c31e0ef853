"""Where a user finds things: what a package offers has the package's name, and parts that need more are loaded late."""

from __future__ import annotations

import importlib
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
    repr and a pickle say, wherever a class is written."""
    for name in package["__all__"]:
        if isinstance(package[name], type):
            package[name].__module__ = package["__name__"]


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

"""Functions of another package that Entrol's stand in for, until they are put back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any


class Replacement:
    """What stands in for names of `home`, a module or a class: by name, the function that makes it of what is there.

    Names in `everywhere` are replaced in all modules of the package that are loaded and have them by name; those that
    are loaded later take them from `home`. known: the version, for the message."""

    def __init__(
        self, home: ModuleType | type, makers: Mapping[str, Callable[[Any], Any]], everywhere: Collection[str], known: str
    ) -> None:
        self._home, self._makers, self._everywhere, self._known = home, makers, everywhere, known
        self._pairs: dict[str, tuple[Any, Any]] = {}

    def install(self) -> bool:
        """False where it is in place already. Error: ImportError for a name that the package does not have."""
        if self._pairs:
            return False
        missing = [name for name in self._makers if not hasattr(self._home, name)]
        if missing:
            raise ImportError(f"{self._home.__name__} has no {', '.join(missing)}: expected {self._known}")
        for name, make in self._makers.items():
            original = getattr(self._home, name)
            self._pairs[name] = (original, make(original))
        self._swap(0, 1)
        return True

    def restore(self) -> None:
        """Also in modules that were loaded since. Nothing happens where nothing was replaced."""
        self._swap(1, 0)
        self._pairs.clear()

    def _swap(self, old: int, new: int) -> None:
        for name, pair in self._pairs.items():
            for module in self._modules() if name in self._everywhere else [self._home]:
                if vars(module).get(name) is pair[old]:
                    setattr(module, name, pair[new])

    def _modules(self) -> list[ModuleType]:
        package = self._home.__name__.partition(".")[0]
        loaded = [(name, module) for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)]
        return [module for name, module in loaded if name == package or name.startswith(f"{package}.")]


def on_the_cpu(ours: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Makes of an original the function that is `ours` where logits, the first argument, are on the CPU, and the
    original elsewhere."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def chosen(logits: Any, *arguments: Any, **keywords: Any) -> Any:
            return (ours if logits.device.type == "cpu" else original)(logits, *arguments, **keywords)

        chosen.__name__ = chosen.__qualname__ = original.__name__
        chosen.__doc__ = ours.__doc__
        return chosen

    return make

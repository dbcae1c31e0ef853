"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def whole(target: str | os.PathLike[str]) -> Iterator[str]:
    """Where to write what becomes `target` if all goes well, and is gone otherwise."""
    part = os.fspath(target) + ".part"
    try:
        yield part
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)

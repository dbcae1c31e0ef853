"""The console script `entrol`: it becomes the command that lies in the package, bin/entrol below entrol/.

A module beside the package, so that the command starts without NumPy and the library being loaded first.
"""

from __future__ import annotations

import importlib.util
import os
import sys

EXIT_ERROR = 2  # as the command itself has it


def command_path() -> str | None:
    """The path of the command inside the package; None where there is none."""
    spec = importlib.util.find_spec("entrol")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():  # an editable install has two: the sources, and what was built from them
        path = os.path.join(folder, "bin", "entrol")
        if os.path.isfile(path):
            return path
    return None


def main() -> int:
    """Replaces this process by the command, with the same arguments; returns, with 2, only where that is not
    possible."""
    path = command_path()
    if path is None:
        print(
            "entrol: this installation has the library without the command (ENTROL_BUILD_COMMAND=OFF); to have it, "
            "install the package again without that setting",
            file=sys.stderr,
        )
        return EXIT_ERROR
    try:
        os.execv(path, ["entrol", *sys.argv[1:]])
    except OSError as error:
        print(f"entrol: cannot start {path}: {error.strerror}", file=sys.stderr)
        return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())

"""The console script `entrol`: it becomes the command that lies in the package, bin/entrol beside this file."""
import os
import sys

import entrol

EXIT_ERROR = 2  # as the command itself has it


def command_path() -> str | None:
    """The path of the command inside the package; None where the package was built without it."""
    for folder in entrol.__path__:  # an editable install has two: the sources, and what was built from them
        path = os.path.join(folder, "bin", "entrol")
        if os.path.isfile(path):
            return path
    return None


def main() -> int:
    """Replaces this process by the command, with the same arguments; returns only where that is not possible."""
    path = command_path()
    if path is None:
        print("entrol: this installation has the library without the command (ENTROL_BUILD_COMMAND=OFF); to build it, install "
              "the package again without that setting", file=sys.stderr)
        return EXIT_ERROR
    try:
        os.execv(path, ["entrol", *sys.argv[1:]])
    except OSError as error:
        print(f"entrol: cannot start {path}: {error.strerror}", file=sys.stderr)
        return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())

"""What logs and folders were made with: a program, its settings, data and versions. What was made otherwise is refused."""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable

HERE = os.path.dirname(os.path.abspath(__file__))
ASIDE = ("study", "made", "logs")  # modules that decide no figure
OF_RUNS = ("ARMS", "SEEDS")  # each log says its own
PACKAGES = (
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "trl",
    "stable_baselines3",
    "gymnasium",
    "scikit-learn",
)


def with_what(quick: bool, threads: int, data: Iterable[str]) -> dict:
    """All that decides the figures of a folder's runs, but arms and seeds. data: the environment's names of what is read."""
    modules = sources()
    made = {
        "quick": quick,
        "threads": threads,
        "data": {name: os.path.basename(os.environ.get(name, "")) for name in data},
        "common": constants(modules),
        "program": digest(modules),
        "versions": versions(),
    }
    return json.loads(json.dumps(made))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    if "entrol" in sys.modules:  # it may stand on the path without having been installed
        found["entrol"] = sys.modules["entrol"].__version__
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def sources() -> list:
    """The program and what it imports from its folder or this one, by name."""
    folders = {HERE, os.path.dirname(os.path.abspath(sys.argv[0]))}
    files = {name: getattr(one, "__file__", None) for name, one in sys.modules.items() if name not in ASIDE}
    own = sorted(name for name, file in files.items() if file and os.path.dirname(os.path.abspath(file)) in folders)
    return [sys.modules[name] for name in own]


def is_setting(value: object, deep: bool = True) -> bool:
    """A number or a text, or some of them."""
    if isinstance(value, (tuple, dict)) and deep:
        return all(is_setting(part, False) for part in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, (int, float, str))


def constants(modules: Iterable) -> dict:
    """What the programs set at their top for all arms: STEPS, and of an imported module text, text.STEPS."""
    found = {}
    for module in modules:
        start = "" if module.__name__ == "__main__" else module.__name__ + "."
        named = {name: value for name, value in vars(module).items() if name.isupper() and name not in OF_RUNS}
        found |= {start + name: value for name, value in named.items() if is_setting(value)}
    return found


def digest(modules: Iterable) -> str:
    """Of what the programs do: not of comments, nor of arms and seeds, which each log names."""
    whole = hashlib.sha256()
    for module in modules:
        with open(module.__file__, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(getattr(node, "body", None), list):
                node.body = [part for part in node.body if not is_aside(part)]
        whole.update(ast.dump(tree).encode())
    return whole.hexdigest()[:12]


def is_aside(node: ast.stmt) -> bool:
    """A docstring, or the arms and seeds."""
    if isinstance(node, ast.Assign):
        return any(isinstance(one, ast.Name) and one.id in OF_RUNS for one in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def difference(made: dict, wanted: dict, at: str = "") -> str | None:
    """The first thing that two heads do not share, in words."""
    for name in [*made, *(name for name in wanted if name not in made)]:
        one, other = made.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            if found := difference(one, other, f"{at}{name}."):
                return found
        elif one != other:
            there, now = (json.dumps(part[name]) if name in part else "not named" for part in (made, wanted))
            return f"{at}{name} is {there} there and {now} now"
    return None


def must_be(path: str, wanted: dict) -> None:
    """Ends the program where a file's first line says that it was made otherwise."""
    with open(path, encoding="utf-8") as file:
        made = json.loads(file.readline())
    if found := difference(made, wanted):
        sys.exit(f"{path} was made otherwise: {found}; take another --folder, or remove this one")


def claim(folder: str, wanted: dict) -> bool:
    """Makes a folder for what is made so; True if it was there, made so. Another's is refused."""
    path = os.path.join(folder, "made-with.json")
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(path):
        must_be(path, wanted)
        return True
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(json.dumps(wanted) + "\n")
    os.replace(path + ".part", path)
    return False

"""Where the package's names are found: its parts without an import of their own, classes' modules, python -m entrol."""

import os
import pickle
import subprocess
import sys
import typing
import unittest

import entrol

try:
    import torch
except ImportError:
    torch = None

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
import entrol
"""


def run(code, **without):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **without)


class Parts(unittest.TestCase):
    def test_parts_are_loaded_when_asked_for(self):
        code = "import sys, entrol; assert 'entrol.callbacks' not in sys.modules; entrol.notebook.show; "
        done = run(f"{code}print(entrol.callbacks.EntropyHistory.__name__)")
        self.assertEqual((done.stdout, done.returncode), ("EntropyHistory\n", 0), done.stderr)

    def test_what_is_missing_is_named_with_its_extra(self):
        needs = {"torch": "torch", "trl": "torch", "verl": "torch", "sb3": "torch", "datasets": "pyarrow"}
        for part, need in needs.items():
            with self.subTest(part=part):
                done = run(f"{BLOCKED.format(names=[need])}\nentrol.{part}")
                expected = f"entrol.{part} needs {need}, which is not installed: pip install 'entrol[{part}]', or pip "
                self.assertIn(f"ImportError: {expected}install '.[{part}]' in Entrol's folder", done.stderr)

    def test_no_other_names(self):
        for name in ("context", "control", "measure", "objective", "output", "policy", "registry", "selection", "no"):
            with self.subTest(name=name), self.assertRaisesRegex(AttributeError, f"no attribute '{name}'"):
                getattr(entrol, name)

    @unittest.skipIf(torch is None, "torch is not there")
    def test_functions_are_not_hidden_by_modules(self):
        self.assertIn("dapo", entrol.torch.objectives())
        self.assertIn("pi", entrol.torch.controllers())
        for name in ("distributed", "linear", "logits", "masks"):
            self.assertFalse(hasattr(entrol.torch, name), name)
        self.assertIs(entrol.torch.distributions.Beta, entrol.torch.Beta)


class Modules(unittest.TestCase):
    def check(self, package):
        for name in package.__all__:
            value = getattr(package, name)
            if isinstance(value, type):
                self.assertEqual((value.__module__, value.__qualname__), (package.__name__, name))
                self.assertIs(pickle.loads(pickle.dumps(value)), value)
                typing.get_type_hints(value)  # every name in it is found

    def test_of_the_core(self):
        self.check(entrol)
        self.assertEqual(repr(entrol.DataError), "<class 'entrol.DataError'>")

    @unittest.skipIf(torch is None, "torch is not there")
    def test_of_torch(self):
        self.check(entrol.torch)

    def test_of_datasets(self):
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            self.skipTest("pyarrow is not there")
        self.check(entrol.datasets)


class Command(unittest.TestCase):
    def test_python_m(self):
        """What the console script does: here the sources have no command, or an installation's answers."""
        done = subprocess.run([sys.executable, "-m", "entrol", "--version"], capture_output=True, text=True)
        if os.path.exists(os.path.join(entrol.__path__[-1], "bin", "entrol")):
            self.assertEqual((done.stdout, done.returncode), (f"entrol {entrol.__version__}\n", 0))
        else:
            self.assertIn("entrol: this installation has the library without the command", done.stderr)
            self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()

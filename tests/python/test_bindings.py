"""_bindings.py is what scripts/bindings writes of the headers, and its structs are as large as theirs."""

import ctypes
import os
import shutil
import subprocess
import sys
import unittest

from entrol import _bindings, _library

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Bindings(unittest.TestCase):
    @unittest.skipUnless(shutil.which("clang"), "clang is not there")
    def test_they_are_of_these_headers(self):
        script = os.path.join(ROOT, "scripts", "bindings")
        written = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
        with open(os.path.join(ROOT, "adapters", "python", "entrol", "_bindings.py"), encoding="utf-8") as file:
            self.assertEqual(
                file.read(), written, "write it again: scripts/bindings > adapters/python/entrol/_bindings.py"
            )

    def test_sizes(self):
        structs = [
            kind
            for kind in vars(_bindings).values()
            if isinstance(kind, type) and issubclass(kind, _bindings.Structure) and kind is not _bindings.Structure
        ]
        self.assertEqual(set(structs), set(_bindings.SIZES))
        for kind, size in _bindings.SIZES.items():
            self.assertEqual(ctypes.sizeof(kind), size, kind.__name__)
            if dict(kind._fields_).get("size") is ctypes.c_size_t and kind._initial:
                self.assertEqual(kind().size, size, kind.__name__)

    def test_every_function_of_the_library_is_there(self):
        for name, (result, arguments) in _bindings.PROTOTYPES.items():
            function = getattr(_library.library, name)
            self.assertEqual((function.restype, list(function.argtypes)), (result, list(arguments)), name)


if __name__ == "__main__":
    unittest.main()

"""What the tests of pages with pictures share."""
import subprocess
import sys
import unittest


def python_that_draws():
    """One that has matplotlib: the system's may have what the first on the path has not."""
    for python in sys.executable, "/usr/bin/python3":
        if subprocess.run([python, "-c", "import numpy, matplotlib"], capture_output=True).returncode == 0:
            return python
    raise unittest.SkipTest("needs matplotlib")

"""What the tests of the programs of examples/training share: a quick run of one arm."""

import json
import os
import subprocess
import sys

TRAINING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "training")
sys.path[:0] = [TRAINING, os.path.dirname(TRAINING)]


def quick_run(test, program, folder, arm, **environment):
    """The log of seed 1: its head, the lines of its steps, and its end."""
    command = [sys.executable, os.path.join(TRAINING, f"{program}.py"), "--quick", "--folder", folder, "--arm", arm]
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run([*command, "--seed", "1"], env=given, capture_output=True, text=True, timeout=300)
    test.assertEqual(done.returncode, 0, done.stderr)
    with open(os.path.join(folder, f"{arm}-1.jsonl"), encoding="utf-8") as file:
        head, *steps, end = map(json.loads, file)
    test.assertEqual((head["arm"], head["seed"], head["quick"]), (arm, 1, True))
    return head, steps, end

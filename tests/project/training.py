"""What the tests of the programs that learn share."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
RL = os.path.join(ROOT, "examples", "rl")
PLACE = os.environ.get("ENTROL_ENVIRONMENTS", "")
MODELS = f"{PLACE}/gymnasium/envs/mujoco/assets"
NO_MUJOCO = "MuJoCo and gymnasium are not set up (scripts/check does it)"
STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compiled(folder, name, *words):
    """A program or, with -shared among the words, a library, made of C without a warning."""
    path = os.path.join(folder, name)
    subprocess.run(["cc", *STRICT, "-o", path, *words], check=True)
    return path

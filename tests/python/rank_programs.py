"""Programs of Python that run side by side as ranks, in processes of their own."""

import json
import os
import subprocess
import sys
import tempfile


def outcomes(programs, environments, seconds=300):
    """What the last line of each says, which is JSON. AssertionError, with what it said, for one that fails; none is
    left behind. What they write goes to files: a full pipe of one would keep all of them waiting."""
    here = os.path.dirname(os.path.abspath(__file__))
    common = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    with tempfile.TemporaryDirectory() as folder:
        texts = [[os.path.join(folder, f"{i}.{name}") for name in ("out", "err")] for i in range(len(programs))]
        ranks = []
        try:
            for program, environment, (out, err) in zip(programs, environments, texts):
                with open(out, "w") as output, open(err, "w") as errors:
                    command = [sys.executable, "-c", program]
                    ranks.append(subprocess.Popen(command, env={**common, **environment}, stdout=output, stderr=errors))
            for rank, (_, err) in zip(ranks, texts):
                if rank.wait(seconds) != 0:
                    raise AssertionError(f"a rank ended with {rank.returncode}:\n{open(err).read()}")
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
        return [json.loads(open(out).read().splitlines()[-1]) for out, _ in texts]

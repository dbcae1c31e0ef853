"""CleanRL's PPO for continuous actions, run as its authors wrote it, with its training as JSON Lines.

    peer_ppo.py CLEANRL LOG --env-id Hopper-v5 --seed 1 --total-timesteps 409600

CLEANRL is the folder of the unpacked wheel cleanrl 1.2.0, whose ppo_continuous_action.py runs unchanged; what follows LOG
are its own options. It was written for gymnasium 0.28: what gymnasium 1.4 calls or reports in another way is translated
here, so that the peer acts in the same environments, on the same MuJoCo, as examples/rl. Needs torch, gymnasium and
mujoco-core; one thread.

LOG gets, as each happens, one object for every finished episode, {"step", "return", "length"}, and one for every update,
{"step", "entropy", "policy_loss", "value_loss", "kl", "clip_fraction", "learning_rate", "steps_per_second"}; and a last one,
{"done": true}, by which a whole run is told from a broken one.
"""
import builtins
import importlib.machinery
import json
import os
import runpy
import sys
import types

# Names of the update's scalars in the log.
SCALARS = {"charts/learning_rate": "learning_rate", "losses/value_loss": "value_loss", "losses/policy_loss": "policy_loss",
           "losses/entropy": "entropy", "losses/approx_kl": "kl", "losses/clipfrac": "clip_fraction",
           "losses/explained_variance": "explained_variance", "charts/SPS": "steps_per_second"}


class Writer:
    """Takes the place of TensorBoard's SummaryWriter."""
    path = None

    def __init__(self, _):
        self.file = open(self.path, "w", encoding="utf-8", buffering=1)
        self.update, self.episode = {}, None

    def add_text(self, *_):
        pass

    def add_scalar(self, name, value, step):
        value = float(value)
        if name == "charts/episodic_return":
            self.episode = value
        elif name == "charts/episodic_length":
            self.write({"step": step, "return": round(self.episode, 4), "length": int(value)})
        elif name in SCALARS:
            self.update[SCALARS[name]] = float(f"{value:.6g}")
            if name == "charts/SPS":  # the last of an update
                self.write({"step": step, **self.update})

    def write(self, fields):
        self.file.write(json.dumps(fields) + "\n")

    def close(self):
        self.write({"done": True})
        self.file.close()


def stand_in(name, **content):
    """A module that is imported, but not needed."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(content)
    sys.modules[name] = module


def as_gymnasium_028(gym):
    """Gives gymnasium 1.4 the interface of 0.28 where the program uses it."""
    transform = gym.wrappers.TransformObservation

    class SyncVectorEnv(gym.vector.SyncVectorEnv):
        """An episode's end is followed by the reset in the same step, and told in a list."""

        def __init__(self, makers):
            super().__init__(makers, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)

        def step(self, actions):
            *result, infos = super().step(actions)
            if "final_info" in infos:
                episode = infos["final_info"]["episode"]
                infos["final_info"] = [{"episode": {"r": episode["r"][i], "l": episode["l"][i]}} if ended else None
                                       for i, ended in enumerate(infos["_final_info"])]
            return (*result, infos)

    gym.vector.SyncVectorEnv = SyncVectorEnv
    gym.wrappers.TransformObservation = lambda env, function: transform(env, function, env.observation_space)


def main(folder, log, *options):
    stand_in("gymnasium.envs.mujoco.mujoco_rendering", MujocoRenderer=lambda *_: None)  # it wants OpenGL; nothing is shown
    stand_in("torch.utils.tensorboard", SummaryWriter=Writer)
    import gymnasium
    import torch
    torch.set_num_threads(1)
    as_gymnasium_028(gymnasium)
    Writer.path = log + ".part"
    program = os.path.join(folder, "cleanrl", "ppo_continuous_action.py")
    sys.argv = [program, "--cuda", "false", *options]
    builtins.print = lambda *_, **__: None  # the log has it all
    runpy.run_path(program, run_name="__main__")
    os.replace(Writer.path, log)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

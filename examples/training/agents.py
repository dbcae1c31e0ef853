"""Stable-Baselines3's PPO and SAC with fixed entropy coefficients, and with controllers that hold the entropy.

Acrobot-v1, a choice of three: PPO, whose coefficient is fixed, or held by PI or SAC's dual step at half of the greatest
entropy. Pendulum-v1, a torque: SAC, whose coefficient is fixed, or held by its own rule or by PI at its own target of -1.

    python3 examples/training/agents.py
"""

from collections.abc import Iterator

import study  # the first: it says which package is missing
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from entrol.sb3 import EntropyController

HELD = {"acrobot": "0.5max", "pendulum": -1.0}  # targets in nats
STEPS = {"acrobot": 120_000, "pendulum": 8_000}
QUICK = {"acrobot": 6_000, "pendulum": 1_000}
N_LINES = 50
CONTROLLERS = {
    "acrobot": {
        "fixed 0": {"name": "constant", "initial": 0.0},
        "fixed 0.01": {"name": "constant", "initial": 0.01},
        "fixed 0.1": {"name": "constant", "initial": 0.1},
        "pi": {"name": "pi", "target": HELD["acrobot"], "kp": 0.3, "ki": 0.03},
        "sac": {"name": "sac", "target": HELD["acrobot"], "initial": 0.01, "rate": 0.05},
    },
    "pendulum": {
        "fixed 0": {"name": "constant", "initial": 0.0},
        "fixed 0.1": {"name": "constant", "initial": 0.1},
        "fixed 1": {"name": "constant", "initial": 1.0},
        "pi": {"name": "pi", "target": HELD["pendulum"], "kp": 0.1, "ki": 0.001},
        "sac": {"name": "sac", "target": HELD["pendulum"], "rate": 1e-3},
    },
}
ARMS = {
    f"{task} {name}": {"task": task, "controller": c} for task, arms in CONTROLLERS.items() for name, c in arms.items()
}
SEEDS = range(1, 6)


def learner(task: str, seed: int):
    if task == "acrobot":
        environments = make_vec_env("Acrobot-v1", 8, seed=seed)
        return PPO(
            "MlpPolicy",
            environments,
            n_steps=128,
            batch_size=256,
            n_epochs=4,
            gae_lambda=0.94,
            learning_rate=1e-3,
            stats_window_size=20,
            seed=seed,
            device="cpu",
        )
    environment = make_vec_env("Pendulum-v1", 1, seed=seed)
    return SAC(
        "MlpPolicy",
        environment,
        learning_rate=1e-3,
        learning_starts=500,
        policy_kwargs={"net_arch": [64, 64]},
        stats_window_size=5,
        seed=seed,
        device="cpu",
    )


def run(run: study.Run) -> Iterator[dict]:
    torch.set_num_threads(1)
    task = run.settings["task"]
    n_steps = (QUICK if run.quick else STEPS)[task]
    model = learner(task, run.seed)
    callback = EntropyController(**run.settings["controller"], entropy="exact")
    model.learn(n_steps, callback=callback)
    rows = callback.history.rows
    every = max(1, len(rows) // N_LINES)
    for i in range(every - 1, len(rows), every):
        part = rows[i - every + 1 : i + 1]
        line = {
            "step": rows[i].step,
            "return": rows[i].reward,
            "coefficient": rows[i].coefficient,
            "target": rows[i].target,
        }
        yield {**line, "entropy": sum(row.entropy for row in part) / len(part)}
    played = make_vec_env("Acrobot-v1" if task == "acrobot" else "Pendulum-v1", 1, seed=1000 + run.seed)
    mean, _ = evaluate_policy(model, played, n_eval_episodes=2 if run.quick else 20)
    yield {"step": n_steps, "played": mean}


if __name__ == "__main__":
    study.main(study.Study("agents", ARMS, SEEDS, run))

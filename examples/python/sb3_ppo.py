#!/usr/bin/env python3
"""PPO of Stable-Baselines3 balances a pole, and a controller holds its entropy: sb3_ppo.py [--help]

Writes FOLDER/model.zip, FOLDER/run.jsonl (for `entrol diagnose`) and FOLDER/run.png. Run again, it goes on from there,
the controller too: its state is in model.zip. `--controller constant --initial 0` is the same without an entropy bonus.
Needs stable_baselines3 and matplotlib."""

import argparse
import os

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from entrol.callbacks import EntropyHistory
from entrol.sb3 import EntropyController


def controller_of(options, history):
    """What is needed to hold the entropy here is a coefficient of about 0.3; an error of 0.1 nats may stand: kp = 0.3 /
    0.1, and for 20 updates until it settles ki = kp / 20 (docs/control.md)."""
    if options.controller == "constant":
        return EntropyController("constant", initial=options.initial, history=history)
    gains = {"kp": 3, "ki": 0.15} if options.controller == "pi" else {}
    return EntropyController(options.controller, target=options.target, history=history, **gains)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="cart-pole")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--controller", default="pi", help="of entrol.controllers()")
    parser.add_argument("--target", default="0.7max", help="nats, or a share of the greatest entropy")
    parser.add_argument("--initial", type=float, default=0.01, help="of --controller constant: the coefficient")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(1)  # the network is small
    os.makedirs(options.folder, exist_ok=True)
    model_file, log = (os.path.join(options.folder, name) for name in ("model.zip", "run.jsonl"))
    environments = make_vec_env("CartPole-v1", 4, seed=options.seed)
    if os.path.exists(model_file):
        model, history = PPO.load(model_file, env=environments, device="cpu"), EntropyHistory.load(log)
    else:
        model, history = (
            PPO(
                "MlpPolicy",
                environments,
                n_steps=64,
                batch_size=64,
                n_epochs=20,
                learning_rate=1e-3,
                gamma=0.98,
                gae_lambda=0.8,
                seed=options.seed,
                device="cpu",
            ),
            EntropyHistory(),
        )

    callback = controller_of(options, history)
    model.learn(options.steps, callback=callback, reset_num_timesteps=False)

    model.save(model_file)
    history.save(log)
    history.plot(os.path.join(options.folder, "run.png"), title=f"PPO on CartPole-v1, controller {options.controller}")
    last = history.rows[-1]
    print(
        f"step {last.step}: entropy {last.entropy:.3f} nats, target {last.target:.3f}, "
        f"coefficient {last.coefficient:.4f}, mean return {last.reward:.1f}"
    )


if __name__ == "__main__":
    main()

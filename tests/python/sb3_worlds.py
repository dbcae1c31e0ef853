"""What the tests of entrol.sb3 train in: small worlds, and models with few parameters, on one thread."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

torch.set_num_threads(1)
SMALL = {"net_arch": [16]}


class World(gymnasium.Env):
    """Random observations and rewards, episodes of ten steps; asserts that every action is in its space."""

    def __init__(self, action_space, observation_space=None):
        self.action_space = action_space
        self.observation_space = observation_space or spaces.Box(-1, 1, (3,))
        self.n = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.n = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(np.asarray(action)), action
        self.n += 1
        reward = float(self.np_random.normal() + np.sum(np.asarray(action, np.float64)))
        return self.observation_space.sample(), reward, self.n >= 10, False, {}


class Spy(BaseCallback):
    """Keeps what `look(model)` says at the end of every rollout."""

    def __init__(self, look):
        super().__init__()
        self.look, self.seen = look, []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.seen.append(self.look(self.model))


def cart_pole(seed=1):
    """PPO whose entropy falls by a third within 5,000 steps."""
    envs = make_vec_env("CartPole-v1", 4, seed=seed)
    return PPO(
        "MlpPolicy",
        envs,
        n_steps=64,
        batch_size=64,
        learning_rate=1e-3,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        seed=seed,
        device="cpu",
    )


def ppo(env, policy="MlpPolicy", seed=3, **settings):
    settings = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "policy_kwargs": dict(SMALL), **settings}
    return PPO(policy, env, seed=seed, device="cpu", **settings)


def a2c(env, seed=3, **settings):
    return A2C("MlpPolicy", env, n_steps=8, seed=seed, device="cpu", policy_kwargs=dict(SMALL), **settings)


def sac(env="Pendulum-v1", seed=3, **settings):
    return SAC(
        "MlpPolicy",
        env,
        seed=seed,
        device="cpu",
        learning_starts=20,
        batch_size=32,
        buffer_size=2000,
        policy_kwargs=dict(SMALL),
        **settings,
    )


def parameters(model):
    return torch.cat([value.detach().flatten() for value in model.policy.parameters()])

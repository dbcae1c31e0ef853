"""Stable-Baselines3: an entropy coefficient that a controller drives, and squashed policies whose entropy is exact.

    model = PPO("MlpPolicy", "CartPole-v1")
    model.learn(100_000, callback=EntropyController("pi", target="0.7max", kp=2, ki=0.1))

    model = PPO(SquashedGaussianPolicy, "Pendulum-v1")     # never None, and the entropy's own gradient
    model = SAC("MlpPolicy", "Pendulum-v1")                # EntropyController in the place of its automatic coefficient

Entropies are nats. Those of squashed policies, SAC's too, are of the action scaled to [-1, 1], as Stable-Baselines3
counts them; those of a Gaussian that is not squashed of the action itself."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import get_action_dim

from ._control import Command, Controller, controllers
from ._library import ArgumentError
from .callbacks import EntropyHistory
from .torch.distributions import SquashedGaussian

#: The attribute of a model that holds the controller's state: model.save() keeps it with the rest.
STATE = "entrol_controller"
#: Rows of a rollout whose entropies are computed at once.
_ROWS = 4096
#: Nats: a greatest entropy that stands for any.
_ANY = 1.0
#: Models that a controller has driven in this process.
_driven_here: weakref.WeakSet[Any] = weakref.WeakSet()


# --- Squashed policies ---


class SquashedGaussianDistribution(DiagGaussianDistribution):
    """Independent Gaussians through tanh, actions in (-1, 1), with Stable-Baselines3's interface. entropy() is the
    exact one, by quadrature, of shape (batch,), and differentiable; log_prob() of an action on a bound is finite."""

    distribution: SquashedGaussian

    def proba_distribution(self, mean_actions: torch.Tensor, log_std: torch.Tensor) -> SquashedGaussianDistribution:
        """mean_actions: (batch, dimensions). log_std: the same, or (dimensions,)."""
        self.distribution = SquashedGaussian(mean_actions, log_std)
        return self

    def log_prob(self, actions: torch.Tensor) -> torch.Tensor:
        return self.distribution.log_prob(actions)

    def entropy(self) -> torch.Tensor:
        return self.distribution.entropy()

    def sample(self) -> torch.Tensor:
        return self.distribution.rsample()

    def mode(self) -> torch.Tensor:
        """The squashed mean, as Stable-Baselines3 has it; not where the density is greatest."""
        return self.distribution.deterministic()

    def log_prob_from_params(
        self, mean_actions: torch.Tensor, log_std: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A draw and its log-probability, exact on the bounds too, with the gradient of both."""
        return self.proba_distribution(mean_actions, log_std).distribution.rsample_and_log_prob()


class SquashedGaussianPolicy(ActorCriticPolicy):
    """For PPO and A2C in a Box with finite bounds: PPO(SquashedGaussianPolicy, env). As MlpPolicy, but actions are
    squashed to the bounds and not clipped, and the entropy in the loss is the exact one. Stable-Baselines3's own
    squashed distribution has none (its entropy() is None), and PPO and A2C then use -log_prob of the actions that were
    drawn, whose gradient is not the entropy's.

    Takes the arguments of ActorCriticPolicy; of other networks as policy_kwargs, features_extractor_class and net_arch.
    The rollouts hold actions in [-1, 1], and entropies and log-probabilities are of these.

    Errors: ValueError for an action space that is no Box with finite bounds, and for use_sde."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Callable[[float], float],
        *arguments: Any,
        **keywords: Any,
    ) -> None:
        if not isinstance(action_space, spaces.Box) or not action_space.is_bounded("both"):
            raise ValueError(f"action_space: expected a Box with finite bounds, got {action_space}")
        keywords.pop("squash_output", None)  # a policy that was saved has it; here it is always so
        super().__init__(observation_space, action_space, lr_schedule, *arguments, **keywords)
        self._squash_output = True

    def _build(self, lr_schedule: Callable[[float], float]) -> None:
        if self.use_sde:
            raise ValueError("use_sde: expected False: SquashedGaussianPolicy draws each action on its own")
        self.action_dist = SquashedGaussianDistribution(get_action_dim(self.action_space))
        super()._build(lr_schedule)


# --- Entropies ---


def _entropies_of(distribution: Distribution) -> torch.Tensor | None:
    """Of every row; by quadrature where it is squashed. None for a distribution that does not know them."""
    entropies = distribution.entropy()
    gaussian = getattr(distribution, "distribution", None)
    if entropies is None and isinstance(gaussian, torch.distributions.Normal):
        return SquashedGaussian(gaussian.mean, gaussian.stddev.log()).entropy()
    return entropies


def _observations(buffer: Any) -> Iterator[Any]:
    """All observations of a rollout, some thousand rows at a time, without a draw: the run stays as it is."""

    def rows(array: np.ndarray) -> np.ndarray:
        return array if buffer.generator_ready else array.reshape(-1, *array.shape[2:])  # (steps, environments, ...)

    whole = buffer.observations
    n = buffer.buffer_size * buffer.n_envs
    for i in range(0, n, _ROWS):
        part = slice(i, i + _ROWS)
        if isinstance(whole, dict):
            yield {name: buffer.to_torch(rows(array)[part]) for name, array in whole.items()}
        else:
            yield buffer.to_torch(rows(whole)[part])


def rollout_entropies(model: OnPolicyAlgorithm) -> np.ndarray:
    """The entropy of the policy in every state of the rollout, float32, in nats: of its distribution, or -log_prob of
    the action where the distribution does not know it. Draws no random number. In the order of the buffer, which its
    first use in train() changes."""
    parts = []
    with torch.no_grad():
        for observations in _observations(model.rollout_buffer):
            entropies = _entropies_of(model.policy.get_distribution(observations))
            if entropies is None:
                return -model.rollout_buffer.log_probs.reshape(-1)
            parts.append(entropies.float().cpu().numpy())
    return np.concatenate(parts)


class EntropyWatch(BaseCallback):
    """Tells a history the mean entropy of PPO's or A2C's policy in the states of each rollout, and changes nothing:
    model.learn(..., callback=EntropyWatch(history)). With a model's coefficient driven, or SAC's, EntropyController has
    a history of its own. Error, when learn() begins: TypeError for another model."""

    def __init__(self, history: EntropyHistory, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.history = history

    def _init_callback(self) -> None:
        _check_on_policy(self.model, "PPO or A2C")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model = self.model
        entropy = float(rollout_entropies(model).mean(dtype=np.float64))
        self.history.observe(model.num_timesteps, entropy, model.ent_coef, _reward(model))


# --- The controller ---


class _Coefficient(torch.optim.Adam):
    """Stands where SAC has the optimizer of ln alpha: a step tells the controller the entropy and takes its
    coefficient. SAC's loss is -ln alpha (mean log_prob + target): the gradient is the entropy less the target.

    It is an Adam that never moves, so that its state can be saved, and loaded into SAC's own."""

    def __init__(self, log_coefficient: torch.Tensor, step: Callable[[float], None]) -> None:
        super().__init__([log_coefficient])
        self._tell = step

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self._tell(self.param_groups[0]["params"][0].grad.item())


class EntropyController(BaseCallback):
    """Drives the entropy coefficient of PPO, A2C or SAC by a controller: model.learn(..., callback=this).

    name, settings: of entrol.controllers(), one that drives an entropy coefficient. target: nats; "0.7max", a share of
    the greatest entropy of discrete actions; "0.4x", a share of the mean of the first observations; "auto" for actions
    in a Box, less their number, and with SAC the model's own target_entropy. By default "auto" with SAC, else "0.4x".

    PPO and A2C: before each update the controller is told the mean entropy of the policy in the rollout's states, and
    model.ent_coef is what it answers. A constant controller leaves the run as it is without one, to the bit.
    SAC: it stands in the place of the automatic coefficient (or of a fixed one), and is told the entropy of each
    gradient step's batch, so that "sac" is SAC's own law, with the controller's `rate` and bounds. The coefficient
    begins at the controller's `initial`. SAC keeps a logarithm: a coefficient below 1e-37 is 1e-37.

    entropy: what is observed, "exact" (of the distributions, by quadrature where they are squashed) or "sampled" (the
    mean of -log_prob of the actions drawn). By default "exact" with PPO and A2C and "sampled", as published, with SAC.
    history: where it is recorded (this.history), by default an own; its alarms are the controller's, which has none for
    actions in a Box unless `collapse` or `explosion` say where, in nats. Of SAC's gradient steps every hundredth, and
    those where an alarm is raised. Logged: entrol/entropy, entrol/coefficient,
    entrol/target, entrol/collapse, entrol/explosion (0 or 1).

    resume: a model that was saved with a controller goes on with its state, which is in the model's own file: load the
    model, and learn() with a controller of the same name and settings. False begins anew.

    Errors: ArgumentError where `name` does not drive an entropy coefficient, and for a setting's number or form;
    TypeError for a setting that there is not. At the beginning of learn() TypeError for a model of another kind, and
    ArgumentError for a target that its actions do not have, and ("resume") for a state of other settings."""

    def __init__(
        self,
        name: str = "pi",
        *,
        entropy: str | None = None,
        history: EntropyHistory | None = None,
        resume: bool = True,
        verbose: int = 0,
        **settings: object,
    ) -> None:
        super().__init__(verbose)
        drivers = [kind.name for kind in controllers().values() if kind.drives == "entropy coefficient"]
        if name not in drivers:
            raise ArgumentError(
                f"name = {name!r}: expected a controller that drives an entropy coefficient: {', '.join(drivers)}",
                "name",
            )
        if entropy not in (None, "exact", "sampled"):
            raise ArgumentError(f"entropy = {entropy!r}: expected 'exact' or 'sampled'", "entropy")
        _check_settings(name, settings)
        self._name, self._entropy, self._resume, self._settings = name, entropy, resume, settings
        self.history = EntropyHistory() if history is None else history
        self.controller: Controller | None = None
        self._driven: Any = None  # the model whose coefficient it is

    @property
    def command(self) -> Command:
        """What holds now. Error: RuntimeError before learn()."""
        if self.controller is None:
            raise RuntimeError("command: the controller is made when learn() begins")
        return self.controller.command

    def _init_callback(self) -> None:
        if self._driven is self.model:
            return
        is_sac = _is_sac(self.model)
        if not is_sac:
            _check_on_policy(self.model, "PPO, A2C or SAC")
        self.controller = _controller(self._name, self._settings, self.model, is_sac)
        _restore(self.controller, self.model, self._resume)
        self._exact = self._entropy == "exact" or (self._entropy is None and not is_sac)
        self._every = 100 if is_sac else 1
        if is_sac:
            self._take_over()
        self._driven = self.model
        _driven_here.add(self.model)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if not isinstance(self.model, OnPolicyAlgorithm):
            return
        buffer = self.model.rollout_buffer
        entropies = rollout_entropies(self.model) if self._exact else -buffer.log_probs.reshape(-1)
        command = self.controller.observe_tokens(entropies)
        self.model.ent_coef = command.coefficient
        self._told(command)

    def _take_over(self) -> None:
        model = self.model
        model.log_ent_coef = torch.zeros(1, device=model.device, requires_grad=True)
        model.ent_coef_optimizer = _Coefficient(model.log_ent_coef, self._step_of_sac)
        model.ent_coef = "auto"  # so that a model that is loaded has what it was saved with
        self._hold(self.controller.coefficient)

    def _step_of_sac(self, gradient: float) -> None:
        entropy = gradient + self.model.target_entropy
        if self._exact:  # the actor was last asked for this batch
            with torch.no_grad():
                entropy = _entropies_of(self.model.actor.action_dist).mean().item()
        command = self.controller.observe(entropy)
        self._hold(command.coefficient)
        self._told(command)

    def _hold(self, coefficient: float) -> None:
        if coefficient < 0:
            raise ArgumentError(f"coefficient {coefficient:g}: expected at least 0 with SAC; set min=0", "min")
        with torch.no_grad():
            self.model.log_ent_coef.fill_(math.log(max(coefficient, 1e-37)))

    def _told(self, command: Command) -> None:
        setattr(self.model, STATE, self.controller.save())
        for name in ("entropy", "coefficient", "target"):
            value = getattr(command, name)
            if not math.isnan(value):
                self.logger.record(f"entrol/{name}", value)
        for alarm in ("collapse", "explosion"):
            self.logger.record(f"entrol/{alarm}", int(alarm in command.alarms))
        if (command.step - 1) % self._every == 0:
            self.history.record(self.model.num_timesteps, command, reward=_reward(self.model))
        else:
            self.history.alarm(self.model.num_timesteps, command.entropy, command.alarms)


def _reward(model: Any) -> float | None:
    """The mean return of the last episodes, as rollout/ep_rew_mean."""
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]
    return float(np.mean(returns)) if returns else None


def _is_sac(model: Any) -> bool:
    """SAC, and what has its actor and its automatic coefficient."""
    return all(hasattr(model, name) for name in ("actor", "ent_coef_optimizer", "log_ent_coef", "target_entropy"))


def _check_on_policy(model: Any, expected: str) -> None:
    if not isinstance(model, OnPolicyAlgorithm) or not hasattr(model, "ent_coef"):
        raise TypeError(f"model: expected {expected}, got {type(model).__name__}")
    for name in ("action_masks", "hidden_states_pi"):
        if hasattr(model.rollout_buffer, name):
            raise TypeError(f"model: {type(model).__name__}, whose distributions depend on {name}, is not supported")


def _check_settings(name: str, settings: dict[str, object]) -> None:
    """As the controller checks them, before the model is known. Errors: ArgumentError, TypeError."""
    for known in ("max_entropy", "n_actions", "context"):
        if known in settings:
            raise TypeError(f"{known}: the model tells it")
    target = settings.get("target")
    Controller(name, max_entropy=_ANY if _is_share(target) else 0.0, **settings | _auto_as(target, 0.5))


def _auto_as(target: object, value: float) -> dict[str, object]:
    return {"target": value} if target == "auto" else {}


def _is_share(target: object) -> bool:
    """Whether it is a share of the greatest entropy."""
    return isinstance(target, str) and target.endswith("max")


def _controller(name: str, settings: dict[str, object], model: Any, is_sac: bool) -> Controller:
    given = dict(settings)
    if is_sac and "target" in controllers()[name].parameters:
        given.setdefault("target", "auto")
    if given.get("target") == "auto":
        given["target"] = _auto_target(model, is_sac)
    most, target = _max_entropy(model.action_space), given.get("target")
    if _is_share(target) and most == 0:
        raise ArgumentError(
            f"target = {target!r}: actions in a Box have a density, which has no greatest entropy; expected nats, "
            "'auto', or a share of the first observations as '0.4x'",
            "target",
        )
    if most == 0:  # a tenth of a density's entropy, which may well be to fall below 0, means nothing
        given = {"collapse": "none", "explosion": "none", **given}
    return Controller(name, max_entropy=most, **given)


def _auto_target(model: Any, is_sac: bool) -> float:
    if is_sac:
        return model.target_entropy
    if not isinstance(model.action_space, spaces.Box):
        raise ArgumentError(
            "target = 'auto': of actions in a Box alone; of discrete ones a share as '0.7max', or nats", "target"
        )
    return -float(get_action_dim(model.action_space))


def _max_entropy(space: spaces.Space) -> float:
    """Of discrete actions; 0, not known, of others: a density has no least unit, and so no share of a greatest."""
    if isinstance(space, spaces.Discrete):
        return math.log(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return float(np.log(space.nvec).sum())
    if isinstance(space, spaces.MultiBinary):
        return math.log(2) * space.n
    return 0.0


def _restore(controller: Controller, model: Any, resume: bool) -> None:
    """Puts the controller into the state that the model was saved with."""
    state = getattr(model, STATE, None)
    if not resume or state is None:
        return
    try:
        controller.restore(state)
    except ArgumentError:
        when = "an earlier learn() of this model had" if model in _driven_here else "the model was saved with"
        raise ArgumentError(
            f"resume: {when} another controller or other settings, and goes on only with the same; resume=False begins "
            "anew",
            "resume",
        ) from None

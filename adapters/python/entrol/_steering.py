"""What the trainers of TRL and verl share: the entropies of one optimizer step, taken up micro-batch by micro-batch,
and the controller that is told of them at its end."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from . import _bindings as c
from ._control import Command, controllers
from ._files import whole
from ._library import DataError
from .torch import Controller, ObjectiveResult, objective, quantile

STATE_FILE = "entrol_controller.txt"
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
ENTROPY, WEIGHTS, KL = "entropy coefficient", "sample weights", "KL coefficient"


def named(value: str | Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """A name, or dict(name=..., **settings), as the name and its settings. Errors: TypeError, ValueError."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{what}: expected a name or dict(name=..., **settings), got {type(value).__name__}")
    settings = dict(value)
    if not isinstance(settings.get("name"), str):
        raise ValueError(f"{what}: expected dict(name=..., **settings), got no name in {sorted(map(str, settings))}")
    return settings.pop("name"), settings


def make_controller(value: str | Mapping[str, Any] | Controller, group: Any, n_actions: int = 0) -> Controller:
    """The controller of a trainer's argument. n_actions: the vocabulary, for targets that are a share of the greatest
    entropy. Errors: as named and Controller."""
    if isinstance(value, Controller):
        return value
    name, settings = named(value, "controller")
    if n_actions and name in controllers() and controllers()[name].observes == "entropy":
        settings = {"n_actions": n_actions, **settings} if "max_entropy" not in settings else settings
    return Controller(name, group=group, **settings)


def check_ranks(controller: Controller, group: Any) -> None:
    """ValueError unless the controller observes the tokens of all ranks: otherwise each would go its own way."""
    its, n = (1 if one is None else torch.distributed.get_world_size(one) for one in (controller.group, group))
    if its != n:
        raise ValueError(f"controller: expected a group of {n} ranks, got {its}; make it with group=, or give its name")


def refuse_drive(controller: Controller, allowed: Iterable[str], why: Mapping[str, str]) -> None:
    """ValueError unless the trainer's loss has what the controller drives."""
    kind = controller.kind
    if kind.drives not in allowed:
        reason = why.get(kind.drives, f"this trainer's loss has no {kind.drives}")
        raise ValueError(f"controller: {kind.name!r} drives the {kind.drives}; {reason}")


def objective_of(name: str, **given: Any) -> ObjectiveResult | None:
    """entrol.torch.objective, None where no token counts on any rank: such a batch teaches nothing."""
    try:
        return objective(name, **given)
    except DataError as error:
        if not _is_nothing(error):
            raise
        return None


def _is_nothing(error: DataError) -> bool:
    """There was no token, on any rank."""
    return error.diagnosis.code == c.Reason.EMPTY_SUPPORT


def nothing_of(logprob: torch.Tensor) -> torch.Tensor:
    """A loss of 0 on which gradients can be asked for."""
    return torch.zeros_like(logprob).mul(logprob.nan_to_num()).sum()


def sample_kl(logprob: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The KL to the reference of each sample that has tokens: the sum of its tokens' k3, as TRL and verl estimate it.
    All (B, T), mask bool."""
    log_ratio = torch.where(mask, reference - logprob, 0.0)
    return (log_ratio.exp() - 1 - log_ratio).sum(-1)[mask.any(-1)]


class Steering:
    """The entropies of the step that is under way, and the controller (None: quantiles alone).

    group: of torch.distributed, None for one process. Every rank calls step() together."""

    def __init__(self, controller: Controller | None, group: Any) -> None:
        self.controller, self.group = controller, group
        self._entropies: list[torch.Tensor] = []
        self._observed: list[torch.Tensor] = []

    @property
    def command(self) -> Command | None:
        return None if self.controller is None else self.controller.command

    def drives(self, what: str) -> bool:
        return self.controller is not None and self.controller.kind.drives == what

    def collect(self, entropies: torch.Tensor, observed: torch.Tensor) -> None:
        """Takes up a micro-batch: the entropies of its tokens that count, and what the controller is to observe (nats,
        one dimension each)."""
        self._entropies.append(entropies.detach().float().cpu())
        self._observed.append(observed.detach().float().cpu())

    @property
    def is_empty(self) -> bool:
        """Nothing was taken up since the last step."""
        return not self._entropies

    def step(self) -> dict[str, float]:
        """Ends the optimizer step: the controller observes what was taken up, on all ranks. Gives what to log. A step
        without any token to observe leaves the controller as it is. Errors: DataError for a NaN, CommunicationError."""
        entropies, observed = _joined(self._entropies), _joined(self._observed)
        self._entropies, self._observed = [], []
        values = quantile(entropies, torch.tensor([*QUANTILES.values()]), group=self.group).tolist()
        metrics = {f"entropy/{name}": value for name, value in zip(QUANTILES, values) if not math.isnan(value)}
        if self.controller is None:
            return metrics
        try:
            self.controller.observe(observed)
        except DataError as error:
            if not _is_nothing(error):
                raise
            return metrics
        return {**metrics, **self.metrics()}

    def metrics(self) -> dict[str, float]:
        """What holds for the next step, as numbers to log."""
        command = self.controller.command
        return {
            "controller/coefficient": command.coefficient,
            "controller/observed": command.entropy,
            "controller/target": command.target,
            "controller/limited": float(command.is_limited),
            "alarm/collapse": float("collapse" in command.alarms),
            "alarm/explosion": float("explosion" in command.alarms),
        }

    def weighted(self, advantages: torch.Tensor) -> torch.Tensor:
        """Advantages with the weights of positive and other samples, where the controller drives these."""
        if not self.drives(WEIGHTS):
            return advantages
        command = self.command
        return advantages * torch.where(advantages > 0, command.positive_weight, command.negative_weight)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the controller's state into a checkpoint's folder, whole or not at all."""
        if self.controller is None:
            return
        with whole(os.path.join(folder, STATE_FILE)) as part, open(part, "w", encoding="utf-8") as file:
            file.write(self.controller.state_dict()["state"])

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Goes on from a checkpoint. Errors: FileNotFoundError where it was made without a controller, ArgumentError
        where with another one."""
        if self.controller is None:
            return
        path = os.path.join(folder, STATE_FILE)
        if not os.path.exists(path):
            raise FileNotFoundError(f"controller: {path} is missing: this checkpoint was made without a controller")
        with open(path, encoding="utf-8") as file:
            self.controller.load_state_dict({"state": file.read()})


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(parts) if parts else torch.zeros(0)

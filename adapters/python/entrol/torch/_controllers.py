"""entrol.Controller for tensors: from the entropy that was observed in a step to the coefficient of the next one."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor

from .. import _control as control
from .._arguments import number, whole
from . import _host
from ._distributed import context_of


class Controller:
    """A controller by its name (entrol.controllers()), told the entropy once a training step.

        controller = entrol.torch.Controller("pi", target=0.4, group=torch.distributed.group.WORLD)
        for step in ...:
            loss = policy_loss - controller.coefficient * entropy.mean()
            controller.observe(entropies, mask)

    settings: the controller's parameters, and max_entropy or n_actions, which a target as "0.7max" needs. group: every
    rank makes the same controller and every observation together, of tokens of its own, and all hold the same
    coefficient, to the bit, however the tokens are split. Errors: as entrol.Controller."""

    def __init__(self, name: str, *, group: dist.ProcessGroup | None = None, **settings: Any) -> None:
        self.group = group
        self._controller = control.Controller(name, context=context_of(group), **settings)
        self._settings = settings

    def __reduce__(self) -> tuple[Any, ...]:
        """As entrol.Controller: the same name, settings and state. Error: TypeError for one of a group."""
        if self._controller._context.comm is not None:
            raise TypeError("group: a controller of a group cannot be copied or pickled; take its state_dict()")
        return _restored, (type(self), self.kind.name, self._settings, self.state_dict())

    @property
    def kind(self) -> control.ControllerKind:
        """What it drives and observes, its parameters and its source."""
        return self._controller.kind

    @property
    def command(self) -> control.Command:
        """All that holds for the next step."""
        return self._controller.command

    @property
    def coefficient(self) -> float:
        """Of what it drives (kind.drives)."""
        return self._controller.coefficient

    def observe(self, entropies: Tensor, mask: Tensor | None = None) -> float:
        """Tells the entropies (nats) of the step's tokens, of any shape, float dtype and device, read as float32; mask
        of the same shape: which count. The coefficient of the next step. A rank may have no token. Errors, after which
        the controller is as before: DataError (NaN, infinite, no token at all), CommunicationError (another
        rank's call failed), TypeError, ValueError."""
        numbers = _host.values(entropies, "entropies")
        return self._controller.observe_tokens(numbers, _host.mask(mask, numbers)).coefficient

    def observe_sum(self, sum: float | Tensor, count: int | Tensor) -> float:
        """The same of the sum of `count` tokens' entropies. Sums that were rounded before do not promise the same
        coefficient for every split over ranks."""
        return self._controller.observe(number(sum, "sum"), whole(count, "count")).coefficient

    def coefficient_of(self, accuracy: float) -> float:
        """The coefficient of one prompt whose samples are right with this share."""
        return self._controller.coefficient_of(accuracy)

    def state_dict(self) -> dict[str, str]:
        """The state, for torch.save: a text that entrol.Controller.restore and the command `entrol control` read."""
        return {"state": self._controller.save()}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        """Goes on as the controller that was saved, which was made with the same name and settings. Error: ValueError
        for anything else; the controller is as before."""
        if not isinstance(state_dict, dict) or not isinstance(state_dict.get("state"), str):
            raise ValueError("state_dict: expected what state_dict() gave")
        self._controller.restore(state_dict["state"])

    def __repr__(self) -> str:
        return repr(self._controller)


def _restored(kind: type[Controller], name: str, settings: dict[str, Any], state: dict[str, str]) -> Controller:
    made = kind(name, **settings)
    made.load_state_dict(state)
    return made

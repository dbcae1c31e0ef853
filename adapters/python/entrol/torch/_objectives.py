"""Published losses by their names, of tensors and with gradients, and the advantages that go in (docs/objectives.md has
each formula and its source).

    result = entrol.torch.objective("dapo", logprob=logprob, old_logprob=old, advantage=advantage, mask=mask,
                                    entropy=entropy, entropy_coefficient=controller.coefficient)
    result.loss.backward()
    log(result.diagnostics)

Everything is computed in the C library from float32 numbers, sums exactly. It registers the operator entrol::objective,
whose result can be differentiated once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .. import _advantage
from .. import _objective as core
from .._arguments import flag, number, text, whole
from . import _host
from ._distributed import context_named, context_of, group_context
from ._ops import _library, _no_second_derivative


@torch.library.custom_op("entrol::objective", mutates_args=())
def _objective(
    name: str,
    texts: str,
    names: str,
    numbers: Tensor,
    group: str,
    seed: int,
    loss_alone: bool,
    logprob: Tensor,
    entropy: Optional[Tensor],
    support_entropy: Optional[Tensor],
    value: Optional[Tensor],
    old_logprob: Optional[Tensor],
    reference_logprob: Optional[Tensor],
    advantage: Optional[Tensor],
    old_entropy: Optional[Tensor],
    old_value: Optional[Tensor],
    target_return: Optional[Tensor],
    weight: Optional[Tensor],
    mask: Optional[Tensor],
    sequence_starts: Optional[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The loss, its derivatives by logprob, entropy, support_entropy and value (empty where not given), each token's
    loss, what was kept, and the diagnostics, float64 on the CPU. Settings: `texts` has lines of name=text, `names`
    those of `numbers`. group: of _distributed.context_named."""
    given = {"logprob": logprob, "entropy": entropy, "support_entropy": support_entropy, "value": value}
    given |= {"old_logprob": old_logprob, "reference_logprob": reference_logprob, "advantage": advantage}
    given |= {"old_entropy": old_entropy, "old_value": old_value, "target_return": target_return, "weight": weight}
    arrays = {key: _host.values(tensor, key) for key, tensor in given.items() if tensor is not None}
    settings: dict[str, Any] = dict(line.split("=", 1) for line in filter(None, texts.split("\n")))
    settings |= zip(names.split(), numbers.tolist())
    found = core.objective_compute(
        name,
        mask=_host.mask(mask, logprob),
        sequence_starts=_host.indices(sequence_starts, "sequence_starts"),
        seed=seed,
        loss_alone=loss_alone,
        context=context_named(group),
        **arrays,
        **settings,
    )
    loss = torch.tensor(found.loss, dtype=_loss_dtype(logprob), device=logprob.device)
    nothing = np.empty(0, np.float32)
    slopes = [torch.from_numpy(found.gradients.get(key, nothing)).to(logprob.device) for key in core.WITH_GRADIENT]
    token_loss, kept = (torch.from_numpy(array).to(logprob.device) for array in (found.token_loss, found.kept))
    logged = [float(found.diagnostics[key]) for key in core.DIAGNOSTICS]
    diagnostics = torch.tensor(logged, dtype=torch.float64, device="cpu")
    return (loss, *slopes, token_loss, kept, diagnostics)


def _loss_dtype(logprob: Tensor) -> torch.dtype:
    return torch.float64 if logprob.dtype == torch.float64 else torch.float32


@_objective.register_fake
def _(name, texts, names, numbers, group, seed, loss_alone, logprob, entropy, support_entropy, value, *rest):  # noqa
    slopes = (
        logprob.new_empty(0 if given is None else logprob.shape, dtype=torch.float32)
        for given in (logprob, entropy, support_entropy, value)
    )
    token_loss, kept = (logprob.new_empty(logprob.shape, dtype=dtype) for dtype in (torch.float32, torch.bool))
    diagnostics = torch.empty(len(core.DIAGNOSTICS), dtype=torch.float64, device="cpu")
    return (logprob.new_empty((), dtype=_loss_dtype(logprob)), *slopes, token_loss, kept, diagnostics)


_library.define("objective_backward(Tensor by_loss, Tensor slope) -> Tensor", tags=torch.Tag.pt2_compliant_tag)


@torch.library.impl(_library, "objective_backward", "CompositeExplicitAutograd")
def _scaled(by_loss: Tensor, slope: Tensor) -> Tensor:
    """A product, but one that refuses to be differentiated."""
    return by_loss * slope


torch.library.register_fake("entrol::objective_backward", _scaled, lib=_library)
torch.library.register_autograd("entrol::objective_backward", _no_second_derivative, lib=_library)


def _objective_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.dtypes = [None if given is None else given.dtype for given in inputs[7:11]]
    ctx.save_for_backward(*output[1:5])


def _objective_backward(ctx: Any, by_loss: Tensor, *_: Any) -> tuple:
    slopes = [
        None if dtype is None else torch.ops.entrol.objective_backward(by_loss, slope).to(dtype)
        for dtype, slope in zip(ctx.dtypes, ctx.saved_tensors)
    ]
    return (*[None] * 7, *slopes, *[None] * 9)


_objective.register_autograd(_objective_backward, setup_context=_objective_context)


@dataclass
class ObjectiveResult:
    """What an objective came to.

    loss: of the tokens of all ranks, with gradients by logprob, entropy, support_entropy and value. gradients: the same
    derivatives of each token, float32, without gradient of their own. token_loss, kept: each token's loss before
    aggregation, and whether clips and gates let its gradient through. n_ranks: what the loss is to be multiplied by
    where gradients will be averaged over ranks."""

    loss: Tensor
    gradients: dict[str, Tensor]
    token_loss: Tensor
    kept: Tensor
    n_ranks: int
    _diagnostics: Tensor

    @cached_property
    def diagnostics(self) -> dict[str, float]:
        """What people log (entrol.ObjectiveResult): entropy, kl_k3, clip_high, ... NaN where what a number is made of
        was not given. They are on the CPU already: no device is waited for."""
        return dict(zip(core.DIAGNOSTICS, self._diagnostics.tolist()))

    def __repr__(self) -> str:
        return core.result_text(self.loss.item(), self.diagnostics, self.gradients)


@core.listed
def objective(
    name: str,
    *,
    logprob: Tensor,
    advantage: Tensor | None = None,
    mask: Tensor | None = None,
    old_logprob: Tensor | None = None,
    reference_logprob: Tensor | None = None,
    entropy: Tensor | None = None,
    old_entropy: Tensor | None = None,
    support_entropy: Tensor | None = None,
    value: Tensor | None = None,
    old_value: Tensor | None = None,
    target_return: Tensor | None = None,
    weight: Tensor | None = None,
    sequence_starts: Tensor | None = None,
    group: dist.ProcessGroup | None = None,
    seed: int = 0,
    loss_alone: bool = False,
    **settings: Any,
) -> ObjectiveResult:
    """The loss of the tokens under an objective (entrol.objectives(); entrol_objective_compute), with gradients.

    name: NAMES.
    logprob: ln p of each token, of any float dtype and device, read as float32. Of two dimensions each row is a
    sequence, else sequence_starts (n + 1 numbers) says where each begins. advantage: of the same shape, or a number for
    each sequence, (n) or (n, 1). mask: 0 where a token does not count: there anything may be held. old_logprob: of the
    policy that acted; without it every ratio is 1 (the same policy acted). The other arrays are of logprob's shape, as
    entrol.objective_compute has them. Gradients go to logprob, entropy, support_entropy and value; the others are
    constants. settings: parameters of the objective, as entropy_coefficient or clip_high, a number or a text.

    group: the loss is that of all ranks' tokens, and this rank's gradients are those of the one loss by its own tokens:
    over ranks they are to be added up. DistributedDataParallel averages them: backpropagate loss * n_ranks there.

    Errors: ArgumentError, ValueError and TypeError, which name the argument; DataError for a NaN at a token that
    counts, a ratio beyond e^88, or no token that counts; CommunicationError where ranks differ, or another one's call
    failed; NotImplementedError for a second derivative, a forward-mode derivative and torch.func's transforms."""
    core.check_keywords(name, settings)
    slopes = {"logprob": logprob, "entropy": entropy, "support_entropy": support_entropy, "value": value}
    constants = {"old_logprob": old_logprob, "reference_logprob": reference_logprob, "advantage": advantage}
    constants |= {"old_entropy": old_entropy, "old_value": old_value, "target_return": target_return}
    constants |= {"weight": weight, "mask": mask, "sequence_starts": sequence_starts}
    for key, tensor in {**slopes, **constants}.items():
        _check_tensor(tensor, key)
    n_ranks = 1 if group is None else group_context(group).comm.size
    key = "" if group is None else group.group_name
    options = whole(seed, "seed"), flag(loss_alone, "loss_alone")
    out = _objective(name, *_settings(settings), key, *options, *slopes.values(), *constants.values())
    gradients = {key: slope.detach() for key, slope in zip(slopes, out[1:5]) if slopes[key] is not None}
    return ObjectiveResult(out[0], gradients, out[5].detach(), out[6], n_ranks, out[7].detach())


def _check_tensor(tensor: Any, name: str) -> None:
    """Anything but logprob may be None. Errors: TypeError; NotImplementedError for torch.func's transforms."""
    if tensor is None and name != "logprob":
        return
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got {type(tensor).__name__}")
    _host.check_transforms(tensor, name)


def _settings(given: dict[str, Any]) -> tuple[str, str, Tensor]:
    """Texts and numbers apart."""
    lines = {key: value for key, value in given.items() if isinstance(value, str)}
    for key, value in lines.items():
        if b"\n" in text(value, key):
            raise ValueError(f"{key}: expected a line, got {value!r}")
    texts = "\n".join(f"{key}={value}" for key, value in lines.items())
    numbers = {key: _number(key, value) for key, value in given.items() if not isinstance(value, str)}
    empty = torch.empty(0, dtype=torch.float64, device="cpu")
    return texts, " ".join(numbers), torch.stack(list(numbers.values())) if numbers else empty


def _number(name: str, value: Any) -> Tensor:
    """A product, so that torch.compile does not take a coefficient that changes for a constant, and compile anew."""
    if isinstance(value, Tensor) and value.numel() == 1 and value.layout == torch.strided and not value.is_complex():
        return _host.indices(value, name).to(torch.float64).reshape(())
    made = value if isinstance(value, float) else number(value, name)
    return torch.ones((), dtype=torch.float64, device="cpu") * made


def gae(
    rewards: Tensor,
    values: Tensor,
    last_values: Tensor,
    *,
    ends: Tensor | None = None,
    final_values: Tensor | None = None,
    gamma: float = 0.99,
    lambda_: float = 0.95,
) -> tuple[Tensor, Tensor]:
    """entrol.advantage_gae of tensors: advantages and returns, (steps, environments), of the rewards' dtype and device,
    without gradient."""
    made = _advantage.advantage_gae(
        _host.values(rewards, "rewards"),
        _host.values(values, "values"),
        _host.values(last_values, "last_values"),
        ends=_host.indices(ends, "ends"),
        final_values=None if final_values is None else _host.values(final_values, "final_values"),
        gamma=gamma,
        lambda_=lambda_,
    )
    return _like(made[0], rewards), _like(made[1], rewards)


def group_advantage(
    rewards: Tensor,
    group_starts: Tensor | int | None = None,
    *,
    scale: str = "group",
    epsilon: float = 1e-4,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """entrol.advantage_group of a tensor (GRPO's advantage), of its shape, dtype and device; a group of equal rewards
    has 0. group_starts: the size of every group (TRL's num_generations), or where each begins. group: scale "batch" is
    that of all ranks' rewards."""
    starts = _host.indices(group_starts, "group_starts")
    made, _ = _advantage.advantage_group(
        _host.values(rewards, "rewards"), starts, scale=scale, epsilon=epsilon, context=context_of(group)
    )
    return _like(made, rewards)


def leave_one_out(rewards: Tensor, group_starts: Tensor | int | None = None) -> Tensor:
    """entrol.advantage_leave_one_out of a tensor (RLOO), of its shape, dtype and device."""
    starts = _host.indices(group_starts, "group_starts")
    return _like(_advantage.advantage_leave_one_out(_host.values(rewards, "rewards"), starts), rewards)


def whiten(
    advantages: Tensor,
    mask: Tensor | None = None,
    *,
    epsilon: float = 1e-8,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """entrol.advantage_whiten of a tensor, of its shape, dtype and device, over all ranks of `group`."""
    numbers = _host.values(advantages, "advantages")
    made = _advantage.advantage_whiten(numbers, _host.mask(mask, numbers), epsilon=epsilon, context=context_of(group))
    return _like(made, advantages)


def _like(array: Any, tensor: Tensor) -> Tensor:
    return torch.from_numpy(array).to(device=tensor.device, dtype=tensor.dtype)

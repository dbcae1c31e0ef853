"""The calls of include/entrol/policy.h as torch operators, with autograd, fake tensors and torch.compile:

    entrol::policy_measure   entropy, ln p(a) or KL(p || q) of each row
    entrol::policy_gradient  the gradients of the parameters, from a loss's derivatives by these
    entrol::policy_sample    draws, of the Gaussian kinds with their pathwise gradient, and ln p of what is drawn

Tensors of other devices are copied to the CPU, and results back. Results have the dtype of `first`. Nothing here can be
differentiated twice."""

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from .._library import DataError
from .._policy import Policy, policy_gradient, policy_measure, policy_sample
from ._context import context
from ._eager import eager

GAUSSIAN, FULL_GAUSSIAN, SQUASHED_GAUSSIAN = "gaussian", "full-gaussian", "squashed-gaussian"
CATEGORICAL, MULTI_DISCRETE, BERNOULLI, BETA = "categorical", "multi-discrete", "bernoulli", "beta"


BOTH = "both"  # entropy and log-probability, in one tensor


def _names(quantity: str) -> tuple[str, ...]:
    return ("entropy", "logprob") if quantity == BOTH else (quantity,)


def _cpu(tensor: Optional[Tensor]) -> Any:
    """An array of the CPU over the same memory where it is there already; bfloat16, which NumPy has not, as a
    tensor."""
    if tensor is None:
        return None
    here = tensor.detach().cpu()
    return here if here.dtype == torch.bfloat16 else here.numpy()


def _policy(
    kind: str,
    sizes: Sequence[int],
    low: float,
    high: float,
    first: Tensor,
    second: Optional[Tensor],
    mask: Optional[Tensor],
) -> Policy:
    chosen = list(sizes) if kind == MULTI_DISCRETE else None
    return Policy(kind, _cpu(first), _cpu(second), sizes=chosen, mask=_cpu(mask), low=low, high=high)


def _reference(policy: Policy, first: Optional[Tensor], second: Optional[Tensor], mask: Optional[Tensor]) -> Any:
    if first is None:
        return None
    return _policy(policy.kind, policy.sizes or (), policy.low, policy.high, first, second, mask)


def _measure(
    quantity: str,
    kind: str,
    sizes: Sequence[int],
    low: float,
    high: float,
    first: Tensor,
    second: Optional[Tensor],
    mask: Optional[Tensor],
    action: Optional[Tensor],
    is_before: bool,
    other_first: Optional[Tensor],
    other_second: Optional[Tensor],
    other_mask: Optional[Tensor],
) -> Tensor:
    """`quantity` ("entropy", "logprob", "kl_pq") of each row, or "both", the first two, (2, ...). action: is_before: x
    of a = f(x). other: the reference."""
    policy = _policy(kind, sizes, low, high, first, second, mask)
    record = policy_measure(
        policy,
        _cpu(action),
        _reference(policy, other_first, other_second, other_mask),
        want=_names(quantity),
        actions_are_before_squash=is_before,
        context=context(),
    )
    made = [torch.from_numpy(getattr(record, name)) for name in _names(quantity)]
    return (torch.stack(made) if quantity == BOTH else made[0]).to(device=first.device, dtype=first.dtype)


_measure_operator = torch.library.custom_op("entrol::policy_measure", _measure, mutates_args=())


@_measure_operator.register_fake
def _(quantity, kind, sizes, low, high, first, *rest):  # noqa: ANN001, ANN202
    return first.new_empty((2, *first.shape[:-1]) if quantity == BOTH else first.shape[:-1])


@torch.library.custom_op("entrol::policy_gradient", mutates_args=())
def gradient(
    kind: str,
    sizes: Sequence[int],
    low: float,
    high: float,
    first: Tensor,
    second: Optional[Tensor],
    mask: Optional[Tensor],
    action: Optional[Tensor],
    is_before: bool,
    other_first: Optional[Tensor],
    other_second: Optional[Tensor],
    other_mask: Optional[Tensor],
    entropy: Optional[Tensor],
    logprob: Optional[Tensor],
    kl_pq: Optional[Tensor],
    kl_qp: Optional[Tensor],
    d_action: Optional[Tensor],
    is_pathwise: bool,
) -> tuple[Tensor, Tensor]:
    """dL/dfirst and dL/dsecond (empty where there is none)."""
    policy = _policy(kind, sizes, low, high, first, second, mask)
    to_first = torch.empty(first.shape, dtype=first.dtype, device="cpu")
    to_second = torch.empty(0, dtype=first.dtype, device="cpu")
    if second is not None:
        to_second = torch.empty(second.shape, dtype=second.dtype, device="cpu")
    policy_gradient(
        policy,
        _cpu(action),
        _reference(policy, other_first, other_second, other_mask),
        entropy=_cpu(entropy),
        logprob=_cpu(logprob),
        kl_pq=_cpu(kl_pq),
        kl_qp=_cpu(kl_qp),
        d_action=_cpu(d_action),
        is_pathwise=is_pathwise,
        actions_are_before_squash=is_before,
        out_first=_cpu(to_first),
        out_second=None if second is None else _cpu(to_second),
        context=context(),
    )
    return to_first.to(first.device), to_second.to(first.device)


@gradient.register_fake
def _(kind, sizes, low, high, first, second, *rest):  # noqa: ANN001, ANN202
    return first.new_empty(first.shape), first.new_empty(0) if second is None else second.new_empty(second.shape)


def _measure_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    quantity, kind, sizes, low, high, first, second, mask, action, is_before, *other = inputs
    ctx.quantity, ctx.shape, ctx.is_before = quantity, (kind, sizes, low, high), is_before
    ctx.save_for_backward(first, second, mask, action, *other)


def _measure_backward(ctx: Any, by: Tensor) -> tuple:
    first, second, mask, action, *other = ctx.saved_tensors
    p, q = (first, second, mask), tuple(other)
    needs = ctx.needs_input_grad
    parts = tuple(by if name == ctx.quantity else None for name in ("entropy", "logprob", "kl_pq"))
    if ctx.quantity == BOTH:
        parts = (*by, None)
    made: list = [None] * 13
    if needs[5] or needs[6] or needs[8]:
        d_first, d_second = gradient(*ctx.shape, *p, action, ctx.is_before, *q, *parts, None, None, False)
        made[5], made[6] = d_first, None if second is None else d_second
        if needs[8]:
            made[8] = _by_action(ctx.shape, by, d_first, first, second, action, ctx.is_before)
    if needs[10] or needs[11]:
        d_first, d_second = gradient(*ctx.shape, *q, None, False, *p, None, None, None, by, None, False)
        made[10], made[11] = d_first, None if second is None else d_second
    return tuple(made)


def _by_action(
    shape: tuple, by: Tensor, d_mean: Tensor, first: Tensor, second: Optional[Tensor], action: Tensor, is_before: bool
) -> Optional[Tensor]:
    """d ln p(a)/da times `by`: of a Gaussian, the mean's the other way round; of a squashed one with the slope of ln
    f', -2 tanh x; of Beta (alpha - 1) / v - (beta - 1) / (1 - v), v the action's place between the bounds."""
    kind, _, low, high = shape
    if kind in (GAUSSIAN, FULL_GAUSSIAN):
        return -d_mean.to(action.dtype)
    if kind not in (SQUASHED_GAUSSIAN, BETA):
        return None
    by = by.double()[..., None]
    if is_before:
        return (-d_mean + 2 * by * action.double().tanh()).to(action.dtype)
    v, left = _places(action, low, high)
    if kind == BETA:
        return (by * (first.double().expm1() / v - second.double().expm1() / left) / (high - low)).to(action.dtype)
    return ((-d_mean + 2 * by * (v - left)) / (2 * (high - low) * v * left)).to(action.dtype)


def _places(action: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """(a - low) and (high - a) as shares of the width; of what is on a bound those of the last number inside."""
    ends = torch.tensor([low, high], dtype=action.dtype, device=action.device)
    inside = torch.nextafter(ends, ends.flip(0)).double()
    held = action.double().clamp(inside[0], inside[1])
    return (held - low) / (high - low), (high - held) / (high - low)


_measure_operator.register_autograd(_measure_backward, setup_context=_measure_context)
measure = eager(_measure_operator, _measure, _measure_context, _measure_backward)


def action_shape(kind: str, sizes: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an action of each row, of logits or means of a shape."""
    if kind == CATEGORICAL:
        return tuple(shape[:-1])
    return (*shape[:-1], len(sizes)) if kind == MULTI_DISCRETE else tuple(shape)


def _action_dtype(kind: str, first: Tensor) -> torch.dtype:
    return torch.int64 if kind in (CATEGORICAL, MULTI_DISCRETE) else first.dtype


def _sample(
    kind: str,
    sizes: Sequence[int],
    low: float,
    high: float,
    first: Tensor,
    second: Optional[Tensor],
    mask: Optional[Tensor],
    seed: Tensor,
    is_deterministic: bool,
    with_logprob: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """An action of each row; x of which a squashed one is f(x); and ln p: empty where there is none or it is not
    wanted. seed: one int64 number."""
    policy = _policy(kind, sizes, low, high, first, second, mask)
    is_whole, is_squashed = _action_dtype(kind, first) == torch.int64, kind == SQUASHED_GAUSSIAN
    shape = action_shape(kind, sizes, first.shape)
    actions = torch.empty(shape, dtype=torch.float64 if is_whole else first.dtype, device="cpu")
    before = torch.empty(shape if is_squashed else 0, dtype=first.dtype, device="cpu")
    drawn = policy_sample(
        policy,
        seed=int(seed) & 0xFFFFFFFFFFFFFFFF,
        is_deterministic=is_deterministic,
        out=_cpu(actions),
        before=_cpu(before) if is_squashed else None,
        context=context(),
    )
    if is_whole and drawn.diagnosis:
        raise DataError(f"logits: {drawn.diagnosis.reason} in row {drawn.diagnosis.first_row}", drawn.diagnosis)
    logprob = torch.empty(0, dtype=first.dtype, device="cpu")
    if with_logprob:
        taken = _cpu(before if is_squashed else actions)
        record = policy_measure(policy, taken, want="logprob", actions_are_before_squash=is_squashed, context=context())
        logprob = torch.from_numpy(record.logprob).to(first.dtype)
    actions = actions.to(_action_dtype(kind, first))
    return actions.to(first.device), before.to(first.device), logprob.to(first.device)


_sample_operator = torch.library.custom_op("entrol::policy_sample", _sample, mutates_args=())


@_sample_operator.register_fake
def _(kind, sizes, low, high, first, second, mask, seed, is_deterministic, with_logprob):  # noqa: ANN001, ANN202
    shape = action_shape(kind, sizes, first.shape)
    actions = first.new_empty(shape, dtype=_action_dtype(kind, first))
    before = first.new_empty(shape if kind == SQUASHED_GAUSSIAN else 0)
    return actions, before, first.new_empty(first.shape[:-1] if with_logprob else 0)


def _sample_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    kind, sizes, low, high, first, second, mask, _, _, with_logprob = inputs
    ctx.shape, ctx.with_logprob, ctx.is_squashed = (kind, sizes, low, high), with_logprob, kind == SQUASHED_GAUSSIAN
    ctx.save_for_backward(first, second, mask, output[1] if ctx.is_squashed else output[0])


def _sample_backward(ctx: Any, by_action: Tensor, by_before: Tensor, by_logprob: Tensor) -> tuple:
    first, second, mask, taken = ctx.saved_tensors
    by_logprob = by_logprob if ctx.with_logprob else None
    nothing = (None, None, None)
    d_first, d_second = gradient(
        *ctx.shape, first, second, mask, taken, ctx.is_squashed, *nothing, None, by_logprob, None, None, by_action, True
    )
    return (None, None, None, None, d_first, None if second is None else d_second, None, None, None, None)


_sample_operator.register_autograd(_sample_backward, setup_context=_sample_context)
sample = eager(_sample_operator, _sample, _sample_context, _sample_backward)

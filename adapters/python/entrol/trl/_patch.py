"""Puts Entrol's functions into TRL, and takes them out again.

What is replaced, all of trl.trainer.utils: entropy_from_logits, selective_log_softmax and
selective_log_softmax_and_entropy, wherever a module of TRL has them by name; and in the forward pass of
add_fused_lm_head the autograd function of the output layer. TRL's own stay for tensors that are not on the CPU (on a
GPU they are its Triton kernels), and in the output layer wherever more than log-probabilities and entropies is asked
for, and for half types that the processor multiplies itself: Entrol's products are of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from trl.trainer import utils

from .. import torch as entrol_torch
from .._replace import Replacement, on_the_cpu
from ..torch import Controller
from ._trainer import Steered, steer, unsteer

FUNCTIONS = {
    "entropy_from_logits": on_the_cpu(entrol_torch.entropy_from_logits),
    "selective_log_softmax": on_the_cpu(entrol_torch.selective_log_softmax),
    "selective_log_softmax_and_entropy": on_the_cpu(entrol_torch.logprob_and_entropy),
}


class Patch:
    """What patch() did. As a context manager it takes it back at its end; so does undo()."""

    def __init__(self, trainer: Any | None, owns_functions: bool) -> None:
        self._trainer, self._owns_functions = trainer, owns_functions

    def undo(self) -> None:
        """Takes back what this call did, and no more."""
        if self._trainer is not None:
            unsteer(self._trainer)
            self._trainer = None
        if self._owns_functions:
            _replacement.restore()
            self._owns_functions = False

    def __repr__(self) -> str:
        """What it has in place."""
        parts = ["TRL's functions"] if self._owns_functions else []
        parts += [f"a {type(self._trainer).__name__}"] if self._trainer is not None else []
        return f"Patch({' and '.join(parts) or 'nothing in place'})"

    def __enter__(self) -> Patch:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


def patch(
    trainer: Any | None = None,
    *,
    controller: str | Mapping[str, Any] | Controller | None = None,
    objective: str | Mapping[str, Any] | None = None,
    mask: str | None = None,
    keep: str | None = None,
) -> Patch:
    """Puts Entrol's functions into TRL, for every trainer that there is and will be: modules of TRL that are imported
    later take them from trl.trainer.utils. What a script imported by name before it keeps TRL's.

    trainer: a trl.GRPOTrainer or a subclass's; it also gets Entrol's exact mask over all ranks, and what
    entrol.trl.GRPOTrainer has: `controller`, `objective`, `mask` and `keep`. Errors: ImportError where this TRL lacks a
    name that is replaced; TypeError and ValueError, which name the argument."""
    given = {"controller": controller, "objective": objective, "mask": mask, "keep": keep}
    if trainer is None and any(value is not None for value in given.values()):
        name = next(name for name, value in given.items() if value is not None)
        raise ValueError(f"{name}: needs a trainer, as in patch(trainer, {name}=...)")
    if trainer is not None:
        steer(trainer, **given)
    try:
        return Patch(trainer, _replacement.install())
    except BaseException:
        if trainer is not None:
            unsteer(trainer)
        raise


def unpatch(trainer: Any | None = None) -> None:
    """Takes Entrol's functions out of TRL, also out of modules imported since; of a trainer, what patch(trainer) gave
    it. Nothing happens where nothing was patched."""
    if trainer is None:
        _replacement.restore()
    elif isinstance(trainer, Steered):
        unsteer(trainer)


def _compacts(original: Callable[[torch.device], bool]) -> Callable[[torch.device], bool]:
    """Whether the output layer is given the positions that have a label, and no others. TRL gives it all of them where
    it has no Triton, since some devices compile anew for each number of rows; a CPU does not."""
    return lambda device: device.type == "cpu" or original(device)


def _multiplies(dtype: torch.dtype) -> bool:
    """Whether this processor has products of a half type, of which PyTorch's are then several times as fast as those
    of float32."""
    if dtype == torch.bfloat16:
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    elif dtype == torch.float16:
        names = ("_is_amx_fp16_supported",)
    else:
        return False
    return any(getattr(torch.cpu, name, bool)() for name in names)


class OutputLayer:
    """Stands where TRL looks for its autograd function of the output layer (trl.kernels.ChunkedLogProbFunction)."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def apply(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        soft_cap: float | None,
        logit_scale: float,
        outputs: tuple[str, ...],
    ) -> tuple[torch.Tensor | None, ...]:
        """Log-probabilities, entropies and three that are not wanted, float32, of hidden (N, d), weight (V, d), bias
        (V) and targets (N)."""
        is_wanted = set(outputs) <= {"log_probs", "entropy"} and logit_scale > 0
        is_spread = hasattr(weight, "ds_id")  # DeepSpeed's: it is whole only while the forward pass runs
        if hidden.device.type != "cpu" or not is_wanted or is_spread or _multiplies(hidden.dtype):
            given = (hidden, weight, bias, targets, temperature, chunk_size, soft_cap, logit_scale, outputs)
            return self.original.apply(*given)
        logprob, entropy = entrol_torch.linear_logprob_and_entropy(
            hidden, weight, targets, bias, temperature=temperature, soft_cap=soft_cap, logit_scale=logit_scale
        )
        return logprob.float(), entropy.float() if "entropy" in outputs else None, None, None, None


_replacement = Replacement(
    utils,
    {**FUNCTIONS, "_ChunkedLogProbFunction": OutputLayer, "_use_triton": _compacts},
    everywhere=FUNCTIONS,
    known="TRL 1.16",
)

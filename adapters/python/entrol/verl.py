"""Entrol in verl: controllers of the actor's coefficient, objectives as policy losses, its functions in verl's place.

A module that all of verl's processes import, named by VERL_USE_EXTERNAL_MODULES or by
actor_rollout_ref.model.external_lib, says what is wanted:

    import entrol.verl

    entrol.verl.register("dapo", clip_high=0.28)               # policy_loss.loss_mode=entrol_dapo
    entrol.verl.patch(controller=dict(name="pi", target=0.4))  # actor.calculate_entropy=True

For verl 0.9.1. `import entrol` does not import it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from verl.trainer.ppo.core_algos import register_policy_loss
from verl.utils import tensordict_utils, torch_functional
from verl.workers.utils import losses
from verl.workers.utils.padding import no_padding_2_padding

from . import torch as entrol_torch
from ._objective import objective_needs, objectives
from ._replace import Replacement, on_the_cpu
from ._steering import (
    ENTROPY,
    KL,
    WEIGHTS,
    Steering,
    check_ranks,
    make_controller,
    nothing_of,
    objective_of,
    refuse_drive,
    sample_kl,
)
from .torch import Controller

__all__ = ["ActorLoss", "patch", "register", "unpatch"]

PREFIX = "entrol_"
AGGREGATIONS = {
    "token-mean": "token_mean",
    "token-sum": "token_mean",
    "seq-mean-token-sum": "sequence_sum",
    "seq-mean-token-sum-norm": "constant",
    "seq-mean-token-mean": "sequence_mean",
}
#: What a policy loss of verl is not told.
MISSING = ("support_entropy", "old_entropy", "value", "old_value", "target_return", "reference_logprob")
#: What verl's actor has settings for, and adds to the policy loss itself.
OF_THE_ACTOR = {
    "aggregation": "actor.loss_agg_mode",
    "over": "actor.loss_agg_mode",
    "length": "actor.loss_scale_factor",
    "entropy_coefficient": "actor.entropy_coeff",
    "kl_coefficient": "actor.kl_loss_coef",
    "value_coefficient": "the critic's",
}
OFF = {"entropy_coefficient": 0.0, "value_coefficient": 0.0}
REASONS = {
    "entropy coefficient by prompt": "verl's loss has one coefficient for all prompts",
    "temperature": "verl's loss has no term on samples of another temperature",
}

#: The entropies of the micro-batch whose loss is being computed: verl hands none to its policy losses.
_entropies: ContextVar[torch.Tensor | None] = ContextVar("entrol_entropies", default=None)


def register(*names: str, prefix: str = PREFIX, **settings: Any) -> list[str]:
    """Registers objectives as policy losses of verl, and gives the names for actor.policy_loss.loss_mode: "entrol_dapo"
    for "dapo".

    names: of entrol.objectives(); none: all that verl can serve. settings: their parameters; what is not set is as
    published, whatever actor.clip_ratio says. How tokens become one loss, the bonus and the KL stay verl's
    (loss_agg_mode, entropy_coeff, kl_loss_coef). Objectives that look at entropies (high_entropy, entropy_advantage,
    top_share) need patch() and actor.calculate_entropy=True; shares and means over tokens are of the micro-batch, as in
    verl's own losses. Errors: ValueError, TypeError: for an objective that needs what verl does not tell."""
    chosen = names or tuple(name for name in objectives() if not _refusal(name, settings))
    made = {name: _policy_loss(name, settings) for name in chosen}
    return [_registered(f"{prefix}{name}", function) for name, function in made.items()]


def _registered(name: str, function: Callable[..., Any]) -> str:
    register_policy_loss(name)(function)
    return name


def _refusal(name: str, settings: Mapping[str, Any]) -> str | None:
    """Why verl cannot serve it."""
    if name not in objectives():
        return f"names: no objective {name!r}; there are {', '.join(objectives())}"
    for setting in OF_THE_ACTOR.keys() & settings.keys():
        return f"{setting}: is verl's own, {OF_THE_ACTOR[setting]}"
    needs = objective_needs(name, **{"length": 1.0, **OFF, **settings})
    needs |= objectives()[name].needs & {"support_entropy"}
    for need in sorted(needs & set(MISSING)):
        return f"names: {name} needs {need}, which verl does not hand to a policy loss"
    return None


def _policy_loss(name: str, settings: Mapping[str, Any]) -> Callable[..., tuple[torch.Tensor, dict[str, float]]]:
    refusal = _refusal(name, settings)
    if refusal is not None:
        raise ValueError(refusal)
    settings = {**OFF, **settings}
    wants_entropy = "entropy" in objective_needs(name, **{"length": 1.0, **settings})

    def policy_loss(
        old_log_prob: torch.Tensor,
        log_prob: torch.Tensor,
        advantages: torch.Tensor,
        response_mask: torch.Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any | None = None,
        rollout_is_weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        entropies = _entropies.get() if wants_entropy else None
        if wants_entropy and entropies is None:
            raise ValueError(f"{name} needs entropies: entrol.verl.patch(), with actor.calculate_entropy=True")
        info = {} if config is None else dict(config.global_batch_info)
        result = objective_of(
            name,
            logprob=log_prob,
            old_logprob=old_log_prob,
            advantage=advantages,
            mask=response_mask,
            weight=rollout_is_weights,
            entropy=entropies,
            **_aggregation(loss_agg_mode, info, response_mask),
            **settings,
        )
        if result is None:
            return nothing_of(log_prob), {}
        return result.loss * _share(loss_agg_mode, info, response_mask), _metrics(result.diagnostics)

    policy_loss.__name__, policy_loss.__doc__ = f"{PREFIX}{name}", objectives()[name].says
    return policy_loss


def _aggregation(mode: str, info: Mapping[str, Any], mask: torch.Tensor) -> dict[str, Any]:
    if mode not in AGGREGATIONS:
        raise ValueError(f"loss_agg_mode: expected one of {', '.join(AGGREGATIONS)}, got {mode!r}")
    chosen: dict[str, Any] = {"aggregation": AGGREGATIONS[mode], "over": "valid"}
    if chosen["aggregation"] == "constant":
        chosen["length"] = info.get("loss_scale_factor") or mask.shape[-1]
    return chosen


def _share(mode: str, info: Mapping[str, Any], mask: torch.Tensor) -> float | torch.Tensor:
    """The micro-batch's part of the mini-batch's loss, times the ranks over which gradients will be averaged, as verl's
    agg_loss has it: where it is not told how many there are in the mini-batch, of its own, and then sequences without a
    token do not count."""
    if mode == "token-sum":
        return mask.sum() * info.get("dp_size", 1)
    if mode == "token-mean":
        n, total = mask.sum(), info.get("batch_num_tokens")
    else:
        n, total = mask.shape[0], info.get("global_batch_size")
        total = (mask.sum(-1) > 0).sum() if total is None else total
    if info.get("dp_size", 1) > 1 and total is None:
        raise ValueError("batch_num_tokens: needed where dp_size is above 1")
    return 1.0 if total is None else n / total * info.get("dp_size", 1)


def _metrics(diagnostics: Mapping[str, float]) -> dict[str, float]:
    """By verl's names where it has one."""
    return {
        "actor/pg_clipfrac": diagnostics["clip_low"] + diagnostics["clip_high"],
        "actor/ppo_kl": diagnostics["kl_k1"],
        "actor/pg_clipfrac_lower": diagnostics["clip_dual"],
        "actor/ratio_greatest": diagnostics["ratio_greatest"],
        "actor/covariance": diagnostics["covariance"],
    }


class ActorLoss:
    """verl's ppo_loss under a controller: sets entropy_coeff ("entropic": weighs the advantages; "adaptive_kl":
    kl_loss_coef), and takes up the entropies (nats) of each micro-batch, which step() tells the controller after the
    optimizer's step, those of all data-parallel ranks together.

    original: verl's. controller: a name, dict(name=..., **settings), an entrol.torch.Controller, or None. Errors: as
    entrol.trl.GRPOTrainer."""

    def __init__(self, original: Callable[..., Any], controller: Any = None) -> None:
        self.original, self._given = original, controller
        self._steering: Steering | None = None
        self._folder: str | None = None  # of a checkpoint that was loaded before the ranks were known
        if controller is not None:
            refuse_drive(make_controller(controller, None), (ENTROPY, WEIGHTS, KL), REASONS)

    def __call__(self, config: Any, model_output: Any, data: Any, dp_group: Any = None) -> tuple[Any, dict[str, Any]]:
        entropies = model_output.get("entropy")
        padded = None if entropies is None else no_padding_2_padding(entropies, data)
        if self._given is not None:
            data = self._steered(config, padded, data, dp_group)
        token = _entropies.set(None if padded is None else padded.detach())
        try:
            loss, metrics = self.original(config, model_output, data, dp_group)
        finally:
            _entropies.reset(token)
        if self._given is not None and torch.is_grad_enabled():
            self._collect(padded, model_output, data)
        return loss, metrics

    def _steered(self, config: Any, entropies: Any, data: Any, dp_group: Any) -> Any:
        """The micro-batch under what the controller commands."""
        if entropies is None:
            raise ValueError("controller: no entropies; set actor_rollout_ref.actor.calculate_entropy=True")
        steering = self._start(dp_group)
        command = steering.command
        if steering.drives(KL) and not config.use_kl_loss:
            raise ValueError("controller: it drives the KL coefficient; set actor_rollout_ref.actor.use_kl_loss=True")
        if steering.drives(WEIGHTS):
            data = data.clone(recurse=False)
            data["advantages"] = steering.weighted(data["advantages"])  # a nested tensor stays one
        else:  # verl's configurations are frozen
            name = "kl_loss_coef" if steering.drives(KL) else "entropy_coeff"
            object.__setattr__(config, name, command.coefficient)
        return data

    def _start(self, dp_group: Any) -> Steering:
        if self._steering is None:
            is_alone = dp_group is None or torch.distributed.get_world_size(dp_group) == 1
            group = None if is_alone else dp_group
            controller = make_controller(self._given, group)
            check_ranks(controller, group)
            self._steering = Steering(controller, group)
            if self._folder is not None:
                self._steering.restore(self._folder)
                self._folder = None
        return self._steering

    def _collect(self, entropies: torch.Tensor, model_output: Any, data: Any) -> None:
        fields = ["response_mask"] + (["ref_log_prob"] if self._steering.drives(KL) else [])
        padded = data.select(*fields).to_padded_tensor()
        mask = padded["response_mask"].bool()
        observed = entropies[mask]
        if self._steering.drives(KL):
            logprob = no_padding_2_padding(model_output["log_probs"], data).detach()
            observed = sample_kl(logprob, padded["ref_log_prob"], mask)
        self._steering.collect(entropies[mask], observed)

    def step(self) -> dict[str, float]:
        """After an optimizer step: the controller observes. Gives what to log; empty where no loss was computed here
        since the last one."""
        if self._steering is None or self._steering.is_empty:
            return {}
        return self._steering.step()

    def save(self, folder: str) -> None:
        """The controller's state, into a checkpoint's folder."""
        if self._steering is not None:
            self._steering.save(folder)

    def restore(self, folder: str) -> None:
        """Goes on from a checkpoint's. Errors: FileNotFoundError, ArgumentError."""
        if self._steering is not None:
            self._steering.restore(folder)
        elif self._given is not None:
            self._folder = folder


def _logprobs(logits: torch.Tensor, labels: torch.Tensor, inplace_backward: bool = True) -> torch.Tensor:
    """verl's logprobs_from_logits. Where its flash-attn is not there, it leaves the logits alone as well."""
    return entrol_torch.selective_log_softmax(logits, labels)


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    return entrol_torch.entropy_from_logits(logits)


def _chunked_entropy(logits: torch.Tensor, chunk_size: int = 2048) -> torch.Tensor:
    return entrol_torch.entropy_from_logits(logits, chunk_size, dtype=torch.float32)


def _train_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    """One mini-batch, one step of the optimizer."""

    @functools.wraps(original)
    def train_batch(self: Any, data: Any) -> Any:
        output = original(self, data)
        metrics = _loss_of(self).step() if _loss_of(self) else {}
        if output is not None and metrics:
            tensordict_utils.get(output, "metrics").update({f"actor/{key}": value for key, value in metrics.items()})
        return output

    return train_batch


def _save_checkpoint(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def save_checkpoint(self: Any, local_path: str, *arguments: Any, **keywords: Any) -> Any:
        result = original(self, local_path, *arguments, **keywords)
        # One of the ranks that compute the loss: others hold a controller that has observed nothing.
        is_writer = self.engine.is_mp_src_rank_with_outputs() and self.engine.get_data_parallel_rank() == 0
        if _loss_of(self) and is_writer:
            os.makedirs(local_path, exist_ok=True)
            _loss_of(self).save(local_path)
        return result

    return save_checkpoint


def _load_checkpoint(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def load_checkpoint(self: Any, local_path: str, *arguments: Any, **keywords: Any) -> Any:
        result = original(self, local_path, *arguments, **keywords)
        if _loss_of(self) and local_path is not None:
            _loss_of(self).restore(local_path)
        return result

    return load_checkpoint


def _loss_of(worker: Any) -> ActorLoss | None:
    """The actor's, which in a distillation is within another; a critic's worker and a reference's have others."""
    function = getattr(worker.loss_fn, "func", worker.loss_fn)
    if getattr(function, "__name__", None) == "distillation_ppo_loss":
        function = function.__globals__["ppo_loss"]
    return function if isinstance(function, ActorLoss) else None


_installed: list[Replacement] = []


def patch(*, controller: str | Mapping[str, Any] | Controller | None = None, functions: bool = True) -> None:
    """In this process, before its workers are made: verl's ppo_loss becomes an ActorLoss with the controller, whose
    state goes into the actor's checkpoints (entrol_controller.txt); and with `functions` its entropy_from_logits,
    entropy_from_logits_with_chunking and logprobs_from_logits are Entrol's for tensors on the CPU.

    Errors: ImportError where this verl lacks a name that is replaced; RuntimeError where it is patched already;
    ValueError and TypeError, which name the argument."""
    from verl.workers import engine_workers

    if _installed:
        raise RuntimeError("verl is patched already: unpatch() first")
    known, worker = "verl 0.9.1", engine_workers.TrainingWorker
    makers = {"ppo_loss": functools.partial(ActorLoss, controller=controller)}
    made = [Replacement(losses, makers, makers, known)]
    methods = {"train_batch": _train_batch, "save_checkpoint": _save_checkpoint, "load_checkpoint": _load_checkpoint}
    made.append(Replacement(worker, methods, (), known))
    if functions:
        ours = {
            "entropy_from_logits": on_the_cpu(_entropy),
            "entropy_from_logits_with_chunking": on_the_cpu(_chunked_entropy),
            "logprobs_from_logits": on_the_cpu(_logprobs),
        }
        made.append(Replacement(torch_functional, ours, ours, known))
    try:
        for one in made:
            one.install()
            _installed.append(one)
    except BaseException:
        unpatch()
        raise


def unpatch() -> None:
    """Puts verl's own back, for workers that are made from now on."""
    while _installed:
        _installed.pop().restore()

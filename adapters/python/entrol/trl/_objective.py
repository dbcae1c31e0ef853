"""The losses of entrol.objectives() on the tensors of TRL's GRPOTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .._objective import objective_needs, objectives
from .._steering import named, nothing_of, objective_of

#: What TRL has no tensor for.
MISSING = {
    "support_entropy": "TRL's output layer gives entropies of the whole vocabulary alone",
    "value": "TRL's GRPOTrainer has no critic",
    "old_value": "TRL's GRPOTrainer has no critic",
    "target_return": "TRL's GRPOTrainer has no critic",
}
#: Parts that GRPOConfig has: beta stays the coefficient of the KL, entropy_coef or a controller that of the entropy.
OF_THE_TRAINER = {
    "kl_coefficient": "GRPOConfig(beta)",
    "entropy_coefficient": "GRPOConfig(entropy_coef) or controller",
}
#: What GRPOConfig could be told and the objective would not hear.
UNHEARD = {
    "importance_sampling_level": ("token", "take the objective gspo"),
    "delta": (None, "set dual_clip of the objective"),
    "use_bias_correction_kl": (False, "set it to False, or beta to 0; an objective's KL is the plain k3"),
}
#: What TRL has logged of the loss of its loss_type: of clips that were not made.
NOT_ITS = ("clip_ratio/", "cispo_clip_ratio", "vespo/")
LOGGED = (
    "policy_loss",
    "kl_loss",
    "kl_k3",
    "ratio_mean",
    "ratio_greatest",
    "clip_low",
    "clip_high",
    "clip_dual",
    "covariance",
    "n_kept",
)


class ObjectiveLoss:
    """An objective with its settings. Errors: TypeError and ValueError for a name, a setting or a need that TRL cannot
    serve."""

    def __init__(self, trainer: Any, value: str | Mapping[str, Any], group: Any) -> None:
        self.name, self.settings, needs = checked(value)
        self.parameters, self.group = objectives()[self.name].parameters, group
        if self._of("aggregation") == "constant":
            self.settings.setdefault("length", trainer.max_completion_length)
        self.wants_entropy, self.wants_old_entropy = "entropy" in needs, "old_entropy" in needs
        _refuse_unheard(trainer.args)

    def _of(self, name: str) -> Any:
        """A setting, or what holds without it."""
        return self.settings.get(name, self.parameters[name].initial)

    def loss(
        self, trainer: Any, inputs: dict[str, Any], logprob: Any, entropies: Any, mask: Any, kept: Any
    ) -> torch.Tensor:
        """The micro-batch's part of the optimizer step's loss. logprob, entropies, mask, kept (None: all): (B, T)."""
        metrics = trainer._metrics["train" if trainer.model.training else "eval"]
        for name in [name for name in metrics if name.startswith(NOT_ITS)]:
            del metrics[name]
        result = self._compute(trainer, inputs, logprob, entropies, mask, kept)
        if result is None:
            return nothing_of(logprob)
        factor = self._share(trainer, inputs, result.diagnostics["n_tokens"])
        for name in LOGGED:
            metrics[f"objective/{name}"].append(result.diagnostics[name])
        # The gradients of ranks will be averaged, those of one loss are to be added up; the value is that of all ranks.
        loss = factor * (result.loss + (result.n_ranks - 1) * (result.loss - result.loss.detach()))
        if trainer._entropy_bonus_enabled:
            metrics["policy_loss"][-1] = result.loss.item()  # instead of the one of TRL's loss_type
            loss = loss - trainer.entropy_coef * self._bonus(entropies, mask, kept) / trainer._accumulation()
        return loss

    def _compute(self, trainer: Any, inputs: dict[str, Any], logprob: Any, entropies: Any, mask: Any, kept: Any) -> Any:
        """None where no token of any rank counts."""
        old = inputs.get("old_per_token_logps")
        advantages = inputs["advantages"]
        given = {
            "logprob": logprob,
            "old_logprob": logprob.detach() if old is None else old,
            "advantage": advantages,
            "weight": self._weight(trainer, inputs, given_old=old, logprob=logprob, mask=mask, kept=kept),
            "entropy": entropies if self.wants_entropy else None,
            "reference_logprob": inputs["ref_per_token_logps"] if trainer.beta != 0.0 else None,
        }
        if self.wants_old_entropy:
            given["old_entropy"] = inputs.get("old_entropies", entropies.detach())
        settings = {**self.settings, "kl_coefficient": trainer.beta}
        return objective_of(self.name, mask=mask, group=self.group, seed=_n_seen(trainer), **given, **settings)

    @staticmethod
    def _weight(trainer: Any, inputs: dict[str, Any], given_old: Any, logprob: Any, mask: Any, kept: Any) -> Any:
        """What TRL multiplies a token's surrogate by: the mask of entropies, the sampler's correction, and the mask of
        sequences that are off the policy. None: 1."""
        factors = [] if kept is None else [kept]
        if trainer.use_vllm and trainer.vllm_importance_sampling_correction:
            factors.append(inputs["importance_sampling_ratio"])
        if trainer.off_policy_mask_threshold is not None:
            old = logprob.detach() if given_old is None else given_old
            advantages = inputs["advantages"]
            factors.append(
                trainer.get_off_policy_mask(
                    advantages=advantages[:, None] if advantages.dim() == 1 else advantages,
                    per_token_logps=logprob,
                    sampling_per_token_logps=inputs.get("sampling_per_token_logps", old),
                    mask=mask,
                    off_policy_threshold=trainer.off_policy_mask_threshold,
                )
            )
        weight = None
        for factor in factors:
            weight = factor.float() if weight is None else weight * factor
        return None if weight is None else weight.expand(logprob.shape)

    def _share(self, trainer: Any, inputs: dict[str, Any], n_tokens: float) -> float:
        """The micro-batch's share of the step's loss. A mean over tokens is that of the step's: TRL's
        num_items_in_batch, which is the generation batch's, scaled to one step. Other means are of sequences, of which
        every micro-batch has as many."""
        if self._of("aggregation") != "token_mean" or self._of("over") != "valid":
            return 1.0 / trainer._accumulation()
        total = max(float(inputs["num_items_in_batch"]), 1.0)
        if trainer.model.training:
            total *= trainer.current_gradient_accumulation_steps / trainer.args.steps_per_generation
        return n_tokens / total

    @staticmethod
    def _bonus(entropies: Any, mask: Any, kept: Any) -> torch.Tensor:
        """The mean entropy of the tokens that the bonus acts on, as in TRL."""
        covered = mask.bool() if kept is None else mask.bool() & kept
        return torch.where(covered, entropies, 0.0).sum() / covered.sum().clamp(min=1)


def _n_seen(trainer: Any) -> int:
    """Micro-batches before this one. TRL counts those of its process, and begins anew where a run is resumed; what is
    drawn at random is to be as if it had not been interrupted."""
    n = int(trainer._accumulation())
    return trainer.state.global_step * n + trainer._step % n


def checked(value: str | Mapping[str, Any]) -> tuple[str, dict[str, Any], frozenset[str] | set[str]]:
    """The name, the settings and the needs of a trainer's argument, before there is a trainer. Errors: as
    ObjectiveLoss."""
    name, given = named(value, "objective")
    known = objectives().get(name)
    if known is None:
        raise ValueError(f"objective: no {name!r}; there are {', '.join(objectives())}")
    for setting, owner in OF_THE_TRAINER.items():
        if setting in given:
            raise ValueError(f"objective: {setting} is {owner}")
    settings = {"value_coefficient": 0.0, "entropy_coefficient": 0.0, **given}
    length = {"length": 1} if "length" in known.parameters else {}  # where none is given the trainer has one
    needs = objective_needs(name, **length | settings)
    for need in sorted((needs | known.needs & {"support_entropy"}) & MISSING.keys()):
        raise ValueError(f"objective: {name} needs {need}; {MISSING[need]}")
    return name, settings, needs


def _refuse_unheard(args: Any) -> None:
    for name, (expected, instead) in UNHEARD.items():
        value = getattr(args, name, expected)
        if value != expected and not (name == "use_bias_correction_kl" and args.beta == 0):
            raise ValueError(f"objective: GRPOConfig({name}={value!r}) does nothing beside it: {instead}")

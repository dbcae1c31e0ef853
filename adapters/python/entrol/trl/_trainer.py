"""What Entrol adds to a trainer of TRL's GRPO: a mixin over TRL's own methods, so that it also serves subclasses."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig
from trl import GRPOTrainer as TrlGRPOTrainer

from .._control import ControllerKind
from .._steering import ENTROPY, KL, WEIGHTS, Steering, check_ranks, make_controller, refuse_drive, sample_kl
from ..torch import Controller, high_entropy_mask
from ._mask import MaskRule
from ._objective import ObjectiveLoss, checked

REASONS = {
    "entropy coefficient by prompt": "TRL's loss has one coefficient for all prompts",
    "temperature": "TRL's loss has no term on samples of another temperature",
}
RULE = "rule"
#: As many columns as no vocabulary has: a controller is made for it before the model's is known.
ANY_VOCABULARY = 1 << 24
BEGINS = "; the controller's `initial` is what it begins with"
#: Methods that Steered goes before or behind.
_CALLED = (
    "get_high_entropy_mask",
    "get_off_policy_mask",
    "_get_per_token_logps_and_entropies",
    "_generate_and_score_completions",
    "_compute_loss",
    "_save_checkpoint",
    "_load_optimizer_and_scheduler",
)
#: What is set for a rule, and by what a controller drives.
_SET = {
    RULE: ("top_entropy_quantile",),
    ENTROPY: ("entropy_coef", "_entropy_bonus_enabled"),
    KL: ("beta",),
    WEIGHTS: (),
}


def check_arguments(controller: Any, objective: Any, mask: Any, keep: Any, args: Any) -> list[MaskRule]:
    """What can be told before there is a model; args: GRPOConfig or None. Gives the rule, if any. Errors: TypeError,
    ValueError."""
    if mask is not None and keep is not None:
        raise ValueError("keep: mask is its complement; give one of them")
    rules = [MaskRule(name, value) for name, value in (("mask", mask), ("keep", keep)) if value is not None]
    if objective is not None:
        checked(objective)
    if controller is not None:
        made = make_controller(controller, None, ANY_VOCABULARY)
        refuse_drive(made, (ENTROPY, WEIGHTS, KL), REASONS)
        _refuse_beside(made.kind, args)
    return rules


def _refuse_beside(kind: ControllerKind, args: Any) -> None:
    """GRPOConfig's own settings of what the controller drives, which it would override."""
    if getattr(args, "use_adaptive_entropy", False):
        raise ValueError("controller: GRPOConfig(use_adaptive_entropy=True) is another one; turn it off")
    coefficient = getattr(args, "entropy_coef", 0.0)
    if kind.drives == ENTROPY and coefficient != 0:
        raise ValueError(
            f"controller: {kind.name!r} drives the entropy coefficient, and GRPOConfig(entropy_coef={coefficient!r}) "
            f"would do nothing: leave it 0{BEGINS if 'initial' in kind.parameters else ''}"
        )


class Steered:
    """The methods of trl.GRPOTrainer that Entrol goes before or behind."""

    def _begin(self, controller: Any, objective: Any, mask: str | None, keep: str | None) -> None:
        """After TRL's __init__: checks the arguments and sets what TRL's loss reads."""
        self._check_version()
        rules = check_arguments(controller, objective, mask, keep, self.args)
        group = torch.distributed.group.WORLD if self.accelerator.num_processes > 1 else None
        loss = None if objective is None else ObjectiveLoss(self, objective, group)
        made = None if controller is None else self._make_controller(controller, group)
        changed = [RULE] * bool(rules) + ([] if made is None else [made.kind.drives])
        self._entrol_before = {name: getattr(self, name) for kind in changed for name in _SET[kind]}
        self._steering, self._mask_rule, self._objective = Steering(made, group), (rules or [None])[0], loss
        self._seen: dict[str, Any] = {}
        if rules:  # TRL asks for a mask where the share is below 1; the rule says which
            self.top_entropy_quantile = math.nextafter(1.0, 0.0)
        self._apply_command()

    def _check_version(self) -> None:
        missing = [name for name in (*_CALLED, *sum(_SET.values(), ())) if not hasattr(self, name)]
        if missing:
            kind = type(self).__name__
            raise TypeError(f"trainer: {kind} has no {', '.join(missing)}: expected a GRPOTrainer of TRL 1.16")

    def _make_controller(self, controller: Any, group: Any) -> Controller:
        made = make_controller(controller, group, self.model.config.get_text_config().vocab_size)
        check_ranks(made, group)
        if made.kind.drives == KL and self.beta == 0:
            raise ValueError(
                f"controller: {made.kind.name!r} drives the KL coefficient; TRL has a reference model only where "
                "GRPOConfig(beta) is not 0"
            )
        return made

    def _apply_command(self) -> None:
        """The coefficient that holds for the next step, where TRL's loss reads it."""
        steering = self._steering
        if steering.drives(ENTROPY):
            self.entropy_coef, self._entropy_bonus_enabled = steering.command.coefficient, True
        elif steering.drives(KL):
            # A beta of 0 would tell TRL that there is no reference, and nothing could be observed any more.
            self.beta = steering.command.coefficient or math.ulp(0.0)

    def get_high_entropy_mask(self, entropies: torch.Tensor, mask: torch.Tensor, threshold: float) -> torch.Tensor:
        """TRL's, over all ranks without gathering their values, or the tokens that the trainer's rule keeps. bool, of
        the shape of `entropies` (nats). Error: DataError for a NaN at a token that counts, which silently empties
        TRL's."""
        group = self._steering.group
        if self._mask_rule is not None:
            kept = self._mask_rule.kept(entropies, mask, group)
        else:
            kept = high_entropy_mask(entropies, mask, threshold, group=group, method="installed")
        self._seen["kept"] = kept
        return kept

    def _get_per_token_logps_and_entropies(self, *arguments: Any, **keywords: Any) -> tuple[Any, ...]:
        wants_old = self._objective is not None and self._objective.wants_old_entropy and "old" in self._seen
        if wants_old and self._seen["old"] is None:  # the policy's own come first, then the reference's
            keywords["compute_entropy"] = True
        result = super()._get_per_token_logps_and_entropies(*arguments, **keywords)
        if wants_old and self._seen["old"] is None:
            self._seen["old"] = result[1].detach()
        self._seen["forward"] = result
        return result

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._seen = {"old": None}
        output = super()._generate_and_score_completions(inputs)
        if "old_per_token_logps" in output and self._seen["old"] is not None:
            output["old_entropies"] = self._seen["old"]
        self._seen = {}
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss with its metrics; with an objective that one's loss in its place, of the same forward pass."""
        self._seen = {}
        inputs = {**inputs, "advantages": self._steering.weighted(inputs["advantages"])}
        loss = super()._compute_loss(model, inputs)
        logprob, entropies, aux_loss = self._seen["forward"]
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        kept = self._seen.get("kept")
        if self._objective is not None:
            loss = self._objective.loss(self, inputs, logprob, entropies, mask, kept)
            if self.aux_loss_enabled:
                loss = loss + self.router_aux_loss_coef * aux_loss / self._accumulation()
        if self.model.training:
            self._take_up(inputs, logprob, entropies, mask.bool(), kept)
        self._seen = {}
        return loss

    def _accumulation(self) -> float:
        """Micro-batches of one optimizer step: none are accumulated in an evaluation."""
        return self.current_gradient_accumulation_steps if self.model.training else 1.0

    def _take_up(self, inputs: dict[str, Any], logprob: Any, entropies: Any, mask: Any, kept: Any) -> None:
        """What the controller observes are the tokens on which the bonus acts, as TRL's own does."""
        observed = entropies[mask if kept is None else mask & kept]
        if self._steering.drives(KL):
            observed = sample_kl(logprob.detach(), inputs["ref_per_token_logps"], mask)
        self._steering.collect(entropies[mask], observed)
        if not self.accelerator.sync_gradients:
            return
        for name, value in self._steering.step().items():
            self._metrics["train"][name].append(value)
        self._apply_command()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            self._steering.save(os.path.join(self._get_output_dir(trial=trial), name))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._steering.restore(checkpoint)
            self._apply_command()


class GRPOTrainer(Steered, TrlGRPOTrainer):
    """trl.GRPOTrainer with four arguments more; everything else is TRL's.

    controller: a name of entrol.controllers(), dict(name=..., **settings) or an entrol.torch.Controller. After each
    optimizer step it observes the entropies (nats) of the step's tokens, of all its micro-batches and ranks, and sets
    GRPOConfig's entropy_coef ("entropic": the weights of samples, by their advantages; "adaptive_kl": beta, from the KL
    of samples). Targets that are a share of the greatest entropy are of the model's vocabulary. Its state is in each
    checkpoint (entrol_controller.txt), and resume_from_checkpoint goes on from it.

    objective: a name of entrol.objectives() or dict(name=..., **settings): the loss instead of GRPOConfig's loss_type,
    whose settings epsilon, epsilon_high and those of single loss types then do nothing. beta, entropy_coef and the mask
    hold as before.

    keep, mask: a rule of entrol.select (keep="high:20%", mask="low:80%"): the tokens by whose entropy it keeps their
    part in the policy's loss and the bonus, or loses it, as the command's --keep and --mask; or a recipe of tokens by
    entropy ("trl", "8020"). None: GRPOConfig's top_entropy_quantile. All are exact over all ranks, and take no value
    from one to another.

    Logged besides what TRL logs: entropy/p10, p50, p90 of the step's tokens; controller/coefficient (of the next step),
    observed, target, limited; alarm/collapse, alarm/explosion; objective/... (entrol.ObjectiveResult's, in the
    place of TRL's clip_ratio/...).

    Errors: TypeError and ValueError, which name the argument, also for what TRL's loss cannot be given: a controller of
    temperatures ("aepo") or of single prompts ("aer"), a controller beside GRPOConfig's own settings of what it drives
    (entropy_coef, use_adaptive_entropy), an objective with a value_coefficient (without one "ppo" is its policy's part)
    or with an entropy on a support. What needs no model is told before it is loaded."""

    def __init__(
        self,
        *arguments: Any,
        controller: str | Mapping[str, Any] | Controller | None = None,
        objective: str | Mapping[str, Any] | None = None,
        mask: str | None = None,
        keep: str | None = None,
        **keywords: Any,
    ) -> None:
        args = next((x for x in (*arguments, keywords.get("args")) if isinstance(x, GRPOConfig)), None)
        check_arguments(controller, objective, mask, keep, args)
        super().__init__(*arguments, **keywords)
        self._begin(controller, objective, mask, keep)


_made: dict[type, type] = {}


def steer(trainer: Any, **given: Any) -> None:
    """Gives a trainer that there is already the methods of Steered; given: as _begin. Errors: TypeError, ValueError."""
    kind = type(trainer)
    if isinstance(trainer, Steered):
        raise ValueError("trainer: it is one of Entrol's already")
    if not isinstance(trainer, TrlGRPOTrainer):
        raise TypeError(f"trainer: expected a trl.GRPOTrainer, got {kind.__name__}")
    if kind not in _made:
        _made[kind] = type(kind.__name__, (Steered, kind), {"__module__": kind.__module__})
    trainer.__class__ = _made[kind]
    try:
        trainer._begin(**given)
    except BaseException:
        trainer.__class__ = kind
        raise


def unsteer(trainer: Any) -> None:
    """Takes back what steer() did; an entrol.trl.GRPOTrainer stays what it is."""
    if type(trainer) not in _made.values():
        return
    for name, value in trainer._entrol_before.items():
        setattr(trainer, name, value)
    trainer.__class__ = type(trainer).__mro__[2]

"""Which tokens keep their part in the loss: a rule of entrol.select, over the tokens of all ranks."""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..selection import recipe_of, rule_parse, select
from ..torch import group_context


@functools.cache
def quantile_method() -> str:
    """The method by which the mask equals the one of torch.quantile in this version of torch: 0.8 of 100 is 80.0000012
    in float32, as which torch up to 2.12 has the rank, and 80 in float64."""
    at = torch.quantile(torch.arange(101, dtype=torch.float32), 0.8).item()
    return "torch_f32_rank" if at > 80 else "torch"


class MaskRule:
    """The tokens that a rule names: "keep" keeps them, "mask" leaves them out, as the command's --keep and --mask; a
    recipe says itself which. Errors: TypeError and ValueError, with `argument`."""

    def __init__(self, argument: str, name: str) -> None:
        recipe = recipe_of(name, argument)
        self.rule, self.leaves_out, self.method = name, argument == "mask", "linear"
        if recipe is not None:
            wanted = {"level": "token", "by": "entropy", "scope": "corpus", "weight": None}
            for field, value in wanted.items():
                if getattr(recipe, field) != value:
                    found = getattr(recipe, field)
                    raise ValueError(f"{argument}: recipe {name!r} has {field} {found}, expected {value}")
            self.rule, self.leaves_out, self.method = recipe.rule, recipe.is_mask, recipe.method
            try:
                rule_parse(self.rule)
            except ValueError as error:
                raise ValueError(f"{argument}: recipe {name!r} has no rule of entropies: {error}") from None

    def kept(self, entropies: torch.Tensor, mask: torch.Tensor, group: Any) -> torch.Tensor:
        """bool, of the shape of `entropies` (nats), on its device: what counts and is kept. Error: DataError
        for a NaN at a token that counts."""
        valid = mask.bool()
        context = None if group is None else group_context(group)
        found = select(
            entropies.detach().float().cpu(), self.rule, valid=valid.cpu(), method=self.method, context=context
        )
        named = torch.from_numpy(found.keep).to(entropies.device)
        return valid & ~named if self.leaves_out else valid & named

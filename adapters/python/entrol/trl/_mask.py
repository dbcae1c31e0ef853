"""Which tokens keep their part in the loss: a rule of entrol.select, over the tokens of all ranks."""

from __future__ import annotations

from typing import Any

import torch

from .._selection import recipe_of, rule_parse, select
from ..torch import group_context


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

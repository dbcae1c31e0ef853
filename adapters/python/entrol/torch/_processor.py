"""A sampler's rules for transformers' generate."""

from __future__ import annotations

import torch
from torch import Tensor

from .._sample import Sampler
from . import _host
from ._context import context


class LogitsProcessor:
    """entrol.Sampler's rules as one of the logits_processor of transformers' generate, which draws by itself:

        rules = entrol.torch.LogitsProcessor("min-p=0.02", "target-entropy=1.5")
        model.generate(**inputs, do_sample=True, top_k=0, top_p=1.0, logits_processor=[rules])

    What generate has of its own (temperature, top_k, top_p, from its arguments or the model's generation_config) comes
    after it, and changes what the rules have left: switch it off, as here. A row of the batch is a text with a state of
    its own; a batch that is not the last one and a token more begins new texts. Errors: as entrol.Sampler."""

    def __init__(self, *rules: str) -> None:
        self._sampler = Sampler(*rules, context=context())
        self._texts: list[Sampler] = []
        self._ids: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """ln q, which the rules left of softmax(scores), and -inf for what they left out: a new tensor of the scores'
        dtype and device. input_ids: (n, length) of the texts; scores: (n, V). Errors: TypeError, ValueError."""
        _host.check_floats(scores, "scores")
        if input_ids.ndim != 2 or scores.ndim != 2 or len(input_ids) != len(scores):
            raise ValueError(
                f"scores: expected (n, V) for input_ids of (n, length), got {tuple(scores.shape)} and "
                f"{tuple(input_ids.shape)}"
            )
        self._follow(input_ids)
        rows = scores.detach().cpu()
        kept = [torch.from_numpy(text.logprobs(row)) for text, row in zip(self._texts, rows)]
        return torch.stack(kept).to(scores) if kept else scores.clone()

    def _follow(self, input_ids: Tensor) -> None:
        """Tells each text the token that came since the last call."""
        if self._ids is not None and torch.equal(input_ids[:, :-1], self._ids):
            for text, token in zip(self._texts, input_ids[:, -1].tolist()):
                text.accept(token)
        else:
            self._texts = [self._sampler.clone(stream) for stream in range(len(input_ids))]
        self._ids = input_ids.detach().clone()

    def __repr__(self) -> str:
        return f"LogitsProcessor({', '.join(map(repr, self._sampler.rules))})"

"""What the experiments with text have in common: the news stories, a small language model, and batches of them."""

import os

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def stories() -> list[str]:
    """Lee's background corpus, 300 news stories of the Australian Broadcasting Corporation, without those that stand
    there twice. $ENTROL_TEXTS is the folder that scripts/setup.sh unpacks."""
    with open(os.path.join(os.environ["ENTROL_TEXTS"], "lee_background.cor"), encoding="latin-1") as file:
        return list({line[:60]: line.strip() for line in file}.values())


def model(n_tokens: int, length: int, seed: int, width: int = 128) -> LlamaForCausalLM:
    """Two layers, their weights drawn with the seed; the output layer is the embedding's."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=n_tokens,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=2,
            num_attention_heads=width // 32,
            max_position_embeddings=length + 1,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )


def pieces(texts: list[list[int]], length: int) -> torch.Tensor:
    """Texts of tokens in pieces of a length, after each text's rest is cut off: (pieces, length)."""
    return torch.tensor([one[i : i + length] for one in texts for i in range(0, len(one) - length + 1, length)])


def before(labels: torch.Tensor, start: int) -> torch.Tensor:
    """What stands before each token of a piece: the token before it, and a token of its own before the first."""
    return torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], 1)


def batches(n_pieces: int, size: int, n_steps: int, seed: int):
    """The numbers of the pieces of each step: all of them in an order drawn with the seed, then again in another."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(n_steps):
        while len(order) < size:
            order = torch.cat([order, torch.randperm(n_pieces, generator=generator)])
        yield order[:size]
        order = order[size:]


def optimizer(student: LlamaForCausalLM, rate: float, n_steps: int):
    """AdamW and its schedule: a twentieth of the steps to warm up, then down to 0 in a straight line."""
    adam = torch.optim.AdamW(student.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    warm = max(1, n_steps // 20)
    shape = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min((step + 1) / warm, (n_steps - step) / max(1, n_steps - warm))
    )
    return adam, shape


def train(student: LlamaForCausalLM, n_pieces: int, size: int, n_steps: int, rate: float, seed: int, loss_of):
    """Steps of batches() by the gradient of loss_of(step, batch); after each it yields the step's number."""
    adam, schedule = optimizer(student, rate, n_steps)
    for step, batch in enumerate(batches(n_pieces, size, n_steps, seed), 1):
        loss_of(step, batch).backward()
        adam.step()
        schedule.step()
        adam.zero_grad()
        yield step

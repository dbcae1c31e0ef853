"""A share of a training text is wrong: does it help to mask what the model is unsure of, or what surprises it?

docs/training.md says what came of it. Tokens of news stories are replaced, at random or so that the loss of a model
that knows the text rises; a small Llama learns from what is left when as many tokens are masked, and is tested with
clean text.
"""

import os

from study import Run, Study, main  # the first: it says which package is missing
import torch
from text import before, model, pieces, stories, train
from tokenizers import ByteLevelBPETokenizer

import entrol
import entrol.torch as et

NOISE = 0.15  # of the tokens; as many are masked
RULES = ("none", "entropy", "surprisal", "excess", "random", "oracle")
ARMS = {"clean": {"noise": "none", "mask": "none"}} | {
    f"{noise}-{rule}": {"noise": noise, "mask": rule} for noise in ("drawn", "hostile") for rule in RULES
}
SEEDS = (1, 2, 3)
LENGTH, N_TOKENS = 64, 1024
N_TRAINING = 240  # stories, of about 290; the model is tested with the others
BATCH, STEPS, RATE = 4, 800, 3e-3
WARM = 0.2  # of the steps without a mask: a model that knows nothing yet has nothing to say
N_CANDIDATES = 8  # of which hostile noise takes the one that the attacked model expects least
N_TESTS = 10


def logits_of(network, labels):
    return network(before(labels, N_TOKENS)).logits[..., :N_TOKENS]


def steps(network, labels, n_steps, seed, weigh):
    """Trains, and yields after each step; weigh(step, some, logprob, entropy) says which tokens count."""

    def loss_of(step, some):
        logprob, entropy = et.logprob_and_entropy(
            logits_of(network, labels[some]), labels[some], entropy_requires_grad=False
        )
        keep = weigh(step, some, logprob.detach(), entropy)
        return -(logprob * keep).sum() / keep.sum()

    return train(network, len(labels), BATCH, n_steps, RATE, seed, loss_of)


def prepare(folder: str, quick: bool) -> None:
    """The tokens, and the model that hostile noise is aimed at: one that has learnt the clean text."""
    path = os.path.join(folder, "prepared.pt")
    if os.path.exists(path):
        return
    torch.set_num_threads(1)  # as in the runs, so that this is the same everywhere
    texts = stories()
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=N_TOKENS, show_progress=False)
    tokens = [tokenizer.encode(text).ids for text in texts]
    training, test = (pieces(part, LENGTH) for part in (tokens[:N_TRAINING], tokens[N_TRAINING:]))
    attacked = model(N_TOKENS + 1, LENGTH, seed=0)
    for _ in steps(attacked, training, 8 if quick else STEPS, 0, lambda step, some, *_: torch.ones(len(some), LENGTH)):
        pass
    torch.save({"training": training, "test": test, "attacked": attacked.state_dict()}, path + ".part")
    os.replace(path + ".part", path)


@torch.no_grad()
def damaged(clean, kind, seed, attacked):
    """The text with NOISE of its tokens replaced by tokens of the same text, and where."""
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.rand(clean.shape, generator=generator) < (0 if kind == "none" else NOISE)
    which = torch.randint(clean.numel(), (*clean.shape, N_CANDIDATES), generator=generator)
    candidates = clean.flatten()[which]
    if kind == "hostile":
        logprob = torch.cat(
            [et.selective_log_softmax(logits_of(attacked, a), b) for a, b in zip(clean.split(64), candidates.split(64))]
        )
        candidates = candidates.gather(-1, logprob.argmin(-1, keepdim=True))
    labels = torch.where(wrong, candidates[..., 0], clean)
    return labels, labels != clean


def mask_of(rule, logprob, entropy, random):
    """True where a token is masked: the share NOISE of the batch that is highest by the rule, as Entrol selects it."""
    values = {"entropy": entropy, "surprisal": -logprob, "excess": -logprob - entropy, "random": random}[rule]
    return torch.from_numpy(entrol.select(values.numpy(), f"high:={NOISE:.0%}").keep)


def learn(run: Run):
    stored = torch.load(os.path.join(os.path.dirname(run.folder), "prepared.pt"))
    attacked = model(N_TOKENS + 1, LENGTH, seed=0)
    attacked.load_state_dict(stored["attacked"])
    labels, wrong = damaged(stored["training"], run.settings["noise"], run.seed, attacked)
    test, rule, n_steps = stored["test"], run.settings["mask"], 8 if run.quick else STEPS
    generator = torch.Generator().manual_seed(run.seed)
    n_masked = n_right = n_wrong = n_all = 0

    def weigh(step, some, logprob, entropy):
        nonlocal n_masked, n_right, n_wrong, n_all
        masked = torch.zeros_like(wrong[some])
        if rule == "oracle":
            masked = wrong[some]
        elif rule != "none" and step > WARM * n_steps:
            masked = mask_of(rule, logprob, entropy, torch.rand(logprob.shape, generator=generator))
        n_masked, n_right = n_masked + masked.sum().item(), n_right + (masked & wrong[some]).sum().item()
        n_wrong, n_all = n_wrong + wrong[some].sum().item(), n_all + masked.numel()
        return (~masked).float()

    network = model(N_TOKENS + 1, LENGTH, run.seed)
    for step in steps(network, labels, n_steps, run.seed, weigh):
        if step % (n_steps // N_TESTS or 1):
            continue
        with torch.no_grad():
            measured = [et.logprob_and_entropy(logits_of(network, part), part) for part in test.split(BATCH)]
        logprob, entropy = (torch.cat(parts) for parts in zip(*measured))
        yield {
            "step": step,
            "loss": -logprob.mean(),
            "entropy": entropy.mean(),
            "wrong": n_wrong / n_all,
            "masked": n_masked / n_all,
            "precision": n_right / n_masked if n_masked else None,
            "recall": n_right / n_wrong if n_wrong else None,
        }
        n_masked = n_right = n_wrong = n_all = 0


if __name__ == "__main__":
    main(Study("noise", ARMS, SEEDS, learn, prepare, data=("ENTROL_TEXTS",)))

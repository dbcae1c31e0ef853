"""Distillation: which tokens should a student learn from? docs/training.md says what came of it.

The teacher is Gemma 3 270M, its distributions over real text computed once; the student is a small Llama that learns by
the forward KL of some of the tokens: all, those of which teacher or student is surest or least sure, or as many at
random.
"""

import os

from study import Run, Study, main  # the first: it says which package is missing
import numpy as np
import torch
from text import before, model, pieces, stories, train

import entrol
import entrol.torch as et

ARMS = {
    "all": {},
    "mask-high": {"of": "teacher", "mask": entrol.recipes()["distillation"].rule},
    "fall": {"of": "teacher", "weight": "fall:p50..p100"},
    "keep-high": {"of": "teacher", "keep": "high:20%"},
    "se-kd": {"of": "student", "keep": entrol.recipes()["se-kd"].rule},
    "random-mask": {"of": "random", "mask": "high:20%"},
    "random-keep": {"of": "random", "keep": "high:20%"},
    "random-step": {"of": "random, each step", "keep": "high:20%"},
}
SEEDS = (1, 2, 3)
LENGTH = 64  # tokens of a piece
N_COLUMNS = 4096  # the most frequent tokens, the last of them: any other
N_TRAINING = 240  # stories, of about 290; the student is tested with the others
BATCH, STEPS, RATE = 4, 1200, 3e-3
N_TESTS = 10  # and one before the first step


def columns_of(tokens):
    """The most frequent tokens, of what is learnt from and of what is tested with, and what the column of each token is."""
    found, counts = np.unique(tokens, return_counts=True)
    frequent = np.sort(found[np.argsort(-counts, kind="stable")][: N_COLUMNS - 1])
    column = np.searchsorted(frequent, tokens).clip(max=len(frequent) - 1)
    return frequent, np.where(frequent[column] == tokens, column, len(frequent))


@torch.no_grad()
def teach(teacher, ids, frequent, logprobs):
    """Writes ln p of the columns for each token, after those before it in its piece; returns its entropies.

    What is not frequent is one column, with the probability of all of these together: nothing is renormalised."""
    entropy = np.empty(ids.shape, np.float32)
    for i, piece in enumerate(ids):
        given = before(torch.as_tensor(piece)[None], teacher.config.bos_token_id)
        logits = teacher.lm_head(teacher.model(given).last_hidden_state[0]).numpy()
        whole = entrol.measure_rows(logits, want=("entropy", "logsumexp"))
        entropy[i] = whole.entropy
        chosen = logits[:, frequent]
        logits[:, frequent] = -np.inf
        others = entrol.measure_rows(logits, want=("logsumexp",)).logsumexp
        logprobs[i] = np.column_stack([chosen, others]) - whole.logsumexp[:, None]
    return entropy


def prepare(folder: str, quick: bool) -> None:
    if os.path.exists(os.path.join(folder, "entropy.npy")):
        return
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, file = os.path.split(os.environ["ENTROL_MODEL"])
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
    teacher = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype=torch.float32).eval()
    texts = stories()
    tokens = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    training, test = (pieces(part, LENGTH).numpy() for part in (tokens[:N_TRAINING], tokens[N_TRAINING:]))
    if quick:
        training, test = training[:16], test[:8]
    ids = np.concatenate([training, test])
    frequent, labels = columns_of(ids)
    shape = (*ids.shape, len(frequent) + 1)
    logprobs = np.lib.format.open_memmap(os.path.join(folder, "logprobs.npy"), "w+", np.float16, shape)
    entropy = teach(teacher, ids, frequent, logprobs)
    logprobs.flush()
    np.savez(os.path.join(folder, "labels.npz"), labels=labels, n_training=len(training))
    np.save(os.path.join(folder, "entropy.npy"), entropy)  # the last: all is there


def weights_of(settings, values):
    """Of each token, from 0 to 1, by Entrol's rules."""
    if "weight" in settings:
        return torch.from_numpy(entrol.weight(values, settings["weight"]))
    keep = entrol.select(values, settings.get("mask") or settings["keep"]).keep
    return torch.from_numpy(~keep if "mask" in settings else keep).float()


def logits_of(student, labels, n_columns):
    """Over the columns; one more of the student's tokens begins each piece."""
    return student(before(labels, n_columns)).logits[..., :n_columns]


def test(student, labels, logprobs, is_high):
    """Loss and KL of the pieces that the student has not seen, the KL also where the teacher is least sure, and not."""
    losses, kls = [], []
    with torch.no_grad():
        for i in range(0, len(labels), BATCH):
            logits = logits_of(student, labels[i : i + BATCH], logprobs.shape[-1])
            losses.append(-et.selective_log_softmax(logits, labels[i : i + BATCH]))
            kls.append(divergence(logprobs[i : i + BATCH], logits))
    loss, kl = torch.cat(losses), torch.cat(kls)
    return {"loss": loss.mean(), "kl": kl.mean(), "kl_high": kl[is_high].mean(), "kl_low": kl[~is_high].mean()}


def divergence(logprobs, logits):
    """KL(teacher || student) of each token."""
    teacher = et.Categorical(torch.from_numpy(logprobs.astype(np.float32)))
    return torch.distributions.kl_divergence(teacher, et.Categorical(logits))


def distill(run: Run):
    folder = os.path.dirname(run.folder)
    logprobs, entropy = (
        np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r") for name in ("logprobs", "entropy")
    )
    stored = np.load(os.path.join(folder, "labels.npz"))
    labels, n = torch.from_numpy(stored["labels"]), int(stored["n_training"])
    is_high = torch.from_numpy(entrol.select(entropy[n:], "high:20%").keep)
    n_steps = 8 if run.quick else STEPS
    student = model(logprobs.shape[-1] + 1, LENGTH, run.seed)
    random = np.random.default_rng(run.seed)
    of, by_rule = run.settings.get("of"), torch.ones(n, LENGTH)
    if of in ("teacher", "random"):
        by_rule = weights_of(run.settings, entropy[:n] if of == "teacher" else random.random((n, LENGTH), np.float32))
    shares = []  # since the last line of the log

    def loss_of(step, some):
        logits = logits_of(student, labels[some], logprobs.shape[-1])
        weights = by_rule[some]
        if of == "student":  # the recipe compares within each document
            own = et.entropy_from_logits(logits.detach())
            weights = torch.stack([weights_of(run.settings, piece.numpy()) for piece in own])
        elif of == "random, each step":
            weights = weights_of(run.settings, random.random(weights.shape, np.float32))
        shares.append(weights.mean().item())
        return (weights * divergence(logprobs[some.numpy()], logits)).sum() / weights.sum()

    yield {"step": 0} | test(student, labels[n:], logprobs[n:], is_high)
    for step in train(student, n, BATCH, n_steps, RATE, run.seed, loss_of):
        if step % (n_steps // N_TESTS or 1) == 0:
            yield {"step": step, "share": np.mean(shares)} | test(student, labels[n:], logprobs[n:], is_high)
            shares = []


if __name__ == "__main__":
    main(Study("distill", ARMS, SEEDS, distill, prepare, data=("ENTROL_MODEL", "ENTROL_TEXTS")))

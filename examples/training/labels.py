"""Which samples to label, and which of the model's own labels to learn from: by entropy, margin, at random, or all.

Two data sets: scikit-learn's 1,797 handwritten digits, and texts, the epigrams of eight of fortune's files, which are to
be told apart. A logistic regression learns. For active learning it begins with a few random labels and asks for more in
rounds. For self-training it has some labels, and in five rounds learns from its own labels of the other samples too.
A third of the samples, drawn by the seed, is held out.

    ENTROL_FORTUNES=/usr/share/games/fortunes python3 examples/training/labels.py
"""

import glob
import os
import warnings
from collections.abc import Iterator

import study  # the first: it says which package is missing
import numpy as np
import sklearn.datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import entrol

TEXTS = ("art", "computers", "men-women", "people", "politics", "science", "songs-poems", "work")
N_TEXTS = 400  # of each file
ROUNDS = {"digits": (20, 10, 300), "texts": (80, 40, 1000)}  # labels at first, more in each round, at most
LABELLED = {"digits": 40, "texts": 640}  # of self-training
N_SELF = 5
PENALTY = 10.0  # C of the regression

ACTIVE = {
    "entropy": ("entropy", "high"),
    "margin": ("margin", "low"),
    "random": ("random", "high"),
    "surest": ("entropy", "low"),
}
OWN = {
    "none": None,
    "all": ("entropy", "p0..p100"),
    "entropy low 80": ("entropy", entrol.recipes()["self-training"].rule),
    "entropy low 50": ("entropy", "low:50%"),
    "entropy low 20": ("entropy", "low:20%"),
    "class low 50": ("class", "low:50%"),
    "fixmatch": ("top_prob", entrol.recipes()["fixmatch"].rule),
    "random 50": ("random", "high:50%"),
    "entropy high 50": ("entropy", "high:50%"),
}
ARMS = {
    f"{data} {purpose} {name}": {"data": data, "purpose": purpose, "choice": choice}
    for data in ROUNDS
    for purpose, choices in (("active", ACTIVE), ("ceiling", {"all": None}), ("self", OWN))
    for name, choice in choices.items()
}
SEEDS = range(1, 11)


def read(data: str) -> tuple[np.ndarray | list[str], np.ndarray]:
    """Samples and their classes."""
    if data == "digits":
        images, classes = sklearn.datasets.load_digits(return_X_y=True)
        return images / 16, classes
    texts, classes = [], []
    for i, name in enumerate(TEXTS):
        (path,) = glob.glob(os.path.join(os.environ["ENTROL_FORTUNES"], name))
        with open(path, encoding="utf-8", errors="replace") as file:
            found = [text.strip() for text in file.read().split("\n%\n")]
        texts += found[:N_TEXTS]
        classes += [i] * len(found[:N_TEXTS])
    return texts, np.array(classes)


def split(data: str, draw: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The pool and what is held out. The words are those of the pool: its texts are there, only their labels are not."""
    samples, classes = read(data)
    order = draw.permutation(len(classes))
    held, pool = order[: len(order) // 3], order[len(order) // 3 :]
    if data == "digits":
        return samples[pool], classes[pool], samples[held], classes[held]
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    in_pool = words.fit_transform([samples[i] for i in pool])
    return in_pool, classes[pool], words.transform([samples[i] for i in held]), classes[held]


def fit(samples, classes) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=PENALTY, max_iter=200).fit(samples, classes)


def chosen(model, samples, by: str, rule: str, draw: np.random.Generator) -> np.ndarray:
    """The samples that a rule of Entrol keeps by a number that it measures of what the model says of each; by "class":
    by the entropy, among the samples of each class that it sees."""
    if by == "random":
        return np.flatnonzero(entrol.select(draw.random(samples.shape[0]), rule).keep)
    logprobs = model.predict_log_proba(samples)
    if by != "class":
        return np.flatnonzero(entrol.select(getattr(entrol.measure_rows(logprobs, want=(by,)), by), rule).keep)
    entropy, seen = entrol.measure_rows(logprobs).entropy, logprobs.argmax(-1)
    members = (np.flatnonzero(seen == one) for one in np.unique(seen))
    return np.concatenate([one[np.flatnonzero(entrol.select(entropy[one], rule).keep)] for one in members])


def learn_actively(settings: dict, draw: np.random.Generator, quick: bool) -> Iterator[dict]:
    data, (by, side) = settings["data"], settings["choice"]
    pool, classes, held, truth = split(data, draw)
    first, more, most = ROUNDS[data]
    labelled = draw.choice(len(classes), first, replace=False)
    while True:
        model = fit(pool[labelled], classes[labelled])
        yield {"step": len(labelled), "accuracy": model.score(held, truth)}
        if len(labelled) >= (first + 2 * more if quick else most):
            return
        others = np.setdiff1d(np.arange(len(classes)), labelled)
        labelled = np.concatenate([labelled, others[chosen(model, pool[others], by, f"{side}:{more}", draw)]])


def learn_from_itself(settings: dict, draw: np.random.Generator, quick: bool) -> Iterator[dict]:
    data = settings["data"]
    pool, classes, held, truth = split(data, draw)
    order = draw.permutation(len(classes))
    labelled, others = order[: LABELLED[data]], order[LABELLED[data] :]
    model = fit(pool[labelled], classes[labelled])
    yield {"step": 0, "accuracy": model.score(held, truth)}
    for step in range(1, (1 if quick else N_SELF) + 1):
        kept = others[:0]
        if settings["choice"]:
            kept = others[chosen(model, pool[others], *settings["choice"], draw)]
        line = {"kept": len(kept) / len(others)}
        if len(kept):  # a high threshold may keep none
            own = model.predict(pool[kept])
            line["kept_right"] = (own == classes[kept]).mean()
            model = fit(pool[np.concatenate([labelled, kept])], np.concatenate([classes[labelled], own]))
        yield {"step": step, "accuracy": model.score(held, truth), **line}


def run(run: study.Run) -> Iterator[dict]:
    draw = np.random.default_rng(run.seed)
    if run.settings["purpose"] == "active":
        yield from learn_actively(run.settings, draw, run.quick)
    elif run.settings["purpose"] == "self":
        yield from learn_from_itself(run.settings, draw, run.quick)
    else:
        pool, classes, held, truth = split(run.settings["data"], draw)
        yield {"step": len(classes), "accuracy": fit(pool, classes).score(held, truth)}


if __name__ == "__main__":
    study.main(study.Study("labels", ARMS, SEEDS, run, data=("ENTROL_FORTUNES",)))

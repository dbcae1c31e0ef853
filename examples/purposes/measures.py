"""How well a number finds what it should: the ROC curve, the risk-coverage curve, and the bootstrap over documents."""
import numpy as np

N_RESAMPLES = 1000


class Ranking:
    """Items ordered by a score, once; then its curves, for any weights of the items."""

    def __init__(self, score, positive):
        values, self.level = np.unique(np.asarray(score, float), return_inverse=True)  # equal scores share a level
        self.positive, self.n_levels = np.asarray(positive, bool), len(values)

    def counts(self, weight=None):
        """Of each level, the greatest score first: the positives and the negatives."""
        weight = np.ones(len(self.level)) if weight is None else weight
        return [np.bincount(self.level, weight * part, self.n_levels)[::-1] for part in (self.positive, ~self.positive)]

    def auc(self, weight=None):
        """The chance that a positive has a greater score than a negative; of equal ones, half counts."""
        positives, negatives = self.counts(weight)
        above = np.cumsum(positives) - positives / 2
        return float(above @ negatives / (positives.sum() * negatives.sum()))

    def roc(self, n_points=100):
        """False and true positive rates at N_POINTS places along the curve, ends included."""
        rates = [np.concatenate([[0], np.cumsum(part) / part.sum()]) for part in self.counts()]
        at = np.searchsorted(rates[1], np.linspace(0, 1, n_points) ** 2)  # denser where few negatives are taken
        return rates[1][at], rates[0][at]

    def risk(self, weight=None):
        """Of each level: the share of negatives among all items with that score or a greater one."""
        positives, negatives = map(np.cumsum, self.counts(weight))
        return negatives / np.maximum(positives + negatives, 1e-300)

    def aurc(self, weight=None):
        """The mean of the risk over the share that is kept (Geifman and El-Yaniv, arXiv 1705.08500)."""
        taken = sum(self.counts(weight))
        return float(self.risk(weight) @ taken / taken.sum())


def resamples(group, seed=0):
    """Weights of the items for each resample of whole groups, such as documents, with replacement."""
    group, generator = np.asarray(group), np.random.default_rng(seed)
    n_groups = group.max() + 1
    for _ in range(N_RESAMPLES):
        yield np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)[group].astype(float)


def interval(statistic, group):
    """The middle 95 % of a statistic of weights over resamples. One without a value, as when no positive was drawn, is left out."""
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.array([statistic(weight) for weight in resamples(group)])
    return np.nanpercentile(drawn, [2.5, 97.5]).tolist()

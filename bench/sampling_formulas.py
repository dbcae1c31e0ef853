"""The sampling rules in NumPy's float64, as their papers and libraries have them; slow, and independent of libentrol.

What a rule leaves of a row is its temperature and what is kept; an order of the kept columns and how far each is inside
(`margin`, below 0 outside) say why another computation, which rounds, may keep a column more or less.
"""

from dataclasses import dataclass, replace

import numpy as np


CLOSE = 1e-3  # nats by which a temperature may miss the entropy that is its target


@dataclass
class State:
    """A row of logits z (float64), the temperature and the columns that are left. key: what the last rule sorts by,
    less is kept first; margin: how far inside a column is, in the unit of the last rule; None for one that keeps
    all."""

    z: np.ndarray
    keep: np.ndarray
    temperature: float = 1.0
    key: np.ndarray | None = None
    margin: np.ndarray | None = None


def start(row):
    z = np.asarray(row, np.float64)
    return State(z, z > -np.inf)


def log_softmax(state, temperature=None):
    """ln q of every column, -inf where none is left."""
    z = np.where(state.keep, state.z, -np.inf) / (state.temperature if temperature is None else temperature)
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def entropy(logs):
    p = np.exp(logs)
    return -(p * np.where(p > 0, logs, 0)).sum()


def varentropy(logs):
    p = np.exp(logs)
    return (p * np.square(np.where(p > 0, logs, 0) + entropy(logs))).sum()


def greedy(state):
    first = np.argmax(np.where(state.keep, state.z, -np.inf))
    return kept(state, -state.z, np.where(np.arange(state.z.size) == first, 1, -1))


def temperature(state, temperature=1.0):
    return temperature_by(state, temperature)


def temperature_by(state, factor):
    return replace(state, temperature=state.temperature * factor) if factor > 0 else greedy(state)


def dynamic_temperature(state, temperature=1.0, range=0.0, exponent=1.0):
    """llama.cpp's temp_ext."""
    n = state.keep.sum()
    if n < 2:
        return state
    low, high = max(0.0, temperature - range), temperature + range
    return temperature_by(state, low + (high - low) * (entropy(log_softmax(state)) / np.log(n)) ** exponent)


def edt(state, temperature=1.0, theta=1.0, base=0.8):
    """arXiv 2403.14541."""
    h = entropy(log_softmax(state))
    return temperature_by(state, temperature * base ** (theta / h) if h > 0 else 0.0)


def target_entropy(state, target=2.0, min=0.1, max=2.0, found=None):
    """By bisection: H rises with T. found: another's solution, taken where its entropy is as near as CLOSE."""

    def at(t):
        return entropy(log_softmax(state, t))

    if found and min <= found * (1 + 1e-6) and found <= max * (1 + 1e-6):
        if abs(at(found) - np.clip(target, at(min), at(max))) <= CLOSE:
            return replace(state, temperature=found)
    low, high = min, max
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if at(middle) < target else (low, middle)
    return replace(state, temperature=low)


def kept(state, key, margin):
    """The columns whose margin is not below 0."""
    return replace(state, keep=state.keep & (margin >= 0), key=key, margin=margin)


def in_order(state, key, margins):
    """The same; margins: of the columns that are left, in an order by the key and then by number."""
    left = np.flatnonzero(state.keep)
    order = left[np.argsort(key[left], kind="stable")]
    margin = np.full(key.size, -np.inf)
    margin[order] = margins(order)
    return kept(state, key, margin)


def and_the_first(margin, key):
    """The margins, those of the first by the key one above the others."""
    return np.where(key == key.min(), 1 + max(0, margin.max()), margin)


def by_mass(state, key, p):
    """The fewest, in the order of the key, whose mass reaches p: the mass before each is less than p. The first is
    always kept."""
    q = np.exp(log_softmax(state))

    def margins(order):
        before = np.concatenate([[0], np.cumsum(q[order])[:-1]])
        return np.where(before < p, p - before, np.minimum(p - before, -1e-300)) + (np.arange(order.size) == 0)

    return in_order(state, key, margins)


def by_probability(state, least):
    """p >= least, relative to it, and the most probable."""
    logs = log_softmax(state)
    return kept(state, -logs, and_the_first(np.exp(logs) / least - 1, -logs))


def top_k(state, k=40):
    return in_order(state, -state.z, lambda order: k - 1.0 - np.arange(order.size))


def top_p(state, p=0.95):
    return by_mass(state, -state.z, p)


def min_p(state, p=0.05):
    return by_probability(state, p * np.exp(log_softmax(state).max())) if p > 0 else state


def top_n_sigma(state, n=1.0):
    """arXiv 2411.07641; in units of sigma."""
    z = state.z[state.keep]
    sigma = z.std()
    if sigma == 0:
        return state
    return kept(state, -state.z, n - (z.max() - state.z) / sigma)


def typical(state, p=0.95):
    """arXiv 2202.00666."""
    logs = log_softmax(state)
    return by_mass(state, np.abs(-np.where(state.keep, logs, 0) - entropy(logs)), p)


def epsilon(state, epsilon=3e-4):
    return by_probability(state, epsilon) if epsilon > 0 else state


def eta(state, epsilon=3e-4):
    """arXiv 2210.15191, as its code has it."""
    return by_probability(state, min(epsilon, np.sqrt(epsilon) * np.exp(-entropy(log_softmax(state)))))


def p_less(state):
    """arXiv 2509.23234."""
    return by_probability(state, np.square(np.exp(log_softmax(state))).sum())


def top_h(state, alpha=0.4, reading="paper"):
    """arXiv 2509.02510, and transformers' TopHLogitsWarper."""
    logs = log_softmax(state)

    def margins(order):
        n = min(order.size, 100) if reading == "transformers" else order.size
        among = logs[order[:n]] - np.log(np.exp(logs[order[:n]]).sum())
        p = np.exp(among)
        sums, masses = np.cumsum(p * among), np.cumsum(p)
        reached = -sums if reading == "transformers" else np.log(masses) - sums / masses
        inside = alpha * entropy(among) - reached + (np.arange(n) == 0) * 1e3
        return np.concatenate([inside, np.full(order.size - n, -np.inf)])

    return in_order(state, -state.z, margins)


def entropix(
    state,
    low_entropy=0.1,
    high_entropy=3.0,
    lost_entropy=5.0,
    low_varentropy=0.1,
    high_varentropy=5.0,
    unit="bits",
    thinking=-1,
):
    """github.com/xjdr-alt/entropix without what it takes from attention, before a token has come."""
    logs, nats = log_softmax(state), np.log(2) if unit == "bits" else 1
    h, v = entropy(logs) / nats, varentropy(logs) / nats**2
    if h < low_entropy and v < low_varentropy:
        return greedy(state)
    if h > high_entropy and v < low_varentropy:
        if thinking < 0 or not state.keep[int(thinking)]:
            return replace(state, temperature=min(1.5, 1.3 * state.temperature))
        return kept(state, -state.z, np.where(np.arange(state.z.size) == thinking, 1, -1))
    if h < lost_entropy and v > high_varentropy:
        return replace(state, temperature=min(1.5, 1.2 * state.temperature))
    if h > lost_entropy and v > high_varentropy:
        return replace(state, temperature=max(2.0, 2 * state.temperature))
    return state


RULES = {
    function.__name__: function
    for function in (
        greedy,
        temperature,
        dynamic_temperature,
        edt,
        target_entropy,
        typical,
        eta,
        epsilon,
        top_h,
        p_less,
        entropix,
        top_k,
        top_p,
        min_p,
        top_n_sigma,
    )
}


def parsed(rule):
    """A rule's function, and what is set of it: the value without a name is that of its first parameter."""
    first, *others = rule.split(",")
    name, _, value = first.partition("=")
    function = RULES[name.replace("-", "_")]
    names = function.__code__.co_varnames[1:]
    pairs = dict(other.split("=") for other in others) | ({names[0]: value} if value else {})
    settings = {key.replace("-", "_"): value for key, value in pairs.items()}
    return function, {key: value if key in ("reading", "unit") else float(value) for key, value in settings.items()}


def chain(row, rules, found=None):
    """The state that rules, as texts, leave of a row. found: the temperature at which another met a target."""
    state = start(row)
    for rule in rules:
        function, settings = parsed(rule)
        state = function(state, **settings, **({"found": found} if function is target_entropy else {}))
    return state

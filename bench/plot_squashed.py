"""Draws the entropy of a squashed Gaussian beside what others take for it: bench/plot_squashed.py LIBENTROL OUTPUT.png

Over the mean and sigma of x, a = tanh x: the entropy by libentrol; what the entropy before the squash is off by; and how far one
draw's -ln p lies from the entropy (its standard deviation, by quadrature here).
"""
import ctypes
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SQUASHED_GAUSSIAN, F64 = 5, 0


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("n_rows", ctypes.c_size_t),
                ("n_columns", ctypes.c_size_t), ("row_stride", ctypes.c_ssize_t)]


class Policy(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("kind", ctypes.c_int), ("first", Matrix), ("second", Matrix),
                ("sizes", ctypes.c_void_p), ("n_sizes", ctypes.c_size_t), ("mask", ctypes.c_void_p),
                ("mask_row_stride", ctypes.c_ssize_t), ("log_sigma_low", ctypes.c_double),
                ("log_sigma_high", ctypes.c_double), ("low", ctypes.c_double), ("high", ctypes.c_double)]


class Record(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_void_p) for name in ("entropy", "logprob", "kl_pq", "kl_qp")]


def matrix(values):
    return Matrix(values.ctypes.data, F64, values.size, 1, 1)


def entropies(path, mean, log_sigma):
    """Of every pair, by the library."""
    library, context = ctypes.CDLL(path), ctypes.c_void_p()
    mean, log_sigma = np.ascontiguousarray(mean.ravel()), np.ascontiguousarray(log_sigma.ravel())
    out = np.empty_like(mean)
    policy = Policy(ctypes.sizeof(Policy), SQUASHED_GAUSSIAN, matrix(mean), matrix(log_sigma), None, 0, None, 0,
                    -np.inf, np.inf, -1.0, 1.0)
    record = Record(ctypes.sizeof(Record), out.ctypes.data, None, None, None)
    status = library.entrol_context_create(ctypes.byref(context), None) or library.entrol_policy_measure(
        context, ctypes.byref(record), None, ctypes.byref(policy), None, None, None)
    if status:
        sys.exit(f"plot_squashed: the library says {status}")
    library.entrol_context_destroy(context)
    return out


def deviation_of_one_draw(mean, log_sigma):
    """The deviation of -ln p = z^2 / 2 + ln da/dx + what is constant."""
    z = np.linspace(-9, 9, 6001)
    weight = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    x = np.abs(mean[:, None] + np.exp(log_sigma)[:, None] * z)
    surprisal = z * z / 2 + 2 * (np.log(2) - x - np.log1p(np.exp(-2 * x)))
    average = surprisal @ weight
    return np.sqrt(((surprisal - average[:, None]) ** 2) @ weight)


def panel(figure, axes, values, title, levels):
    shown = axes.imshow(values, origin="lower", extent=(-5, 5, -5, 2), aspect="auto", cmap="viridis")
    lines = axes.contour(np.linspace(-5, 5, values.shape[1]), np.linspace(-5, 2, values.shape[0]), values, levels=levels,
                         colors="white", linewidths=0.8)
    axes.clabel(lines, fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("mean of x")
    axes.set_ylabel("ln sigma of x")
    figure.colorbar(shown, ax=axes, shrink=0.9).set_label("nats", fontsize=8)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plot_squashed.py LIBENTROL OUTPUT.png")
    mean, log_sigma = np.meshgrid(np.linspace(-5, 5, 121), np.linspace(-5, 2, 85))
    exact = entropies(sys.argv[1], mean, log_sigma).reshape(mean.shape)
    base = 0.5 * np.log(2 * np.pi * np.e) + log_sigma
    spread = np.concatenate([deviation_of_one_draw(m, s) for m, s in zip(mean, log_sigma)]).reshape(mean.shape)
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.3), constrained_layout=True)
    panel(figure, axes[0], exact, "Entropy of a = tanh x (Entrol)", [-12, -9, -6, -3, -1, 0, 0.5])
    panel(figure, axes[1], base - exact, "Entropy before the squash: how far too great", [0.1, 1, 2, 4, 6, 8])
    panel(figure, axes[2], spread, "One draw's −ln p: its standard deviation", [0.5, 1, 2, 4])
    figure.savefig(sys.argv[2], dpi=110)


main()

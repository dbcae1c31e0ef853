"""Advantages, which go into objectives (include/entrol/objective.h; docs/objectives.md has each formula and its
source)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _bindings as c
from ._arguments import choice, number, whole
from ._arrays import address, are_starts, marks, row_starts, take, vector
from ._context import Context, context_of
from ._library import NOTHING_COUNTS, ArgumentError, Diagnosis


def advantage_gae(
    rewards: Any,
    values: Any,
    last_values: Any,
    *,
    ends: Any = None,
    final_values: Any = None,
    gamma: float = 0.99,
    lambda_: float = 0.95,
    context: Context | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation (arXiv 1506.02438; entrol_advantage_gae): advantages and returns, float32 of the
    rewards' shape. rewards, values: (steps, environments); last_values: (environments). ends: what each step did to its
    episode, 0 goes on, 1 terminated, 2 truncated (needs final_values). Errors: ArgumentError; DataError."""
    first = vector(rewards, "rewards", np.float32)
    if first.ndim != 2:
        raise ArgumentError(f"rewards: expected two dimensions, (steps, environments), got {first.ndim}", "rewards")
    trajectory = c.Trajectory(n_steps=first.shape[0], n_environments=first.shape[1], rewards=address(first))
    kept = {
        "values": vector(values, "values", np.float32, first.shape),
        "last_values": vector(last_values, "last_values", np.float32, first.shape[1:]),
    }
    if ends is not None:
        kept["ends"] = _ends(ends, first.shape)
    if final_values is not None:
        kept["final_values"] = vector(final_values, "final_values", np.float32, first.shape)
    for name, array in kept.items():
        setattr(trajectory, name, address(array))
    advantages, returns, diagnosis = np.empty_like(first), np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_gae",
        address(advantages),
        address(returns),
        ctypes.byref(diagnosis),
        ctypes.byref(trajectory),
        number(gamma, "gamma"),
        number(lambda_, "lambda_"),
        diagnosis=diagnosis,
        gamma=gamma,
        lambda_=lambda_,
        rewards=first,
        **kept,
    )
    return advantages, returns


def _ends(ends: Any, shape: tuple[int, ...]) -> np.ndarray:
    array, _ = take(ends, "ends")
    if (
        array.shape != shape
        or array.dtype.kind not in "biu"
        or (array.size and not 0 <= array.min() <= array.max() <= 2)
    ):
        raise ArgumentError(f"ends: expected 0, 1 or 2 in the shape {shape}", "ends")
    return np.ascontiguousarray(array, np.uint8)


def _groups(rewards: Any, group_starts: Any) -> tuple[np.ndarray, np.ndarray]:
    first = vector(rewards, "rewards", np.float32)
    if isinstance(group_starts, (int, np.integer)):
        size = whole(group_starts, "group_starts", 1)
        if first.size % size:
            raise ArgumentError(
                f"group_starts: expected a size that divides the {first.size} rewards, got {size}", "group_starts"
            )
        return first, np.arange(0, first.size + 1, size, dtype=np.uintp)
    if group_starts is not None:
        starts = vector(group_starts, "group_starts", np.uintp).ravel()
        if not are_starts(starts, first.size):
            raise ArgumentError(
                f"group_starts: expected the size of every group, or numbers that rise from 0 to {first.size}, the "
                "rewards",
                "group_starts",
            )
        return first, starts
    if first.ndim != 2:
        raise ArgumentError("group_starts: needed where rewards have not one row for each group", "group_starts")
    return first, row_starts(first.shape)


def advantage_group(
    rewards: Any,
    group_starts: Any = None,
    *,
    scale: str = "group",
    epsilon: float = 1e-4,
    context: Context | None = None,
) -> tuple[np.ndarray, Diagnosis]:
    """GRPO's advantage: each reward over the mean of its group, divided by "group" or "batch" deviation, or "none" (Dr.
    GRPO) (entrol_advantage_group). rewards: (groups, samples), or any with group_starts: the size of every group, whose
    rewards follow each other (as TRL's), or where each begins (groups + 1 numbers). The diagnosis counts groups of
    equal rewards, which get 0. Errors: ArgumentError; DataError."""
    first, starts = _groups(rewards, group_starts)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_group",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(starts),
        starts.size - 1,
        choice(scale, "scale", c.AdvantageScale),
        number(epsilon, "epsilon"),
        diagnosis=diagnosis,
        epsilon=epsilon,
        rewards=first,
    )
    return result, Diagnosis(diagnosis)


def advantage_leave_one_out(rewards: Any, group_starts: Any = None, *, context: Context | None = None) -> np.ndarray:
    """Each reward less the mean of the others of its group (RLOO, arXiv 2402.14740). rewards, errors: as
    advantage_group."""
    first, starts = _groups(rewards, group_starts)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_leave_one_out",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(starts),
        starts.size - 1,
        diagnosis=diagnosis,
        rewards=first,
    )
    return result


def advantage_whiten(
    advantages: Any, mask: Any = None, *, epsilon: float = 1e-8, context: Context | None = None
) -> np.ndarray:
    """(A - mean) / (deviation + epsilon) over all advantages that count, of all ranks; others become 0
    (entrol_advantage_whiten). Errors: ArgumentError; DataError."""
    first = vector(advantages, "advantages", np.float32)
    counts = marks(mask, "mask", first.shape)
    result, diagnosis = np.empty_like(first), c.Diagnosis()
    context_of(context).call(
        "advantage_whiten",
        address(result),
        ctypes.byref(diagnosis),
        address(first),
        address(counts),
        first.size,
        number(epsilon, "epsilon"),
        diagnosis=diagnosis,
        reasons=_too_few(counts, context),
        epsilon=epsilon,
        advantages=first,
    )
    return result


def _too_few(counts: np.ndarray | None, context: Context | None) -> Mapping[int, str]:
    """What is said where fewer than two advantages count, over all ranks."""
    if counts is not None and not counts.any() and (context is None or context.comm is None):
        return {c.Reason.GROUP: NOTHING_COUNTS[c.Reason.EMPTY_SUPPORT]}
    return {c.Reason.GROUP: f"{'advantages' if counts is None else 'mask'}: expected at least 2 advantages that count"}

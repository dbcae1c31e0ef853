"""Selecting over whole data sets: a rule's thresholds are those of all rows, so one column is gone through twice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .. import _selection
from .._context import Context
from .._selection import Bounds, Recipe, Selection
from . import _batches

#: Values that follow from columns: the sign of each.
DERIVED: dict[str, dict[str, float]] = {
    "surprisal": {"logprob": -1.0},
    "surprisal_excess": {"logprob": -1.0, "entropy": -1.0},
    "confidence": {"mean_topk_logprob": -1.0},
    "excess_loss": {"logprob": -1.0, "reference_logprob": 1.0},
}


@dataclass(frozen=True)
class Plan:
    """A rule and what it is applied to."""

    rule: str
    by: str = "entropy"
    level: str = "token"
    is_mask: bool = False
    scope: str = "corpus"
    method: str = "linear"
    nan: str = "ignore"
    tie_seed: int = 0

    @property
    def kind(self) -> pa.DataType:
        """What it makes of each row: whether it is kept, or each of its tokens is."""
        return pa.list_(pa.bool_()) if self.level == "token" else pa.bool_()


class Piece(NamedTuple):
    """The values of a batch; lengths: of each row's list, None where a row is one number; has_list: which rows have
    one."""

    values: np.ndarray
    valid: np.ndarray
    lengths: np.ndarray | None
    has_list: np.ndarray | None


def plan_of(rule: str, given: dict[str, Any]) -> Plan:
    """A rule, or a recipe by its name, and what is given otherwise. Error: ValueError."""
    recipe = _selection.recipe_of(rule, "rule")
    parts = _of_recipe(recipe) if recipe is not None else {"rule": rule}
    plan = Plan(**{**parts, **{name: value for name, value in given.items() if value is not None}})
    for name, expected in (("level", ("token", "sample")), ("scope", ("corpus", "document"))):
        if getattr(plan, name) not in expected:
            of = f" of the recipe {rule!r}" if recipe is not None and given.get(name) is None else ""
            raise ValueError(f"{name}{of}: expected {' or '.join(expected)}, got {getattr(plan, name)!r}")
    if plan.level == "sample" and plan.scope == "document":
        raise ValueError('scope: "document" goes with level="token": a document by itself has one number')
    _selection.rule_parse(plan.rule)
    return plan


def _of_recipe(recipe: Recipe) -> dict[str, Any]:
    if recipe.weight is not None or not _is_rule(recipe.rule):
        what = "a weight" if recipe.weight is not None else f"the rule {recipe.rule}"
        raise ValueError(f"rule: the recipe {recipe.name!r} has {what}: the command entrol select applies it")
    return {f.name: getattr(recipe, f.name) for f in fields(Plan) if hasattr(recipe, f.name)}


def _is_rule(text: str) -> bool:
    try:
        _selection.rule_parse(text)
    except ValueError:
        return False
    return True


def columns_for(plan: Plan, there: Iterable[str]) -> dict[str, float]:
    """The columns that make the values, and the factor of each. Error: ValueError."""
    names = set(there)
    if plan.by in names:
        return {plan.by: 1.0}
    if plan.level == "sample" and f"{plan.by}_mean" in names:  # as score(level="sample") names it
        return {f"{plan.by}_mean": 1.0}
    made = DERIVED.get(plan.by)
    if made is not None and names.issuperset(made):
        return made
    need = f"; {plan.by} is made of {' and '.join(made)}" if made is not None else ""
    raise ValueError(f"by = {plan.by!r}: no such column; there are {', '.join(sorted(names))}{need}")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _numbers(array: pa.Array, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What Arrow holds, without a copy where nothing is missing."""
    kind = array.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TypeError(f"by = {name!r}: expected a column of numbers or of lists of numbers, got {kind}")
    valid = np.ones(len(array), bool) if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_null(kind):
        array = pa.nulls(len(array), pa.float32())
    filled = array if array.null_count == 0 else pc.fill_null(array, pa.scalar(0, array.type))
    return filled.to_numpy(zero_copy_only=False), valid


def _one(array: pa.Array, name: str) -> Piece:
    if not _is_list(array.type):
        return Piece(*_numbers(array, name), None, None)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    has_list = array.is_valid().to_numpy(zero_copy_only=False)
    return Piece(*_numbers(array.flatten(), name), lengths, has_list)


def _together(batch: pa.RecordBatch, columns: dict[str, float]) -> Piece:
    """The values of each token, or of each row."""
    [first, *others] = [(_one(batch.column(name), name), factor) for name, factor in columns.items()]
    piece, factor = first
    if factor == 1.0 and not others:
        return piece
    values, valid = factor * piece.values.astype(np.float32, copy=False), piece.valid
    for other, times in others:
        if (other.lengths is None) != (piece.lengths is None) or len(other.values) != len(values):
            raise ValueError(f"columns {' and '.join(columns)}: expected lists of the same lengths")
        values = values + np.float32(times) * other.values.astype(np.float32, copy=False)
        valid = valid & other.valid
    return piece._replace(values=values, valid=valid)


def _means(piece: Piece) -> Piece:
    """One number for each list: the mean of what is there, exactly summed; none where nothing is, NaN with a NaN."""
    ends = np.cumsum(piece.lengths)
    means, valid = np.zeros(len(ends)), np.zeros(len(ends), bool)
    for row, (end, length) in enumerate(zip(ends, piece.lengths, strict=True)):
        own = slice(end - length, end)
        chosen = piece.values[own][piece.valid[own]].tolist()
        if chosen:
            infinite = [x for x in chosen if math.isinf(x)]
            means[row], valid[row] = infinite[0] if infinite else math.fsum(chosen) / len(chosen), True
    return Piece(means, valid, None, None)


class Pieces:
    """The values of a plan's column, batch by batch, as often as they are wanted."""

    def __init__(self, batches: Iterable[pa.RecordBatch], plan: Plan, columns: dict[str, float]) -> None:
        self._batches, self._plan, self._columns = batches, plan, columns

    def pieces(self) -> Iterator[Piece]:
        for batch in self._batches:
            piece = _together(batch, self._columns)
            if self._plan.level == "token" and piece.lengths is None:
                raise ValueError(
                    f'by = {self._plan.by!r}: expected lists with a number for each token; level="sample" takes rows'
                )
            is_listed = self._plan.level == "sample" and piece.lengths is not None
            yield _means(piece) if is_listed else piece

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for piece in self.pieces():
            yield piece.values, piece.valid


class Keeper:
    """Marks the pieces of a plan, one after the other, once all have been seen."""

    def __init__(self, pieces: Pieces, plan: Plan, context: Context | None = None) -> None:
        self._plan, self._context = plan, context
        self._n_valid = self._n_kept = 0
        self._bounds = None
        if plan.scope == "corpus":
            self._bounds = Bounds(
                pieces, plan.rule, method=plan.method, nan=plan.nan, tie_seed=plan.tie_seed, context=context
            )

    def keep(self, piece: Piece) -> pa.Array:
        """bool, for each row or in a list for each token; null where there is no value."""
        valid = piece.valid & ~np.isnan(piece.values)
        kept = self._bounds.keep(piece.values, valid) if self._bounds is not None else self._of_documents(piece)
        if self._plan.is_mask:
            kept = valid & ~kept
        self._n_valid += int(valid.sum())
        self._n_kept += int(kept.sum())
        made = pa.array(kept, mask=~valid)
        if piece.lengths is None:
            return made
        offsets = np.concatenate([[0], np.cumsum(piece.lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), made, mask=pa.array(~piece.has_list))

    def _of_documents(self, piece: Piece) -> np.ndarray:
        kept, start, plan = np.zeros(len(piece.values), bool), 0, self._plan
        for length in piece.lengths:
            own = slice(start, start + length)
            kept[own] = _selection.select(
                piece.values[own],
                plan.rule,
                valid=piece.valid[own],
                method=plan.method,
                nan=plan.nan,
                tie_seed=plan.tie_seed,
                context=self._context,
            ).keep
            start += length
        return kept

    @property
    def selection(self) -> Selection:
        """What came of it so far; its `keep` is None, and of documents by themselves there are no thresholds (NaN)."""
        if self._bounds is None:
            return Selection(None, self._n_valid, self._n_kept, 0, math.nan, math.nan)
        made = self._bounds.selection
        made.n_kept = self._n_kept
        return made


def _is_hugging_face(data: Any) -> bool:
    return hasattr(data, "with_format") and hasattr(data, "select_columns") and hasattr(data, "add_column")


def _names(data: Any) -> list[str]:
    return list(data.column_names) if _is_hugging_face(data) else _batches.names(data)


def _table(data: Any, columns: list[str]) -> pa.Table:
    """The columns alone, as Arrow has them."""
    if _is_hugging_face(data):
        return data.select_columns(columns).with_format("arrow")[:]
    if isinstance(data, pa.RecordBatch):
        data = pa.table(data)
    if isinstance(data, pa.Table):
        return data.select(columns)
    return pa.table({name: pa.array(data[name]) for name in columns})


def keep_column(
    data: Any,
    rule: str,
    *,
    by: str | None = None,
    level: str | None = None,
    is_mask: bool | None = None,
    scope: str | None = None,
    method: str | None = None,
    nan: str | None = None,
    tie_seed: int = 0,
    context: Context | None = None,
) -> tuple[pa.ChunkedArray, Selection]:
    """What `select` keeps, as a column of its own (bool, or lists of bool with level="token"; null where there is no
    value), and what the rule came to. Arguments and errors: see select."""
    given = {"by": by, "level": level, "is_mask": is_mask, "scope": scope, "method": method, "nan": nan}
    plan = plan_of(rule, {**given, "tie_seed": tie_seed})
    columns = columns_for(plan, _names(data))
    batches = _table(data, list(columns)).to_batches()
    pieces = Pieces(batches, plan, columns)
    keeper = Keeper(pieces, plan, context)
    return pa.chunked_array([keeper.keep(piece) for piece in pieces.pieces()], plan.kind), keeper.selection


def select(data: Any, rule: str, *, column: str = "keep", **how: Any) -> Any:
    """Keeps tokens or rows by a rule over the whole of `data`, exactly as `entrol select` does.

    data: a pyarrow.Table or RecordBatch, a Hugging Face Dataset, a pandas.DataFrame, or a dict of columns; the result
    is of the same kind. Arrow's columns are read where they lie. rule: as "low:80%" ("high:1000", "..2.5", "p5..p95"),
    or the name of a recipe (entrol.recipes()). by: the column, a number for each token in a list or one for each row;
    also surprisal, surprisal_excess, confidence, excess_loss, which are made of columns; default "entropy".
    level="token" (default) adds `column`, a list of bool for each row, null where there is no value; level="sample"
    keeps the rows whose value, or mean of a list, the rule keeps. is_mask: keep everything else. scope: "document" for
    the shares of each row's tokens by themselves. method: of quantiles. nan: "ignore" (a NaN is no value) or "error".
    tie_seed: as in entrol.select. Errors: TypeError, ValueError, which name the argument; DataError for a NaN."""
    keep, _ = keep_column(data, rule, **how)
    if pa.types.is_list(keep.type):
        return _with_column(data, column, keep)
    rows = np.flatnonzero(pc.fill_null(keep, False).to_numpy())
    if _is_hugging_face(data):
        return data.select(rows)
    if _batches.is_pandas(data):
        return data.iloc[rows]
    if _batches.is_arrow(data):
        return data.take(pa.array(rows))
    return {name: _take(values, rows) for name, values in data.items()}


def _take(values: Any, rows: np.ndarray) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows]


def _with_column(data: Any, name: str, keep: pa.ChunkedArray) -> Any:
    if _is_hugging_face(data):
        without = data.remove_columns(name) if name in data.column_names else data
        return without.add_column(name, keep)
    array = keep if isinstance(data, pa.Table) else keep.combine_chunks()
    return _batches.add(data, {name: array})

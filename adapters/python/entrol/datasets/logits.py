"""Measuring columns that hold logits: no model, no command, the rows go to the library as they lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .._measure import FLOAT_STATISTICS, Support, measure_rows
from . import _batches

COLUMNS = (*FLOAT_STATISTICS, "rank")


@dataclass(frozen=True)
class LogitsScorer:
    """What `score_logits` makes: call it with a batch. It can be pickled."""

    logits: str
    targets: str | None
    columns: tuple[str, ...]
    temperature: float = 1.0
    renyi_order: float = 2.0
    support: Support | None = None
    prefix: str = ""

    def __call__(self, batch: Any) -> Any:
        """The batch with the new columns: a number for each row of logits, null where the logits are. Errors:
        TypeError, ValueError."""
        column = _batches.column(batch, self.logits, "logits")
        rows = _rows(column, self.logits)
        targets: Sequence[Any] = [None] * len(rows)
        if self.targets is not None:
            targets = _batches.values(batch, self.targets, "targets")
        found = [self._measure(row, target, i) for i, (row, target) in enumerate(zip(rows, targets, strict=True))]
        return _batches.add(
            batch, {self.prefix + name: _column(found, name, _is_nested(column)) for name in self.columns}
        )

    def _measure(self, row: np.ndarray | None, target: Any, number: int) -> dict[str, np.ndarray] | None:
        if row is None or (self.targets is not None and target is None):
            return None
        try:
            record = measure_rows(
                row,
                target,
                want=self.columns,
                temperature=self.temperature,
                renyi_order=self.renyi_order,
                support=self.support,
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"row {number} of the batch: {error}") from error
        return {name: getattr(record, name) for name in self.columns}

    def in_pandas(self, frames: Iterable[Any]) -> Iterator[Any]:
        """For Spark's mapInPandas: frames in, frames out."""
        for frame in frames:
            yield self(frame)


def _flat(array: pa.Array) -> np.ndarray:
    """The numbers of a list; NaN for null, which the statistics of the row then are."""
    return array.to_numpy(zero_copy_only=False)


def _of_arrow(value: pa.Scalar, name: str) -> np.ndarray | None:
    if not value.is_valid:
        return None
    inner = value.values
    if isinstance(inner, pa.ExtensionArray):
        inner = inner.storage
    if not hasattr(inner, "flatten") or not pa.types.is_nested(inner.type):
        return _flat(inner)
    lengths = {len(row) if row.is_valid else None for row in (inner[i] for i in range(len(inner)))} or {0}
    if len(lengths) > 1 or None in lengths:
        raise ValueError(
            f"logits = {name!r}: expected rows of one length in a document, got {sorted(map(str, lengths))}"
        )
    return _flat(inner.flatten()).reshape(len(inner), -1)


def _rows(column: Any, name: str) -> list[np.ndarray | None]:
    """Of each row of the batch its logits, as views where they lie in one piece."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if not isinstance(column, (pa.Array, pa.ChunkedArray)):
        return [None if value is None else _of_python(value) for value in column]
    kind = column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type
    if not pa.types.is_nested(kind):
        raise TypeError(f"logits = {name!r}: expected lists of numbers, got {kind}")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    stored = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    return [_of_arrow(value, name) for chunk in stored for value in chunk]


def _of_python(value: Any) -> np.ndarray:
    """Also an array of arrays, as pandas has lists of lists."""
    array = np.asarray(value)
    return np.stack(list(array)) if array.dtype == object and array.size else array


def _is_nested(column: Any) -> bool:
    """Whether a row of the batch has several rows of logits. Of Arrow's columns their type says it."""
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        kind = column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type
        return pa.types.is_nested(kind.value_type)
    return any(value is not None and _of_python(value).ndim > 1 for value in column)


def _column(found: list[dict[str, np.ndarray] | None], name: str, is_nested: bool) -> pa.Array:
    kind: pa.DataType = pa.int32() if name == "rank" else pa.float32()
    values = [None if one is None else one[name] for one in found]
    if is_nested:
        return pa.array(values, pa.list_(kind))
    return pa.array([None if value is None else value.item() for value in values], kind)


def score_logits(
    logits: str = "logits",
    *,
    targets: str | None = None,
    columns: Sequence[str] = ("entropy",),
    temperature: float = 1.0,
    renyi_order: float = 2.0,
    support: Support | tuple[str, float] | None = None,
    prefix: str = "",
) -> LogitsScorer:
    """A function that measures the logits in a column of a batch, for the same maps as `score`.

    logits: the column: for each row a list of floats (class logits: one number comes of it), or a list of such lists (a
    row for each token: a list comes of it); float16, float32, float64. targets: the column with what came, a whole
    number or a list of them, for logprob and rank. columns: of entropy, logsumexp, logprob, varentropy, top_prob,
    margin, sum_p_squared, renyi, support_entropy, rank. The rest as in entrol.measure_rows. Errors: ValueError."""
    chosen = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in chosen:
        if name not in COLUMNS:
            raise ValueError(f"columns: no column {name!r}; there are {', '.join(COLUMNS)}")
        if name in ("logprob", "rank") and targets is None:
            raise ValueError(f"targets: {name} needs them")
    made = None if support is None else Support(*support)
    return LogitsScorer(logits, targets, chosen, float(temperature), float(renyi_order), made, prefix)

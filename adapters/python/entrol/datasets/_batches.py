"""Batches as the frameworks hand them over: Arrow tables and record batches, pandas frames, dicts of lists (Hugging
Face) or of NumPy arrays (Ray Data). Columns are read from them and added to them, each in its own kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

EXPECTED = "a dict of lists or of NumPy arrays, a pyarrow.Table or RecordBatch, or a pandas.DataFrame"


def is_arrow(batch: Any) -> bool:
    return isinstance(batch, (pa.Table, pa.RecordBatch))


def is_pandas(batch: Any) -> bool:
    return type(batch).__module__.partition(".")[0] == "pandas" and hasattr(batch, "assign")


def names(batch: Any) -> list[str]:
    """Of its columns. Error: TypeError for what is no batch."""
    if is_arrow(batch):
        return batch.schema.names
    if is_pandas(batch):
        return list(batch.columns)
    if isinstance(batch, Mapping):
        return list(batch)
    raise TypeError(f"batch: expected {EXPECTED}, got {type(batch).__name__}")


def column(batch: Any, name: str, argument: str) -> Any:
    """A column as it lies there. Error: ValueError with the name of the argument that asked for it."""
    if name not in names(batch):
        raise ValueError(f"{argument} = {name!r}: no such column; there are {', '.join(map(str, names(batch)))}")
    return batch.column(name) if is_arrow(batch) else batch[name]


def values(batch: Any, name: str, argument: str) -> list[Any]:
    """A column as a list, of which what is missing is None: also NaN and pandas' NA, which frames have for it."""
    found = column(batch, name, argument)
    if is_arrow(batch):
        return found.to_pylist()
    if is_pandas(batch):
        return [None if gone else value for value, gone in zip(found, found.isna(), strict=True)]
    return [None if isinstance(value, float) and value != value else value for value in found]


def _to_numpy(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)


def add(batch: Any, new: dict[str, pa.Array]) -> Any:
    """The batch with columns added, or in the place of those of the same name. Of another mapping than a dict, as
    Hugging Face hands over, the new ones alone: it merges them itself, and the others may be costly to read."""
    if isinstance(batch, pa.RecordBatch):
        return pa.RecordBatch.from_struct_array(add(pa.table(batch), new).to_struct_array().combine_chunks())
    if isinstance(batch, pa.Table):
        return _add_to_table(batch, new)
    if is_pandas(batch):
        import pandas

        made = {name: pandas.Series(_to_numpy(array), index=batch.index) for name, array in new.items()}
        return batch.assign(**made)
    if any(isinstance(batch[name], np.ndarray) for name in list(batch)[:1]):
        made = {name: _to_numpy(array) for name, array in new.items()}
    else:
        made = {name: array.to_pylist() for name, array in new.items()}
    return {**batch, **made} if isinstance(batch, dict) else made


def _add_to_table(table: pa.Table, new: dict[str, pa.Array]) -> pa.Table:
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != b"huggingface"}  # of the old columns
    for name, array in new.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, array) if at < 0 else table.set_column(at, name, array)
    return table.replace_schema_metadata(metadata or None)

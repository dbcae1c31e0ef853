"""Parquet files, by row groups: what is larger than the memory is scored and selected, too. A file that is written
appears whole or not at all.

Records and Parquet: a document is a row. `id` and `text` are strings, `context_ids` is a list of {row, ids}, each
column of the records a list<float32>, list<int32> (byte_start, byte_end: int64), list<string> or list<bool>, null where
the document does not have it, with null for a value that does not exist; `fields` is a JSON object of everything else.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .._files import whole
from .._selection import Selection
from . import _batches, _columns
from .scoring import score
from .selecting import Keeper, Pieces, columns_for, plan_of

Progress = Callable[[int, int], None]
RECORD_FIELDS = {"id": pa.string(), "text": pa.string(), "context_ids": _columns.CONTEXT_TYPE}


def _apart(target: str | os.PathLike[str], source: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The target. Error: ValueError where it is the source."""
    if os.path.exists(target) and os.path.samefile(target, source):
        raise ValueError(f"target: {os.fspath(target)} is the source, which is being read")
    return target


class _Writer:
    """A Parquet file that begins with its first table, whose schema it has."""

    def __init__(self, path: str) -> None:
        self._path, self._file = path, None

    def write(self, table: pa.Table) -> None:
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        if table.num_rows > 0:  # no empty row groups
            self._file.write_table(table)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._file is not None:
            self._file.close()


def score_parquet(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scorer: Callable[[pa.Table], pa.Table] | None = None,
    *,
    rows: int = 256,
    progress: Progress | None = None,
    **options: Any,
) -> int:
    """Scores a Parquet file into another one, a row group at a time; returns the number of rows.

    scorer: what `score` or `score_logits` made; None: score(**options). rows: how many are scored between two calls of
    progress(rows done, rows in all). Errors: those of the scorer, of pyarrow, ValueError; then there is no target, and
    one that was there stays."""
    scorer = _scorer(scorer, options)
    if rows < 1:
        raise ValueError(f"rows: expected a whole number from 1, got {rows!r}")
    with pq.ParquetFile(source) as file, whole(_apart(target, source)) as part, _Writer(part) as writer:
        n_done, n_rows = 0, file.metadata.num_rows
        for group in range(file.num_row_groups):
            made = []
            for batch in file.iter_batches(rows, row_groups=[group]):
                made.append(scorer(pa.table(batch)))
                n_done += batch.num_rows
                if progress is not None:
                    progress(n_done, n_rows)
            if made:
                writer.write(pa.concat_tables(made))
        if n_done == 0:
            writer.write(scorer(file.schema_arrow.empty_table()))
    return n_done


def _scorer(scorer: Callable[[pa.Table], pa.Table] | None, options: dict[str, Any]) -> Callable[[pa.Table], pa.Table]:
    if scorer is None:
        return score(**options)
    if options:
        raise TypeError(f"score_parquet() has no option {next(iter(options))!r} where a scorer is given")
    return scorer


class _ColumnsOfFile:
    """Some columns of a Parquet file, a row group at a time, as often as they are gone through."""

    def __init__(self, file: pq.ParquetFile, columns: list[str]) -> None:
        self._file, self._columns = file, columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for group in range(self._file.num_row_groups):
            yield from self._file.read_row_group(group, self._columns).combine_chunks().to_batches()


def select_parquet(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    rule: str,
    *,
    column: str = "keep",
    by: str | None = None,
    level: str | None = None,
    is_mask: bool | None = None,
    scope: str | None = None,
    method: str | None = None,
    nan: str | None = None,
    tie_seed: int = 0,
) -> Selection:
    """`select` from a Parquet file into another one, in two passes or a few more over one column and one over the rest;
    returns what the rule came to, whose `keep` is None: it is in the file. Arguments and errors: those of select."""
    given = {"by": by, "level": level, "is_mask": is_mask, "scope": scope, "method": method, "nan": nan}
    plan = plan_of(rule, {**given, "tie_seed": tie_seed})
    with pq.ParquetFile(source) as file, whole(_apart(target, source)) as part, _Writer(part) as writer:
        columns = columns_for(plan, file.schema_arrow.names)
        pieces = Pieces(_ColumnsOfFile(file, list(columns)), plan, columns)
        keeper = Keeper(pieces, plan)
        writer.write(_kept(file.schema_arrow.empty_table(), pa.array([], plan.kind), column))
        marked = map(keeper.keep, pieces.pieces())
        for group in range(file.num_row_groups):
            if file.metadata.row_group(group).num_rows > 0:  # of an empty one Arrow makes no batch
                writer.write(_kept(file.read_row_group(group), next(marked), column))
        return keeper.selection


def _kept(table: pa.Table, keep: pa.Array, column: str) -> pa.Table:
    if pa.types.is_list(keep.type):
        return _batches.add(table, {column: keep})
    return table.filter(pc.fill_null(keep, False)).replace_schema_metadata(table.schema.metadata)


def _lines(source: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    with open(source, "rb") as raw:
        is_packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        for number, line in enumerate(gzip.GzipFile(fileobj=raw) if is_packed else raw, 1):
            if line.strip():
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise ValueError(f"{os.fspath(source)}:{number}: expected a line of records: {error}") from error
                if not isinstance(record, dict):
                    raise ValueError(f"{os.fspath(source)}:{number}: expected a JSON object")
                yield record


def _is_column(name: str, value: Any) -> bool:
    if isinstance(value, list):
        return name in _columns.TOKEN_TYPES
    return name in _columns.SAMPLE_TYPES and (value is None or isinstance(value, (int, float, str)))


def _to_table(records: list[dict[str, Any]], names: list[str]) -> pa.Table:
    """Records as rows: the fields, the columns of all records in `names`, and what is left."""
    made: dict[str, Any] = {}
    for name in ("id", "text"):
        is_text = [isinstance(record.get(name), str) for record in records]
        made[name] = pa.array([r.pop(name) if t else None for r, t in zip(records, is_text, strict=True)], pa.string())
    made["context_ids"] = _columns.column("context_ids", [record.pop("context_ids", None) for record in records])
    for name in names:
        values = [record.pop(name, None) if _is_column(name, record.get(name)) else None for record in records]
        made[name] = _columns.column(name, values)
    made["fields"] = pa.array([json.dumps(r, ensure_ascii=False) if r else None for r in records], pa.string())
    return pa.table(made)


def records_to_parquet(source: str | os.PathLike[str], target: str | os.PathLike[str], *, rows: int = 1024) -> int:
    """Records as `entrol score` writes them (JSON Lines, packed with gzip or not) as a Parquet file, in row groups of
    `rows`; returns their number. The schema is at the top of this module, and in docs/python.md. Errors: ValueError
    with file and line; OSError."""
    names = list(dict.fromkeys(n for record in _lines(source) for n, v in record.items() if _is_column(n, v)))
    n_done = 0
    with whole(_apart(target, source)) as part, _Writer(part) as writer:
        records: list[dict[str, Any]] = []
        for record in _lines(source):
            records.append(record)
            n_done += 1
            if len(records) == rows:
                writer.write(_to_table(records, names))
                records = []
        if records or n_done == 0:
            writer.write(_to_table(records, names))
    return n_done


def _number(value: Any, is_single: bool) -> Any:
    """A value of a column as the records have it: the shortest digits of a float32, strings for what JSON lacks."""
    if isinstance(value, list):
        return [_number(item, is_single) for item in value]
    if not isinstance(value, float):
        return value
    if value != value or value in (np.inf, -np.inf):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return float(str(np.float32(value))) if is_single else value


def _to_record(row: dict[str, Any], kinds: dict[str, pa.DataType]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or name == "fields":
            continue
        if name == "context_ids":
            record[name] = [[one["row"], one["ids"]] for one in value]
        elif name in kinds:
            record[name] = _number(value, pa.types.is_list(kinds[name]))
        else:
            record[name] = value
    others = json.loads(row.get("fields") or "{}")
    return {"id": others.pop("id"), **record, **others} if "id" in others else {**record, **others}


def parquet_to_records(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """A Parquet file as records, which the command's select, report and show read; returns their number. Columns whose
    names are of records are these; `scored_text` is their text; others become fields of the line. Errors: ValueError,
    OSError, those of pyarrow."""
    n_done = 0
    with pq.ParquetFile(source) as file, whole(_apart(target, source)) as part:
        known = {**_columns.TOKEN_TYPES, **_columns.SAMPLE_TYPES}
        kinds = {name: _columns.type_of(name) for name in file.schema_arrow.names if name in known}
        with open(part, "w", encoding="utf-8") as lines:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    if row.get("scored_text") is not None:
                        row["text"] = row.pop("scored_text")
                    lines.write(json.dumps(_to_record(row, kinds), ensure_ascii=False) + "\n")
                    n_done += 1
    return n_done

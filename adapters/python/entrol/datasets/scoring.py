"""Scoring as a map function: a batch of rows in, the same with the columns of token records."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from . import _batches, _columns, _process

LEVELS = ("token", "sample")
#: What a call may set of the command, each as the flag of that name (`entrol score --help`).
OPTIONS = (
    "ctx_size",
    "batch_size",
    "ubatch_size",
    "threads",
    "n_gpu_layers",
    "flash_attn",
    "min_context",
    "temperature",
    "chat_template",
    "score_role",
    "skip_bad",
    "top",
    "renyi",
)
LAST_ID = "entrol-end-of-batch"
LAST = json.dumps({"id": LAST_ID, "text": ""}).encode() + b"\n"
LAST_BEGINS = f'{{"id": "{LAST_ID}"'.encode()


def _plain(value: Any) -> Any:
    """What JSON has for NumPy's values, which frames hold in lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


@dataclass(frozen=True)
class Scorer:
    """What `score` makes: call it with a batch. It can be pickled, and compared: a worker process keeps one process of
    the command for all scorers with the same settings, which loads the model once."""

    model: str | None
    inputs: tuple[tuple[str, str], ...]  # the field of a line, and the column that it is read from
    columns: tuple[str, ...]
    level: str = "token"
    prefix: str = ""
    options: tuple[tuple[str, Any], ...] = field(default=())
    version: tuple[int, ...] = ()  # of the model's file: what was cached of another one is not taken for this one's

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that a worker runs. Error: CommandError where there is no command."""
        made = [_process.path(), "score", "--level", self.level]
        if self.model is not None:
            made += ["--model", self.model]
        if self.level == "token":
            written = [name for name in self.columns if name in _columns.SCORED_TYPES]
            if "token_id" not in written and (not written or "context_ids" in self.columns):
                written.append("token_id")  # with which these ids go
            made += ["--columns", ",".join(written)]
        for name, value in self.options:
            flag = "--" + name.replace("_", "-")
            made += [flag] * bool(value) if name == "skip_bad" else [flag, str(value)]
        return (*made, "-")

    @property
    def schema(self) -> pa.Schema:
        """The new columns in Arrow's types."""
        return pa.schema([(self.prefix + name, _columns.type_of(name)) for name in self.columns])

    def __call__(self, batch: Any) -> Any:
        """The batch with the new columns: float32 and int32 in Arrow, and what Arrow makes of that elsewhere (lists of
        Python's numbers, NumPy arrays). A row whose text is missing has null (None), and so has a token without a value
        (NaN in NumPy). Errors: CommandError, with the row that the command refused; TypeError, ValueError."""
        given = [_batches.values(batch, column, name) for name, column in self.inputs]
        rows = [row for row in range(len(given[0])) if all(values[row] is not None for values in given)]
        lines = [self._line(row, given) for row in rows]
        return _batches.add(batch, self._score(lines, rows, len(given[0])))

    def _line(self, row: int, given: Sequence[Sequence[Any]]) -> bytes:
        line: dict[str, Any] = {"id": row}
        for (name, column), values in zip(self.inputs, given, strict=True):
            value = values[row]
            if name != "messages" and not isinstance(value, str):
                raise TypeError(f"row {row} of {column!r}: expected a string, got {type(value).__name__}")
            line[name] = value
        try:
            return json.dumps(line, default=_plain).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise TypeError(f"row {row}: {error}") from error

    def _score(self, lines: list[bytes], rows: list[int], n_rows: int) -> dict[str, pa.Array]:
        answers: list[bytes] = []
        if lines:
            skips = dict(self.options).get("skip_bad", False)
            try:
                sent, last = ([*lines, LAST], LAST_BEGINS) if skips else (lines, None)
                answers = _process.answers(self.command, sent, last, self.version)
            except _process.CommandError as error:
                if error.row is not None and 0 <= error.row < len(rows):  # of the lines: rows without text have none
                    message = str(error).partition(": ")[2]
                    row = rows[error.row]
                    raise _process.CommandError(f"row {row} of the batch: {message}", row, error.exit_code) from None
                raise
        found = _columns.columns_of(answers, n_rows, self.columns)
        return {self.prefix + name: array for name, array in found.items()}

    def in_pandas(self, frames: Iterable[Any]) -> Iterator[Any]:
        """For Spark's mapInPandas: frames in, frames out."""
        for frame in frames:
            yield self(frame)

    def in_arrow(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For Spark's mapInArrow."""
        for batch in batches:
            yield self(batch)

    def close(self) -> None:
        """Ends this process's command, and frees its memory; the next call starts it again. It ends by itself with the
        process."""
        _process.close(self.command)


def _version_of(model: str | os.PathLike[str] | None) -> tuple[int, ...]:
    """Nothing of the command's own model, or of one that is not here but where a worker is."""
    try:
        found = os.stat(model) if model is not None else None
    except OSError:
        return ()
    return () if found is None else (found.st_size, found.st_mtime_ns)


def _inputs(text: str | None, prompt: str | None, completion: str | None, messages: str | None) -> tuple:
    if (prompt is None) != (completion is None):
        raise ValueError("prompt and completion: expected both of them")
    if sum(x is not None for x in (text, prompt, messages)) > 1:
        raise ValueError("expected one of text, prompt with completion, and messages")
    given = {"prompt": prompt, "completion": completion, "messages": messages}
    chosen = tuple((name, column) for name, column in given.items() if column is not None)
    return chosen or (("text", text or "text"),)


def _check_columns(columns: Sequence[str] | None, level: str, options: dict[str, Any]) -> tuple[str, ...]:
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {level!r}")
    is_sample = level == "sample"
    if columns is None:
        return tuple(_columns.SAMPLE_TYPES) if is_sample else _columns.DEFAULT_COLUMNS
    known = [*_columns.SAMPLE_TYPES, "scored_text"] if is_sample else [*_columns.SCORED_TYPES, *_columns.FIELD_TYPES]
    chosen = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in chosen:
        if name not in known:
            raise ValueError(f"columns: no column {name!r}; there are {', '.join(known)}")
        if name in _columns.NEED_TOP and "top" not in options:
            raise ValueError(f"columns: {name!r} needs top=, how many of the most probable tokens")
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"columns: expected names that differ, got {chosen!r}")
    return chosen


def score(
    model: str | os.PathLike[str] | None = None,
    *,
    text: str | None = None,
    prompt: str | None = None,
    completion: str | None = None,
    messages: str | None = None,
    columns: Sequence[str] | None = None,
    level: str = "token",
    prefix: str = "",
    **options: Any,
) -> Scorer:
    """A function that scores the texts of a batch under a model, as `entrol score` does, for Hugging Face's
    map(batched=True), Ray Data's map_batches, and with `.in_pandas` Spark's mapInPandas.

    model: a GGUF file; None for the command's default. text: the column that holds the texts (default "text"); or
    prompt and completion, of which the completion is scored; or messages, lists of {"role", "content"}, of which the
    assistant's are scored. columns: what to add, None for token_id, byte_start, byte_end, logprob, entropy and rank,
    lists with a number for each token, in nats; all names are in docs/formats.md. "scored_text" is the text that the
    bytes count in, "context_ids" the tokens before those scored. level: "sample" for statistics of each text instead.
    prefix: of the new columns' names. options: flags of the command, as ctx_size=4096, threads=1, top=20,
    score_role="all", skip_bad=True (what cannot be scored is null). Errors: TypeError, ValueError; of the call see
    Scorer."""
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"score() has no option {name!r}; it has {', '.join(OPTIONS)}")
    return Scorer(
        None if model is None else os.fspath(model),
        _inputs(text, prompt, completion, messages),
        _check_columns(columns, level, options),
        level,
        prefix,
        tuple(sorted(options.items())),
        _version_of(model),
    )

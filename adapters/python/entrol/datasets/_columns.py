"""The columns of token records as Arrow has them, and lines of records as columns.

docs/formats.md says what each holds. float32 and int32 are what the records hold: nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

SCORED_REALS = (
    "logprob",
    "entropy",
    "varentropy",
    "top_prob",
    "margin",
    "sum_p_squared",
    "renyi",
    "logsumexp",
    "tail_mass",
    "mean_topk_logprob",
)
OTHER_REALS = (
    "entropy_lower",
    "entropy_upper",
    "reference_logprob",
    "reference_entropy",
    "kl_pq",
    "kl_qp",
    "jsd",
    "mean_entropy",
    "bald",
    "temperature",
    "sampled_entropy",
    "sampled_logprob",
    "weight",
)
#: What `entrol score` can write of a text's tokens: what a list column holds.
SCORED_TYPES: dict[str, pa.DataType] = {
    "token_id": pa.int32(),
    "token": pa.string(),
    "byte_start": pa.int64(),
    "byte_end": pa.int64(),
    "rank": pa.int32(),
    **dict.fromkeys(SCORED_REALS, pa.float32()),
    "top_id": pa.list_(pa.int32()),
    "top_token": pa.list_(pa.string()),
    "top_logprob": pa.list_(pa.float32()),
}
#: Of these the ones that tell of so many of the most probable tokens.
NEED_TOP = ("top_id", "top_token", "top_logprob", "tail_mass", "mean_topk_logprob")
#: All columns of tokens that records may have.
TOKEN_TYPES: dict[str, pa.DataType] = {
    **SCORED_TYPES,
    **dict.fromkeys(OTHER_REALS, pa.float32()),
    "candidates": pa.int64(),
    "keep": pa.bool_(),
    "agree": pa.bool_(),
}
#: Of each document, with level="sample".
SAMPLE_TYPES: dict[str, pa.DataType] = {
    "n_tokens": pa.int64(),
    "entropy_mean": pa.float64(),
    "entropy_median": pa.float64(),
    "entropy_p90": pa.float64(),
    "entropy_max": pa.float64(),
    "surprisal_mean": pa.float64(),
    "perplexity": pa.float64(),
}
CONTEXT_TYPE = pa.list_(pa.struct([("row", pa.int64()), ("ids", pa.list_(pa.int32()))]))
#: Of each document, beside its columns: exactly what was scored, and the tokens before it.
FIELD_TYPES: dict[str, pa.DataType] = {"scored_text": pa.string(), "context_ids": CONTEXT_TYPE}
#: What `entrol score` writes of a text unless it is asked for others.
DEFAULT_COLUMNS = ("token_id", "byte_start", "byte_end", "logprob", "entropy", "rank")


def type_of(name: str) -> pa.DataType:
    """Of a column as a whole."""
    if name in TOKEN_TYPES:
        return pa.list_(TOKEN_TYPES[name])
    return {**SAMPLE_TYPES, **FIELD_TYPES}[name]


def _finite(value: Any) -> Any:
    """The numbers that JSON does not have stand in records as strings."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return float(value) if isinstance(value, str) else value


def _context(value: list[Any] | None) -> list[dict[str, Any]] | None:
    return None if value is None else [{"row": row, "ids": ids} for row, ids in value]


def column(name: str, values: Sequence[Any]) -> pa.Array:
    """An Arrow column of what records hold in the field `name`; None is null."""
    kind = type_of(name)
    if name == "context_ids":
        values = [_context(value) for value in values]
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        if name in ("token", "top_token", "scored_text"):
            raise
        return pa.array([_finite(value) for value in values], kind)


def columns_of(answers: Iterable[bytes], n_rows: int, names: Sequence[str]) -> dict[str, pa.Array]:
    """Columns of n_rows rows from lines of records whose "id" is their row; null where a row has none."""
    found: dict[str, list[Any]] = {name: [None] * n_rows for name in names}
    for answer in answers:
        record = json.loads(answer)
        row = record["id"]
        for name, values in found.items():
            values[row] = record.get("text" if name == "scored_text" else name)
    return {name: column(name, values) for name, values in found.items()}

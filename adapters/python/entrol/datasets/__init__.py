"""Scoring and selecting over data sets: Hugging Face, Ray Data, Spark, pandas, Arrow and Parquet.

    >>> from entrol.datasets import score, select
    >>> scored = dataset.map(score("model.gguf", text="text"), batched=True)
    >>> kept = select(scored, "low:50%", level="sample")

`score` runs the command `entrol score`, one process for each worker, `score_logits` measures columns of logits,
`select` applies a rule to all rows together. Needs pyarrow.
"""

from .. import _public
from ._process import CommandError
from .files import parquet_to_records, records_to_parquet, score_parquet, select_parquet
from .logits import LogitsScorer, score_logits
from .scoring import Scorer, score
from .selecting import keep_column, select

__all__ = [
    "CommandError",
    "LogitsScorer",
    "Scorer",
    "keep_column",
    "parquet_to_records",
    "records_to_parquet",
    "score",
    "score_logits",
    "score_parquet",
    "select",
    "select_parquet",
]

_public.settle(globals())

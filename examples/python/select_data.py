"""A data-selection run: scores conversations with a model, keeps the half of which it is surest, writes Parquet.

    python select_data.py ../chat.jsonl --chat-template gemma --output kept.parquet --report report.html
    python select_data.py ../chat.jsonl --chat-template gemma --ray     # the same map function under Ray Data

The input is JSON Lines or Parquet with messages, or with prompt and completion. Needs pyarrow, and ray[data] for --ray.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

from entrol.datasets import Scorer, keep_column, parquet_to_records, score

COLUMNS = ("token_id", "byte_start", "byte_end", "logprob", "entropy", "scored_text", "context_ids")


def read(path: str) -> pa.Table:
    """`id` and `messages` of each conversation."""
    if path.endswith(".parquet"):
        rows = pq.read_table(path).to_pylist()
    else:
        with open(path, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
    conversations = []
    for number, row in enumerate(rows, 1):
        messages = row.get("messages") or [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        ]
        conversations.append({"id": str(row.get("id", number)), "messages": messages})
    return pa.Table.from_pylist(conversations)


def score_with_ray(table: pa.Table, scorer: Scorer, n_workers: int) -> pa.Table:
    """The scorer as it is, in as many workers, each with a model of its own; rows keep their order."""
    import ray
    import ray.data

    ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    data = ray.data.from_arrow(table).repartition(n_workers).map_batches(scorer, batch_format="pyarrow")
    scored = pa.concat_tables(ray.get(data.to_arrow_refs()))
    ray.shutdown()
    return scored


def write_report(scored: pa.Table, path: str) -> None:
    """The command's HTML report of everything that was scored."""
    with tempfile.TemporaryDirectory() as folder:
        parquet, records = os.path.join(folder, "scored.parquet"), os.path.join(folder, "scored.jsonl")
        pq.write_table(scored, parquet)
        parquet_to_records(parquet, records)
        subprocess.run([os.environ.get("ENTROL", "entrol"), "report", records, "-o", path], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="JSON Lines or Parquet")
    parser.add_argument("--model", help="a GGUF file; default: the command's own")
    parser.add_argument("--chat-template", help="where the model has none, as chatml")
    parser.add_argument("--keep", default="low:50%", help="the rule; default: %(default)s".replace("50%", "50%%"))
    parser.add_argument("--output", default="kept.parquet", help="default: %(default)s")
    parser.add_argument("--report", help="an HTML report of all conversations, where wanted")
    parser.add_argument("--ray", action="store_true", help="score under Ray Data")
    parser.add_argument("--workers", type=int, default=2, help="of Ray; default: %(default)s")
    given = parser.parse_args()

    options = {"chat_template": given.chat_template} if given.chat_template else {}
    scorer = score(given.model, messages="messages", columns=COLUMNS, **options)
    table = read(given.input)
    scored = score_with_ray(table, scorer, given.workers) if given.ray else scorer(table)

    keep, selection = keep_column(scored, given.keep, level="sample")
    kept = scored.filter(keep)
    pq.write_table(kept, given.output)
    n_tokens = sum(len(tokens) for tokens in kept["entropy"].to_pylist())
    print(
        f"kept {selection.n_kept} of {selection.n_valid} conversations, {n_tokens} tokens: "
        + ", ".join(kept["id"].to_pylist())
    )
    print(f"{given.keep} is a mean entropy from {selection.threshold_low:.4f} to {selection.threshold_high:.4f} nats")
    if given.report:
        write_report(scored, given.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())

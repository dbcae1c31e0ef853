"""The examples of data selection and of notebooks, run as they stand; Ray is started for real."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import unittest

from datasets_case import EXAMPLES, DatasetsCase, np, records

import pyarrow.parquet as pq

FOLDER = os.path.join(EXAMPLES, "python")
CHAT = os.path.join(EXAMPLES, "chat.jsonl")


def have(name):
    return importlib.util.find_spec(name) is not None


def conversations():
    """What the example makes of examples/chat.jsonl."""
    for row in records(open(CHAT, "rb").read()):
        messages = row.get("messages") or [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        ]
        yield {"id": row["id"], "messages": messages}


class SelectData(DatasetsCase):
    def run_example(self, *arguments):
        done = subprocess.run(
            [
                sys.executable,
                os.path.join(FOLDER, "select_data.py"),
                *arguments,
                "--model",
                self.model,
                "--chat-template",
                "chatml",
            ],
            cwd=self.folder.name,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def expected(self):
        """The ids that the command keeps of what the command scores, and their entropies."""
        scored = self.command(list(conversations()), "--chat-template", "chatml")
        means = {record["id"]: np.mean(np.array(record["entropy"], np.float64)) for record in scored}
        half = np.quantile(np.array(list(means.values()), np.float32), 0.5)
        return {record["id"]: record["entropy"] for record in scored if np.float32(means[record["id"]]) <= half}

    def check(self, name):
        kept, expected = pq.read_table(os.path.join(self.folder.name, name)), self.expected()
        self.assertEqual(kept["id"].to_pylist(), list(expected))
        self.check_column(kept["entropy"], list(expected.values()))

    def test_from_lines_with_a_report(self):
        out = self.run_example(CHAT, "--output", "kept.parquet", "--report", "report.html")
        self.check("kept.parquet")
        self.assertRegex(out, r"^kept 2 of 4 conversations, \d+ tokens: ")
        report = open(os.path.join(self.folder.name, "report.html"), encoding="utf-8").read()
        self.assertEqual(
            [d["id"] for d in json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', report, re.S)[1])["documents"]],
            [c["id"] for c in conversations()],
        )

    def test_from_parquet(self):
        import pyarrow as pa

        pq.write_table(pa.Table.from_pylist(list(conversations())), os.path.join(self.folder.name, "chat.parquet"))
        self.run_example("chat.parquet", "--output", "again.parquet")
        self.check("again.parquet")

    @unittest.skipUnless(have("ray"), "ray is not installed")
    def test_under_ray(self):
        out = self.run_example(CHAT, "--ray", "--output", "ray.parquet")
        self.check("ray.parquet")
        self.assertRegex(out, r"(?m)^kept 2 of 4 conversations")


@unittest.skipUnless(have("ray"), "ray is not installed")
class RayData(DatasetsCase):
    """The same function with every format of batches that Ray Data has."""

    def test_formats(self):
        script = """
import sys, json, pyarrow as pa, ray, ray.data
from entrol.datasets import score
scorer = score(sys.argv[1], columns="entropy")
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().execution_options.preserve_order = True
data = ray.data.from_arrow(pa.table({"text": [f"number {i}" for i in range(20)]})).repartition(4)
for kind in ("pyarrow", "pandas", "numpy"):
    rows = data.map_batches(scorer, batch_format=kind).take_all()
    print("rows", json.dumps([[row["text"], [float(x) for x in row["entropy"]]] for row in rows]))
"""
        done = subprocess.run([sys.executable, "-c", script, self.model], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("rows ")]
        expected = self.command([{"text": f"number {i}"} for i in range(20)])
        self.assertEqual(len(found), 3)
        for rows in found:
            self.assertEqual([text for text, _ in rows], [record["text"] for record in expected])
            for (_, entropy), record in zip(rows, expected):
                np.testing.assert_array_equal(np.array(entropy, np.float32), np.array(record["entropy"], np.float32))


@unittest.skipUnless(have("nbclient") and have("ipykernel"), "nbclient or ipykernel is not installed")
class Notebook(DatasetsCase):
    def test_it_runs_and_shows_what_is_stored(self):
        import nbformat
        from nbclient import NotebookClient

        stored = nbformat.read(os.path.join(FOLDER, "heat_map.ipynb"), as_version=4)
        nbformat.validate(stored)
        book = nbformat.from_dict(json.loads(json.dumps(stored)))
        model, os.environ["ENTROL_MODEL"] = os.environ.get("ENTROL_MODEL"), self.model
        try:
            NotebookClient(book, timeout=120, kernel_name="python3").execute()
        finally:
            os.environ.pop("ENTROL_MODEL")
            if model is not None:
                os.environ["ENTROL_MODEL"] = model
        outputs = lambda cells: [
            [sorted(output.data) for output in cell.outputs] for cell in cells if cell.cell_type == "code"
        ]
        self.assertEqual(outputs(book.cells), outputs(stored.cells))
        text = stored.cells[2].source.split('"""')[1]
        for cells in (book.cells, stored.cells):
            shown = cells[2].outputs[0].data["text/html"]
            body = re.sub(
                r"<i class=\"sign\".*?</i>|<[^>]*>", "", shown.partition('<div class="text"')[2].partition(">")[2]
            )
            self.assertEqual(body, text)
        style = lambda cells: re.search("<style>.*?</style>", cells[2].outputs[0].data["text/html"], re.S)[0]
        self.assertEqual(
            style(stored.cells), style(book.cells), "run the notebook again, and store it with its outputs"
        )


if __name__ == "__main__":
    unittest.main()

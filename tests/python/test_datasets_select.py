"""entrol.datasets: selection over whole data sets, against what `entrol select` keeps of the same records; Parquet."""

import json
import os
import unittest

from datasets_case import DatasetsCase, np, pa, records, run

import pyarrow.parquet as pq

from entrol import Bounds, DataError
from entrol.datasets import (
    keep_column,
    parquet_to_records,
    records_to_parquet,
    score,
    score_logits,
    score_parquet,
    select,
    select_parquet,
)
from entrol.datasets.selecting import Pieces, plan_of

try:
    import datasets as hf
    import pandas as pd
except ImportError:
    hf = pd = None
SEED = 20261129


def write(path, lines):
    with open(path, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def some_records(n, seed=SEED):
    """Documents of 0 to 30 tokens, with ties, nulls and a NaN."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(n):
        length = int(random.integers(0, 31))
        entropy = np.round(random.gamma(2, 1, length), 1).tolist()
        entropy = [None if random.random() < 0.03 else x for x in entropy]
        if i == 3 and length:
            entropy[0] = "NaN"
        made.append(
            {
                "id": f"d{i}",
                "text": "x" * length,
                "token_id": list(range(length)),
                "byte_start": list(range(length)),
                "byte_end": list(range(1, length + 1)),
                "entropy": entropy,
                "logprob": np.round(-random.gamma(2, 1, length), 2).tolist(),
                "rank": random.integers(1, 9999, length).tolist(),
            }
        )
    return made


class RecordsCase(DatasetsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lines = os.path.join(cls.folder.name, "records.jsonl")
        cls.parquet = os.path.join(cls.folder.name, "records.parquet")
        cls.n = 200
        write(cls.lines, some_records(cls.n))
        records_to_parquet(cls.lines, cls.parquet, rows=37)
        cls.table = pq.read_table(cls.parquet)


class Selecting(RecordsCase):
    def command_keeps(self, *flags):
        done = run("select", self.lines, *(() if "--emit" in flags else ("--emit", "records")), *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        return records(done.stdout)

    def test_tokens_as_the_command_keeps_them(self):
        cases = [
            (("--keep", rule), {"rule": rule})
            for rule in ("low:80%", "high:100", "low:=20%", "p5..p95", "1.5..", "low:0%")
        ]
        cases += [
            (("--mask", "high:20%"), {"rule": "high:20%", "is_mask": True}),
            (("--keep", "high:500", "--tie-seed", "7"), {"rule": "high:500", "tie_seed": 7}),
            (("--keep", "low:50%", "--quantile", "higher"), {"rule": "low:50%", "method": "higher"}),
            (("--keep", "high:30%", "--scope", "document"), {"rule": "high:30%", "scope": "document"}),
            (("--by", "surprisal", "--keep", "high:5%"), {"rule": "high:5%", "by": "surprisal"}),
            (("--by", "rank", "--keep", "..1000"), {"rule": "..1000", "by": "rank"}),
        ]
        cases += [(("--recipe", name), {"rule": name}) for name in ("se-kd", "unexpected", "gltr", "trl", "8020")]
        cases += [
            (("--for", name), {"rule": name})
            for name in ("self-training", "distillation", "noise", "defects", "reinforcement")
        ]
        for flags, how in cases:
            with self.subTest(flags):
                expected = [record["keep"] for record in self.command_keeps(*flags)]
                self.assertEqual(select(self.table, **how)["keep"].to_pylist(), expected)

    def test_documents_as_the_command_keeps_them(self):
        for flags, how in [
            (("--keep", "low:50%"), {"rule": "low:50%"}),
            (("--keep", "high:20"), {"rule": "high:20"}),
            (("--mask", "high:20"), {"rule": "high:20", "is_mask": True}),
            (("--recipe", "robustft"), {"rule": "robustft"}),
            (("--for", "active-learning"), {"rule": "active-learning"}),
            (("--by", "surprisal", "--keep", "p10..p90"), {"rule": "p10..p90", "by": "surprisal"}),
        ]:
            with self.subTest(flags):
                expected = [
                    record["id"] for record in self.command_keeps("--level", "sample", "--emit", "samples", *flags)
                ]
                self.assertEqual(select(self.table, level="sample", **how)["id"].to_pylist(), expected)

    def test_statistics_of_samples(self):
        documents = [{"text": text} for text in ("one", "two words", "three words here", "x", "")]
        table = score(self.model, level="sample")(pa.table({"text": [d["text"] for d in documents]}))
        means = table["entropy_mean"].to_pylist()[:4]
        kept = select(table, "high:2", level="sample")["text"].to_pylist()
        self.assertEqual(kept, [documents[i]["text"] for i in sorted(np.argsort(means)[-2:])])
        self.assertEqual(
            select(table, "ccnet")["text"].to_pylist(),
            [
                d["text"]
                for d, p in zip(documents, table["perplexity"].to_pylist())
                if p is not None and p <= np.quantile(np.array(table["perplexity"].to_pylist()[:4], np.float32), 0.3)
            ],
        )

    @unittest.skipIf(hf is None, "datasets or pandas is not installed")
    def test_every_kind_of_data(self):
        expected = select(self.table, "low:60%")["keep"].to_pylist()
        rows = select(self.table, "high:9", level="sample")["id"].to_pylist()
        hf.disable_progress_bars()
        data = hf.Dataset(self.table)
        with_keep = select(data, "low:60%", column="kept")
        self.assertEqual(with_keep["kept"][:], expected)
        self.assertEqual(select(with_keep, "low:60%", column="kept")["kept"][:], expected)
        self.assertEqual(select(data, "high:9", level="sample")["id"][:], rows)
        some = data.select(range(self.n - 1, -1, -2))  # through an index
        self.assertEqual(
            select(some, "low:60%")["keep"][:],
            select(self.table.take(np.arange(self.n - 1, -1, -2)), "low:60%")["keep"].to_pylist(),
        )
        frame = self.table.select(["id", "entropy"]).to_pandas()
        self.assertEqual(select(frame, "high:9", level="sample")["id"].tolist(), rows)
        for kind in (
            {"id": self.table["id"].to_pylist(), "entropy": self.table["entropy"].to_pylist()},
            {"id": frame["id"].to_numpy(object), "entropy": frame["entropy"].to_numpy()},
        ):
            self.assertEqual(list(select(kind, "high:9", level="sample")["id"]), rows)
        [batch] = self.table.combine_chunks().to_batches()
        self.assertEqual(select(batch, "low:60%").column("keep").to_pylist(), expected)

    def test_nothing_is_copied(self):
        chunks = [pa.array([[1.0, 2.0], [3.0]], pa.list_(pa.float32())), pa.array([[4.0], []], pa.list_(pa.float32()))]
        table = pa.table({"entropy": pa.chunked_array(chunks)})
        pieces = Pieces(table.to_batches(), plan_of("low:50%", {}), {"entropy": 1.0})
        for (values, _), chunk in zip(pieces, chunks):
            self.assertTrue(np.shares_memory(values, np.frombuffer(chunk.values.buffers()[1], np.float32)))

    def test_slices_and_kinds_of_lists(self):
        part = self.table.slice(50, 60)
        expected = select(
            pa.table({"entropy": pa.array(part["entropy"].to_pylist(), pa.list_(pa.float32()))}), "low:70%"
        )["keep"]
        for kind in (pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float64())):
            table = pa.table({"entropy": part["entropy"].cast(kind)})
            self.assertEqual(select(table, "low:70%")["keep"].to_pylist(), expected.to_pylist())
        fixed = pa.table({"entropy": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))})
        self.assertEqual(select(fixed, "..2")["keep"].to_pylist(), [[True, True], None, [False, False]])

    def test_no_rows_and_no_values(self):
        lists = pa.list_(pa.float32())
        for values in ([], [None, []]):
            table = pa.table({"entropy": pa.array(values, lists)})
            for how in ({}, {"scope": "document"}, {"is_mask": True}):
                self.assertEqual(select(table, "low:80%", **how)["keep"].to_pylist(), values)
            self.assertEqual(select(table, "low:80%", level="sample").num_rows, 0)
        numbers = pa.table({"entropy": pa.nulls(2)})
        self.assertEqual(select(numbers, "low:80%", level="sample").num_rows, 0)

    def test_refused(self):
        for words, given in [
            ("rule: cannot read 'lowest'", {"rule": "lowest"}),
            ("by = 'entropie': no such column", {"rule": "low:1", "by": "entropie"}),
            ("excess_loss is made of logprob and reference_logprob", {"rule": "rho1"}),
            ("level: expected token or sample", {"rule": "low:1", "level": "row"}),
            ("scope of the recipe 'deepconf'", {"rule": "deepconf", "by": "entropy"}),
            ("recipe 'flexmatch' has the rule", {"rule": "flexmatch"}),
            ("recipe 'todi' has a weight", {"rule": "todi"}),
            ("scope: .document. goes with", {"rule": "low:1", "level": "sample", "scope": "document"}),
            ('level="sample" takes rows', {"rule": "low:1", "by": "number"}),
        ]:
            with self.subTest(words), self.assertRaisesRegex(ValueError, words):
                select(self.table.append_column("number", pa.array(np.arange(self.n))), **given)
        with self.assertRaisesRegex(TypeError, "by = 'text': expected a column of numbers"):
            select(self.table, "low:1", by="text", level="sample")
        with self.assertRaisesRegex(DataError, "NaN"):
            select(self.table, "low:80%", nan="error")
        with self.assertRaisesRegex(ValueError, "rule: '8021' is neither a recipe .nearest are .*8020.* nor a rule: "):
            select(self.table, "8021")
        with self.assertRaisesRegex(ValueError, "rule: 'low:80!' is neither .* from character 7"):
            select(self.table, "low:80!")
        with self.assertRaisesRegex(TypeError, "rule: expected a rule, as .*got float"):
            select(self.table, 0.2)
        with self.assertRaisesRegex(TypeError, "pieces"):
            Bounds(iter([]), "low:80%")


class Parquet(RecordsCase):
    def test_select_by_row_groups(self):
        target = self.path("selected.parquet")
        for rule, level in (("low:60%", "token"), ("high:25%", "sample"), ("high:3", "sample")):
            selection = select_parquet(self.parquet, target, rule, level=level)
            made, expected = pq.read_table(target), select(self.table, rule, level=level)
            self.assertEqual(made.column_names, expected.column_names)
            for name in {"id", "token_id", "keep"}.intersection(made.column_names):
                self.assertEqual(made[name].to_pylist(), expected[name].to_pylist())
            keep, told = keep_column(self.table, rule, level=level)
            self.assertEqual((selection.keep, told.keep), (None, None))
            self.assertEqual(
                (selection.n_kept, selection.n_valid, selection.threshold_low, selection.threshold_high),
                (told.n_kept, told.n_valid, told.threshold_low, told.threshold_high),
            )
        self.assertEqual(pq.ParquetFile(self.parquet).num_row_groups, -(-self.n // 37))

    def test_score_by_row_groups(self):
        source, target = self.path("texts.parquet"), self.path("scored.parquet")
        texts = [None if i % 7 == 3 else f"Number {i}." for i in range(50)]
        pq.write_table(pa.table({"text": texts}), source, row_group_size=20)
        told = []
        n = score_parquet(
            source, target, score(self.model), rows=8, progress=lambda done, total: told.append((done, total))
        )
        self.assertEqual((n, told[0], told[-1], len(told)), (50, (8, 50), (50, 50), 3 + 3 + 2))
        made = pq.ParquetFile(target)
        self.assertEqual([made.metadata.row_group(i).num_rows for i in range(made.num_row_groups)], [20, 20, 10])
        expected = iter(self.command([{"text": text} for text in texts if text is not None]))
        self.check_column(
            made.read()["entropy"], [None if text is None else next(expected)["entropy"] for text in texts]
        )
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), source)
        self.assertEqual(score_parquet(source, target, model=self.model), 0)
        self.assertEqual(pq.read_schema(target).field("entropy").type, pa.list_(pa.float32()))
        pq.write_table(pa.table({"logits": [[0.0, 0.0]]}), source)
        score_parquet(source, target, score_logits())
        np.testing.assert_allclose(pq.read_table(target)["entropy"].to_pylist(), [np.log(2)], rtol=1e-6)

    def test_whole_or_not_at_all(self):
        source, target = self.path("bad.parquet"), self.path("kept.parquet")
        pq.write_table(pa.table({"text": ["a"] * 30 + ["b\0"]}), source, row_group_size=10)
        with open(target, "w") as file:
            file.write("what was there")
        with self.assertRaisesRegex(RuntimeError, "row 0 of the batch"):
            score_parquet(source, target, model=self.model)
        self.assertEqual(open(target).read(), "what was there")
        self.assertFalse(os.path.exists(target + ".part"))
        for call in (
            lambda: score_parquet(source, source, model=self.model),
            lambda: select_parquet(source, source, "low:1", by="n"),
        ):
            with self.assertRaisesRegex(ValueError, "target: .* is the source"):
                call()
        with self.assertRaisesRegex(TypeError, "no option 'model' where a scorer is given"):
            score_parquet(source, target, score(self.model), model="m")


class Records(DatasetsCase):
    def test_there_and_back(self):
        source, middle, back = self.path("a.jsonl"), self.path("a.parquet"), self.path("b.jsonl")
        made = self.command(
            [{"text": "A b c", "label": {"x": [1]}, "id": 5}, {"prompt": "p", "completion": " q", "id": "z"}],
            "--columns",
            "all",
            "--top",
            "2",
        )
        made += [
            {"id": "i", "text": "ab", "entropy": [None, "NaN"], "logprob": ["-Infinity", -0.1], "keep": [None, True]},
            {"id": "s", "n_tokens": 3, "entropy_mean": 0.1, "perplexity": "Infinity"},
        ]
        write(source, made)
        self.assertEqual(records_to_parquet(source, middle, rows=3), 4)
        self.assertEqual(parquet_to_records(middle, back), 4)
        self.assertEqual(records(open(back).read()), made)
        schema = pq.read_schema(middle)
        self.assertEqual(
            [str(schema.field(name).type) for name in ("id", "entropy", "token_id", "top_token", "keep", "fields")],
            [
                "string",
                "list<element: float>",
                "list<element: int32>",
                "list<element: list<element: string>>",
                "list<element: bool>",
                "string",
            ],
        )
        done = run("select", back, "--keep", "low:50%")  # the command reads them
        self.assertEqual(done.returncode, 2)  # the last line has no tokens
        self.assertIn(b"(s): no column", done.stderr)

    def test_refused(self):
        source = self.path("bad.jsonl")
        for text in ('{"id":"a"}\n[1]\n', '{"id":"a"}\n{\n'):
            with open(source, "w") as file:
                file.write(text)
            with self.assertRaisesRegex(ValueError, "bad.jsonl:2: expected a"):
                records_to_parquet(source, self.path("c.parquet"))
            self.assertFalse(os.path.exists(self.path("c.parquet")))


if __name__ == "__main__":
    unittest.main()

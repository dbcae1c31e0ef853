"""entrol.datasets: texts scored in every kind of batch, against what the command itself writes."""

import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
import unittest
from unittest import mock

from datasets_case import TEXTS, DatasetsCase, np, pa, reals

from entrol.datasets import CommandError, _process, score

try:
    import pandas as pd
except ImportError:
    pd = None
try:
    import datasets as hf
except ImportError:
    hf = None
COLUMNS = ("token_id", "byte_start", "byte_end", "logprob", "entropy", "rank")


def process_of(scorer):
    return _process._running[scorer.command]


class Texts(DatasetsCase):
    def expected(self, *flags):
        return self.command([{"text": text} for text in TEXTS], *flags)

    def test_a_table_has_what_the_command_writes(self):
        table = score(self.model)(pa.table({"text": TEXTS, "other": range(len(TEXTS))}))
        self.assertEqual(table.column_names, ["text", "other", *COLUMNS])
        self.assertEqual(table.schema.field("entropy").type, pa.list_(pa.float32()))
        self.assertEqual(table.schema.field("rank").type, pa.list_(pa.int32()))
        for name in COLUMNS:
            self.check_column(table[name], [record[name] for record in self.expected()])

    def test_columns_of_every_kind(self):
        names = ("token", "varentropy", "renyi", "top_id", "top_token", "top_logprob", "tail_mass")
        table = score(self.model, columns=(*names, "scored_text", "context_ids"), top=3, renyi=0.5)(
            pa.table({"text": TEXTS})
        )
        expected = self.expected("--columns", ",".join(names), "--top", "3", "--renyi", "0.5")
        for name in ("token", "varentropy", "renyi", "top_id", "top_token", "tail_mass"):
            self.check_column(table[name], [record[name] for record in expected])
        top = table["top_logprob"].to_pylist()
        for got, record in zip(top, expected):
            np.testing.assert_array_equal(np.array(got, np.float32), np.array(record["top_logprob"], np.float32))
        self.assertEqual(table["scored_text"].to_pylist(), TEXTS)
        with_ids = self.expected()
        self.assertEqual(
            [[[c["row"], c["ids"]] for c in row] for row in table["context_ids"].to_pylist()],
            [record["context_ids"] for record in with_ids],
        )

    def test_every_kind_of_batch(self):
        scorer = score(self.model, columns=("entropy", "rank"), prefix="small_")
        expected = [record["entropy"] for record in self.expected()]
        batch = scorer(pa.record_batch({"text": TEXTS}))
        self.assertIsInstance(batch, pa.RecordBatch)
        self.check_column(batch.column("small_entropy"), expected)
        lists = scorer({"text": TEXTS, "n": [1] * len(TEXTS)})
        self.assertEqual(list(lists), ["text", "n", "small_entropy", "small_rank"])
        arrays = scorer({"text": np.array(TEXTS, dtype=object)})
        for got, values in zip(arrays["small_entropy"], expected):
            self.assertEqual(got.dtype, np.float32)
            np.testing.assert_array_equal(got, reals(values))
        for got, values in zip(lists["small_entropy"], expected):
            self.assertEqual(got, reals(values).tolist())

    @unittest.skipIf(pd is None, "pandas is not installed")
    def test_frames_and_an_iterator_of_them(self):
        scorer = score(self.model, columns="entropy")
        frames = [pd.DataFrame({"text": TEXTS[:2]}, index=[7, 9]), pd.DataFrame({"text": [None, TEXTS[2], pd.NA]})]
        first, second = scorer.in_pandas(iter(frames))
        self.assertEqual(list(first.index), [7, 9])
        expected = self.expected()
        np.testing.assert_array_equal(first["entropy"].iloc[1], reals(expected[1]["entropy"]))
        np.testing.assert_array_equal(second["entropy"].iloc[1], reals(expected[2]["entropy"]))
        self.assertIsNone(second["entropy"].iloc[0])
        self.assertIsNone(second["entropy"].iloc[2])
        [made] = scorer.in_arrow(iter([pa.record_batch({"text": TEXTS[:1]})]))
        self.check_column(made.column("entropy"), [expected[0]["entropy"]])

    def test_a_missing_text_is_null_and_an_empty_one_has_no_tokens(self):
        table = score(self.model, columns="entropy")(pa.table({"text": [None, "", "a"]}))
        self.assertEqual([row is None or len(row) for row in table["entropy"].to_pylist()], [True, 0, 1])
        table = score(self.model, columns="entropy")(pa.table({"text": pa.array([], pa.string())}))
        self.assertEqual((table.num_rows, table.schema.field("entropy").type), (0, pa.list_(pa.float32())))
        table = score(self.model, level="sample")(pa.table({"text": [None, "a b"]}))
        [expected] = self.command([{"text": "a b"}], "--level", "sample")
        self.assertEqual(table.to_pylist()[1], {name: expected[name] for name in ("text", *table.column_names[1:])})
        self.assertIsNone(table.to_pylist()[0]["entropy_mean"])

    def test_completions_and_conversations(self):
        pairs = [{"prompt": "Two and two is", "completion": " four."}, {"prompt": "Yes", "completion": ""}]
        table = score(self.model, prompt="p", completion="c")(
            pa.table({"p": [pair["prompt"] for pair in pairs], "c": [pair["completion"] for pair in pairs]})
        )
        self.check_column(table["logprob"], [record["logprob"] for record in self.command(pairs)])
        chat = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]]
        flags = ("--chat-template", "chatml", "--score-role", "all")
        [expected] = self.command([{"messages": chat[0]}], *flags)
        scorer = score(
            self.model, messages="chat", columns=("entropy", "scored_text"), chat_template="chatml", score_role="all"
        )
        table = scorer(pa.table({"chat": chat}))
        self.check_column(table["entropy"], [expected["entropy"]])
        self.assertEqual(table["scored_text"].to_pylist(), [expected["text"]])
        frame = {"chat": np.array([np.array(chat[0], dtype=object), None], dtype=object)}
        np.testing.assert_array_equal(scorer(frame)["entropy"][0], reals(expected["entropy"]))

    def test_a_batch_larger_than_a_pipe(self):
        texts = [f"{i} " + "word " * 60 for i in range(1500)]
        table = score(self.model, columns=("entropy", "token"))(pa.table({"text": texts}))
        lengths = [len(row) for row in table["entropy"].to_pylist()]
        self.assertGreater(sum(lengths) * 10, 1 << 20)  # bytes of answers; a pipe holds 64 KiB
        self.assertEqual(["".join(row) for row in table["token"].to_pylist()], texts)


class Processes(DatasetsCase):
    def test_one_for_all_batches(self):
        scorer = score(self.model, columns="entropy")
        first = scorer({"text": ["a"]})
        pid = process_of(scorer).pid
        self.assertEqual(pickle.loads(pickle.dumps(scorer))({"text": ["a"]}), first)
        self.assertEqual(process_of(score(self.model, columns=["entropy"])).pid, pid)
        scorer.close()
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertEqual(scorer({"text": ["a"]}), first)
        self.assertNotEqual(process_of(scorer).pid, pid)

    def test_one_that_was_killed(self):
        scorer = score(self.model, columns="entropy")
        first = scorer({"text": ["a"]})
        os.kill(process_of(scorer).pid, signal.SIGKILL)
        process_of(scorer)._child.wait()
        self.assertEqual(scorer({"text": ["a"]}), first)  # between batches: another one
        pid = process_of(scorer).pid
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        with self.assertRaisesRegex(CommandError, "ended by SIGKILL"):
            scorer({"text": ["a"] * 2000})
        self.assertEqual(scorer({"text": ["a"]}), first)

    def test_an_exception_while_it_works(self):
        scorer = score(self.model, columns="entropy")
        first = scorer({"text": ["a"]})
        pid = process_of(scorer).pid
        os.kill(pid, signal.SIGSTOP)

        def interrupt(_number, _frame):
            raise KeyboardInterrupt

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, interrupt))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with self.assertRaises(KeyboardInterrupt):
            scorer({"text": ["a"] * 2000})
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertEqual(scorer({"text": ["a"]}), first)

    def test_after_a_fork(self):
        scorer = score(self.model, columns="entropy")
        first = scorer({"text": TEXTS})
        with multiprocessing.get_context("fork").Pool(2) as pool:
            self.assertEqual(pool.map(scorer, [{"text": TEXTS}] * 4), [first] * 4)
        self.assertEqual(scorer({"text": TEXTS}), first)
        pid = process_of(scorer).pid  # whose pipe no child keeps open
        scorer.close()
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_a_fork_while_another_thread_waits(self):
        """Its pipe is locked by a thread that the child does not have."""
        command = ("sleep", "600")
        in_vain = CommandError, _process.answers, command, [b"{}\n"]
        waiting = threading.Thread(target=self.assertRaises, args=in_vain)
        waiting.start()
        while not _process._running.get(command) or _process._running[command]._n_sent == 0:
            time.sleep(0.01)
        time.sleep(0.2)  # until it reads
        child = multiprocessing.get_context("fork").Process(target=int)
        child.start()
        child.join(20)
        code = child.exitcode
        child.kill()
        _process._running.pop(command).end()
        waiting.join()
        self.assertEqual(code, 0)

    def test_several_threads(self):
        scorer = score(self.model, columns="entropy")
        expected = [scorer({"text": [text]}) for text in TEXTS]
        found = [None] * 20

        def work(i):
            found[i] = scorer({"text": [TEXTS[i % len(TEXTS)]]})

        threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected[i % len(TEXTS)] for i in range(20)])


class Refused(DatasetsCase):
    def test_rows(self):
        scorer = score(self.model, columns="entropy")
        for before in range(2):  # the command counts the lines of all batches
            with self.assertRaisesRegex(CommandError, r"row 3 of the batch: broken JSON.*\\u0000") as caught:
                scorer({"text": ["a", None, "b", "c\0d"]})
            self.assertEqual((caught.exception.row, caught.exception.exit_code), (3, 2))
            self.assertEqual(pickle.loads(pickle.dumps(caught.exception)).row, 3)
            scorer({"text": ["a", "b"]})
        with self.assertRaisesRegex(TypeError, "row 1 of 'text': expected a string, got int"):
            scorer({"text": ["a", 3]})
        skipping = score(self.model, columns="entropy", skip_bad=True)
        for _ in range(2):
            table = skipping(pa.table({"text": ["a\0", "a", None, "b\0"]}))
            self.assertEqual([row is None for row in table["entropy"].to_pylist()], [True, False, True, True])

    def test_what_the_command_says(self):
        with self.assertRaisesRegex(CommandError, "/no/model.gguf: cannot read the model"):
            score("/no/model.gguf")({"text": ["a"]})
        with self.assertRaisesRegex(CommandError, "--temperature.*-1"):
            score(self.model, temperature=-1)({"text": ["a"]})
        with self.assertRaisesRegex(CommandError, "row 0.*no chat template"):
            score(self.model, messages="m")({"m": [[{"role": "user", "content": "x"}]]})

    def test_where_the_command_is(self):
        with (
            mock.patch.dict(os.environ, ENTROL="/no/command"),
            self.assertRaisesRegex(CommandError, "cannot start /no/command"),
        ):
            score(self.model)({"text": ["a"]})
        packaged = os.environ["ENTROL"]
        with mock.patch.dict(os.environ), mock.patch("_entrol_command.command_path") as inside:
            del os.environ["ENTROL"]
            inside.return_value = packaged
            self.assertEqual(len(score(self.model)({"text": ["a"]})["entropy"][0]), 1)
            inside.return_value = None
            with self.assertRaisesRegex(CommandError, "is not in this installation"):
                score(self.model)({"text": ["a"]})

    def test_arguments(self):
        for error, words, given in [
            (TypeError, "no option 'tempratur'", {"tempratur": 1}),
            (ValueError, "columns: no column 'entropie'", {"columns": "entropie"}),
            (ValueError, "columns: 'top_id' needs top=", {"columns": ["top_id"]}),
            (ValueError, "columns: expected names that differ", {"columns": ["rank", "rank"]}),
            (ValueError, "columns: no column 'context_ids'", {"columns": ["context_ids"], "level": "sample"}),
            (ValueError, "level: expected one of token, sample", {"level": "document"}),
            (ValueError, "prompt and completion", {"prompt": "p"}),
            (ValueError, "one of text, prompt", {"text": "t", "messages": "m"}),
        ]:
            with self.assertRaisesRegex(error, words):
                score(self.model, **given)
        with self.assertRaisesRegex(ValueError, "text = 'txt': no such column; there are text"):
            score(self.model, text="txt")({"text": ["a"]})
        with self.assertRaisesRegex(TypeError, "batch: expected a dict"):
            score(self.model)(["a"])


@unittest.skipIf(hf is None, "datasets is not installed")
class HuggingFace(DatasetsCase):
    def setUp(self):
        hf.disable_progress_bars()
        self.data = hf.Dataset.from_dict({"text": TEXTS, "n": list(range(len(TEXTS)))})
        self.expected = [record["entropy"] for record in self.command([{"text": text} for text in TEXTS])]

    def check(self, data):
        self.assertEqual(data.column_names, ["text", "n", "entropy", "rank"])
        for got, values in zip(data["entropy"], self.expected):
            np.testing.assert_array_equal(np.array(got, np.float32), reals(values))

    def test_map(self):
        scorer = score(self.model, columns=("entropy", "rank"))
        self.check(self.data.map(scorer, batched=True, batch_size=2))
        self.check(self.data.map(scorer, batched=True, batch_size=2, num_proc=2))
        features = hf.Features({**self.data.features, **hf.Features.from_arrow_schema(scorer.schema)})
        data = self.data.map(scorer, batched=True, features=features)
        self.check(data)
        self.assertEqual(data.data.schema.field("entropy").type, pa.list_(pa.float32()))
        for kind in ("arrow", "pandas"):
            data = self.data.with_format(kind).map(scorer, batched=True, batch_size=2).with_format(None)
            self.check(data)
        self.assertEqual(
            self.data.with_format("arrow").map(scorer, batched=True).features["entropy"].feature.dtype, "float32"
        )

    def test_what_is_cached_is_found_again(self):
        hash_of = hf.fingerprint.Hasher.hash
        self.assertEqual(hash_of(score(self.model, top=2)), hash_of(score(self.model, top=2)))
        self.assertNotEqual(hash_of(score(self.model, top=2)), hash_of(score(self.model, top=3)))

    def test_of_another_model_by_the_same_name_nothing_is_found(self):
        model = self.path("changing.gguf")
        shutil.copy(self.model, model)
        before = score(model)
        before({"text": ["a"]})
        pid = process_of(before).pid
        os.utime(model, ns=(0, 0))
        after = score(model)
        self.assertNotEqual(hf.fingerprint.Hasher.hash(before), hf.fingerprint.Hasher.hash(after))
        after({"text": ["a"]})
        self.assertNotEqual(process_of(after).pid, pid)
        after.close()

    def test_a_stream(self):
        stream = self.data.to_iterable_dataset().map(
            score(self.model, columns=("entropy", "rank")), batched=True, batch_size=2
        )
        for row, values in zip(stream, self.expected):
            np.testing.assert_array_equal(np.array(row["entropy"], np.float32), reals(values))


if __name__ == "__main__":
    unittest.main()

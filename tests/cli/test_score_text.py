"""entrol score on texts with a model, any model: ENTROL_MODEL names the GGUF file."""
import gzip
import json
import math
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import threading
import time
import unittest

from scoring import ENTROL, MODEL, ScoreCase, have_llama, np, reals, records, run

BUILD = os.environ.get("BUILD", "build")
SEED = 20250611
# What a window of 64 tokens is enough for. The sentences are short, so that the tests are.
SENTENCES = [f"{a} {b} {c}." for a in ("The cat", "A river", "My brother", "Nobody here", "The old clock")
             for b in ("sleeps", "remembers", "runs slowly", "is made of glass", "knows")
             for c in ("at night", "in the rain")]
LONG = " ".join(SENTENCES[:40])


@unittest.skipUnless(MODEL and have_llama(), "ENTROL_MODEL is not set, or this build has no llama.cpp")
class ModelCase(ScoreCase):
    def flags(self):
        return ["-m", MODEL, "-t", "1"]  # a second thread waits busily, which a busy machine pays for twice

    def lines(self, name, documents):
        return self.write(name, "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents))

    def score(self, *arguments, **more):
        return super().score(*self.flags(), *arguments, **more)

    def refused(self, *arguments, **more):
        return super().refused(*self.flags(), *arguments, **more)

    def check_offsets(self, record):
        """The pieces give the text back."""
        text = record["text"].encode()
        ends = [record["byte_start"][0], *record["byte_end"]]
        self.assertEqual(record["byte_start"], ends[:-1])
        self.assertEqual(ends[-1], len(text))


class Records(ModelCase):
    def test_a_pipe_is_answered_line_by_line(self):
        for start in ("", "\ufeff", "\n \n"):
            command = [ENTROL, "score", *self.flags(), "--columns", "entropy", "-"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                watch = threading.Timer(120, process.kill)  # whoever waits for more waits for ever
                watch.start()
                for i in range(3):
                    process.stdin.write((start + json.dumps({"id": i, "text": f"Number {i}."}) + "\n").encode())
                    process.stdin.flush()
                    start = ""
                    self.assertEqual(json.loads(process.stdout.readline() or "{}").get("id"), i)
                process.stdin.close()
                self.assertEqual(process.wait(), 0)
                watch.cancel()

    def test_a_plain_text_is_one_document(self):
        text = "It was the best of times, it was the worst of times.\nSo they say — 他们这么说。\n"
        path = self.write("a.txt", text)
        [record] = self.score(path)
        self.assertEqual(list(record), ["id", "text", "context_ids", "token_id", "byte_start", "byte_end", "logprob", "entropy",
                                        "rank"])
        self.assertEqual((record["id"], record["text"]), (path, text))
        self.assertEqual(record["byte_start"][0], 0)
        self.check_offsets(record)
        entropy, logprob = reals(record["entropy"]), reals(record["logprob"])
        self.assertTrue(np.all((entropy >= 0) & (entropy <= math.log(262144))))
        self.assertTrue(np.all(logprob <= 0))
        self.assertTrue(all(rank >= 1 for rank in record["rank"]))

    def test_every_column_is_consistent(self):
        [record] = self.score(self.write("a.txt", SENTENCES[3]), "--columns", "all", "--top", 3)
        text = record["text"].encode()
        for i, (start, end) in enumerate(zip(record["byte_start"], record["byte_end"])):
            self.assertEqual(record["token"][i], text[start:end].decode())
            self.assertEqual(len(record["top_token"][i]), 3)
            p = math.exp(record["top_logprob"][i][0])
            self.assertAlmostEqual(record["top_prob"][i], p, 5)
            self.assertAlmostEqual(record["margin"][i], p - math.exp(record["top_logprob"][i][1]), 5)
            if record["rank"][i] <= 3:
                j = record["rank"][i] - 1
                self.assertEqual(record["top_id"][i][j], record["token_id"][i])
                self.assertEqual(record["top_token"][i][j], record["token"][i])
                self.assertAlmostEqual(record["top_logprob"][i][j], record["logprob"][i], 5)

    def test_a_document_depends_on_itself_alone(self):
        documents = [{"id": i, "text": text} for i, text in enumerate(SENTENCES[:6])]
        together = self.score(self.lines("all.jsonl", documents), "-t", 2)
        backwards = self.score(self.lines("back.jsonl", documents[::-1]))
        self.assertEqual(together, backwards[::-1])
        [alone] = self.score(self.lines("one.jsonl", documents[4:5]))
        self.assertEqual(together[4], alone)

    def test_fields_are_kept_and_ids_made(self):
        path = self.lines("a.jsonl", [{"label": [1, {"x": None}], "text": "One."}, {"id": "own", "text": "Two.", "n": 2}])
        first, second = self.score(path, "--columns", "entropy")
        self.assertEqual(list(first), ["id", "label", "text", "entropy"])
        self.assertEqual((first["id"], first["label"]), (f"{path}:1", [1, {"x": None}]))
        self.assertEqual((second["id"], second["n"]), ("own", 2))

    def test_fields_in_the_way_of_the_records(self):
        clash = {"text": "a cat", "entropy": "high", "rank": 3, "weight": [1], "keep": "this", "n": 1e5}
        path = self.lines("a.jsonl", [{"text": "a cat", "n": 1}, clash])
        done = run("score", *self.flags(), path)
        record = records(done.stdout)[1]
        self.assertEqual((record["keep"], record["n"]), ("this", 1e5))  # no column of that name is written
        self.assertNotIn("weight", record)  # a reader would take it for the column
        self.assertEqual(len(record["entropy"]), len(record["rank"]))
        self.assertIn(f"1 of 2 documents lost a field whose name is a column's or that of another part of the records; "
                      f"the first: {path}:2, \"entropy\"", done.stderr.decode())
        self.assertEqual(run("select", "--keep=low:1", "-", stdin=done.stdout).returncode, 0)
        done = run("score", *self.flags(), path, "--columns", "logprob")
        self.assertEqual((records(done.stdout)[1]["entropy"], records(done.stdout)[1]["rank"]), ("high", 3))
        for field in ("entropy_mean", "text"):
            path = self.lines("b.jsonl", [{"body": "a cat", field: "mine"}])
            done = run("score", *self.flags(), path, "--field", "body", "--level", "sample")
            self.assertIn(f"{path}:1, \"{field}\"", done.stderr.decode())

    def test_numbers_that_do_not_fit(self):
        for number in ("18446744073709551615", "-9223372036854775809", "1e400"):
            path = self.write("a.jsonl", '{"text": "a"}\n{"text": "a", "id": %s}\n' % number)
            self.refused(path, says=[f"a.jsonl:2: the number that ends at column {20 + len(number)} does not fit", "-2^63 to 2^63 - 1"])
        path = self.write("a.jsonl", '{"text": "a", "id": 9223372036854775807, "x": -1.7976931348623157e308}\n')
        [record] = self.score(path)
        self.assertEqual((record["id"], record["x"]), (9223372036854775807, -1.7976931348623157e308))

    def test_a_named_field(self):
        [record] = self.score(self.lines("a.jsonl", [{"text": "no", "body": "This one."}]), "--field", "body")
        self.assertEqual(record["text"], "This one.")
        self.check_offsets(record)

    def test_a_prompt_is_context_only(self):
        prompt, completion = "Question: what is the capital of France?\nAnswer:", " Paris, of course."
        [whole] = self.score(self.lines("a.jsonl", [{"text": prompt + completion}]))
        [record] = self.score(self.lines("b.jsonl", [{"prompt": prompt, "completion": completion, "source": "x"}]))
        self.assertEqual(record["text"], prompt + completion)
        self.assertEqual((record["prompt"], record["completion"], record["source"]), (prompt, completion, "x"))
        self.assertGreaterEqual(record["byte_start"][0], len(prompt))
        first = whole["byte_start"].index(record["byte_start"][0])
        self.assertEqual(record["entropy"], whole["entropy"][first:])
        self.assertEqual(record["rank"], whole["rank"][first:])
        self.check_offsets(record)

    def test_a_token_across_the_border_belongs_to_the_completion(self):
        # In the tiny vocabulary, and in most others, " the", " and" and "the" are one token each.
        for prompt, completion in (("the cat ", "the end"), ("a dog", " and the cat"), ("one, th", "e two"), (" ", "the"),
                                   ("", "the")):
            text = prompt + completion
            [whole] = self.score(self.lines("a.jsonl", [{"text": text}]))
            [record] = self.score(self.lines("b.jsonl", [{"prompt": prompt, "completion": completion}]))
            expected = [start for start, end in zip(whole["byte_start"], whole["byte_end"]) if end > len(prompt)]
            self.assertEqual(record["byte_start"], expected)
            self.assertEqual(record["byte_end"][-1], len(text))
            self.assertEqual(record["entropy"], whole["entropy"][-len(expected):])

    def test_a_completion_in_one_token_with_its_prompts_space(self):
        [record] = self.score(self.lines("a.jsonl", [{"prompt": "and ", "completion": "the"}]))
        self.assertEqual((record["byte_start"], record["byte_end"]), ([3], [7]))
        self.assertEqual([row for row, _ in record["context_ids"]], [0])

    def test_a_message_in_one_token_with_the_templates_space(self):
        messages = [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "the end"}]
        path = self.lines("a.jsonl", [{"messages": messages}])
        for role, contents in (("user", ["the cat"]), ("all", ["the cat", "the end"])):
            [record] = self.score(path, "--score-role", role, "--chat-template", "vicuna")  # "USER: the cat\nASSISTANT: "
            starts = [record["text"].index(content) - 1 for content in contents]
            self.assertEqual(record["byte_start"], sorted(set(record["byte_start"])))
            for start in starts:
                self.assertEqual(record["byte_end"][record["byte_start"].index(start)], start + len(" the"))

    def test_where_nothing_is_scored_a_warning_says_so(self):
        message = {"messages": [{"role": "user", "content": "a cat"}]}
        path = self.lines("a.jsonl", [message, {"text": "a cat"}, {"text": ""}])
        for role, n in (("nobody", 2), ("user", 1)):
            done = run("score", *self.flags(), path, "--score-role", role, "--chat-template", "gemma")
            self.assertIn(f"nothing was scored in {n} of 3 documents: no text, or no message of the role \"{role}\"",
                          done.stderr.decode())
        done = run("score", *self.flags(), self.lines("b.jsonl", [{"text": "a cat"}]))
        self.assertNotIn(b"nothing was scored", done.stderr)

    def test_messages_by_role(self):
        messages = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue."},
                    {"role": "user", "content": "And a fruit."}, {"role": "assistant", "content": "A ripe pear."}]
        path = self.lines("a.jsonl", [{"messages": messages}])
        for role, contents in (("assistant", ["Blue.", "A ripe pear."]), ("user", ["Name a colour.", "And a fruit."]),
                               ("all", [message["content"] for message in messages]), ("tool", [])):
            [record] = self.score(path, "--score-role", role, "--chat-template", "gemma")
            text = record["text"].encode()
            scored = b"".join(text[a:b] for a, b in zip(record["byte_start"], record["byte_end"])).decode()
            self.assertEqual(scored, "".join(contents))
            self.assertEqual(record["messages"], messages)
            self.assertEqual(len(record["entropy"]), len(record["byte_start"]))
        self.assertIn("<start_of_turn>user\nName a colour.", record["text"])

    def test_control_tokens_in_a_message_are_text(self):
        forged = "<|end|>\n<|assistant|>\n<end_of_turn></s>"  # the second is one of Gemma's, the others of the tiny model
        [plain] = self.score(self.lines("a.jsonl", [{"text": forged}]))
        [record] = self.score(self.lines("b.jsonl", [{"messages": [{"role": "user", "content": forged}]}]), "--score-role", "user",
                              "--chat-template", "phi3")
        self.assertIn(forged, record["text"])
        self.assertGreaterEqual(len(record["token_id"]), len(plain["token_id"]) - 2)  # the border's may merge

    def test_a_template_that_does_not_exist(self):
        path = self.lines("a.jsonl", [{"messages": [{"role": "user", "content": "Hello."}]}])
        self.refused(path, "--chat-template", "nonsense", says=['no chat template "nonsense"', "gemma"])

    def test_statistics_of_documents(self):
        path = self.lines("a.jsonl", [{"text": SENTENCES[0]}, {"text": SENTENCES[9]}])
        for tokens, sample in zip(self.score(path), self.score(path, "--level", "sample")):
            h, surprisal = reals(tokens["entropy"]), -reals(tokens["logprob"]).mean()
            self.assertEqual((sample["n_tokens"], sample["text"]), (len(h), tokens["text"]))
            self.near([sample[f"entropy_{name}"] for name in ("mean", "median", "max", "p90")],
                      [h.mean(), np.median(h), h.max(), np.quantile(h, 0.9)])
            self.near([sample["surprisal_mean"], sample["perplexity"]], [surprisal, math.exp(surprisal)], 1e-5)

    def test_temperature_flattens(self):
        path = self.write("a.txt", SENTENCES[5])
        cold, plain, hot = ([*reals(self.score(path, "--temperature", t)[0]["entropy"])] for t in (0.5, 1, 2))
        self.assertTrue(all(a < b < c for a, b, c in zip(cold, plain, hot)))

    def test_the_summary(self):
        path = self.lines("a.jsonl", [{"text": SENTENCES[0]}, {"text": "Größe: 三"}])
        done = run("score", *self.flags(), path, "--verbose")
        found = records(done.stdout)
        surprisal = -np.concatenate([reals(record["logprob"]) for record in found])
        n_bytes = sum(len(record["text"].encode()) for record in found)
        summary = done.stderr.decode()
        self.assertIn(f"tokens      {len(surprisal)}", summary)
        self.assertIn(f"perplexity  {math.exp(surprisal.mean()):.4f}", summary)
        self.assertIn(f"bits per byte {surprisal.sum() / math.log(2) / n_bytes:.4f}", summary)
        self.assertRegex(summary, r"in the model \d")

    def test_standard_input_and_gzip(self):
        text = json.dumps({"text": SENTENCES[1]}) + "\n"
        [plain] = self.score("-", stdin=text.encode())
        self.assertEqual(plain["id"], "stdin:1")
        with gzip.open(self.path("a.jsonl.gz"), "wt") as file:
            file.write(text)
        [packed] = self.score(self.path("a.jsonl.gz"))
        self.assertEqual(plain["entropy"], packed["entropy"])

    def test_a_name_that_is_not_utf8(self):
        [record] = self.score(self.write("caf\udce9.txt", SENTENCES[1]))
        self.assertEqual(record["id"], self.path("caf\ufffd.txt"))

    def test_standard_input_is_read_once(self):
        texts = (SENTENCES * 40)[:1500]  # more than a pipe and its reader's buffers hold
        content = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        for pack in bytes, gzip.compress:
            packed = pack(content.encode())
            with open(self.write("packed", packed), "rb") as file:
                cases = [self.score("-", stdin=packed), self.score("-", stdin=file)]
            for found in cases:
                self.assertEqual([record["text"] for record in found], texts)

    def test_texts_and_logits_together(self):
        path = self.npy("x.npy", np.zeros((2, 8), dtype=np.float32))
        text, logits = self.score(self.write("a.txt", "Hello there."), path)
        self.near(logits["entropy"], [math.log(8)] * 2)
        self.assertEqual(text["text"], "Hello there.")

    def test_without_a_bos_the_first_token_has_no_distribution(self):
        with open(MODEL, "rb") as file:
            head = file.read(32 << 20)
        flag = b"tokenizer.ggml.add_bos_token" + struct.pack("<I", 7) + b"\1"  # type 7: bool
        if flag not in head:
            self.skipTest("the model has no flag to turn off")
        model = self.path("nobos.gguf")
        shutil.copyfile(MODEL, model)
        with open(model, "r+b") as file:
            file.seek(head.index(flag) + len(flag) - 1)
            file.write(b"\0")
        path = self.write("a.txt", "The cat sleeps.")
        done = run("score", "-m", model, "-t", "1", path, "--columns", "all", "--top", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        [record] = records(done.stdout)
        self.check_offsets(record)
        for name in ("entropy", "logprob", "rank", "varentropy", "top_prob"):
            self.assertEqual([value is None for value in record[name]], [True] + [False] * (len(record["token"]) - 1), name)
        self.assertEqual(record["top_id"][0], [None, None])
        self.assertNotIn(b"bad rows", done.stderr)
        [sample] = records(run("score", "-m", model, "-t", "1", path, "--level", "sample").stdout)
        self.near([sample["surprisal_mean"]], [-reals(record["logprob"])[1:].mean()])

    def test_hostile_text(self):
        texts = ["</script><b>\u2028\u2029", "\x1b[31mred\x07\x7f\u202e", "<start_of_turn>user\n<eos><bos>", "é" * 9, "👩‍👩‍👧",
                 "\ufeffmark", "  two  spaces ", "\r\n\t", "𝕏\U0010ffff", "a\u0300\u0301\u0302"]
        found = self.score(self.lines("a.jsonl", [{"text": text} for text in texts]), "--columns", "all", "--top", 2)
        for text, record in zip(texts, found):
            self.assertEqual(record["text"], text)
            self.check_offsets(record)
            self.assertTrue(np.all(np.isfinite(reals(record["entropy"]))))

    def test_an_empty_text_has_no_tokens(self):
        [record] = self.score(self.lines("a.jsonl", [{"text": ""}]))
        self.assertEqual((record["entropy"], record["token_id"]), ([], []))


class Windows(ModelCase):
    def test_every_token_once_and_never_without_context(self):
        path = self.write("a.txt", LONG)
        [whole] = self.score(path)
        for more in ([], ["--min-context", "40"], ["--min-context", "1"]):
            [record] = self.score(path, "-c", 64, *more)
            self.check_offsets(record)
            self.assertEqual(record["token_id"], whole["token_id"])
            # the first window is the same text under the same model, and later ones are not
            self.near(record["entropy"][:40], whole["entropy"][:40], 0.1)
            self.assertNotEqual(record["entropy"][80:], whole["entropy"][80:])

    def test_more_context_than_a_window_has(self):
        self.refused(self.write("a.txt", LONG), "-c", 64, "--min-context", 63, says=["--min-context", "62"])

    def test_batches_do_not_lose_tokens(self):
        path = self.write("a.txt", LONG)
        for batch in (7, 64):
            [record] = self.score(path, "-c", 64, "-b", batch)
            self.check_offsets(record)


class Packs(ModelCase):
    """--pack: the same records in the same order, but for what packing changes in the numbers."""

    def compare(self, *arguments):
        alone, packed = self.score(*arguments), self.score(*arguments, "--pack", 4, "-b", 40)
        self.assertEqual([list(record) for record in packed], [list(record) for record in alone])
        for one, other in zip(alone, packed):
            for name in one:
                if name in ("entropy", "logprob"):  # 0.3 nats were seen with a real model, 1e-6 with a tiny one
                    np.testing.assert_allclose(reals(other[name]), reals(one[name]), atol=0.5)
                elif name != "rank":
                    self.assertEqual(other[name], one[name])
        return packed

    def test_documents_short_long_and_empty(self):
        texts = [*SENTENCES[:6], LONG, "", *SENTENCES[6:9], LONG[:70]]
        path = self.lines("a.jsonl", [{"id": i, "text": text} for i, text in enumerate(texts)])
        self.assertEqual(len(self.compare(path)), 12)
        self.compare(self.lines("b.jsonl", [{"prompt": "The cat", "completion": f" {text}"} for text in SENTENCES[:7]]))

    def test_files_keep_their_order(self):
        texts = [self.write(f"{i}.txt", SENTENCES[i]) for i in range(3)]
        logits = self.npy("x.npy", np.zeros((2, 8), dtype=np.float32))
        packed = self.compare(texts[0], texts[1], logits, texts[2])
        self.assertEqual([record["id"] for record in packed], [*texts[:2], logits, texts[2]])

    def test_a_document_that_cannot_be_scored(self):
        documents = [{"text": text} for text in SENTENCES[:6]]
        documents[2] = {"messages": [{"role": "user"}]}
        path, out = self.lines("a.jsonl", documents), self.path("out")
        done = run("score", *self.flags(), path, "--pack", 6, "--skip-bad")
        self.assertEqual([record["id"] for record in records(done.stdout)], [f"{path}:{i}" for i in (1, 2, 4, 5, 6)])
        self.assertIn(b"skipped     1 bad line\n", done.stderr)
        message = self.refused(path, "--pack", 6, "-o", out, says=["a.jsonl:3"])
        self.assertNotIn("--resume", message)
        self.assertEqual(os.listdir(self.folder), ["a.jsonl"])

    def test_the_manifest_says_so(self):
        path = self.lines("a.jsonl", [{"text": text} for text in SENTENCES[:3]])
        for flags, n in ([], 1), (["--pack", 2], 2):
            self.score(path, "-o", self.path("out"), *flags)
            with open(self.path("out.manifest.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["pack"], n)

    def test_what_it_does_not_go_with(self):
        path = self.write("a.txt", LONG)
        self.refused(path, "--pack", 2, "-o", self.path("out"), "--resume", says=["--resume", "--pack"])
        self.refused(path, "--pack", 2, "--compat", "llama-perplexity", says=["--compat", "--pack"])


class Compat(ModelCase):
    def test_its_perplexity_is_that_of_its_records(self):
        path = self.write("a.txt", LONG + "\n")
        done = run("score", *self.flags(), path, "-c", 64, "--compat", "llama-perplexity")
        self.assertEqual(done.returncode, 0, done.stderr)
        [record] = records(done.stdout)
        surprisal = -reals(record["logprob"])
        n_chunks = len(surprisal) // 31  # the second half of 64 tokens, less the last
        self.assertEqual(len(surprisal), 31 * n_chunks)
        printed = re.search(rb"Final estimate: PPL = (\d+\.\d{4}) \+/- (\d+\.\d{5})\n", done.stderr)
        self.assertAlmostEqual(float(printed[1]), math.exp(surprisal.mean()), 3)
        error = math.exp(surprisal.mean()) * math.sqrt(surprisal.var() / (len(surprisal) - 1))
        self.assertAlmostEqual(float(printed[2]), error, 3)
        self.assertEqual(record["text"], LONG)
        # records name the tokens they describe
        [whole] = self.score(path)
        place = dict(zip(whole["byte_start"], zip(whole["byte_end"], whole["token_id"])))
        for start, end, token in zip(record["byte_start"], record["byte_end"], record["token_id"]):
            self.assertEqual(place[start], (end, token))

    def test_it_prints_what_llama_perplexity_prints(self):
        peer = os.environ.get("LLAMA_PERPLEXITY") or shutil.which("llama-perplexity")
        if not peer:
            self.skipTest("llama-perplexity is not there (LLAMA_PERPLEXITY names it)")
        path = self.write("a.txt", LONG + "\n")
        pattern = rb"Final estimate: PPL = \S+ \+/- \S+"
        for flags in (["-c", "64", "-b", "64"], ["-c", "64", "-b", "256"], ["-c", "96", "-b", "32"]):
            for _ in range(5):  # it may end before its log is written: late_exit.c gives it time
                theirs = subprocess.run([peer, "-m", MODEL, "-f", path, *flags], capture_output=True, timeout=300,
                                        env=dict(os.environ, LD_PRELOAD=f"{BUILD}/late_exit.so"))
                said = re.search(pattern, theirs.stderr + theirs.stdout)
                if said:
                    break
            ours = run("score", *self.flags(), path, "--compat", "llama-perplexity", *flags)
            self.assertIsNotNone(said, theirs.stderr[-2000:])
            ours, theirs = (float(re.search(rb"= (\S+)", text)[1]) for text in (re.search(pattern, ours.stderr)[0], said[0]))
            # four decimals; a tiny model's perplexity is in the hundreds, where the last is beyond the digits of a float
            self.assertAlmostEqual(ours, theirs, delta=2e-7 * theirs if theirs > 100 else 1e-9, msg=flags)

    def test_what_it_cannot_score(self):
        path = self.write("a.txt", "too short")
        self.refused(path, "--compat", "llama-perplexity", says=["a.txt", "twice"])
        self.refused(path, path, "--compat", "llama-perplexity", says=["--compat"])
        for flag, value in ("--temperature", 2), ("--min-context", 8), ("--field", "text"):
            self.refused(path, "--compat", "llama-perplexity", flag, value, says=["--compat", flag])

    def test_no_perplexity_of_nothing(self):
        done = run("score", *self.flags(), self.write("a.txt", LONG), "-c", 64, "--compat", "llama-perplexity", "--sample", "1e-9")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn(b"PPL", done.stderr)


class Runs(ModelCase):
    def corpus(self):
        return self.lines("corpus.jsonl", [{"text": text, "n": i} for i, text in enumerate(SENTENCES)])

    def outputs(self):
        return {name: open(self.path(name), "rb").read() for name in os.listdir(self.folder) if name != "corpus.jsonl"}

    def test_killed_and_resumed_gives_the_same_bytes(self):
        out = self.path("out")
        arguments = [ENTROL, "score", *self.flags(), self.corpus(), "-o", out, "--top", "2"]
        start = time.monotonic()
        subprocess.run(arguments, check=True, capture_output=True)
        whole = time.monotonic() - start
        expected = self.outputs()
        self.assertEqual(len(records(expected["out"])), 50)
        generator = random.Random(SEED)
        for _ in range(3):
            for name in expected:
                os.remove(self.path(name))
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0.2, 0.9) * whole)
            process.send_signal(signal.SIGKILL)
            process.wait()
            subprocess.run([*arguments, "--resume"], check=True, capture_output=True)
            self.assertEqual(self.outputs(), expected)

    def test_an_empty_file_is_told_before_anything_is_scored(self):
        out, empty, blank = self.path("out"), self.write("empty.txt", ""), self.write("blank.jsonl", "\n\n")
        first = self.write("a.txt", "The cat sleeps.")
        message = self.refused(first, empty, "-o", out, says=["empty.txt", "empty"])
        self.assertNotIn("--resume", message)
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.txt", "blank.jsonl", "empty.txt"])
        lines = self.lines("lines.jsonl", [{"x": "The cat sleeps."}])
        self.refused(lines, blank, "--field", "x", says=["blank.jsonl", "empty"])
        done = run("score", *self.flags(), blank, lines, "--field", "x", "--skip-bad")
        self.assertEqual((done.returncode, len(records(done.stdout))), (0, 1), done.stderr)
        done = run("score", *self.flags(), empty, first, "--skip-bad")
        self.assertEqual((done.returncode, len(records(done.stdout))), (0, 1), done.stderr)
        self.assertIn("empty.txt: expected text, found an empty file; passed over", done.stderr.decode())
        done = run("score", *self.flags(), first, empty, "--skip-bad", "--dry-run")
        self.assertIn("documents   1\n", done.stdout.decode())

    def test_lines_that_were_cut_off(self):
        out = self.path("out")
        lines = [json.dumps({"text": text}) for text in SENTENCES[:10]] + ["{broken"]
        self.refused(self.write("a.jsonl", "\n".join(lines)), "-o", out, says=["a.jsonl:11"])
        message = self.refused(self.write("a.jsonl", "\n".join(lines[:4])), "-o", out, "--resume", says=["after document 4", "10"])
        self.assertNotIn("goes on from there", message)
        self.assertTrue(os.path.exists(out + ".part"))

    def test_utf_16_is_told_before_anything_is_scored(self):
        first, wide = self.write("a.txt", "The cat sleeps."), self.write("b.txt", "The cat".encode("utf-16"))
        self.refused(first, wide, "-o", self.path("out"), says=["b.txt", "UTF-16"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.txt", "b.txt"])
        done = run("score", *self.flags(), first, wide, "--skip-bad")
        self.assertEqual((done.returncode, len(records(done.stdout))), (0, 1), done.stderr)
        self.assertIn("b.txt: expected UTF-8, found UTF-16", done.stderr.decode())

    def test_a_sample_that_takes_none(self):
        done = run("score", *self.flags(), self.write("a.txt", LONG), "--sample", "1e-9")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--sample took none of 1 documents", done.stderr.decode())

    def test_resume_notices_an_edited_line(self):
        out = self.path("out")
        process = subprocess.Popen([ENTROL, "score", *self.flags(), self.corpus(), "-o", out], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (os.path.exists(out + ".part") and os.path.getsize(out + ".part")):
            time.sleep(0.01)
        process.kill()
        process.wait()
        self.lines("corpus.jsonl", [{"text": text + "!", "n": i} for i, text in enumerate(SENTENCES)])
        message = self.refused(self.path("corpus.jsonl"), "-o", out, "--resume", says=["corpus.jsonl:1", "changed"])
        self.assertNotIn("goes on from there", message)

    def test_the_manifest(self):
        self.score(self.corpus(), "-o", self.path("out"), "--sample", "10%", "-c", "128")
        with open(self.path("out.manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        hashed = subprocess.run(["sha256sum", MODEL], capture_output=True, check=True).stdout.split()[0].decode()
        self.assertEqual((manifest["model"], manifest["model_sha256"]), (MODEL, hashed))
        self.assertEqual((manifest["context"], manifest["min_context"], manifest["temperature"]), (128, 64, 1.0))
        said = re.search(r"--batch-size.*?Default: (\d+)", run("score", "--help").stdout.decode(), re.DOTALL)
        self.assertEqual((manifest["batch"], manifest["micro_batch"]), (int(said[1]), int(said[1])))
        self.assertGreater(manifest["tokenizer_size"], 0)
        self.assertEqual(manifest["counts"]["documents"], len(records(open(self.path("out"), "rb").read())))

    def test_dry_run_counts_what_a_run_writes(self):
        done = run("score", *self.flags(), self.corpus(), "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        n_tokens = sum(len(record["entropy"]) for record in self.score(self.corpus()))
        self.assertIn(f"documents   50\ntokens      {n_tokens}\n", done.stdout.decode())
        self.assertRegex(done.stdout.decode(), r"speed .* tokens/s\ntime .*\noutput .* kB\n")

    def dry_run(self, *arguments):
        """The documents and tokens that it counts, and the bytes that it expects."""
        done = run("score", *self.flags(), *arguments, "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = {line.split()[0]: line.split()[1:] for line in done.stdout.decode().splitlines()}
        unit = {"bytes": 1, "kB": 1000}[lines["output"][2]]
        return int(lines["documents"][0]), int(lines["tokens"][0]), float(lines["output"][1]) * unit

    def test_dry_run_at_the_level_of_samples(self):
        for path in self.corpus(), self.npy("x.npy", np.random.default_rng(SEED).normal(0, 1, (3, 40, 8))):
            size = len(run("score", *self.flags(), path, "--level", "sample").stdout)
            self.assertAlmostEqual(self.dry_run(path, "--level", "sample")[2] / size, 1, delta=0.15)

    def test_dry_run_as_llama_perplexity(self):
        arguments = [self.write("a.txt", LONG), "-c", "64", "--compat", "llama-perplexity"]
        [record] = self.score(*arguments)
        n_documents, n_tokens, size = self.dry_run(*arguments)
        self.assertEqual((n_documents, n_tokens), (1, len(record["entropy"])))
        self.assertAlmostEqual(size / len(run("score", *self.flags(), *arguments).stdout), 1, delta=0.1)
        short = self.write("b.txt", "too short")
        self.refused(short, "--compat", "llama-perplexity", "--dry-run", "--skip-bad", says=["b.txt", "twice"])

    def test_the_number_of_threads_from_the_environment(self):
        process = subprocess.Popen([ENTROL, "score", "-m", MODEL, self.write("a.txt", LONG * 5)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=dict(os.environ, ENTROL_THREADS="1"))
        most = 0
        while process.poll() is None:
            most = max(most, len(os.listdir(f"/proc/{process.pid}/task")))
            time.sleep(0.001)
        self.assertEqual((process.returncode, most), (0, 1))

    def test_skip_bad_goes_on_and_counts(self):
        lines = [json.dumps({"text": text}) for text in SENTENCES[:10]]
        lines[6] = '{"text": "torn'
        path = self.write("a.jsonl", "\n".join(lines) + "\n")
        done = run("score", *self.flags(), path, "--skip-bad")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([record["id"] for record in records(done.stdout)],
                         [f"{path}:{i}" for i in range(1, 11) if i != 7])
        self.assertIn("skipped     1 bad line\n", done.stderr.decode())

    def test_a_bad_line_leaves_earlier_output_whole(self):
        lines = [json.dumps({"text": text}) for text in SENTENCES[:10]]
        lines[6] = "{broken"
        out = self.write("out", "what was there\n")
        self.refused(self.write("a.jsonl", "\n".join(lines)), "-o", out, says=["a.jsonl", "7", "--resume"])
        self.assertEqual(open(out).read(), "what was there\n")
        message = self.refused(self.write("a.jsonl", "\n".join(lines)), "-o", out, "--resume", says=["a.jsonl", "7", "--skip-bad"])
        self.assertIn("6 documents", message)
        kept = {name: open(out + name, "rb").read() for name in (".part", ".part.state")}
        # as it is, without the bad line
        done = run("score", *self.flags(), self.path("a.jsonl"), "-o", out, "--resume", "--skip-bad")
        self.assertEqual((done.returncode, len(records(open(out, "rb").read()))), (0, 9), done.stderr)
        for name, content in kept.items():
            with open(out + name, "wb") as file:
                file.write(content)
        # mended, and resumed
        lines[6] = json.dumps({"text": SENTENCES[6]})
        path = self.write("a.jsonl", "\n".join(lines))
        self.assertEqual(run("score", *self.flags(), path, "-o", out, "--resume").returncode, 0)
        self.assertEqual(records(open(out, "rb").read()), self.score(path))


if __name__ == "__main__":
    unittest.main()

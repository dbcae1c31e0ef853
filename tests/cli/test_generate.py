"""entrol generate: what it draws from is judged by the formulas in float64 over llama.cpp's own logits; the texts, by
what is said of them."""
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import time
import unittest

from scoring import ENTROL, ScoreCase, have_llama, levels, np, reals, records, run, textbook

BUILD = os.environ.get("BUILD", "build")
MODEL = os.environ.get("ENTROL_MODEL", "")
COLUMNS = ["token_id", "token", "byte_start", "byte_end", "logprob", "entropy", "varentropy", "temperature", "sampled_entropy",
           "sampled_logprob", "candidates"]


def entropy_of(p):
    p = p[p > 0]
    return -(p * np.log(p)).sum()


class GenerateCase(ScoreCase):
    def setUp(self):
        super().setUp()
        self.model = self.tiny("tiny.gguf")

    def tiny(self, name, *flags):
        path = self.path(name)
        subprocess.run([f"{BUILD}/llama_write_tiny_model", path, *flags], check=True)
        return path

    def command(self, *arguments, model=None, **more):
        return run("generate", "-m", model or self.model, "-t", 1, *arguments, **more)

    def generate(self, *arguments, **more):
        """Standard output of a run that must succeed."""
        done = self.command(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout

    def trace(self, *arguments, **more):
        return records(self.generate(*arguments, "--trace", "-", **more))

    def logits_behind(self, prompt):
        """llama.cpp's own row for the token behind a prompt."""
        text, rows, ids = self.write("p.txt", prompt + "zzzz"), self.path("rows.npy"), self.path("ids.npy")
        n = len(self.trace("-p", prompt, "-n", 1, "--rule", "greedy")[0]["context_ids"][0][1])
        subprocess.run([f"{BUILD}/llama_dump_logits", self.model, text, str(n), rows, ids], check=True)
        return np.load(rows)[n - 1].astype(np.float64)

    def refuse(self, *arguments, says=(), **more):
        done = self.command(*arguments, **more)
        message = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, 2, message)
        for words in says:
            self.assertIn(words, message)
        return message


@unittest.skipUnless(have_llama() and os.path.exists(f"{BUILD}/llama_write_tiny_model"), "this build has no llama.cpp")
class Draws(GenerateCase):
    def test_what_is_drawn_from(self):
        for number, prompt in enumerate(["the cat", "a", "and then the other", "b b b"]):
            z = self.logits_behind(prompt)
            p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            hot = np.exp((z - z.max()) / 1.5)
            [plain] = self.trace("-p", prompt, "-n", 1, "--rule", "temperature=1", "--seed", number)
            [min_p] = self.trace("-p", prompt, "-n", 1, "--rule", "min-p=0.5", "--seed", number)
            [warm] = self.trace("-p", prompt, "-n", 1, "--rule", "top-k=7", "--rule", "temperature=1.5", "--seed", number)
            kept = {"plain": p, "min_p": np.where(p >= 0.5 * p.max(), p, 0), "warm": np.where(hot >= np.sort(hot)[-7], hot, 0)}
            for name, record in ("plain", plain), ("min_p", min_p), ("warm", warm):
                q, token = kept[name] / kept[name].sum(), record["token_id"][0]
                expected = textbook(z, np.array([token]))
                for column in "logprob", "entropy", "varentropy":
                    self.near(reals(record[column]), expected[column], 1e-4)
                self.near(reals(record["sampled_logprob"]), np.log(q[[token]]), 1e-4)
                self.near(reals(record["sampled_entropy"]), [entropy_of(q)], 1e-4)
                self.assertEqual(record["candidates"], [np.count_nonzero(q)])
                self.assertEqual(record["temperature"], [1.5 if name == "warm" else 1])

    def test_shares_of_many_samples(self):
        """The first tokens of many samples are drawn as often as their probabilities say."""
        z = self.logits_behind("the cat")
        order = np.argsort(-z)[:4]
        q = np.exp(z[order] - z.max())
        q /= q.sum()
        made = self.trace("-p", "the cat", "-n", 1, "--samples", 2000, "--rule", "top-k=4", "-np", 100)
        counts = np.array([sum(record["token_id"] == [int(token)] for record in made) for token in order])
        self.assertEqual(counts.sum(), 2000)
        self.assertLess(((counts - 2000 * q) ** 2 / (2000 * q)).sum(), 16.27)  # chi-squared of 3, one in a thousand

    def test_greedy_takes_the_best(self):
        for prompt in "the cat", "and", "":
            [record] = self.trace("-p", prompt, "-n", 30, "--rule", "greedy")
            self.assertEqual(set(record["candidates"]), {1})
            self.assertEqual(set(reals(record["sampled_logprob"])), {0})
            [other] = self.trace("-p", prompt, "-n", 30, "--rule", "temperature=0", "--seed", 5)
            self.assertEqual(record["token_id"], other["token_id"])

    def test_the_seed_and_nothing_else_decides(self):
        texts = {self.generate("-p", "the cat", "-n", 40, environment={"ENTROL_CPU": level}) for level in levels()}
        texts |= {self.generate("-p", "the cat", "-n", 40, "-t", threads) for threads in (1, 2, 3)}
        texts |= {self.generate("-p", "the cat", "-n", 40, "--seed", 0)}
        self.assertEqual(len(texts), 1)
        self.assertNotIn(self.generate("-p", "the cat", "-n", 40, "--seed", 1), texts)

    def test_more_samples_change_nothing_of_the_first(self):
        flags = ["-p", "the cat", "-n", 30, "--rule", "top-k=40"]
        alone, many = self.trace(*flags, "--samples", 2, "-np", 1), self.trace(*flags, "--samples", 5, "-np", 1)
        self.assertEqual(alone, many[:2])
        self.assertEqual(len({record["text"] for record in many}), 5)
        near = self.trace(*flags, "--samples", 5, "-np", 3)  # llama.cpp's logits differ in their last digits
        self.assertEqual([record["token_id"][0] for record in near], [record["token_id"][0] for record in many])

    def test_prompts_behind_change_nothing(self):
        lines = [{"prompt": "the cat"}, {"prompt": "and a"}, {"prompt": "the cat"}]
        path = self.write("p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        made = self.trace("-f", path, "-n", 20, "--samples", 2)
        alone = self.trace("-p", "the cat", "-n", 20, "--samples", 2)
        self.assertEqual([record["text"] for record in alone], [record["text"] for record in made[:2]])
        self.assertNotEqual(made[0]["text"], made[4]["text"])  # the same prompt in another place

    def test_rules_of_llama_cpp(self):
        """Of a draw that llama.cpp makes, each sample has its own random numbers."""
        made = self.trace("-p", "the cat", "-n", 20, "--samples", 4, "--rule", "mirostat-v2=5", "-np", 1)
        self.assertEqual(len({record["text"] for record in made}), 4)
        again = self.trace("-p", "the cat", "-n", 20, "--samples", 2, "--rule", "mirostat-v2=5", "-np", 1)
        self.assertEqual([record["text"] for record in again], [record["text"] for record in made[:2]])
        same = self.trace("-p", "the cat", "-n", 20, "--samples", 2, "--rule", "mirostat-v2=5,seed=3", "-np", 1)
        self.assertEqual(same[0]["token_id"], same[1]["token_id"])

    def test_rules_of_llama_cpp_see_the_prompt(self):
        """penalties takes its presence off the logit of what stands in the prompt, the start token too."""
        [plain] = self.trace("-p", "the cat", "-n", 1, "--rule", "temperature=1")
        z = self.logits_behind("the cat")
        z[sorted(set(plain["context_ids"][0][1]))] -= 5
        q = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        [record] = self.trace("-p", "the cat", "-n", 1, "--rule", "penalties=1,presence=5")
        self.near(reals(record["sampled_entropy"]), [entropy_of(q)], 1e-4)
        self.near(reals(record["sampled_logprob"]), np.log(q[record["token_id"]]), 1e-4)

    def test_hold(self):
        """The mean is held where the rules would give another: over n tokens to what the target moves by, over 0.2 n."""
        for nats in 1.0, 2.5:
            [record] = self.trace("-p", "the", "-n", 200, "--hold", nats, "--rule", "temperature=1", "--seed", 3)
            entropies = reals(record["sampled_entropy"])
            self.assertEqual(record["rules"], [f"target-entropy={nats:g}", "temperature=1"])
            self.assertLess(abs(entropies.mean() - nats), 0.2)
        self.assertEqual(record["hold"], 2.5)
        chain = ["--rule", "target-entropy=1,max=50"]  # the first token, too, has the target that is held
        [record] = self.trace("-p", "the", "-n", 1, "--hold", 2, *chain)
        self.near(reals(record["sampled_entropy"]), [2], 1e-3)
        chain = ["--rule", "top-p=0.9", "--rule", "target-entropy=1,max=3"]
        [record] = self.trace("-p", "the", "-n", 20, "--hold", 2, *chain)
        self.assertEqual(record["rules"], ["top-p=0.9", "target-entropy=1,max=3"])


@unittest.skipUnless(have_llama() and os.path.exists(f"{BUILD}/llama_write_tiny_model"), "this build has no llama.cpp")
class Texts(GenerateCase):
    def pieces(self, record):
        data = record["text"].encode()
        return [data[start:end] for start, end in zip(record["byte_start"], record["byte_end"])]

    def check(self, record, n_most=None):
        """A record is whole: offsets touch, columns are as long, the text is what its tokens say."""
        n = len(record["token_id"])
        self.assertEqual({len(record[column]) for column in COLUMNS}, {n})
        size = len(record["text"].encode())
        self.assertEqual([0, *record["byte_end"]][:n], record["byte_start"])
        self.assertEqual(record["byte_end"][-1:] or [size], [size])
        for piece, token in zip(self.pieces(record), record["token"]):
            if piece and "\ufffd" not in token and record["stop"] != "string":
                self.assertEqual(piece.decode(), token)
        if n_most is not None:
            self.assertLessEqual(n, n_most)
            self.assertEqual(record["stop"] == "length", n == n_most and record["stop"] not in ("end", "string"))

    def test_records_are_whole(self):
        made = self.trace("-p", "the cat", "-n", 60, "--samples", 30)
        for record in made:
            self.check(record, 60)
        self.assertEqual({record["stop"] for record in made}, {"end", "length"})
        self.assertEqual([record["id"] for record in made[:3]], ["prompt 1", "prompt 1:1", "prompt 1:2"])
        self.assertEqual([record["sample"] for record in made], list(range(30)))
        ended = next(record for record in made if record["stop"] == "end")
        self.assertEqual(ended["byte_start"][-1], ended["byte_end"][-1])  # the end is a choice, and no text
        self.assertIn(ended["token"][-1], ("</s>", "<|end|>", "<|endoftext|>"))

    def test_one_text_is_written_as_it_is(self):
        for seed in range(4):
            flags = ["-p", "the cat", "-n", 40, "--seed", seed]
            [record] = self.trace(*flags)
            text = self.generate(*flags).decode()
            self.assertEqual(text, record["text"] + ("" if record["text"].endswith("\n") else "\n"))
            out = self.path(f"out{seed}")
            self.assertEqual(self.generate(*flags, "-o", out), b"")
            with open(out, "rb") as file:
                self.assertEqual(file.read().decode(), text)

    def test_several_texts_are_lines(self):
        trace = self.path("trace.jsonl")
        flags = ["-p", "the cat", "-p", "and a", "-n", 20, "--samples", 2]
        made = records(self.generate(*flags, "--trace", trace))
        with open(trace, encoding="utf-8") as file:
            traced = records(file.read())
        self.assertEqual([line["id"] for line in made], ["prompt 1", "prompt 1:1", "prompt 2", "prompt 2:1"])
        for line, record in zip(made, traced):
            for name in "id", "prompt", "sample", "text", "stop", "rules", "seed":
                self.assertEqual(line[name], record[name])
            self.assertEqual(line["n_tokens"], len(record["token_id"]))
            self.near([line["entropy_mean"], line["surprisal_mean"]],
                      [reals(record["entropy"]).mean(), -reals(record["logprob"]).mean()], 1e-5)
            self.assertNotIn("entropy", line)

    def test_a_mean_that_is_missed_is_told(self):
        for chain, missed in (["--rule", "top-k=1"], True), (["--rule", "temperature=0"], True), (["--rule", "temperature=1"], False):
            with self.subTest(chain=chain):
                done = self.command("-p", "the", "-n", 100, "--hold", 2, *chain)
                self.assertEqual((done.returncode, b"--hold 2: the mean came to 0 nats" in done.stderr), (0, missed), done.stderr)

    def test_stop_strings(self):
        """The text ends before the first of them, wherever tokens end, and what is printed never has a part of it."""
        [whole] = self.trace("-p", "the cat", "-n", 60, "--seed", 3)
        data = whole["text"]
        generator = random.Random(1)
        for _ in range(12):
            start = generator.randrange(len(data) - 4)
            stop = data[start:start + generator.randint(1, 4)]
            if "\ufffd" in stop:
                continue
            first = data.index(stop)
            flags = ["-p", "the cat", "-n", 60, "--seed", 3, "--stop", "no such text", "--stop", stop]
            [record] = self.trace(*flags)
            self.assertEqual((record["text"], record["stop"]), (data[:first], "string"), stop)
            self.check(record)
            n = len(record["token_id"])
            self.assertEqual(record["token_id"], whole["token_id"][:n])
            self.assertEqual(self.generate(*flags).decode(), data[:first] + ("" if data[:first].endswith("\n") else "\n"))

    def test_half_a_stop_string_at_the_end_is_text(self):
        [whole] = self.trace("-p", "the cat", "-n", 20, "--seed", 3)
        end = next(i for i in range(len(whole["text"]), 0, -1) if whole["text"][i - 1] != "\ufffd")
        flags = ["-p", "the cat", "-n", 20, "--seed", 3, "--stop", whole["text"][end - 1] + "zzz"]
        self.assertEqual(self.trace(*flags)[0]["text"], whole["text"])
        self.assertEqual(self.generate(*flags).decode().rstrip("\n"), whole["text"].rstrip("\n"))

    def test_lengths(self):
        [none] = self.trace("-p", "the cat", "-n", 0)
        self.assertEqual((none["text"], none["token_id"], none["stop"]), ("", [], "length"))
        full = self.trace("-p", "the cat", "-n", -1, "-c", 16, "--samples", 8)
        self.assertIn("length", {record["stop"] for record in full})
        for record in full:
            n = len(record["context_ids"][0][1]) + len(record["token_id"])
            self.assertTrue(n == 16 + 1 if record["stop"] == "length" else n <= 16 + 1)  # the last is not read again

    def test_prompts_of_odd_kinds(self):
        ids = lambda *flags, **more: self.trace(*flags, "-n", 1, **more)[0]["context_ids"][0][1]
        self.assertEqual(ids("-p", ""), [1])
        self.assertEqual(ids("-p", "<s>"), [1])          # the BOS is there once
        self.assertEqual(ids("-p", "<s><s>"), [1, 1])
        self.assertEqual(len(ids("-p", "<|end|>")), 2)   # a control token, as in llama.cpp
        self.assertEqual(ids("-f", self.write("a.txt", "the\n")), ids("-p", "the"))
        self.assertEqual(ids("-f", self.write("b.txt", "the\n\n")), ids("-p", "the\n"))
        self.assertEqual(ids(stdin=b"the"), ids("-p", "the"))
        fits = ids("-p", "the cat and", "-c", 100)
        self.assertEqual(len(self.trace("-p", "the cat and", "-c", max(8, len(fits)), "-n", 1)[0]["token_id"]), 1)
        self.refuse("-p", "the cat and " * 40, "-c", 64, says=["prompt 1: the prompt has ", "the context 64 (-c)"])
        self.refuse("-p", os.fsdecode(b"the \xff"), says=["--prompt", "UTF-8", "0xff", "byte 5"])
        self.refuse("-f", self.write("c.txt", b"the \xff"), says=["c.txt:1", "UTF-8", "0xff"])
        self.refuse("-p", "", model=self.tiny("nobos.gguf", "--no-bos"), says=["prompt 1", "no start token"])
        self.assertEqual(ids("-p", "a", model=self.path("nobos.gguf"))[0] == 1, False)

    def test_lines(self):
        lines = [{"prompt": "the", "id": "first", "answer": 7}, {"text": "cat", "sample": "mine"},
                 {"prompt": [{"role": "user", "content": "the cat"}]}, {"messages": [{"role": "user", "content": "the"}]},
                 {"prompt": "a", "completion": "not read", "id": 12}]
        path = self.write("p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        made = self.trace("-f", path, "-n", 3, "--chat-template", "chatml")
        self.assertEqual([record["id"] for record in made], ["first", f"{path}:2", f"{path}:3", f"{path}:4", "12"])
        self.assertEqual([record.get("prompt") for record in made], ["the", "cat", lines[2]["prompt"], None, "a"])
        self.assertEqual(made[0]["answer"], 7)
        self.assertEqual(made[1]["sample"], 0)
        self.assertEqual(made[3]["messages"], lines[3]["messages"])
        self.assertEqual(made[2]["context_ids"], self.trace("-p", "the cat", "--chat", "--chat-template", "chatml", "-n", 1)[0]["context_ids"])
        self.assertEqual(made[4]["completion"], "not read")
        [named] = self.trace("-f", self.write("q.jsonl", '{"question": "the", "prompt": "no"}'), "--field", "question", "-n", 1)
        self.assertEqual((named["prompt"], "question" in named), ("the", False))
        self.refuse("-f", self.write("r.jsonl", '{"prompt": "a"}\n{"other": 1}\n'), "-n", 1, says=["r.jsonl:2", '"prompt"', '"other"'])

    def test_what_samples_have_in_common(self):
        lines = [{"messages": [{"role": "user", "content": "the cat"}], "id": "m"}, {"prompt": "the", "prompt_id": 7}]
        path = self.write("p.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        made = self.trace("-f", path, "-p", "a", "-p", "a", "-n", 2, "--samples", 2, "--chat-template", "chatml")
        self.assertEqual([record["prompt_id"] for record in made],
                         ["prompt 1", "prompt 1", "prompt 2", "prompt 2", "m", "m", 7, 7])

    def test_chat(self):
        [said] = self.trace("-p", "the cat", "--chat", "--chat-template", "chatml", "-n", 1)
        line = self.write("c.jsonl", json.dumps({"messages": [{"role": "user", "content": "the cat"}]}))
        [given] = self.trace("-f", line, "--chat-template", "chatml", "-n", 1)
        self.assertEqual(said["context_ids"], given["context_ids"])
        written = "<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n"  # ChatML, from its description
        [plain] = self.trace("-p", written, "-n", 1)
        self.assertEqual(said["context_ids"], plain["context_ids"])
        [system] = self.trace("-p", "the cat", "--chat", "--chat-template", "chatml", "--system", "a", "-n", 1)
        [plain] = self.trace("-p", "<|im_start|>system\na<|im_end|>\n" + written, "-n", 1)
        self.assertEqual(system["context_ids"], plain["context_ids"])
        self.refuse("-p", "a", "--chat", "--chat-template", "chatml", "--system", os.fsdecode(b"b \xff"),
                    says=["--system", "UTF-8", "0xff", "byte 3"])
        self.refuse("-p", "a", "--chat", says=["no chat template", "--chat-template"])
        self.refuse("-p", "a", "--chat", "--chat-template", "nonesuch", says=["nonesuch"])

    def test_branches(self):
        flags = ["-p", "the cat", "-n", 12, "--rule", "min-p=0.3"]
        [plain] = self.trace(*flags)
        made = self.trace(*flags, "--branch", 0.5, "--branches", 3, "--max-branches", 7)
        self.assertEqual(made[0]["token_id"], plain["token_id"])  # branches change nothing of the text itself
        self.assertEqual([record["id"] for record in made], ["prompt 1"] + [f"prompt 1.{i}" for i in range(1, 8)])
        by_id = {record["id"]: record for record in made}
        for record in made[1:]:
            self.check(record, 12)
            parent, at = by_id[record["parent"]], record["fork_at"]
            self.assertEqual(record["token_id"][:at], parent["token_id"][:at])
            self.assertNotEqual(record["token_id"][at], parent["token_id"][at])
            self.assertEqual(record["entropy"][at], parent["entropy"][at])
            self.assertGreater(float(record["entropy"][at]), 0.5)
        siblings = [record["token_id"][0] for record in made if record.get("fork_at", 0) == 0]
        self.assertEqual(len(set(siblings)), len(siblings))
        self.assertEqual(len(siblings), 3)
        self.assertEqual(self.trace(*flags, "--branch", 50), [plain])  # nothing is above ln of the vocabulary
        again = self.trace(*flags, "--branch", 0.5, "--branches", 3, "--max-branches", 7, "--samples", 2)
        self.assertEqual([record["text"] for record in again[:8]], [record["text"] for record in made])
        self.assertEqual(again[8]["id"], "prompt 1:1")
        self.assertEqual(again[9]["parent"], "prompt 1:1")

    def test_how_many_branches_there_are_by_default(self):
        self.assertEqual(len(self.trace("-p", "the cat", "-n", 8, "--branch", 0)), 17)

    def test_a_stop_string_over_a_fork(self):
        """A branch whose first own token ends a stop string has nothing of its own, and says so."""
        flags, n_cut = ["-p", "the cat", "-n", 30, "--branch", 0.5, "--max-branches", 30], 0
        made = self.trace(*flags)
        for record in made[1:]:
            at, text = record["fork_at"], record["text"]
            start = len(record["text"].encode()[:record["byte_start"][at]].decode(errors="ignore"))
            stop = text[start - 1:start + 1]
            others = [other["text"] for other in made if other is not record]
            if start == 0 or len(stop) < 2 or "\ufffd" in stop or text.index(stop) < start - 1 or any(stop in other for other in others):
                continue
            cut = self.trace(*flags, "--stop", stop)
            [found] = [one for one in cut if one["id"] == record["id"]]
            self.assertEqual((found["text"], found["stop"]), (text[:start - 1], "string"))
            self.assertEqual((found["fork_at"], found["parent"]), (len(found["token_id"]), record["parent"]))
            self.assertEqual(found["token_id"], record["token_id"][:found["fork_at"]])
            self.assertTrue(all(one["fork_at"] < len(one["token_id"]) for one in cut[1:] if one is not found))
            n_cut += 1
        self.assertGreater(n_cut, 2)

    def test_mirostat_in_a_branch(self):
        """Its threshold, which says how many tokens are left, is not moved by the token of the text that it went off from."""
        found = {(is_branch, eta): [] for is_branch in (False, True) for eta in (0, 1)}
        for eta in 0, 1:
            for record in self.trace("-p", "the cat", "-n", 2, "--samples", 20, "--branch", 0.1, "--max-branches", 4, "-np", 1,
                                     "--rule", f"mirostat-v2=4,eta={eta}"):
                if record.get("fork_at", 0) == 0:
                    found["parent" in record, eta].append((record["id"], record["token_id"][0], record["candidates"][1:]))
        self.assertGreater(len(found[True, 0]), 5)
        self.assertEqual(found[True, 0], found[True, 1])
        self.assertNotEqual(found[False, 0], found[False, 1])

    def test_what_reads_the_trace(self):
        for name in "t.jsonl", "t.safetensors":
            path = self.path(name)
            self.generate("-p", "the cat", "-n", 20, "--samples", 3, "--trace", path)
            shown = run("show", path, "--by", "sampled_entropy")
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertIn(b"prompt 1:2  ", shown.stdout)
            self.assertIn(b" bits", shown.stdout)
            self.assertEqual(run("report", path, "-o", self.path("r.html")).returncode, 0)
            kept = run("select", path, "--by", "sampled_entropy", "--keep", "high:20%")
            self.assertEqual(kept.returncode, 0, kept.stderr)
            self.assertRegex(kept.stderr.decode(), r"threshold +at least [\d.]+ bits")
            for column in "temperature", "candidates", "sampled_logprob":
                self.assertEqual(run("select", path, "--by", column, "--keep", "high:20%").returncode, 0)
            with open(path + ".manifest.json", encoding="utf-8") as file:
                manifest = json.load(file)
            self.assertEqual(manifest["counts"]["documents"], 3)
            self.assertEqual(manifest["rules"], ["min-p=0.05"])
            self.assertRegex(manifest["model_sha256"], "^[0-9a-f]{64}$")
        missing = run("show", self.write("x.jsonl", '{"entropy": [1]}\n'), "--by", "temperature")
        self.assertIn(b"entrol generate --trace writes it", missing.stderr)

    def test_alternatives(self):
        z = self.logits_behind("the cat")
        logprobs = z - z.max() - np.log(np.exp(z - z.max()).sum())
        order = np.argsort(-logprobs, kind="stable")[:4]
        path = self.path("t.jsonl")
        self.generate("-p", "the cat", "-n", 6, "--branch", 0, "--max-branches", 3, "--trace", path, "--top", 4, "--stop", "zzz")
        with open(path, encoding="utf-8") as file:
            made = records(file.read())
        self.assertEqual(len(made), 4)
        for record in made:
            self.assertEqual(record["top_id"][0], list(map(int, order)))
            self.near(reals(record["top_logprob"][0]), logprobs[order], 1e-4)
            self.assertEqual([len(row) for row in record["top_token"]], 6 * [4])
            for i, (ids, row) in enumerate(zip(record["top_id"], record["top_logprob"])):
                if record["token_id"][i] in ids:
                    self.near([row[ids.index(record["token_id"][i])]], [record["logprob"][i]], 1e-5)
        self.assertNotEqual(made[0]["top_id"][5], made[1]["top_id"][5])
        shown = run("show", path, "--top", 2).stdout.decode()
        self.assertIn(f"expected “{made[0]['top_token'][0][0]}”", shown)
        everything = self.trace("-p", "the", "-n", 1, "--top", 256)[0]  # fewer tokens there are not, or nulls stand there
        self.assertEqual(len(everything["top_id"][0]), 256)

    def test_show(self):
        shown = self.generate("-p", "the cat", "-n", 12, "--show").decode()
        self.assertIn("prompt 1  ", shown)
        self.assertIn("▁", shown)
        several = self.generate("-p", "the cat", "-n", 12, "--samples", 2, "--show", "-o", self.path("o.jsonl")).decode()
        self.assertIn("prompt 1:1  ", several)
        with open(self.path("o.jsonl"), encoding="utf-8") as file:
            self.assertEqual(len(records(file.read())), 2)
        self.refuse("-p", "a", "--show", "--trace", "-", says=["--show", "standard output"])
        os.symlink("y", self.path("link"))
        for same in "x", "./x":
            self.refuse("-p", "a", "-o", self.path("x"), "--trace", os.path.join(self.folder, same), says=["the same file"])
        self.refuse("-p", "a", "-o", self.path("y"), "--trace", self.path("link"), says=["the same file"])


def in_terminal(arguments, environment=None):
    """What a run writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([ENTROL, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave,
                               env=dict(os.environ, TERM="xterm-256color", **(environment or {})))
    os.close(slave)
    out = b""
    while True:
        ready, _, _ = select.select([master], [], [], 60)
        try:
            more = os.read(master, 65536) if ready else b""
        except OSError:  # the terminal's other end is closed
            break
        if not more:
            break
        out += more
    os.close(master)
    return process.wait(), out.replace(b"\r\n", b"\n")


@unittest.skipUnless(have_llama() and os.path.exists(f"{BUILD}/llama_write_tiny_model"), "this build has no llama.cpp")
class Terminal(GenerateCase):
    def test_a_terminal_is_not_disturbed(self):
        for seed in range(3):
            flags = ["-p", "the cat", "-n", 60, "--seed", seed]
            [record] = self.trace(*flags)
            code, out = in_terminal(["generate", "-m", self.model, "-t", 1, *flags])
            self.assertEqual(code, 0)
            expected = "".join(c if c in "\n\t" or (c >= " " and c != "\x7f" and not "\x80" <= c < "\xa0") else f"<U+{ord(c):04X}>"
                               for c in record["text"])
            self.assertEqual(out.decode(errors="replace").rstrip("\n"), expected.rstrip("\n"))

    def test_colours_as_it_grows(self):
        flags = ["-p", "the cat", "-n", 30, "--seed", 2]
        [record] = self.trace(*flags)
        code, out = in_terminal(["generate", "-m", self.model, "-t", 1, *flags, "--show"])
        self.assertEqual(code, 0)
        legend, text = out.decode(errors="replace").split("\n\n", 1)
        self.assertIn("entropy", legend)
        self.assertRegex(text, "\033\\[48;5;\\d+")
        plain = re.sub("\033\\[[\\d;]*m", "", text)
        self.assertEqual(re.sub("<U\\+[0-9A-F]{4}>", "", plain).strip("\n"),
                         re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", record["text"]).strip("\n"))


@unittest.skipUnless(have_llama() and os.path.exists(f"{BUILD}/llama_write_tiny_model"), "this build has no llama.cpp")
class Trouble(GenerateCase):
    def test_bad_rules(self):
        [record] = self.trace("-p", "a", "-n", 1, "--rule", "temperature=1")
        n_vocabulary = record["candidates"][0]
        for rule, words, at in (
                ("min-q=0.1", 'unknown rule "min-q"; did you mean "min-p"?', 0),
                ("min_p=2", "p of min-p: expected a number from 0 to 1", 6),
                ("min-p=", "p of min-p: expected a number from 0 to 1", 6),
                ("top-h=0.4,alfa=1", 'top-h has no parameter "alfa"; did you mean "alpha"?', 10),
                ("top-h,reading=article", "reading of top-h: expected one of paper|transformers", 14),
                ("greedy=1", "greedy has no parameters", 7),
                ("top-p=0.9,", "top-p: expected PARAMETER=VALUE", 10),
                ("xtc=7", "probability of xtc: expected a number from 0 to 1", 4),
                ("xtc=.5", "probability of xtc: expected a number from 0 to 1; a number begins with a digit, as 0.5\n", 4),
                ("top-k=.5", "k of top-k: expected a whole number from 1 to 2147483648\n", 6),
                ("xtc=.", "probability of xtc: expected a number from 0 to 1\n", 4),
                ("xtc=.5e", "probability of xtc: expected a number from 0 to 1\n", 4),
                ("xtc=0.5,seed=-2", "seed of xtc: expected a whole number from -1 to 4294967294", 13),
                ("logit-bias=1000000", f"token of logit-bias: expected a whole number from 0 to {n_vocabulary - 1}", 11),
                ("mirostat=5,ta=7", 'mirostat has no parameter "ta"; did you mean "tau"?', 11),
                ("", "expected the name of a rule", 0)):
            with self.subTest(rule=rule):
                message = self.refuse("-p", "a", "--rule", "top-k=5", "--rule", rule, says=["--rule: ", words])
                self.assertTrue(message.endswith(f"    {rule}\n    {' ' * at}^\n"), message)

    def test_nan_logits(self):
        model = self.tiny("nan.gguf", "--nan")
        message = self.refuse("-p", "w", "--trace", self.path("t"), model=model, says=["prompt 1, sample 0, token 1", "NaN"])
        self.assertEqual(len(message.splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("t")))

    def test_bad_usage(self):
        self.refuse("the cat", says=["the cat", "-p"])
        self.refuse("-p", "a", "--stop", "", says=["--stop", "empty"])
        self.refuse("-f", self.path("none.txt"), says=["none.txt"])
        self.refuse("-f", self.write("e.txt", ""), says=["e.txt", "empty"])
        self.refuse("-p", "a", "-m", self.path("none.gguf"), says=["none.gguf"])
        self.refuse("-f", self.write("a.txt", "a"), "--plain", "--field", "x", says=["--field", "--plain"])
        self.refuse("-p", "a", "--samples", 0, says=["--samples"])
        self.refuse("-p", "a", "-o", self.path("no/such/folder"), says=["no/such/folder"])
        self.refuse("-p", "a", "--system", "b", says=["prompt 1", "--system", "add --chat"])
        self.refuse("-p", "a", "--branches", 2, says=["--branches", "--branch "])
        self.refuse("-p", "a", "--max-branches", 2, says=["--max-branches", "--branch "])
        self.refuse("-p", "a", "--top", 2, says=["--top", "--trace"])
        self.refuse("-p", "a", "--hold", 2, "--rule", "greedy", says=["--hold 2", "greedy", "0"])
        self.refuse("-p", "a", "--hold", 2, *2 * ["--rule", "target-entropy"], says=["--hold", "there are 2"])
        self.refuse("-p", "a", "--chat-template", "gemma", says=["--chat-template", "add --chat"])
        self.refuse("-p", "a", "--field", "x", says=["--field", "no file"])
        self.refuse("-p", "a", "--seed", -1, says=["from 0 to 1000000000000000, found"])
        self.refuse("-p", "a", "-o", self.path("no/x"), says=[f"cannot write {self.path('no/x')}: No such file"])
        path = self.write("read.txt", "the")
        os.symlink("read.txt", self.path("to_it"))
        for flag in "-o", "--trace":
            self.refuse("-f", path, flag, self.path("to_it"), says=[flag, "is a file that is read"])
        self.assertEqual(sorted(name for name in os.listdir(self.folder) if ".part" in name), [])

    def test_bad_prompts_are_found_before_texts_are_made(self):
        lines = [json.dumps({"prompt": "the"}) + "\n", json.dumps({"prompt": "the cat " * 300}) + "\n"]
        path = self.write("p.jsonl", "".join(lines))
        done = self.command("-f", path, "-n", 3)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"p.jsonl:2: the prompt has 15", done.stderr)
        with open(path, "rb") as file:  # what comes through a pipe is read once, and the texts before it are there
            whole = file.read()
        piped = self.command("-n", 3, stdin=whole)
        self.assertEqual((piped.returncode, len(records(piped.stdout))), (2, 1))
        os.mkfifo(self.path("pipe"))
        with subprocess.Popen(["cp", path, self.path("pipe")]):
            piped = self.command("-f", self.path("pipe"), "-n", 3)
        self.assertEqual((piped.returncode, len(records(piped.stdout))), (2, 1))

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_a_full_disk(self):
        for flags in [], ["--samples", 3], ["--trace", "-"], ["--list"]:
            with open("/dev/full", "wb") as full:
                done = subprocess.run([ENTROL, "generate", "-m", self.model, "-t", "1", "-p", "the", "-n", "50", *map(str, flags)], stdout=full,
                                      stderr=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stderr.count(b"\n")), (2, 1), done.stderr)
            self.assertIn(b"No space left on device", done.stderr)

    def test_a_closed_pipe(self):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            done = subprocess.run([ENTROL, "generate", "-m", self.model, "-t", "1", "-p", "the", "-n", "50"], stdout=pipe, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"its reader has closed it", done.stderr)

    def test_a_stop_leaves_whole_files(self):
        """Ctrl-C in the middle: what there is is written, and says that it was interrupted."""
        trace, out = self.path("t.jsonl"), self.path("o.jsonl")
        path = self.write("p.jsonl", '{"prompt": "the cat"}\n' * 2000)
        process = subprocess.Popen([ENTROL, "generate", "-m", self.model, "-t", "1", "-f", path, "--samples", "4", "-n", "200", "--trace", trace,
                                    "-o", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and not os.path.exists(trace + ".part"):
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        message = process.communicate()[1].decode()
        self.assertEqual(process.returncode, 130, message)
        self.assertRegex(message, r"stopped after \d+ tokens")
        with open(trace, encoding="utf-8") as file:
            made = records(file.read())
        with open(out, encoding="utf-8") as file:
            lines = records(file.read())
        self.assertEqual([record["text"] for record in made], [line["text"] for line in lines])
        self.assertGreater(len(made), 0)
        self.assertLessEqual({record["stop"] for record in made[:-4]}, {"end", "length"})
        self.assertLessEqual({record["stop"] for record in made[-4:]}, {"end", "length", "interrupted"})
        self.assertNotIn(0, [len(record["token_id"]) for record in made])
        self.assertEqual(sorted(name for name in os.listdir(self.folder) if ".part" in name), [])

    def test_lines_come_as_they_are_done(self):
        """A reader has the first samples long before the last one, in their order; a stop ends the last line."""
        with subprocess.Popen([ENTROL, "generate", "-m", self.model, "-t", "1", "-p", "the", "--samples", "1000000", "-n", "40"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            lines = [process.stdout.readline() for _ in range(20)]
            process.send_signal(signal.SIGINT)
            more, message = process.stdout.read(), process.stderr.read()
        self.assertEqual(process.returncode, 130, message)
        made = records(b"".join(lines) + more)
        self.assertEqual([line["sample"] for line in made], list(range(len(made))))
        self.assertTrue(more.endswith(b"\n"))
        self.assertLessEqual({line["stop"] for line in made[:-8]}, {"end", "length"})

    def test_a_stop_starts_no_texts(self):
        """What is interrupted had begun, however many texts begin at once."""
        for seconds in 0.03, 0.1, 0.2:
            with subprocess.Popen([ENTROL, "generate", "-m", self.model, "-t", "1", "-p", "the", "--samples", "1000000", "-n", "1",
                                   "-np", "100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                first = process.stdout.readline()
                time.sleep(seconds)
                process.send_signal(signal.SIGINT)
                more, message = process.stdout.read(), process.stderr.read()
            self.assertEqual(process.returncode, 130, message)
            self.assertNotIn(0, [line["n_tokens"] for line in records(first + more)])

    def test_list(self):
        done = run("generate", "--list")
        self.assertEqual(done.returncode, 0)
        for words in b"\ntarget-entropy\n", b"\nmirostat-v2\n", b"  rule: ", b"  source: ", b"(what NAME=VALUE sets)":
            self.assertIn(words, b"\n" + done.stdout)


@unittest.skipUnless(have_llama() and "tiny" not in os.path.basename(MODEL) and os.path.exists(MODEL), "ENTROL_MODEL names no real model")
class RealModel(GenerateCase):
    def test_the_trace_is_what_score_says(self):
        """Of the same tokens, entrol score gives the same numbers: another path to llama.cpp's logits."""
        [record] = self.trace("-p", "The capital of France is", "-n", 40, "--rule", "greedy", model=MODEL)
        line = json.dumps({"prompt": record["prompt"], "completion": record["text"]})
        [scored] = records(run("score", "-m", MODEL, "-t", "1", "-b", "1", "--columns", "token_id,logprob,entropy,varentropy", "-",
                               stdin=line.encode()).stdout)
        self.assertEqual(scored["token_id"], record["token_id"])
        for column in "logprob", "entropy", "varentropy":
            # Token by token, as the text was made; but its prompt was read at once, which rounds otherwise.
            self.near(reals(record[column]), reals(scored[column]), 0.05)

    def test_threads_and_levels(self):
        flags = ["-p", "Once upon a time", "-n", 30, "--rule", "target-entropy=2"]
        texts = {self.generate(*flags, "-t", threads, model=MODEL) for threads in (1, 2)}
        texts |= {self.generate(*flags, model=MODEL, environment={"ENTROL_CPU": level}) for level in levels()}
        self.assertEqual(len(texts), 1)


if __name__ == "__main__":
    unittest.main()

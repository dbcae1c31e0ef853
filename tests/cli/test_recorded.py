"""Recorded log-probabilities as inputs of entrol score: every format, written independently (recorded.py), from whole
distributions, so that what the readers say can be held against the truth."""
import gzip
import json
import math
import os
import shutil
import subprocess
import sys
import unittest

import recorded
from scoring import ENTROL, ScoreCase, have_llama, np, records, run

VOCABULARY = 400
PIECES = [f" w{i}".encode() for i in range(VOCABULARY)]
# Tokens that are no whole characters: those of "é" and "世".
PIECES[1], PIECES[2], PIECES[3], PIECES[4] = b"\xc3", b"\xa9", b" \xe4\xb8", b"\x96"


def entropy(p):
    p = np.asarray(p, dtype=np.float64)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def places_of(rng, n, k, ids=None):
    """n places of random distributions, and these. Tokens come by their probability, or as `ids` say."""
    places, truths = [], []
    for i in range(n):
        p = np.exp(rng.normal(size=VOCABULARY) * rng.uniform(0.2, 6))
        p /= p.sum()
        order = np.argsort(-p, kind="stable")
        chosen = int(ids[i]) if ids is not None else int(rng.choice(VOCABULARY, p=p))
        entry = lambda token: (int(token), PIECES[token], float(np.log(p[token])))
        places.append({"chosen": entry(chosen), "top": [entry(token) for token in order[:k]],
                       "rank": 1 + int((p > p[chosen]).sum())})
        truths.append(p)
    return places, truths


def bounds_of(place, n_vocabulary, capped=True):
    """The formulas of the bounds, in float64."""
    known = [math.exp(entry[2]) for entry in place["top"]]
    cap = min(known) if known and capped else 1
    if not any(recorded.same(entry, place["chosen"]) for entry in place["top"]):
        known.append(math.exp(place["chosen"][2]))
    h, r, n = entropy(known), max(0, 1 - sum(known)), n_vocabulary - len(known)
    full = math.floor(r / cap)
    rest = r - full * cap
    return (h - full * cap * math.log(cap) - (rest * math.log(rest) if rest > 0 else 0),
            h - (r * math.log(r / n) if r > 0 else 0), r)


class RecordedCase(ScoreCase):
    def setUp(self):
        super().setUp()
        self.rng = np.random.default_rng(7)

    def lines(self, *answers, name="log.jsonl"):
        return self.write(name, "".join(json.dumps(answer) + "\n" for answer in answers))

    def read(self, *answers, more=("--vocab-size", VOCABULARY)):
        return self.score(self.lines(*answers), *more)

    def check(self, record, places, truths, format):
        """Everything that a record says of places."""
        n = len(places)
        for i in range(n):
            place, p = places[i], truths[i]
            if record["logprob"][i] is None:
                continue
            self.assertAlmostEqual(record["logprob"][i], place["chosen"][2], delta=2e-6 * max(1, abs(place["chosen"][2])))
            self.assertLessEqual(record["entropy_lower"][i], entropy(p), f"{format}, place {i}")
            self.assertGreaterEqual(record["entropy_upper"][i], entropy(p), f"{format}, place {i}")
            if format == "vllm prompt" and place["rank"] == len(place["top"]) + 1:
                place = dict(place, top=place["top"] + [place["chosen"]])  # its rank says that it is the next one
            lower, upper, tail = bounds_of(place, VOCABULARY)
            self.assertLessEqual(record["entropy_lower"][i], lower + 1e-6, f"{format}, place {i}")
            self.assertGreaterEqual(record["entropy_upper"][i], upper - 1e-6, f"{format}, place {i}")
            if self.is_tight(format, place):
                self.assertAlmostEqual(record["entropy_lower"][i], lower, delta=1e-4, msg=f"{format}, place {i}")
                self.assertAlmostEqual(record["entropy_upper"][i], upper, delta=1e-4, msg=f"{format}, place {i}")
                self.assertAlmostEqual(record["tail_mass"][i], tail, delta=1e-5)
                self.assertAlmostEqual(record["top_prob"][i], p.max(), delta=1e-5)
                if len(place["top"]) > 1:
                    self.assertAlmostEqual(record["margin"][i], np.diff(np.sort(p)[-2:])[0], delta=1e-5)
                else:
                    self.assertIsNone(record["margin"][i])
                self.assertAlmostEqual(record["mean_topk_logprob"][i], np.mean([e[2] for e in place["top"]]), delta=1e-5)
                in_top = place["rank"] <= len(place["top"])
                if in_top or record["rank"][i] is not None:
                    self.assertEqual(record["rank"][i], place["rank"], f"{format}, place {i}")

    def is_tight(self, format, place):
        """vLLM's chat cuts the list where the token that came is not among the k; an object of texts may have lost some."""
        if format == "vllm chat":
            return place["rank"] < len(place["top"])
        if format == "ollama": # the text of a damaged token is that of others, too
            return not any("\ufffd" in recorded.text_of(entry[1]) for entry in place["top"] + [place["chosen"]])
        return True


class Formats(RecordedCase):
    def test_every_format(self):
        """What is read of each is what was written, and the interval holds the truth."""
        for format, (write, _) in recorded.FORMATS.items():
            for k in (1, 2, 5, 20):
                with self.subTest(format=format, k=k):
                    places, truths = places_of(self.rng, 40, k)
                    record, = self.read(write(places))
                    self.assertEqual(len(record["logprob"]), 40)
                    self.check(record, places, truths, format)

    def test_text_and_offsets(self):
        """Pieces that are no whole characters have their bytes, and make the text all the same."""
        ids = [10, 1, 2, 11, 3, 4, 12]
        text = " w10é w11 世 w12"
        places, _ = places_of(self.rng, len(ids), 3, ids)
        ends = np.cumsum([len(PIECES[i]) for i in ids]).tolist()
        for format in ("openai chat", "openai batch", "openai completions", "openai responses", "llama-server"):
            with self.subTest(format=format):
                record, = self.read(recorded.FORMATS[format][0](places), more=("--columns", "all"))
                self.assertEqual(record["text"], text)
                self.assertEqual(record["byte_end"], ends)
                self.assertEqual(record["byte_start"], [0] + ends[:-1])
                self.assertEqual(record["token"][0:3], [" w10", "\ufffd", "\ufffd"])
        # Where pieces are damaged, what stands there is taken from the whole text; the first of them has it.
        for format in ("vllm chat", "tgi", "sglang", "ollama"):
            with self.subTest(format=format):
                record, = self.read(recorded.FORMATS[format][0](places))
                self.assertEqual(record["text"], text)
                self.assertEqual([(s, e) for s, e in zip(record["byte_start"], record["byte_end"])],
                                 [(0, 4), (4, 6), (6, 6), (6, 10), (10, 14), (14, 14), (14, 18)])
        # Without the whole text, U+FFFD stays: two of the three bytes each.
        answer = recorded.tgi(places)
        answer["generated_text"] = "something else"
        record, = self.read(answer)
        self.assertEqual(record["text"], " w10\ufffd\ufffd w11 \ufffd\ufffd w12")
        self.assertEqual(record["byte_end"][-1], len(record["text"].encode()))

    def test_token_ids(self):
        places, _ = places_of(self.rng, 12, 4)
        ids = [place["chosen"][0] for place in places]
        for format in ("llama-server", "tgi", "sglang", "vllm prompt"):
            record, = self.read(recorded.FORMATS[format][0](places), more=("--top", 3))
            self.assertEqual(record["token_id"], ids, format)
            self.assertEqual(record["top_id"][1:], [[e[0] for e in place["top"][:3]] for place in places[1:]], format)
        # vLLM's token_id:N gives numbers and no text.
        record, = self.read(recorded.vllm_chat(places, as_ids=True))
        self.assertEqual(record["token_id"], ids)
        self.assertNotIn("text", record)
        self.assertNotIn("byte_start", record)
        answer = recorded.openai_chat(places)
        answer["choices"][0]["token_ids"] = ids  # return_token_ids
        self.assertEqual(self.read(answer)[0]["token_id"], ids)
        self.assertNotIn("token_id", self.read(recorded.openai_chat(places))[0])
        self.refused(self.lines(recorded.openai_chat(places)), "--columns", "token_id", says=("numbers were not recorded",))
        self.refused(self.lines(recorded.vllm_chat(places, as_ids=True)), "--columns", "token", says=("texts were not",))

    def test_top(self):
        places, _ = places_of(self.rng, 6, 5)
        for format in ("openai chat", "openai completions", "ollama"):
            record, = self.read(recorded.FORMATS[format][0](places), more=("--top", 8))
            self.assertNotIn("top_id", record)
            for i, place in enumerate(places):
                tokens = [t for t in record["top_token"][i] if t is not None]
                self.assertEqual(tokens, [recorded.text_of(e[1]) for e in place["top"]], format)
                self.near(record["top_logprob"][i][:5], [e[2] for e in place["top"]])
        record, = self.read(recorded.openai_chat(places), more=("--top", 2))
        self.assertEqual([len(row) for row in record["top_token"]], [2] * 6)

    def test_prompts(self):
        """What a server says of the prompt comes before the answer, in one document; its first token has no distribution."""
        places, truths = places_of(self.rng, 9, 4, [20, 21, 22, 23, 24, 25, 26, 27, 28])
        prompt, answer = places[:4], places[4:]
        tgi = recorded.tgi(answer)
        tgi["details"]["prefill"] = [recorded.tgi_entry(place["chosen"]) for place in prompt]
        tgi["details"]["prefill"][0]["logprob"] = None
        sglang = recorded.sglang(answer)
        meta = recorded.sglang(prompt)["meta_info"]
        sglang["meta_info"]["input_token_logprobs"] = meta["output_token_logprobs"]
        sglang["meta_info"]["input_token_logprobs"][0][0] = None
        sglang["meta_info"]["input_top_logprobs"] = [None] + meta["output_top_logprobs"][1:]
        vllm = recorded.openai_chat(answer)
        vllm.update(prompt_logprobs=recorded.vllm_places(prompt), prompt_token_ids=[p["chosen"][0] for p in prompt])
        for name, line in (("tgi", tgi), ("sglang", sglang), ("vllm", vllm)):
            with self.subTest(name):
                record, = self.read(line)
                self.assertEqual(len(record["logprob"]), 9)
                for column in ("logprob", "entropy_lower", "entropy_upper", "tail_mass", "top_prob", "rank"):
                    self.assertIsNone(record[column][0], column)
                self.near(record["logprob"][1:], [place["chosen"][2] for place in places[1:]])
                for i in range(1, 9):
                    self.assertLessEqual(record["entropy_lower"][i], entropy(truths[i]))
                    self.assertGreaterEqual(record["entropy_upper"][i], entropy(truths[i]))
                first = 0 if name == "vllm" else 4  # vLLM does not name it
                self.assertEqual(record["byte_end"][:2], [first, first + 4])
        # A prefill has no lists: of the distribution only one probability is known.
        self.assertIsNone(self.read(tgi)[0]["top_prob"][2])
        tail = 1 - math.exp(prompt[2]["chosen"][2])
        self.assertAlmostEqual(self.read(tgi)[0]["entropy_lower"][2], entropy([tail, 1 - tail]), delta=1e-4)

    def test_vllm_says_what_came(self):
        """prompt_token_ids does; without it the log-probabilities are unknown, and the bounds hold all the same."""
        places, truths = places_of(self.rng, 60, 3)
        whole, = self.read(recorded.vllm_prompt(places))
        self.assertEqual(whole["rank"][1:], [place["rank"] for place in places[1:]])  # also where it is none of the k
        unnamed, = self.read(recorded.vllm_prompt(places, with_ids=False))
        self.assertEqual(unnamed["logprob"], [None] * 60)
        for record in (whole, unnamed):
            for i in range(1, 60):
                self.assertLessEqual(record["entropy_lower"][i], entropy(truths[i]))
                self.assertGreaterEqual(record["entropy_upper"][i], entropy(truths[i]))
        self.assertEqual(whole["entropy_lower"], unnamed["entropy_lower"])  # ranks tell which one is none of the k
        without = recorded.vllm_prompt(places, with_ids=False)
        for place in without["choices"][0]["prompt_logprobs"][1:]:
            for entry in place.values():
                del entry["rank"]
        record, = self.read(without)  # then the least may be none of them
        for i in range(1, 60):
            self.assertLessEqual(record["entropy_lower"][i], unnamed["entropy_lower"][i])
        broken = recorded.vllm_prompt(places)
        broken["choices"][0]["prompt_token_ids"].pop()
        self.refused(self.lines(broken), says=(":1:", "60 places", "59 tokens"))
        # RequestOutput as JSON: outputs with lists of the same form.
        offline = {"request_id": "r7", "prompt": "x", "prompt_token_ids": [5], "prompt_logprobs": None, "finished": True,
                   "outputs": [{"index": 0, "text": "", "token_ids": [p["chosen"][0] for p in places[1:]],
                                "logprobs": recorded.vllm_places(places)[1:]}]}
        record, = self.read(offline)
        self.assertEqual(record["id"], "r7")
        self.assertEqual(record["logprob"], whole["logprob"][1:])
        self.assertEqual(record["entropy_lower"], whole["entropy_lower"][1:])

    def test_the_token_that_came_is_no_cap(self):
        """A list that holds it only because it came: the rest may be more probable than it."""
        top = [(i, PIECES[i], math.log(p)) for i, p in ((20, 0.5), (21, 0.2))]
        place = {"chosen": (22, PIECES[22], math.log(1e-4)), "top": top, "rank": 9}
        other = {"chosen": top[0], "top": top, "rank": 1}
        lower = entropy([0.5, 0.2, 1e-4, 0.2, 0.0999])  # as if nothing but these were known
        for format in ("openai chat", "openai completions", "vllm prompt", "llama-server", "tgi", "sglang", "ollama"):
            record, = self.read(recorded.FORMATS[format][0]([other, place, other]))
            self.assertAlmostEqual(record["entropy_lower"][1], lower, delta=1e-4, msg=format)
        # vLLM's chat has cut the second of the two: the rest is capped by the first.
        record, = self.read(recorded.vllm_chat([other, place, other]))
        self.assertAlmostEqual(record["entropy_lower"][1], entropy([0.5, 1e-4, 0.4999]), delta=1e-4)
        self.assertEqual([record["rank"], record["top_prob"]], [[1, None, 1], [0.5, 0.5, 0.5]])
        # One list of one: whether it is the most probable token or the one that came, nothing says, unless it is more
        # probable than all others together.
        lone = {"chosen": (22, PIECES[22], math.log(0.3)), "top": [(22, PIECES[22], math.log(0.3))], "rank": 1}
        sure = {"chosen": (22, PIECES[22], math.log(0.7)), "top": [(22, PIECES[22], math.log(0.7))], "rank": 1}
        record, = self.read(recorded.vllm_chat([lone, sure]))
        self.assertEqual(record["rank"], [None, 1])
        self.assertAlmostEqual(record["entropy_lower"][0], entropy([0.3, 0.7]), delta=1e-4)

    def test_damaged_keys_lose_tokens(self):
        """An object {text: logprob} has one member for all tokens that read U+FFFD: the rest has no cap."""
        answer = recorded.openai_legacy([{"chosen": (20, b"a", -1.0), "top": [(20, b"a", -1.0), (21, b"b", -2.0)], "rank": 1}])
        tops = answer["choices"][0]["logprobs"]["top_logprobs"]
        record, = self.read(answer)
        self.assertIsNotNone(record["top_prob"][0])
        tops[0]["\ufffd"] = -3.0
        record, = self.read(answer)
        rest = 1 - math.exp(-1) - math.exp(-2) - math.exp(-3)
        self.assertAlmostEqual(record["entropy_lower"][0], entropy([math.exp(-1), math.exp(-2), math.exp(-3), rest]), delta=1e-4)
        self.assertEqual([record["top_prob"], record["rank"], record["margin"]], [[None]] * 3)


class Lines(RecordedCase):
    def test_ids_and_fields(self):
        places, _ = places_of(self.rng, 3, 2)
        answer = recorded.openai_chat(places, places[:2], places[:1])
        answer["grade"] = {"by": ["a"]}
        records = self.read(answer)
        self.assertEqual([record["id"] for record in records], ["chatcmpl-7", "chatcmpl-7:1", "chatcmpl-7:2"])
        self.assertEqual([len(record["logprob"]) for record in records], [3, 2, 1])
        for i, record in enumerate(records):
            choice = answer["choices"][i]
            del choice["logprobs"]
            self.assertEqual(record["choices"], [choice])
            for name in ("object", "created", "model", "usage", "grade"):
                self.assertEqual(record[name], answer[name])
        record, = self.read(recorded.openai_batch(places))
        self.assertEqual([record[n] for n in ("id", "custom_id", "request_id")], ["task-1", "task-1", "batch_req_1"])
        self.assertEqual(record["response"]["status_code"], 200)
        self.assertNotIn("logprobs", record["response"]["body"]["choices"][0])
        for format, names in (("llama-server", ("content", "model", "truncated")), ("tgi", ("generated_text", "details")),
                              ("sglang", ("output_ids", "meta_info")), ("ollama", ("model", "response", "eval_count"))):
            path = self.lines(recorded.FORMATS[format][0](places))
            record, = self.score(path)
            self.assertEqual(record["id"], "sg-7" if format == "sglang" else f"{path}:1")
            for name in names:
                self.assertIn(name, record, format)
        self.assertNotIn("output_token_logprobs", json.dumps(self.read(recorded.sglang(places))))
        self.assertEqual(self.score(self.lines(recorded.tgi(places)))[0]["details"],
                         {"finish_reason": "length", "generated_tokens": 3, "seed": 7})
        answer = recorded.ollama(places)
        answer["rank"] = [1, 2]  # a column's name
        done = run("score", self.lines(answer))
        self.assertIn(b"lost a field", done.stderr)

    def test_best_of(self):
        places, _ = places_of(self.rng, 3, 2)
        answer = recorded.tgi(places)
        more = recorded.tgi(places[:2])
        answer["details"]["best_of_sequences"] = [dict(more["details"], generated_text=more["generated_text"])]
        records = self.read(answer)
        self.assertEqual([len(record["logprob"]) for record in records], [3, 2])

    def test_each_line_by_itself(self):
        """A file may hold all formats; blank lines are none; packed or not, from a file or a pipe."""
        places, _ = places_of(self.rng, 4, 3)
        answers = [write(places) for write, _ in recorded.FORMATS.values()]
        path = self.lines(*answers)
        first = run("score", path).stdout
        self.assertEqual(len(records(first)), len(answers))
        with open(path, "rb") as file:
            data = file.read()
        packed = self.write("log.jsonl.gz", gzip.compress(data.replace(b"\n", b"\n\n")))
        self.assertEqual([r["entropy_lower"] for r in self.score(packed)], [r["entropy_lower"] for r in records(first)])
        piped = run("score", stdin=data)
        self.assertEqual(records(piped.stdout)[0], records(first)[0])
        if shutil.which("zstd"):
            subprocess.run(["zstd", "-q", path], check=True)
            self.assertEqual(len(self.score(path + ".zst")), len(answers))

    def test_one_document(self):
        """A file that is one JSON document: an object, over as many lines as it likes, or an array."""
        places, _ = places_of(self.rng, 4, 3)
        answer = recorded.openai_chat(places, places[:1])
        lines = self.read(answer)
        for text in (json.dumps(answer, indent=2), json.dumps(answer, indent=1) + "\n\n", "\n " + json.dumps(answer, indent=4),
                     json.dumps([answer]), json.dumps([answer], indent=2)):
            self.assertEqual(self.score(self.write("one.json", text), "--vocab-size", VOCABULARY), lines)
        many = json.dumps([recorded.sglang(places), recorded.sglang(places[:2])])
        self.assertEqual([len(r["logprob"]) for r in self.score(self.write("many.json", many))], [4, 2])
        self.assertEqual([r["id"] for r in self.score(self.write("t.json", json.dumps([recorded.tgi(places)] * 2)))],
                         [self.path("t.json:1"), self.path("t.json:2")])
        self.refused(self.write("no.json", json.dumps([{"a": 1}])), says=("found an array of them",))
        self.refused(self.write("no.json", json.dumps([answer, 3])), says=("element 1", "found a number"))
        self.refused(self.write("no.json", json.dumps(answer, indent=2)[:-5]), says=("no.json:", "broken JSON"))

    def test_texts_and_logs(self):
        """Recorded lines need no model; a text among them does, and is said to be one."""
        places, _ = places_of(self.rng, 2, 2)
        path = self.lines(recorded.openai_chat(places), {"text": "a text"})
        self.refused(path, says=("log.jsonl:2: expected recorded log-probabilities", "found a text"))
        environment = {"ENTROL_CACHE": self.folder}  # in which there is no model
        self.assertEqual(run("score", self.lines(recorded.tgi(places)), environment=environment).returncode, 0)
        # A line of a data set is no log because it has a name in common with one.
        for line in ({"text": "a", "choices": ["x", "y"]}, {"text": "a", "logprobs": None}, {"text": "a", "details": {}},
                     {"prompt": "a", "completion": "b", "meta_info": {}}, {"instruction": "a", "output": "b"}):
            self.refused(self.lines(line), says=("no model" if have_llama() else "without llama.cpp",), environment=environment)

    @unittest.skipUnless(os.environ.get("ENTROL_MODEL"), "needs ENTROL_MODEL")
    def test_a_log_among_texts(self):
        other = self.write("no.json", json.dumps({"a": 1}, indent=2))
        self.refused(other, "-m", os.environ["ENTROL_MODEL"], says=("one over several lines", "jq -c ."))
        places, _ = places_of(self.rng, 2, 2)
        path = self.lines({"text": "hello there", "id": "t"}, recorded.tgi(places), {"text": "and more", "id": "u"})
        text, log, more = self.score(path, "-m", os.environ["ENTROL_MODEL"])
        self.assertIn("entropy", text)
        self.assertNotIn("entropy_lower", text)
        self.assertIn("entropy_lower", log)
        self.assertNotIn("entropy", log)
        self.assertEqual(more["id"], "u")
        field = self.lines(dict(recorded.tgi(places), body="scored"))
        self.assertIn("entropy", self.score(field, "-m", os.environ["ENTROL_MODEL"], "--field", "body")[0])

    def test_inspect(self):
        places, _ = places_of(self.rng, 3, 2)
        for format, (write, name) in recorded.FORMATS.items():
            done = run("inspect", self.lines(write(places), write(places[:2])))
            self.assertEqual(done.returncode, 0, done.stderr)
            lines = [line.strip() for line in done.stdout.decode().splitlines()[1:]]
            self.assertEqual(lines, [f"kind: recorded log-probabilities, {name}", "documents: 2", "tokens: 5"], format)
        done = run("inspect", self.write("one.json", json.dumps(recorded.tgi(places), indent=2)))
        self.assertIn(b"kind: recorded log-probabilities, TGI", done.stdout)
        done = run("inspect", self.lines(recorded.tgi(places), recorded.ollama(places)))
        self.assertIn(b"kind: recorded log-probabilities, TGI, Ollama", done.stdout)
        broken = recorded.tgi(places)
        broken["details"]["tokens"][1]["logprob"] = "x"
        done = run("inspect", self.lines(broken))
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"choice 0, token 1", done.stderr)


class Numbers(RecordedCase):
    def test_unknown_vocabulary(self):
        places, truths = places_of(self.rng, 5, 4)
        done = run("score", self.lines(recorded.openai_chat(places), recorded.openai_chat(places)))
        record = records(done.stdout)[0]
        self.assertEqual(record["entropy_upper"], ["Infinity"] * 5)
        message = done.stderr.decode()
        self.assertEqual(message.count("--vocab-size"), 1)
        self.assertIn("to infinity", message)
        known = self.read(recorded.openai_chat(places))[0]
        self.assertEqual(known["entropy_lower"], record["entropy_lower"])
        self.refused(self.lines(recorded.tgi(places)), "--vocab-size", 3, says=("choice 0, token 0", "vocabulary of 3"))
        self.refused(self.lines(recorded.openai_chat(places)), "--vocab-size", 4, says=("choice 0, token 0", "vocabulary of 4"))
        self.refused(self.npy("l.npy", np.zeros((2, 3), "f4")), "--vocab-size", 4, says=("is for recorded",))

    def test_summary(self):
        """Mean bounds, the share of tokens that have any, and the tail: of tokens, by their own columns."""
        places, _ = places_of(self.rng, 8, 4)
        answer = recorded.tgi(places)
        answer["details"]["prefill"] = [{"id": 1, "text": "<s>", "logprob": None}]
        done = run("score", self.lines(answer), "--vocab-size", VOCABULARY, "--unit", "nats")
        record, = records(done.stdout)
        lower, upper, tail = (np.mean(record[c][1:]) for c in ("entropy_lower", "entropy_upper", "tail_mass"))
        message = done.stderr.decode()
        self.assertIn(f"entropy     mean from {lower:.4f} to {upper:.4f}  nats, by the bounds of 8 tokens (88.9 %)", message)
        self.assertIn(f"tail mass   mean {tail:.4f}", message)
        self.assertIn(f"perplexity  {math.exp(-np.mean(record['logprob'][1:])):.4f}", message)
        sample, = self.read(answer, more=("--vocab-size", VOCABULARY, "--level", "sample"))
        self.assertAlmostEqual(sample["entropy_lower_mean"], lower, delta=1e-6)
        self.assertAlmostEqual(sample["entropy_upper_mean"], upper, delta=1e-6)
        self.assertAlmostEqual(sample["tail_mass_mean"], tail, delta=1e-6)
        self.assertEqual(sample["n_tokens"], 9)
        self.assertNotIn("entropy_mean", sample)
        self.assertEqual(self.read(answer, more=("--level", "sample"))[0]["entropy_upper_mean"], "Infinity")

    def test_columns(self):
        places, _ = places_of(self.rng, 2, 2)
        path = self.lines(recorded.tgi(places))
        plain, = self.score(path)
        self.assertEqual([c for c in plain if isinstance(plain[c], list)],
                         ["token_id", "byte_start", "byte_end", "logprob", "entropy_lower", "entropy_upper", "top_prob",
                          "margin", "rank", "tail_mass", "mean_topk_logprob"])
        self.assertIn("token", self.score(path, "--columns", "all")[0])
        some, = self.score(path, "--columns", "tail_mass,entropy_upper")
        self.assertEqual([c for c in some if isinstance(some[c], list)], ["entropy_upper", "tail_mass"])
        self.refused(path, "--columns", "entropy", says=("only the bounds", "entropy_lower"))
        self.refused(path, "--columns", "top_id", says=("--top N",))
        self.refused(path, "--temperature", "2", says=("cannot be taken to another",))
        logits = self.npy("l.npy", np.zeros((2, 3), "f4"))
        self.refused(logits, "--columns", "entropy_lower", says=("bounds are those of recorded",))
        self.refused(logits, "--columns", "tail_mass", says=("--top N",))
        done = run("show", self.write("out.jsonl", run("score", path).stdout))
        self.assertIn(b"only its bounds", done.stderr)

    def test_sentinels_and_missing(self):
        """-9999 and the least float mean that it was not possible, or not worth telling; null that there is none."""
        answer = recorded.openai_chat([{"chosen": (20, b"a", math.log(0.75)), "top": [(20, b"a", math.log(0.75)),
                                        (21, b"b", math.log(0.25)), (22, b"c", -math.inf)], "rank": 1},
                                       {"chosen": (23, b"d", -math.inf), "top": [(20, b"a", math.log(0.5)),
                                        (21, b"b", math.log(0.25))], "rank": 9}])
        done = run("score", self.lines(answer))
        record, = records(done.stdout)
        # The first has all mass above an impossible token: the entropy is known, whatever the vocabulary is.
        self.assertAlmostEqual(record["entropy_lower"][0], entropy([0.75, 0.25]), delta=1e-4)
        self.assertAlmostEqual(record["entropy_upper"][0], entropy([0.75, 0.25]), delta=1e-4)
        self.assertLessEqual(record["entropy_lower"][0], entropy([0.75, 0.25]))
        self.assertGreaterEqual(record["entropy_upper"][0], entropy([0.75, 0.25]))
        self.assertEqual(record["logprob"][1], "-Infinity")
        self.assertEqual(record["entropy_upper"][1], "Infinity")
        self.assertAlmostEqual(record["entropy_lower"][1], entropy([0.5, 0.25, 0.25]), delta=1e-4)
        self.assertIn(b"perplexity  infinite: 1 tokens", done.stderr)
        # Something is left over: then it only was not worth telling, and caps nothing.
        place = {"chosen": (20, b"a", -1.0), "top": [(20, b"a", -1.0), (21, b"b", -math.inf)], "rank": 1}
        for write in (recorded.openai_chat, recorded.llama_server):
            record, = self.read(write([place, place]))
            self.assertAlmostEqual(record["entropy_lower"][0], entropy([math.exp(-1), math.exp(-1), 1 - 2 * math.exp(-1)]),
                                   delta=1e-4)
            self.assertIsNone(record["margin"][0])
        answer = recorded.openai_chat([place, place])
        answer["choices"][0]["logprobs"]["content"][0].update(logprob=None, top_logprobs=[])
        record, = self.read(answer)
        self.assertEqual([record[c][0] for c in ("logprob", "entropy_lower", "rank", "tail_mass")], [None] * 4)

    def test_broken_logs(self):
        place = {"chosen": (20, b"a", 0.0), "top": [(20, b"a", 0.0), (21, b"b", -math.inf)], "rank": 1}
        for format, (write, _) in recorded.FORMATS.items():
            message = self.refused(self.lines(write([place] * 3)), says=(":1: every log-probability is 0", "speculative"))
        # The tokens' own are 0, where their lists say something else.
        real = recorded.openai_chat([{"chosen": (20, b"a", -0.5), "top": [(20, b"a", -0.5), (21, b"b", -2.0)], "rank": 1}] * 3)
        for token in real["choices"][0]["logprobs"]["content"]:
            token["logprob"] = 0.0
        self.refused(self.lines(real), says=("every log-probability is 0",))
        sure = {"chosen": (20, b"a", 0.0), "top": [(20, b"a", 0.0), (21, b"b", -20.0)], "rank": 1}
        self.assertEqual(len(self.read(recorded.tgi([sure] * 3))[0]["logprob"]), 3)  # tokens that are certain
        fine, = self.read(recorded.openai_chat([place]))  # one certain token is possible
        self.assertEqual(fine["entropy_lower"], [0])
        self.assertLess(fine["entropy_upper"][0], 1e-3)
        mixed = self.lines(recorded.tgi([dict(place, chosen=(20, b"a", -0.5), top=[])] * 2), recorded.tgi([place] * 2))
        self.refused(mixed, says=("log.jsonl:2: every",))
        self.assertEqual(len(self.score(mixed, "--skip-bad")), 1)

    def test_duplicates_and_sums(self):
        """Errors name file, line, choice and token; the rounding of a sum is none."""
        good = {"chosen": (20, b"a", -1.0), "top": [(20, b"a", -1.0), (21, b"b", -2.0)], "rank": 1}
        twice = dict(good, top=[(20, b"a", -1.0), (20, b"a", -2.0)])
        for format in ("openai chat", "llama-server", "tgi", "sglang", "ollama"):
            answer = recorded.FORMATS[format][0]([good, good, twice])
            self.refused(self.lines(recorded.tgi([good]), answer), says=("log.jsonl:2: choice 0, token 2", "twice"))
        self.refused(self.lines(recorded.openai_chat([good], [good, twice])), says=("log.jsonl:1: choice 1, token 1", '"a"'))
        for k in (2, 20):
            for share, fits in ((0.9, True), (1.2, False)):
                p = (1 + share * (k + 1) * 1e-5) / k
                top = [(20 + i, PIECES[20 + i], math.log(p)) for i in range(k)]
                path = self.lines(recorded.tgi([good, dict(good, chosen=top[0], top=top)]))
                if not fits:
                    self.refused(path, says=("log.jsonl:1: choice 0, token 1: the probabilities sum to 1.000",))
                    continue
                record, = self.score(path, "--vocab-size", VOCABULARY)
                self.assertEqual(record["tail_mass"][1], 0)
                self.assertLessEqual(record["entropy_lower"][1], math.log(k))
                self.assertGreaterEqual(record["entropy_upper"][1], math.log(k))
                self.assertLess(record["entropy_upper"][1] - record["entropy_lower"][1], 0.02)
        self.refused(self.lines(recorded.tgi([dict(good, chosen=(20, b"a", 0.5), top=[])])), says=("token 0", "above 0"))
        outside = dict(good, chosen=(25, b"z", -0.1))
        self.refused(self.lines(recorded.tgi([outside])), says=("choice 0, token 0", "sum to"))

    def test_after_sampling(self):
        """Probabilities after the sampling rules are said to be that, once."""
        places, _ = places_of(self.rng, 4, VOCABULARY)
        path = self.lines(recorded.llama_server_sampled(places), recorded.llama_server_sampled(places))
        done = run("score", path)
        self.assertEqual(done.stderr.decode().count("after the sampling rules"), 1)
        record = records(done.stdout)[0]
        self.near(record["logprob"], [place["chosen"][2] for place in places], 1e-5)
        self.assertNotIn("completion_probabilities", record)

    def test_rounded_numbers(self):
        """The digits of the numbers tell how they were rounded, and the interval holds the truth all the same."""
        sharp = np.exp(np.r_[0, -4 - np.arange(VOCABULARY - 1) / 20])  # most of it is in the top
        sharp /= sharp.sum()
        ways = {"4 decimals": lambda x: round(x, 4), "5 decimals": lambda x: round(x, 5), "6 decimals": lambda x: round(x, 6),
                "2 decimals": lambda x: round(x, 2), "f16": lambda x: float(np.float32(np.float16(x))),
                "bf16": lambda x: float((np.array([x], "f4").view("u4") + 0x8000 & 0xffff0000).view("f4")[0])}
        for name, rounded in ways.items():
            with self.subTest(name):
                answers, truths = [], []
                for i in range(6):
                    p = np.exp(np.log(sharp) * (1 + i / 3) + self.rng.normal(size=VOCABULARY) / 3)
                    truths.append(p / p.sum())
                places = []
                for p in truths:
                    order = np.argsort(-p)
                    entry = lambda token: (int(token), PIECES[token], rounded(float(np.log(p[token]))))
                    places.append({"chosen": entry(order[0]), "top": [entry(token) for token in order[:20]], "rank": 1})
                answer = recorded.tgi(places)
                record, = self.read(answer)
                for i, p in enumerate(truths):
                    self.assertLessEqual(record["entropy_lower"][i], entropy(p))
                    self.assertGreaterEqual(record["entropy_upper"][i], entropy(p))
                    self.assertLess(record["entropy_upper"][i] - record["entropy_lower"][i], 1.5)
        # A few short numbers are taken as they are written.
        record, = self.read(recorded.tgi([{"chosen": (20, b"a", -0.5), "top": [(20, b"a", -0.5), (21, b"b", -1.5)], "rank": 1}]))
        lower, upper, _ = bounds_of({"chosen": (20, b"a", -0.5), "top": [(20, b"a", -0.5), (21, b"b", -1.5)]}, VOCABULARY)
        self.assertAlmostEqual(record["entropy_lower"][0], lower, delta=1e-4)
        self.assertAlmostEqual(record["entropy_upper"][0], upper, delta=1e-4)

    def test_failed_requests(self):
        good = recorded.openai_batch([{"chosen": (20, b"a", -0.5), "top": [(20, b"a", -0.5)], "rank": 1}])
        path = self.lines(good, {"custom_id": "x", "response": {"status_code": 429, "body": {"error": {"message": "slow down"}}}},
                          {"custom_id": "y", "response": None, "error": {"message": "expired"}})
        self.refused(path, says=("log.jsonl:2: the request failed: slow down",))
        done = run("score", path, "--skip-bad")
        self.assertEqual((done.returncode, len(records(done.stdout))), (0, 1))
        self.assertIn(b"skipped     2 bad lines", done.stderr)

    def test_bad_members(self):
        good = {"chosen": (20, b"a", -1.0), "top": [(20, b"a", -1.0), (21, b"b", -2.0)], "rank": 1}
        chat = lambda **more: dict(recorded.openai_chat([good]), **more)
        def content(**more):
            answer = recorded.openai_chat([good, good])
            answer["choices"][0]["logprobs"]["content"][1].update(more)
            return answer
        legacy = recorded.openai_legacy([good])
        legacy["choices"][0]["logprobs"]["token_logprobs"] = []
        no_logprobs = recorded.openai_chat([good])
        no_logprobs["choices"][0]["logprobs"] = None
        tgi = recorded.tgi([good, good])
        tgi["details"]["top_tokens"].pop()
        sglang = recorded.sglang([good])
        sglang["meta_info"]["output_token_logprobs"][0] = [-1]
        vllm = recorded.vllm_prompt([good, good])
        vllm["choices"][0]["prompt_logprobs"][1] = {"x": {"logprob": -1}}
        chunk = dict(recorded.openai_chat([good]), object="chat.completion.chunk")
        for answer, words in ((content(logprob="x"), ("token 1", "expected a log-probability, found a string")),
                              (content(bytes=[256]), ("token 1", "bytes from 0 to 255")),
                              (content(bytes="x"), ("token 1", "bytes")),
                              (content(token=7), ("token 1", "text, found a number")),
                              (content(id=-1), ("token 1", "a token's number")),
                              (content(top_logprobs={}), ("token 1", "found an object")),
                              (content(top_logprobs=[3]), ("token 1", "found a number")),
                              (legacy, ("choice 0", "of the same length, found 1, 0 and 1")),
                              (no_logprobs, ("choice 0", "no log-probabilities", "top_logprobs")),
                              (tgi, ("1 lists", "2 tokens")), (sglang, ("token 0", "[logprob, id, text]")),
                              (vllm, ("token 1", 'found "x"')), (chunk, ("streamed",))):
            self.refused(self.lines(answer), says=("log.jsonl:1: ",) + words)


class Runs(RecordedCase):
    def many(self, n=12):
        answers = []
        for i in range(n):
            places, _ = places_of(self.rng, 5, 3)
            answers.append(dict(recorded.openai_chat(places, places[:2]), id=f"a{i}"))
        return self.lines(*answers)

    def test_resume(self):
        """An interrupted run goes on; a bad line is mended, and what was done is not done again."""
        path = self.many()
        whole = self.path("whole.jsonl")
        self.assertEqual(run("score", path, "-o", whole, "--vocab-size", VOCABULARY).returncode, 0)
        manifest = json.load(open(whole + ".manifest.json"))
        self.assertEqual(manifest["vocabulary_size"], VOCABULARY)
        self.assertIn("entropy_lower", manifest["columns"])
        self.assertIsNone(manifest["model"])
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        with open(path, "wb") as file:
            file.write(b"".join(lines[:7]) + lines[7].replace(b'"logprob": -', b'"logprob": "x-', 1))
        part = self.path("part.jsonl")
        message = run("score", path, "-o", part, "--vocab-size", VOCABULARY).stderr.decode()
        self.assertIn("log.jsonl:8", message)
        with open(path, "wb") as file:
            file.write(b"".join(lines))
        self.refused(path, "-o", part, "--vocab-size", VOCABULARY + 1, "--resume", says=('"vocabulary_size" was 400',))
        done = run("score", path, "-o", part, "--vocab-size", VOCABULARY, "--resume")
        self.assertIn(b"(14 of them were done before)", done.stderr)
        with open(whole, "rb") as a, open(part, "rb") as b:
            self.assertEqual(a.read(), b.read())
        again = run("score", path, "-o", whole, "--vocab-size", VOCABULARY).stderr.decode().splitlines()
        resumed = done.stderr.decode().splitlines()
        self.assertEqual([l for l in again if l.startswith(("entropy", "tail"))], [l for l in resumed if l.startswith(("entropy", "tail"))])

    def test_sample_and_dry_run(self):
        path = self.many()
        chosen = self.score(path, "--sample", "50%", "--seed", "3")
        self.assertTrue(0 < len(chosen) < 24)
        self.assertEqual(chosen, self.score(path, "--sample", "50%", "--seed", "3"))
        done = run("score", path, "--dry-run")
        self.assertEqual(done.stdout.decode().splitlines()[:2], ["documents   24", "tokens      84"])
        size = len(run("score", path).stdout)
        self.assertIn(f"output      about {size / 1000:.1f} kB", done.stdout.decode())

    def test_container(self):
        """The second container holds them too, and select reads the bounds from either."""
        path = self.many()
        flat, lines = self.path("out.safetensors"), self.path("out.jsonl")
        self.assertEqual(run("score", path, "-o", flat).returncode, 0)
        self.assertEqual(run("score", path, "-o", lines).returncode, 0)
        for by in ("entropy_lower", "tail_mass"):
            kept = [run("select", file, "--by", by, "--keep", "low:50%", "--emit", "spans").stdout for file in (flat, lines)]
            self.assertEqual(kept[0], kept[1])
            self.assertIn(b'"start"', kept[0])
        done = run("inspect", flat)
        self.assertIn(b"entropy_upper", done.stdout)


class Experiment(unittest.TestCase):
    @unittest.skipUnless(os.environ.get("ENTROL_MODEL"), "needs ENTROL_MODEL")
    def test_the_interval_holds_the_entropy(self):
        """bench/intervals.py in short: every format gives bounds that hold the entropy of every token of a model."""
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        done = subprocess.run([sys.executable, f"{root}/bench/intervals.py", ENTROL, os.environ["ENTROL_MODEL"], "--tokens", "300",
                               f"{root}/examples/alice.txt"], capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        rows = [line.split(" | ") for line in done.stdout.decode().splitlines() if line.startswith("| ")][1:]
        self.assertEqual([row[0].strip("| ") for row in rows], list(recorded.FORMATS))
        for row in rows:
            self.assertEqual(row[2], f"{row[1]} (100 %)", row[0])
            self.assertGreater(int(row[1]), 100)


if __name__ == "__main__":
    unittest.main()

"""`entrol select` beyond one rule: purposes, recipes, weights, references, groups, bounds. Expectations are computed here
from the papers' formulas."""
import hashlib
import json
import math
import os
import random
import re
import struct
import unittest

from test_select import Files, as_float, quantile, run


def npy(array, shape):
    """A .npy file of float64."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {tuple(shape)}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{len(array)}d", *array)


def entropy(p):
    return -sum(x * math.log(x) for x in p if x > 0)


class Recipes(Files):
    """Two models' records of the same documents, with everything that a recipe may look at."""

    def setUp(self):
        super().setUp()
        generator = random.Random(5)
        self.documents, self.others = [], []
        for d in range(12):
            n = generator.randrange(3, 30)
            document = {"id": f"d{d}", "token_id": [generator.randrange(100) for _ in range(n)],
                        "byte_start": list(range(n)), "byte_end": list(range(1, n + 1)), "text": "x" * n,
                        "logprob": [as_float(-generator.expovariate(0.4)) for _ in range(n)],
                        "entropy": [as_float(generator.expovariate(0.5)) for _ in range(n)],
                        "rank": [generator.choice((1, 2, 10, 11, 100, 1000, 1001, 5000)) for _ in range(n)],
                        "top_prob": [generator.random() for _ in range(n)],
                        "margin": [generator.random() for _ in range(n)],
                        "mean_topk_logprob": [as_float(-generator.expovariate(0.1)) for _ in range(n)]}
            other = {"id": f"d{d}", "token_id": document["token_id"],
                     "logprob": [as_float(-generator.expovariate(0.4)) for _ in range(n)],
                     "entropy": [as_float(generator.expovariate(0.5)) for _ in range(n)]}
            self.documents.append(document)
            self.others.append(other)
        self.path_of = self.write("records.jsonl", self.documents)
        self.reference = self.write("reference.jsonl", self.others)

    def same(self, shorthand, *explicit):
        """A recipe is its rule, typed."""
        self.assertEqual(self.select(*shorthand, self.path_of).stdout, self.select(*explicit, self.path_of).stdout)

    def test_purposes_are_their_rules(self):
        self.same(["--for=self-training"], "--keep=low:80%")
        self.same(["--for=active-learning"], "--level=sample", "--keep=high:100", "--emit=samples")
        self.same(["--for=distillation"], "--mask=high:20%")
        self.same(["--for=noise"], "--mask=high:20%")
        self.same(["--for=defects"], "--by=surprisal", "--keep=high:1%", "--emit=spans")
        self.same(["--for=reinforcement"], "--keep=high:20%")

    def test_every_part_can_be_given_otherwise(self):
        self.same(["--for=noise", "--mask=high:5%"], "--mask=high:5%")
        self.same(["--for=noise", "--keep=low:9"], "--keep=low:9")
        self.same(["--for=defects", "--emit=records", "--by=rank"], "--by=rank", "--keep=high:1%")
        self.same(["--recipe=8020", "--scope=document"], "--keep=high:=20%", "--scope=document")

    def test_recipes_are_their_rules(self):
        self.same(["--recipe=8020"], "--keep=high:=20%")
        self.same(["--recipe=trl"], "--keep=p80..", "--quantile=torch")
        self.same(["--recipe=se-kd"], "--keep=high:20%", "--scope=document")
        self.same(["--recipe=gltr"], "--by=rank", "--keep=1001..", "--emit=spans")
        self.same(["--recipe=robustft"], "--level=sample", "--by=surprisal", "--keep=low:50%", "--emit=samples")
        self.same(["--recipe=ccnet"], "--level=sample", "--by=perplexity", "--keep=..p30", "--emit=samples")

    def kept_ids(self, *arguments):
        return [json.loads(line)["id"] for line in self.select(*arguments, self.path_of).stdout.splitlines()]

    def ranked(self, value, k, greatest):
        values = [value(d) for d in self.documents]
        order = sorted(range(len(values)), key=lambda i: (-1 if greatest else 1) * values[i])[:k]
        return [d["id"] for i, d in enumerate(self.documents) if i in order]

    def test_sample_recipes(self):
        mean = lambda v: sum(v) / len(v)
        self.assertEqual(self.kept_ids("--recipe=margin", "--keep=low:4"),
                         self.ranked(lambda d: mean([as_float(x) for x in d["margin"]]), 4, False))
        self.assertEqual(self.kept_ids("--recipe=least-confidence", "--keep=low:4"),
                         self.ranked(lambda d: mean([as_float(x) for x in d["top_prob"]]), 4, False))

        def worst(d, n=5):
            c = [-x for x in d["mean_topk_logprob"]]
            return min(mean(c[i:i + n]) for i in range(max(1, len(c) - n + 1)))
        self.assertEqual(self.kept_ids("--recipe=deepconf", "--scope=corpus", "--by=confidence_window_min:5", "--keep=high:3"),
                         self.ranked(worst, 3, True))

        def hes(d):
            top = sorted(d["entropy"], reverse=True)
            return sum(top[:max(1, math.ceil(0.25 * len(top)))])
        self.assertEqual(self.kept_ids("--recipe=hes", "--by=entropy_top_sum:25", "--keep=high:3"),
                         self.ranked(hes, 3, True))

    def test_rho1_and_token_cleaning(self):
        """The excess loss is the model's loss less the reference's; Rho-1 takes exactly the top 60 %."""
        excess = [[as_float(b - a) for a, b in zip(d["logprob"], o["logprob"])]
                  for d, o in zip(self.documents, self.others)]
        flags = ["--reference", self.reference, self.path_of]
        everything = [v for values in excess for v in values]
        last = sorted(everything, reverse=True)[int(len(everything) * 0.6 + 0.9999) - 1]
        self.assertEqual(self.keeps("--recipe=rho1", *flags), [[v >= last for v in values] for values in excess])
        expected = [[v >= quantile(everything, 0.4) for v in values] for values in excess]
        self.assertEqual(self.keeps("--recipe=token-cleaning", *flags), expected)
        self.assertIn("--reference FILE gives it", self.refused("--recipe=rho1", self.path_of))

    def test_ifd(self):
        alone = self.write("alone.jsonl", [{"id": o["id"], "logprob": o["logprob"][1:]} for o in self.others])
        ppl = lambda v: math.exp(-sum(v) / len(v))
        keep = [d["id"] for d, o in zip(self.documents, self.others) if ppl(d["logprob"]) / ppl(o["logprob"][1:]) < 1]
        self.assertTrue(0 < len(keep) < 12)
        self.assertEqual(self.kept_ids("--recipe=ifd", "--reference", alone), keep)

    def test_teacher_entropy(self):
        everything = [v for o in self.others for v in o["entropy"]]
        expected = [[v >= quantile(everything, 0.8) for v in o["entropy"]] for o in self.others]
        self.assertEqual(self.keeps("--recipe=eopd", "--reference", self.reference, self.path_of), expected)

    def test_unexpected(self):
        values = [[as_float(-lp - h) for lp, h in zip(d["logprob"], d["entropy"])] for d in self.documents]
        everything = [v for row in values for v in row]
        expected = [[v >= quantile(everything, 0.99) for v in row] for row in values]
        self.assertEqual(self.keeps("--recipe=unexpected", "--emit=records", self.path_of), expected)

    def test_todi_weights(self):
        lines = self.select("--recipe=todi", "--reference", self.reference, self.path_of).stdout.splitlines()
        for line, d, o in zip(lines, self.documents, self.others):
            record = json.loads(line)
            self.assertEqual(record["keep"], [True] * len(d["entropy"]))
            for weight, student, teacher in zip(record["weight"], d["logprob"], o["logprob"]):
                self.assertAlmostEqual(weight, 1 / (1 + math.exp(-(teacher - student))), places=6)

    def test_bad_names(self):
        self.assertIn("did you mean noise", self.refused("--for", "nois"))
        self.assertIn("did you mean rho1", self.refused("--recipe", "rho-1"))
        self.assertIn("there are self-training, ", self.refused("--for", "zzzzzzzz"))
        self.assertIn("exclude each other", self.refused("--for", "noise", "--recipe", "8020"))
        self.assertIn("unknown --for fixmatch", self.refused("--for", "fixmatch"))
        self.assertIn("--scope group:FIELD", self.refused("--recipe", "deepconf"))
        self.assertIn("chooses samples, not tokens", self.refused("--recipe", "hes", "--level", "token"))

    def test_help_cites_every_recipe(self):
        text = " ".join(run("select", "--help").stdout.decode().split())
        for source in ("2001.07685", "2110.08263", "2508.15260", "2412.14922", "2404.07965", "2308.12032", "2602.01395",
                       "2605.22389", "2506.01939", "1112.5745"):
            self.assertIn(source, text)

    def test_summary_names_the_recipe(self):
        self.assertIn(b"recipe      8020: --keep high:=20% --by entropy (arXiv 2506.01939)\n",
                      self.select("--recipe=8020", self.path_of).stderr)


    def test_a_run_is_repeated_from_its_manifest(self):
        for number, flags in enumerate((["--recipe=todi", "--reference", self.reference, "--emit=labels"],
                                        ["--for=noise", "--emit=trl"], ["--recipe=gltr"],
                                        ["--keep=high:9", "--tie-seed=5", "--emit=records"])):
            out = self.path(f"out{number}.jsonl")
            self.select(*flags, "-o", out, self.path_of)
            with open(out, "rb") as file:
                first = file.read()
            with open(out + ".manifest.json", encoding="utf-8") as file:
                manifest = json.load(file)
            os.remove(out)
            again = run(*manifest["command"])
            self.assertEqual(again.returncode, 0, again.stderr)
            with open(out, "rb") as file:
                self.assertEqual(file.read(), first)
            self.assertEqual(manifest["inputs"][0]["sha256"], hashlib.sha256(open(self.path_of, "rb").read()).hexdigest())
            self.assertEqual([r["path"] for r in manifest.get("references", [])], [self.reference] * (number == 0))
            self.assertEqual(manifest.get("recipe", manifest.get("for")), {0: "todi", 1: "noise", 2: "gltr"}.get(number))


class References(Files):
    def test_what_does_not_match(self):
        a = self.write("a.jsonl", [{"id": "x", "token_id": [1, 2], "logprob": [-1.0, -2.0]},
                                   {"id": "y", "token_id": [3], "logprob": [-1.0]}])
        texts = [self.write(f"t{i}.jsonl", [{"text": t, "logprob": [-1.0]}]) for i, t in enumerate("ab")]
        self.assertIn("their texts", self.refused("--recipe=token-cleaning", "--reference", *texts))
        cases = [("it ends after 1", [{"id": "x", "token_id": [1, 2], "logprob": [-1.0, -2.0]}]),
                 ("their ids", [{"id": "z", "token_id": [1, 2], "logprob": [-1.0, -2.0]}]),
                 ("their token_id", [{"id": "x", "token_id": [1, 3], "logprob": [-1.0, -2.0]}]),
                 ("as many tokens", [{"id": "x", "token_id": [1], "logprob": [-1.0]}]),
                 ("more documents", [{"id": "x", "token_id": [1, 2], "logprob": [-1.0, -2.0]},
                                     {"id": "y", "token_id": [3], "logprob": [-1.0]}, {"id": "z", "logprob": [-1.0]}])]
        for words, documents in cases:
            b = self.write("b.jsonl", documents)
            message = self.refused("--recipe=token-cleaning", "--reference", b, a)
            self.assertIn(words, message)
            self.assertIn("b.jsonl" if words == "more documents" else "a.jsonl:", message)

    def test_several_files_follow_each_other(self):
        documents = [{"id": str(i), "logprob": [float(-i), -1.0]} for i in range(6)]
        whole = self.write("whole.jsonl", documents)
        parts = [self.write("1.jsonl", documents[:2]), self.write("2.jsonl", documents[2:])]
        a = self.write("a.jsonl", [{"id": str(i), "logprob": [-3.0, -2.0]} for i in range(6)])
        once = self.select("--recipe=token-cleaning", "--reference", whole, a).stdout
        self.assertEqual(once, self.select("--recipe=token-cleaning", "--reference", parts[0], "--reference", parts[1],
                                           a).stdout)

    def test_it_takes_the_place_of_columns_that_are_there(self):
        """And none of it is written, in any container."""
        a = self.write("a.jsonl", [{"id": "x", "logprob": [-1.0, -1.0], "reference_logprob": [-9.0, -5.0]}])
        b = self.write("b.jsonl", [{"id": "x", "logprob": [-5.0, -9.0]}])
        self.assertEqual(self.keeps("--by=excess_loss", "--keep=high:1", a), [[False, True]])
        for scope in ("corpus", "document"):
            self.assertEqual(self.keeps("--by=excess_loss", "--keep=high:1", "--scope", scope, "--reference", b, a),
                             [[True, False]])
            out = self.path(f"{scope}.safetensors")
            self.select("--by=excess_loss", "--keep=high:1", "--scope", scope, "--reference", b, "-o", out, a)
            line = json.loads(self.select("--keep=p0..p100", "--by=logprob", out).stdout)
            self.assertEqual(line["reference_logprob"], [-9.0, -5.0])

    def test_divergences_need_distributions(self):
        a = self.write("a.jsonl", [{"logprob": [-1.0]}])
        for by in ("kl_pq", "jsd", "bald"):
            self.assertIn("entrol compare", self.refused("--by", by, "--keep=low:5", a))
        self.assertIn("entrol compare", self.refused("--recipe=bald", a))


class ClassProbabilities(Files):
    def setUp(self):
        super().setUp()
        generator = random.Random(11)
        self.rows = []
        for i in range(60):
            sharp = generator.choice((0.5, 3, 12))
            raw = [math.exp(sharp * generator.gauss(0, 1)) for _ in range(4)]
            self.rows.append([x / sum(raw) for x in raw])
        self.lines = self.write("probs.jsonl", [{"id": i, "probs": p} for i, p in enumerate(self.rows)])
        self.matrix = self.path("probs.npy")
        with open(self.matrix, "wb") as file:
            file.write(npy([x for row in self.rows for x in row], (60, 4)))

    def kept(self, *arguments):
        return [json.loads(line) for line in self.select(*arguments).stdout.splitlines()]

    def test_fixmatch(self):
        expected = [i for i, p in enumerate(self.rows) if as_float(max(p)) >= as_float(0.95)]
        self.assertTrue(2 < len(expected) < 58)
        self.assertEqual([d["id"] for d in self.kept("--recipe=fixmatch", self.lines)], expected)
        rows = self.kept("--recipe=fixmatch", self.matrix)
        self.assertEqual([d["row"] for d in rows], expected)
        for d in rows:
            self.assertEqual(d["probs"], self.rows[d["row"]])
            self.assertEqual(d["class"], max(range(4), key=lambda c: self.rows[d["row"]][c]))

    def test_flexmatch(self):
        """TorchSSL's update with its warm-up, then its mask."""
        top = [max(range(4), key=lambda c: p[c]) for p in self.rows]
        sure = [sum(1 for p, c in zip(self.rows, top) if c == k and as_float(max(p)) >= as_float(0.95)) for k in range(4)]
        most = max(*sure, 60 - sum(sure))
        beta = [s / most for s in sure]
        expected = [i for i, p in enumerate(self.rows)
                    if as_float(max(p)) >= as_float(0.95 * beta[top[i]] / (2 - beta[top[i]]))]
        fixmatch = [i for i, p in enumerate(self.rows) if as_float(max(p)) >= as_float(0.95)]
        self.assertNotEqual(expected, fixmatch)
        mask = run("select", "--recipe=flexmatch", "--mask=flexmatch:0.95", self.lines)
        self.assertEqual([json.loads(line)["id"] for line in mask.stdout.splitlines()],
                         [i for i in range(60) if i not in expected])
        shown = self.select("--recipe=flexmatch", "--preview", self.lines).stdout.decode()
        self.assertEqual(sum(int(n) for n in re.findall(r"keeps (\d+) of", shown)), len(expected))
        labelled = self.write("labelled.jsonl", [{"id": i, "class": i % 4, "probs": p} for i, p in enumerate(self.rows)])
        self.assertEqual([d["id"] for d in self.kept("--recipe=flexmatch", labelled)], expected)
        self.assertEqual([d["id"] for d in self.kept("--recipe=flexmatch", self.lines)], expected)
        self.assertEqual([d["row"] for d in self.kept("--recipe=flexmatch", self.matrix)], expected)
        self.assertIn("--scope group:class", self.refused("--keep=flexmatch:0.95", "--level=sample", self.lines))
        for cutoff in ("2", "0", "x", "0x1p-1", " 0.5", "0.5..", ""):
            self.assertIn("expected flexmatch:", self.refused(f"--keep=flexmatch:{cutoff}", "--level=sample",
                                                              "--scope=group:class", self.lines))

    def ranking(self, value, k, greatest):
        values = [as_float(value(p)) for p in self.rows]
        return sorted(sorted(range(60), key=lambda i: (-values[i] if greatest else values[i], i))[:k])

    def test_active_learning(self):
        second = lambda p: sorted(p)[-2]
        for flags, expected in ((["--for=active-learning", "--keep=high:7"], self.ranking(entropy, 7, True)),
                                (["--recipe=margin", "--keep=low:7"],
                                 self.ranking(lambda p: max(p) - second(p), 7, False)),
                                (["--recipe=least-confidence", "--keep=low:7"], self.ranking(max, 7, False))):
            self.assertEqual([d["id"] for d in self.kept(*flags, self.lines)], expected)
            self.assertEqual([d["row"] for d in self.kept(*flags, self.matrix)], expected)

    def test_bald(self):
        generator = random.Random(2)
        models = []
        for _ in range(20):
            members = []
            for _ in range(3):
                raw = [math.exp(generator.gauss(0, 2)) for _ in range(5)]
                members.append([x / sum(raw) for x in raw])
            models.append(members)

        def bald(members):
            mean = [sum(m[c] for m in members) / 3 for c in range(5)]
            return entropy(mean) - sum(map(entropy, members)) / 3
        expected = sorted(sorted(range(20), key=lambda i: -bald(models[i]))[:6])
        path = self.write("models.jsonl", [{"id": i, "probs": m} for i, m in enumerate(models)])
        self.assertEqual([d["id"] for d in self.kept("--recipe=bald", "--keep=high:6", path)], expected)
        cube = self.path("models.npy")
        with open(cube, "wb") as file:
            file.write(npy([x for m in models for p in m for x in p], (20, 3, 5)))
        self.assertEqual([d["row"] for d in self.kept("--recipe=bald", "--keep=high:6", cube)], expected)
        self.assertIn("no number \"bald\"", self.refused("--recipe=bald", self.lines).replace("bald_mean", "bald"))

    def test_quota_for_each_class(self):
        kept = self.kept("--for=active-learning", "--scope=group:class", "--keep=high:2", self.matrix)
        top = [max(range(4), key=lambda c: p[c]) for p in self.rows]
        expected = []
        for k in range(4):
            members = [i for i in range(60) if top[i] == k]
            expected += sorted(members, key=lambda i: -entropy(self.rows[i]))[:2]
        self.assertEqual([d["row"] for d in kept], sorted(expected))

    def test_what_is_no_distribution(self):
        for probs in ([0.5, 0.6], [1.0], [0.5, "x"], [[0.5, 0.5], [1.0]], [-0.5, 1.5], 3, [], [0.5, None]):
            path = self.write("bad.jsonl", [{"probs": [0.5, 0.5]}, {"probs": probs}])
            message = self.refused("--recipe=fixmatch", path)
            self.assertIn("bad.jsonl:2", message)
            self.assertIn("probs: expected probabilities", message)
        bad = self.path("bad.npy")
        for array, shape, words in (([0.5] * 4, (4,), "(4)"), ([0.5, 0.5, 0.9, 0.9], (2, 2), "bad.npy:2")):
            with open(bad, "wb") as file:
                file.write(npy(array, shape))
            self.assertIn(words, self.refused("--recipe=fixmatch", bad))
        self.assertIn("--level sample", self.refused("--keep=low:5", self.matrix))


class Groups(Files):
    def test_tokens_of_groups(self):
        generator = random.Random(3)
        documents = [{"id": i, "source": generator.choice(("a", "b", 7, True)),
                      "entropy": [as_float(generator.random()) for _ in range(generator.randrange(1, 9))]}
                     for i in range(40)]
        path = self.write("in.jsonl", documents)
        expected = []
        for d in documents:
            values = [v for e in documents if e["source"] is d["source"] for v in e["entropy"]]
            expected.append([v <= quantile(values, 0.3) for v in d["entropy"]])
        self.assertEqual(self.keeps("--keep=low:30%", "--scope=group:source", path), expected)
        out = self.path("out.jsonl")
        said = self.select("--keep=low:30%", "--scope=group:source", "--unit=nats", "-o", out, path).stderr.decode()
        self.assertIn("group by group", said)
        with open(out + ".manifest.json", encoding="utf-8") as file:
            groups = {g["name"]: g for g in json.load(file)["groups"]}
        for name in ("a", "b", 7, True):
            values = [v for e in documents if e["source"] is name for v in e["entropy"]]
            text, threshold = json.dumps(name).strip('"'), quantile(values, 0.3)
            kept = sum(v <= threshold for v in values)
            self.assertIn(f"group       {text}: {len(values)} with a value, {kept} kept, at most {threshold:.6g} nats\n", said)
            self.assertEqual(groups[text], {"name": text, "valid": len(values), "kept": kept, "low": None,
                                            "high": groups[text]["high"]})
            self.assertAlmostEqual(groups[text]["high"], threshold, places=12)

    def test_a_missing_group(self):
        path = self.write("in.jsonl", [{"source": "a", "entropy": [1.0]}, {"source": None, "entropy": [1.0]}])
        message = self.refused("--keep=low:30%", "--scope=group:source", path)
        self.assertIn("in.jsonl:2", message)
        self.assertIn('no field "source"', message)
        self.assertIn("expected corpus, document or group:FIELD", self.refused("--keep=low:1", "--scope=groups", path))

    def test_duplicates(self):
        path = self.write("in.jsonl", [{"id": i, "text": t, "entropy_mean": v} for i, (t, v) in enumerate(
            [("a", 5.0), ("b", 4.0), ("a", 9.0), ("c", 3.0), ("b", 4.0)])])
        result = self.select("--level=sample", "--keep=high:3", "--unique=text", path)
        self.assertEqual([json.loads(line)["id"] for line in result.stdout.splitlines()], [0, 1, 3])
        self.assertIn(b"duplicates  2 documents have the text of an earlier one", result.stderr)
        self.assertIn('no field "url"', self.refused("--level=sample", "--keep=high:3", "--unique=url", path))

    def test_each_group_draws_for_itself(self):
        path = self.write("in.jsonl", [{"g": i // 5, "i": i % 5, "entropy": [1.0] * 5} for i in range(1000)])
        for flags in (["--level=sample", "--scope=group:g"], ["--scope=document", "--emit=spans"]):
            places = [0] * 5
            if "--emit=spans" in flags:
                for keep in self.keeps("--scope=document", "--keep=high:1", "--tie-seed=3", path):
                    places[keep.index(True)] += 1
            else:
                for line in self.select(*flags, "--keep=high:1", "--tie-seed=3", path).stdout.splitlines():
                    places[json.loads(line)["i"]] += 1
            n = sum(places)
            self.assertLess(sum((p - n / 5) ** 2 / (n / 5) for p in places), 18.5, places)  # 1 in 1,000, 4 degrees

    def test_drawn_ties(self):
        path = self.write("in.jsonl", [{"entropy": [1.0] * 50 + [2.0]}])
        seen = set()
        for seed in range(1, 9):
            keep = self.keeps("--keep=high:11", f"--tie-seed={seed}", path)
            self.assertEqual(keep, self.keeps("--keep=high:11", f"--tie-seed={seed}", path))
            self.assertTrue(keep[0][50])
            self.assertEqual(sum(keep[0]), 11)
            seen.add(tuple(keep[0]))
        self.assertEqual(len(seen), 8)
        self.assertIn(b"drawn by --tie-seed", self.select("--keep=high:11", "--tie-seed=3", path).stderr)


class Weights(Files):
    def setUp(self):
        super().setUp()
        self.values = [0.0, 1.0, 1.5, 2.0, 3.0, None]
        self.file = self.write("in.jsonl", [{"token_id": [1, 2, 3, 4, 5, 6], "entropy": self.values,
                                             "context_ids": [[0, [9, 8]]]}])

    def weights(self, *arguments):
        return [as_float(w) for w in json.loads(self.select(*arguments, self.file).stdout)["weight"]]

    def test_ramps(self):
        self.assertEqual(self.weights("--weight=rise:1..2"), [0, 0, 0.5, 1, 1, 0])
        self.assertEqual(self.weights("--weight=fall:1..2"), [1, 1, 0.5, 0, 0, 0])
        self.assertEqual(self.weights("--weight=fall:p25..p75"), [1, 1, 0.5, 0, 0, 0])
        self.assertEqual(self.weights("--weight=fall:1..2", "--mask=..0.5"), [0, 1, 0.5, 0, 0, 0])

    def test_percentiles_to_the_ends(self):
        self.assertEqual(self.weights("--weight=rise:p0..p100"), [0, as_float(1 / 3), 0.5, as_float(2 / 3), 1, 0])
        self.assertEqual(self.weights("--weight=rise:p50..p100"), [0, 0, 0, as_float(1 / 3), 1, 0])

    def test_sigmoid(self):
        for weight, value in zip(self.weights("--weight=sigmoid"), self.values):
            self.assertAlmostEqual(weight, 1 / (1 + math.exp(-value)) if value is not None else 0, places=6)

    def test_other_bytes_stay(self):
        with open(self.file, "rb") as file:
            line = file.read()
        out = self.select("--weight=rise:1..2", self.file).stdout
        self.assertTrue(out.startswith(line.rstrip(b"\n")[:-1] + b', "keep": ['))
        again = self.write("again.jsonl", [out.rstrip(b"\n")])
        self.assertEqual(self.select("--weight=rise:1..2", again).stdout, out)

    def test_trainers_get_them(self):
        for emit in ("labels", "trl"):
            line = json.loads(self.select("--weight=fall:1..2", f"--emit={emit}", self.file).stdout)
            self.assertEqual(line["weights"], [0, 0, 1, 1, 0.5, 0, 0, 0])
            self.assertEqual(len(line["input_ids"]), 8)

    def test_what_cannot_be(self):
        self.assertIn("expected sigmoid, rise:A..B", self.refused("--weight=ramp", self.file))
        self.assertIn("--weight is for tokens", self.refused("--weight=sigmoid", "--emit=spans", self.file))
        self.assertIn("--weight is for tokens", self.refused("--weight=sigmoid", "--level=sample", self.file))


class Bounds(Files):
    """Where of each entropy only bounds are known: whatever the true values are, what is decided is right."""

    def setUp(self):
        super().setUp()
        self.generator = random.Random(8)
        self.documents = []
        for d in range(8):
            n = 30
            lower = [as_float(self.generator.random() * 3) for _ in range(n)]
            width = [self.generator.choices((0, 0.01, 0.3, 5), (4, 8, 4, 1))[0] for _ in range(n)]
            self.documents.append({"id": d, "entropy_lower": lower,
                                   "entropy_upper": [as_float(a + w) for a, w in zip(lower, width)]})
        self.file = self.write("bounds.jsonl", self.documents)

    def truth(self):
        return [{"id": d["id"], "entropy": [self.generator.uniform(a, b) for a, b in
                                            zip(d["entropy_lower"], d["entropy_upper"])]} for d in self.documents]

    def perhaps_kept(self, *arguments):
        """Where nothing may be sure: exit code 1."""
        done = run("select", *arguments)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return [json.loads(line)["keep"] for line in done.stdout.splitlines()], done.stderr

    def test_decisions_hold_for_every_truth(self):
        for rule in ("high:20%", "low:80%", "1..2", "p10..p90", "high:40", "low:17", "high:=10%", "..1.5"):
            for flag in ("--keep", "--mask"):
                sure, said = self.perhaps_kept(flag, rule, self.file)
                perhaps, _ = self.perhaps_kept(flag, rule, "--undecided=keep", self.file)
                n_undecided = sum(a != b for x, y in zip(sure, perhaps) for a, b in zip(x, y))
                self.assertTrue(0 < n_undecided < 240, (rule, n_undecided))
                self.assertIn(f"undecided   {n_undecided} ".encode(), said)
                for _ in range(4):
                    path = self.write("truth.jsonl", self.truth())
                    for s, p, t in zip(sure, perhaps, self.keeps(flag, rule, path)):
                        for a, b, c in zip(s, p, t):
                            self.assertTrue((not a or c) and (b or not c), rule)

    def test_by_document_and_sample(self):
        sure = self.keeps("--keep=high:20%", "--scope=document", self.file)
        perhaps = self.keeps("--keep=high:20%", "--scope=document", "--undecided=keep", self.file)
        path = self.write("truth.jsonl", self.truth())
        for s, p, t in zip(sure, perhaps, self.keeps("--keep=high:20%", "--scope=document", path)):
            self.assertTrue(all((not a or c) and (b or not c) for a, b, c in zip(s, p, t)))
        flags = ["--level=sample", "--keep=1..2", "--by=entropy_median"]
        ids = lambda *f: {json.loads(line)["id"] for line in run("select", *flags, *f).stdout.splitlines()}
        self.assertTrue(ids(self.file) <= ids(path) <= ids("--undecided=keep", self.file))

    def test_known_values_among_them(self):
        """Exact documents first, bounds after them: no value is lost."""
        mixed = self.write("mixed.jsonl", [{"id": "e", "entropy": [0.1, 2.9, 1.0]}] + self.documents)
        exact = self.write("exact.jsonl", [{"id": "e", "entropy": [0.1, 2.9, 1.0]}] + [
            {"id": d["id"], "entropy_lower": d["entropy_lower"], "entropy_upper": d["entropy_lower"]}
            for d in self.documents])
        plain = self.write("plain.jsonl", [{"id": "e", "entropy": [0.1, 2.9, 1.0]}] + [
            {"id": d["id"], "entropy": d["entropy_lower"]} for d in self.documents])
        self.assertEqual(self.keeps("--keep=1..2", exact), self.keeps("--keep=1..2", plain))
        self.assertEqual(self.keeps("--keep=low:30%", exact), self.keeps("--keep=low:30%", plain))
        self.assertEqual(len(self.keeps("--keep=low:30%", mixed)), 9)

    def test_what_is_certain_is_decided(self):
        """Whatever the others are: one of one, all of fewer than the count, the greatest of a share."""
        one = self.write("one.jsonl", [{"entropy_lower": [1.0], "entropy_upper": [9.0]}])
        for rule in ("high:100", "low:100%", "high:1", "high:20%", "low:0%", "high:=1%"):
            self.assertEqual(self.keeps(f"--keep={rule}", "--undecided=error", one), [[True]], rule)
        self.assertEqual(len(self.select("--for=active-learning", "--undecided=error", one).stdout.splitlines()), 1)
        path = self.write("some.jsonl", [{"entropy_lower": [1.0, 2.0, 6.0, 5.0, 0.0], "entropy_upper": [3.0, 4.0, 7.0, 8.0, 0.5]}])
        self.assertEqual(self.keeps("--keep=high:2", path), [[False, False, True, True, False]])
        self.assertEqual(self.keeps("--keep=low:=20%", path), [[False, False, False, False, True]])
        self.assertNotIn(b"undecided", self.select("--keep=high:2", path).stderr)

    def test_undecided_as_an_error(self):
        message = self.refused("--keep=high:20%", "--undecided=error", self.file)
        self.assertRegex(message, r"bounds.jsonl:\d+ \(\d+\), token \d+: entropy is between .* nats")

    def test_an_end_that_is_missing_or_open(self):
        path = self.write("in.jsonl", [{"entropy_lower": [1.0, 2.0, None, 0.0],
                                        "entropy_upper": [1.5, "Infinity", 3.0, None]}])
        self.assertEqual(self.keeps("--keep=1..", path), [[True, True, None, None]])
        self.assertEqual(self.keeps("--keep=..5", path), [[True, False, None, None]])


class Explained(Files):
    def setUp(self):
        super().setUp()
        self.file = self.write("in.jsonl", [{"id": "a", "text": "onetwo\tsix", "byte_start": [0, 3, 6, 10],
                                             "byte_end": [3, 6, 10, 10], "entropy": [0.5, 1.0, 3.0, None]}])

    def test_every_token_has_its_reason(self):
        lines = self.select("--keep=..1", "--unit=nats", "--explain", self.file).stdout.decode().splitlines()
        self.assertEqual(lines, [
            'a\t0\t"one"\tkept\tentropy 0.5 nats is within: --keep ..1 is at most 1 nats',
            'a\t1\t"two"\tkept\tentropy 1 nats is within: --keep ..1 is at most 1 nats',
            'a\t2\t"\\tsix"\tdropped\tentropy 3 nats is above the threshold: --keep ..1 is at most 1 nats',
            'a\t3\t""\tdropped\tit has no value'])

    def test_what_does_not_count_has_its_reason(self):
        path = self.write("r.jsonl", [{"id": "a\tb", "text": "t", "entropy": ["NaN", None, 1.0]},
                                      {"id": "c", "text": "t", "entropy": [1.0]}])
        lines = self.select("--keep=low:0", "--unique=text", "--unit=nats", "--explain", path, code=1).stdout.decode()
        self.assertEqual(lines.splitlines(), [
            "a?b\t0\t-\tdropped\tit is NaN", "a?b\t1\t-\tdropped\tit has no value",
            "a?b\t2\t-\tdropped\tentropy 1 nats: --keep low:0 is nothing",
            "c\t0\t-\tdropped\tan earlier document has the same"])

    def test_documents(self):
        path = self.write("s.jsonl", [{"id": "x", "entropy_mean": 1.0}, {"id": "y", "entropy_mean": 2.0}])
        lines = self.select("--level=sample", "--keep=high:1", "--unit=nats", "--explain", path).stdout.decode()
        self.assertEqual(lines, "x\tdropped\tentropy_mean 1 nats is below the threshold: --keep high:1 is at least 2 "
                                "nats\ny\tkept\tentropy_mean 2 nats is the value at which the count ends: --keep high:1 "
                                "is at least 2 nats\n")

    def test_preview_writes_nothing_and_is_the_quantiles(self):
        values = [as_float(random.Random(4).random() * (i // 7)) for i in range(500)]  # each seven times
        path = self.write("v.jsonl", [{"entropy": values}])
        result = self.select("--keep=high:20%", "--unit=nats", "--preview", path)
        rows = {}
        for line in result.stdout.decode().splitlines()[1:16]:
            share, _, low, n_low, high, n_high = line.split()[:6]
            rows[float(share)] = float(low), int(n_low), float(high), int(n_high)
        self.assertEqual(len(rows), 15)
        for share, (low, n_low, high, n_high) in rows.items():
            self.assertAlmostEqual(low, quantile(values, share / 100), delta=2e-5 * low)
            self.assertAlmostEqual(high, quantile(values, 1 - share / 100), delta=2e-5 * high)
            self.assertEqual(n_low, sum(v <= quantile(values, share / 100) for v in values))
            self.assertEqual(n_high, sum(v >= quantile(values, 1 - share / 100) for v in values))
        kept = sum(v >= quantile(values, 0.8) for v in values)
        self.assertIn(f"--keep high:20% keeps {kept} of 500 tokens", result.stdout.decode())
        self.assertEqual(result.stderr, b"")
        self.assertIn("not with -o", self.refused("--keep=low:1", "--preview", "-o", self.path("out.jsonl"), path))
        self.assertIn("not with --explain", self.refused("--keep=low:1", "--preview", "--explain", path))

    def test_preview_of_nothing(self):
        path = self.write("g.jsonl", [{"entropy": [None]}])
        self.assertEqual(self.select("--keep=high:1", "--preview", path, code=1).stdout,
                         b"--keep high:1 keeps 0 of 0 tokens (0 %)\n")

    def test_preview_of_groups(self):
        path = self.write("g.jsonl", [{"s": "a", "entropy": [1.0, 2.0]}, {"s": "b", "entropy": [3.0, 4.0, 5.0]}])
        out = self.select("--keep=high:1", "--scope=group:s", "--preview", path).stdout.decode()
        self.assertEqual(out, "a: --keep high:1 keeps 1 of 2 tokens (50 %)\nb: --keep high:1 keeps 1 of 3 tokens "
                              "(33.3333 %)\n")
        self.assertIn("not with --scope document", self.refused("--keep=high:1", "--scope=document", "--preview", path))


class OddBounds(Files):
    def test_ends_that_cannot_be(self):
        path = self.write("in.jsonl", [{"entropy_lower": [1.0], "entropy_upper": [0.5]}])
        self.assertIn("in.jsonl:1 (document 1), token 0: entropy_lower is 1, and entropy_upper 0.5",
                      self.refused("--keep=1..", path))
        self.assertIn("entropy_lower is 1", self.refused("--keep=1..", "--level=sample", path))

    def test_nan_and_missing_ends_count_once(self):
        path = self.write("in.jsonl", [{"entropy_lower": ["NaN", 1.0, None, 1.0, 1.0],
                                        "entropy_upper": [1.0, "NaN", 1.0, None, 2.0]}])
        done = self.select("--keep=..5", path)
        self.assertEqual(json.loads(done.stdout)["keep"], [None] * 4 + [True])
        self.assertIn(b"missing     2 ", done.stderr)
        self.assertIn(b"entropy is NaN at 2 of the tokens", done.stderr)

    def test_statistics_are_of_tokens_that_have_both(self):
        path = self.write("in.jsonl", [{"id": "a", "entropy_lower": [1.0, 3.0], "entropy_upper": [1.5, None]},
                                       {"id": "b", "entropy_lower": [1.2], "entropy_upper": [2.0]},
                                       {"id": "c", "entropy_lower": [1.2], "entropy_upper": ["NaN"]}])
        done = self.select("--level=sample", "--by=entropy_top", "--keep=1.1..", "--unit=nats", path)
        self.assertEqual([json.loads(line)["id"] for line in done.stdout.splitlines()], ["b"])
        self.assertIn(b"undecided   1 ", done.stderr)
        self.assertIn(b"is NaN at 1 of the documents", done.stderr)

    def test_they_have_no_weight(self):
        path = self.write("in.jsonl", [{"entropy_lower": [1.0], "entropy_upper": [1.5]}])
        self.assertIn("they have no weight", self.refused("--weight=fall:1..2", path))


class Statistics(Files):
    def test_windows_with_infinities(self):
        """A token of probability 0 makes the windows that hold it infinite, and no others."""
        path = self.write("in.jsonl", [{"id": "a", "logprob": [-1.0, -1.0, "-Infinity", -1.0, -3.0]}])
        for by, value in (("surprisal_window_min:1", 1), ("surprisal_window_min:2", 1), ("surprisal_window_max:2", math.inf),
                          ("surprisal_window_max:1", math.inf), ("surprisal_window_min:9", math.inf)):
            flags = ["--level=sample", "--by", by, "--emit=samples"]
            self.assertEqual(run("select", *flags, "--keep=..1", path).returncode, int(value != 1), by)
            self.assertEqual(run("select", *flags, "--keep=1..", path).returncode, 0, by)

    def test_shares_of_tokens_are_exact(self):
        values = list(range(100))
        path = self.write("in.jsonl", [{"entropy": [float(v) for v in values]}])
        for percent in (7, 14, 28, 55, 56, 0.5, 100):
            n = max(1, math.ceil(percent))
            line = self.select("--level=sample", "--by", f"entropy_top_sum:{percent}", "--keep=low:1", "--unit=nats", path)
            self.assertIn(f"at most {sum(values[-n:])} nats".encode(), line.stderr)

    def test_documents_by_their_length(self):
        path = self.write("in.jsonl", [{"id": i, "entropy": [1.0] * i} for i in range(1, 7)])
        self.assertEqual([json.loads(line)["id"] for line in
                          self.select("--level=sample", "--by=n_tokens", "--keep=high:2", path).stdout.splitlines()], [5, 6])

    def test_a_field_may_have_a_values_name(self):
        path = self.write("in.jsonl", [{"id": i, "position": i, "confidence": i / 10} for i in range(9)])
        self.assertEqual(len(self.select("--level=sample", "--by=position", "--keep=5..", path).stdout.splitlines()), 4)
        self.assertIn(b"at least 0.5\n", self.select("--level=sample", "--by=confidence", "--keep=0.5..", path).stderr)

    def test_open_ends_in_the_manifest(self):
        path = self.write("in.jsonl", [{"entropy": [1.0, 2.0]}, {"entropy": ["Infinity", "-Infinity"]}])
        out = self.path("o.jsonl")
        self.select("--keep=high:1", "--scope=document", "-o", out, path)
        with open(out + ".manifest.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["threshold"]["low"], [2.0, None])


class LongDocuments(Files):
    def test_more_tokens_than_a_block_holds(self):
        n = 1300000
        path = self.write("long.jsonl", [b'{"entropy": [' + b",".join([b"1.5", b"2.5"] * (n // 2)) + b"]}"])
        for scope in ("document", "corpus"):
            keep = self.keeps("--keep=high:50%", "--scope", scope, path)[0]
            self.assertEqual((len(keep), sum(keep), keep[:2], keep[-2:]), (n, n // 2, [False, True], [False, True]))


class Quantiles(Files):
    def test_methods(self):
        values = [1.0, 2.0, 4.0, 8.0]
        path = self.write("in.jsonl", [{"entropy": values}])
        for method, threshold in (("linear", 2.5), ("lower", 2), ("higher", 4), ("midpoint", 3), ("nearest", 2)):
            # q = 0.45: rank 1.35
            self.assertEqual(self.keeps("--keep=low:45%", f"--quantile={method}", path),
                             [[v <= (2 + 0.35 * 2 if method == "linear" else threshold) for v in values]])
        message = self.refused("--keep=low:45%", "--quantile=cubic", path)
        self.assertIn("linear, inverted_cdf", message)
        self.assertIn("torch_f32_rank", message)

    def test_nan_as_an_error(self):
        path = self.write("in.jsonl", [{"id": "q", "entropy": [1.0, "NaN", 2.0]}])
        self.assertIn("in.jsonl:1 (q), token 1: entropy is NaN", self.refused("--keep=low:45%", "--nan=error", path))
        self.assertEqual(self.keeps("--keep=low:50%", path), [[True, None, False]])


if __name__ == "__main__":
    unittest.main()

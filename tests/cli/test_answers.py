"""entrol entropy --answers: clusters against a reference in Python, estimates against the papers' formulas, and bad input."""
import gzip
import itertools
import json
import math
import os
import random
import re
import string
import subprocess
import tempfile
import unicodedata
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
ESTIMATORS = ("plug-in", "miller-madow", "chao-shen", "grassberger", "james-stein", "nsb")


def run(*arguments, data=b"", **more):
    """(exit code, standard output, standard error) of entrol."""
    done = subprocess.run([ENTROL, *map(str, arguments)], input=data, capture_output=True, timeout=300, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lines_of(items):
    return b"".join(json.dumps(item, ensure_ascii=False).encode() + b"\n" for item in items)


def measure(items, *options):
    """The lines that come out for these lines."""
    code, out, err = run("entropy", "--answers", *options, "-", data=lines_of(items))
    assert code == 0, err
    return [json.loads(line) for line in out.split("\n")[:-1]]


def members(line):
    return [cluster["members"] for cluster in line["clusters"]]


def partition(keys):
    """Which answers have equal keys: the most first, of as many the one that was seen first."""
    groups = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return sorted(groups.values(), key=len, reverse=True)


# --- Estimates, by their papers ---

def shannon(weights):
    total = math.fsum(weights)
    return math.fsum(-w / total * math.log(w / total) for w in weights if w)


def chao_shen(counts):
    n, once = sum(counts), counts.count(1)
    covered = 1 - (once - (once == n)) / n
    shares = [covered * c / n for c in counts]
    return math.fsum(-p * math.log(p) / (1 - (1 - p) ** n) for p in shares if 0 < p < 1)


def grassberger(counts):
    """G(1) = -gamma - ln 2, G(2) = 2 - gamma - ln 2, G(2 n + 1) = G(2 n), G(2 n + 2) = G(2 n) + 2 / (2 n + 1)."""
    def g(n):
        return -0.5772156649015329 - math.log(2) + sum(2 / (k - 1) for k in range(2, n + 1, 2))
    n = sum(counts)
    return math.log(n) - math.fsum(c * g(c) for c in counts) / n


def james_stein(counts, k):
    counts, n = counts + [0] * (k - len(counts)), sum(counts)
    shares = [c / n for c in counts]
    apart = sum((1 / k - p) ** 2 for p in shares)
    shrink = min(1, (1 - sum(p * p for p in shares)) / ((n - 1) * apart)) if apart > 0 else 1
    return shannon([shrink / k + (1 - shrink) * p for p in shares])


def digamma(x):
    below = 0
    while x < 30:
        below += 1 / x
        x += 1
    return math.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4) - 1 / (252 * x**6) - below


def trigamma(x):
    below = 0
    while x < 30:
        below += 1 / x**2
        x += 1
    return 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7) + below


def nsb(counts, k):
    """The mean over beta, each outcome's prior, of the posterior mean of the entropy; the weights are the evidence, and dxi / d ln beta
    for the a priori entropy xi (NIPS 14). Sums of logarithms stand for ratios of gamma functions."""
    if k == 1:
        return 0
    counts, n = counts + [0] * (k - len(counts)), sum(counts)

    def log_weight(beta):
        rising = lambda x, c: math.fsum(math.log(x + i) for i in range(c))
        evidence = math.fsum(rising(beta, c) for c in counts) - rising(k * beta, n)
        return evidence + math.log(beta * (k * trigamma(k * beta + 1) - trigamma(beta + 1)))

    def mean(beta):
        total = n + k * beta
        return digamma(total + 1) - math.fsum((c + beta) / total * digamma(c + beta + 1) for c in counts)

    betas = [math.exp(i / 10) for i in range(-250, 151)]  # the trapezoid rule; up to e^15 the slope still has digits
    logs = [log_weight(beta) for beta in betas]
    weights = [math.exp(w - max(logs)) for w in logs]
    return math.fsum(w * mean(beta) for w, beta in zip(weights, betas)) / math.fsum(weights)


def estimates(counts, k):
    n = sum(counts)
    return {"plug-in": shannon(counts), "miller-madow": shannon(counts) + (len(counts) - 1) / (2 * n),
            "chao-shen": chao_shen(counts), "grassberger": grassberger(counts), "james-stein": james_stein(counts, k),
            "nsb": nsb(counts, k)}


# --- What normalising does, once more ---

WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
BLOCKS = (range(0x80, 0x100), range(0x2000, 0x2070), range(0x3000, 0x3040), range(0xFF00, 0xFFF0))
FOLDED = (range(0, 0x180), [0x1A0, 0x1AF], range(0x370, 0x530), range(0x1E00, 0x1F00), range(0xFF21, 0xFF3B))


def among(character, blocks):
    return any(ord(character) in block for block in blocks)


def is_punctuation(character):
    return character in string.punctuation or \
        (among(character, BLOCKS) and unicodedata.category(character).startswith("P"))


def is_mark(character):
    """What goes from the ends of a word with a digit."""
    return character in "!\"$'()*,:;?[]_`{}¡¿…、。！，：；？｡､" or \
        (among(character, BLOCKS) and unicodedata.category(character) in ("Ps", "Pe", "Pi", "Pf"))


def fold(text):
    def one(character):
        for folded in character.casefold(), character.lower():
            if len(folded) == 1 and among(character, FOLDED):
                return folded
        return character
    return "".join(map(one, text))


def spell_word(word):
    if not re.search("[0-9]", word):
        return fold("".join(c for c in word if not is_punctuation(c)))
    while is_mark(word[0]):
        word = word[1:]
    while is_mark(word[-1]) or word[-1] == ".":
        word = word[:-1]
    return fold(word)


def spell(text):
    words = [word for word in re.split(f"[{WHITE}]+", text) if word]
    spelled = [word for word in map(spell_word, words) if word]
    kept = [word for word in spelled[:-1] if word not in ("a", "an", "the")] + spelled[-1:]
    return tuple(kept) or ("", *map(fold, words))


class Shapes(unittest.TestCase):
    def test_arrays_by_every_name(self):
        for name in "answers", "completions", "responses", "samples":
            [line] = measure([{"id": 7, name: ["a b", "c", "a b"], "gold": "c"}])
            self.assertEqual(line, {"id": 7, "gold": "c", "n_answers": 3, "n_clusters": 2, "estimator": "plug-in",
                                    "semantic_entropy": line["semantic_entropy"],
                                    "clusters": [{"size": 2, "answer": "a b", "members": [0, 2]},
                                                 {"size": 1, "answer": "c", "members": [1]}]})
            self.assertAlmostEqual(line["semantic_entropy"], shannon([2, 1]), 15)

    def test_objects(self):
        answers = [{"text": "x"}, {"answer": "x"}, {"completion": "X"}, {"response": "x", "text": None}, {"content": "x"}, "x",
                   {"message": {"content": "x"}}]
        [line] = measure([{"prompt": "p", "answers": answers}])
        self.assertEqual((line["prompt"], members(line)), ("p", [[0, 1, 2, 3, 4, 5, 6]]))

    def test_answers_of_servers(self):
        chat = {"choices": [{"index": i, "message": {"role": "assistant", "content": c}} for i, c in enumerate("xyx")]}
        legacy = {"choices": [{"index": i, "text": c} for i, c in enumerate("xyx")]}
        batch = {"custom_id": "c", "response": {"status_code": 200, "body": chat}}
        for line in measure([dict(chat, id="c"), dict(legacy, id="c"), batch]):
            self.assertEqual(members(line), [[0, 2], [1]])
            self.assertEqual(line.get("id", line.get("custom_id")), "c")
            self.assertNotIn("choices", line)
            self.assertNotIn("response", line)

    def test_one_answer_a_line_in_any_order(self):
        for group in "prompt_id", "prompt", "id":
            lines = [{group: i % 3, "answer": "yes" if i < 6 else f"no {i}", "k": i} for i in range(12)]
            out = measure(lines)
            self.assertEqual([line[group] for line in out], [0, 1, 2])
            for line in out:
                self.assertEqual(line["n_answers"], 4)
                self.assertEqual(members(line), [[0, 1], [2], [3]])
                self.assertNotIn("k", line)
                self.assertNotIn("answer", line)

    def test_texts_by_every_name(self):
        for name in "answer", "completion", "response", "text", "content":
            [line] = measure([{"id": 1, name: "x"}, {"id": 1, name: "X."}])
            self.assertEqual(members(line), [[0, 1]])
        [line] = measure([{"id": 1, "said": "x"}, {"id": 1, "said": "y"}], "--field", "said")
        self.assertEqual(members(line), [[0], [1]])
        [line] = measure([{"said": ["x", "y"], "answers": ["x", "x"]}], "--field", "said")
        self.assertEqual((members(line), line["answers"]), ([[0], [1]], ["x", "x"]))

    def test_the_first_of_the_names_groups(self):
        lines = [{"id": i, "prompt": "q", "prompt_id": i // 2, "text": str(i)} for i in range(4)]
        self.assertEqual([line["prompt_id"] for line in measure(lines)], [0, 1])
        self.assertEqual(measure(lines)[0]["prompt"], "q")
        self.assertNotIn("id", measure(lines)[0])
        [line] = measure(lines, "--group", "prompt")
        self.assertEqual((line["n_answers"], line["prompt"]), (4, "q"))

    def test_what_groups_may_be_anything(self):
        groups = ["1", 1, 1.0, 1e300, True, [{"role": "user", "content": "q"}], {"a": 1}, 2**60, 2**60 + 1]
        out = measure([{"id": group, "text": "x"} for group in groups * 2])
        self.assertEqual([(line["id"], line["n_answers"]) for line in out],
                         [("1", 2), (1, 4), (1e300, 2), (True, 2), (groups[5], 2), ({"a": 1}, 2), (2**60, 2), (2**60 + 1, 2)])

    def test_arrays_are_joined_by_a_group(self):
        lines = [{"q": "a", "answers": ["x", "y"]}, {"q": "b", "answers": ["x"]}, {"q": "a", "answers": ["y"]}, {"q": "b", "answers": ["x"]}]
        out = measure(lines, "--group", "q")
        self.assertEqual([(line["q"], members(line)) for line in out], [("a", [[1, 2], [0]]), ("b", [[0, 1]])])
        alone = measure(lines[:1] * 3)
        self.assertEqual([line["n_answers"] for line in alone], [2, 2, 2])

    def test_fields_give_way(self):
        line = {"id": 1, "answers": ["x", "y"], "clusters": 1, "n_answers": 9, "semantic_entropy_rao": 2, "estimator": "?",
                "entropy": [1, 2, 3], "rank": 5, "deep": {"entropy": [1]}}
        code, out, err = run("entropy", "--answers", "-", data=lines_of([line, {"answers": ["x", "y"]}]))
        [first, _] = map(json.loads, out.splitlines())
        self.assertEqual(list(first), ["id", "rank", "deep", "n_answers", "n_clusters", "semantic_entropy", "estimator", "clusters"])
        self.assertIn("warning: 1 of 2 prompts lost a field", err)

    def test_files_and_pipes(self):
        lines = [{"id": 1, "text": "x"}, {"id": 2, "text": "x"}, {"id": 2, "text": "y"}, {"id": 1, "text": "x"}]
        with tempfile.TemporaryDirectory() as folder:
            for name, part in ("a", lines[:2]), ("b", lines[2:]):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(gzip.compress(b"\n \n" + lines_of(part)))
            whole = run("entropy", "--answers", f"{folder}/a", f"{folder}/b")
        self.assertEqual([json.loads(line)["id"] for line in whole[1].splitlines()], [1, 2])
        self.assertEqual(whole, run("entropy", "--answers", data=lines_of(lines)))
        self.assertEqual(whole, run("entropy", "--answers", "-", data=lines_of(lines)[:-1]))


class Clusters(unittest.TestCase):
    def test_labels(self):
        answers = [{"text": "a", "c": 1}, {"text": "a", "c": 1.0}, {"text": "b", "c": 1}, {"text": "b", "c": "1"}, {"c": 2.5}, {"c": -0.0}, {"c": 0}]
        [line] = measure([{"answers": answers}], "--label", "c")
        self.assertEqual(line["clusters"][:2], [{"size": 3, "label": 1, "members": [0, 1, 2]}, {"size": 2, "label": 0.0, "members": [5, 6]}])
        self.assertEqual(members(line), [[0, 1, 2], [5, 6], [3], [4]])
        out = measure([{"id": 1, "text": 5, "c": c} for c in ("Paris", "paris", "Paris")], "--label", "c")
        self.assertEqual(members(out[0]), [[0, 2], [1]])

    def test_labels_beside_the_answers(self):
        [line] = measure([{"answers": ["x", "y", "z"], "ids": [0, 1, 0]}], "--label", "ids")
        self.assertEqual((members(line), line["ids"]), ([[0, 2], [1]], [0, 1, 0]))
        [line] = measure([{"answers": [42, 41.5, 42.0]}], "--label", "answers")
        self.assertEqual(members(line), [[0, 2], [1]])

    def test_exact(self):
        answers = ["Paris", "paris", "Paris", "Paris ", "\u00e9", "e\u0301", ""]
        [line] = measure([{"answers": answers}], "--match", "exact")
        self.assertEqual(members(line), partition(answers))

    def test_the_same_answer(self):
        for same in (["Paris", "paris.", "  PARIS!", "the Paris", "\u201cParis\u201d", "**Paris**", "Paris\n"],
                     ["A", "(a)", "a.", "A)"], ["3.14", "3.14.", "(3.14)", "$3.14$", "**3.14**"],
                     ["It's the sea, a sea", "its sea sea", "ITS SEA\u3000SEA"], ["-5", "-5.", "\u201c-5\u201d"],
                     ["\u00c9COLE", "\u00e9cole"], ["\u041c\u043e\u0441\u043a\u0432\u0430", "\u041c\u041e\u0421\u041a\u0412\u0410"],
                     ["\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2", "\u03bf\u03b4\u03bf\u03c3"],
                     ["\u5317\u4eac", "\u5317\u4eac\u3002", "\u300c\u5317\u4eac\u300d"], ["\u30101\uff0c2\u3011", "1\uff0c2\u3002"],
                     ["vitamin A", "The vitamin a"], ["", " \n"], ["The", "the", "(the)"], ["\u1eccNG \u01af\u01a0", "\u1ecdng \u01b0\u01a1"]):
            self.assertEqual(measure([{"answers": same}])[0]["n_clusters"], 1, same)
            self.assertEqual(len(set(map(spell, same))), 1, same)

    def test_not_the_same_answer(self):
        apart = ["5", "-5", "+5", ".5", "50", "50%", "1/2", "12", "3.14", "314", "a", "the", "b", "!", "?", "", "vitamin a", "vitamin",
                 "1,000", "1000", "5.0", "\u00e9", "e", "10:30", "1030"]
        self.assertEqual(measure([{"answers": apart}])[0]["n_clusters"], len(apart))

    def test_every_character(self):
        codes = [*range(1, 0x3400), *range(0xFF00, 0xFFF0), *random.Random(3).sample(range(0x3400, 0xD800), 500), *range(0x10400, 0x10410)]
        answers = [[f"q{c}q", f"q{fold(c)}q", "qq", "q q", f"{c}1{c}", "1", f"{fold(c)}1{fold(c)}", c] for c in map(chr, codes)]
        for texts, line in zip(answers, measure([{"answers": texts} for texts in answers])):
            self.assertEqual(members(line), partition(map(spell, texts)), [hex(ord(texts[-1])), texts])

    def test_words_at_random(self):
        random.seed(11)
        pieces = ["a", "A", "an", "the", "The", " ", "  ", "\t", "\u00a0", "\u3000", ".", ",", "-", "'", "\u2019", "1", "23", "5%", "$", "(", ")",
                  "x", "X", "\u00c9", "\u00e9", "\u3002", "\u5317", "\u2026", "_", "/", "+", "\U0001f600", "\u0130", "\u00df", "\u0131"]
        answers = [["".join(random.choices(pieces, k=random.randint(0, 4))) for _ in range(12)] for _ in range(3000)]
        for texts, line in zip(answers, measure([{"answers": texts} for texts in answers])):
            self.assertEqual(members(line), partition(map(spell, texts)), texts)

    def test_many_answers(self):
        random.seed(2)
        labels = [random.randrange(5000) for _ in range(200000)]
        [line] = measure([{"id": 1, "c": c} for c in labels], "--label", "c")
        self.assertTrue(members(line) == partition(labels))  # too long for a difference to be shown
        self.assertAlmostEqual(line["semantic_entropy"], shannon([len(m) for m in partition(labels)]), 11)


class Estimates(unittest.TestCase):
    def test_each_by_its_formula(self):
        """Every way in which up to seven answers can agree."""
        samples = sorted({tuple(sorted((c for c in counts if c), reverse=True))
                          for counts in itertools.product(range(8), repeat=3) if 2 <= sum(counts) <= 7} | {(1,) * 6, (6, 1, 1, 1, 1), (10,)})
        lines = [{"answers": [f"x{i}" for i, count in enumerate(counts) for _ in range(count)]} for counts in samples]
        for outcomes in None, 12:
            options = ["--outcomes", outcomes] if outcomes else []
            one = {estimator: measure(lines, "--estimator", estimator, *options) for estimator in ESTIMATORS}
            for i, (counts, line) in enumerate(zip(samples, measure(lines, "--estimator", "all", *options))):
                for estimator, expected in estimates(list(counts), outcomes or len(counts)).items():
                    with self.subTest(counts=counts, estimator=estimator, outcomes=outcomes):
                        name = "semantic_entropy" + ("" if estimator == "plug-in" else "_" + estimator.replace("-", "_"))
                        self.assertAlmostEqual(line[name], expected, 6 if estimator == "nsb" else 12)
                        self.assertEqual(one[estimator][i]["semantic_entropy"], line[name])
                        self.assertEqual(one[estimator][i]["estimator"], estimator)

    def test_the_same_of_counts_words_and_bytes(self):
        text = "the cat the dog the cat and a fox"
        counts = sorted(map(text.split().count, set(text.split())), reverse=True)
        letters = sorted(map(text.count, set(text)), reverse=True)
        sources = [(["--counts", ",".join(map(str, counts))], counts, len(counts)), (["--counts", "3,1,0,0"], [3, 1], 4),
                   (["--of", "words", "-"], counts, len(counts)), (["-"], letters, 256)]
        for options, sizes, k in sources:
            for estimator, expected in estimates(sizes, k).items():
                for unit, scale in ("bits", 1 / math.log(2)), ("nats", 1):
                    with self.subTest(options=options, estimator=estimator, unit=unit):
                        code, out, _ = run("entropy", *options, "--estimator", estimator, "--unit", unit, data=text.encode())
                        self.assertEqual((code, out.split()[1]), (0, unit))
                        self.assertAlmostEqual(float(out.split()[0]), expected * scale, 5 if estimator == "nsb" else 8)

    def test_the_papers_example(self):
        """arXiv 2302.09664, table 1: of Paris 0.5, It's Paris 0.4 and London 0.1, the entropy is 0.94 and the semantic one 0.33."""
        answers = [{"text": t, "meaning": m, "logprob": math.log(p)}
                   for t, m, p in (("Paris", 0, 0.5), ("It's Paris", 0, 0.4), ("London", 1, 0.1))]
        self.assertEqual(f"{measure([{'answers': answers}])[0]['semantic_entropy_rao']:.2f}", "0.94")
        self.assertEqual(f"{measure([{'answers': answers}], '--label', 'meaning')[0]['semantic_entropy_rao']:.2f}", "0.33")

    def test_the_programs_example(self):
        """The authors' program for Nature 630 (2024): ids [0, 1, 2, 1] are shares 1/4, 2/4 and 1/4."""
        [line] = measure([{"id": 1, "i": i} for i in (0, 1, 2, 1)], "--label", "i")
        self.assertAlmostEqual(line["semantic_entropy"], 1.5 * math.log(2), 15)

    def test_weighed_by_log_probability(self):
        random.seed(4)
        for _ in range(50):
            labels = [random.randrange(3) for _ in range(6)]
            logprobs = [random.uniform(-2000, 0) if random.random() < 0.2 else random.uniform(-900, -890) for _ in labels]
            [line] = measure([{"answers": [{"c": c, "lp": lp} for c, lp in zip(labels, logprobs)]}], "--label", "c", "--logprob", "lp")
            weights = [math.exp(lp - max(logprobs)) for lp in logprobs]
            shares = [math.fsum(w for w, c in zip(weights, labels) if c == cluster) for cluster in range(3)]
            self.assertAlmostEqual(line["semantic_entropy_rao"], shannon(shares), 12)

    def test_a_small_entropy_keeps_its_digits(self):
        [line] = measure([{"answers": ["x", "y"], "logprob": [0, -40]}])
        p = math.exp(-40)
        self.assertAlmostEqual(line["semantic_entropy_rao"] / (p * (40 + 1)), 1, 12)
        [line] = measure([{"answers": ["x", "y"], "logprob": [-1, "-Infinity"]}])
        self.assertEqual(line["semantic_entropy_rao"], 0)

    def test_log_probabilities_of_tokens(self):
        tokens = [[-0.5, -0.25], [-1, -1, -1], [-0.125]]
        for how, values in ("sum", [-0.75, -3, -0.125]), ("mean", [-0.375, -1, -0.125]):
            expected = shannon([math.exp(v) for v in values])
            for lines in ([{"answers": [{"text": t, "logprob": lp} for t, lp in zip("xyz", tokens)]}],
                          [{"answers": ["x", "y", "z"], "logprob": tokens}],
                          [{"id": 1, "text": t, "logprob": lp} for t, lp in zip("xyz", tokens)]):
                [line] = measure(lines, "--logprob-as", how)
                self.assertAlmostEqual(line["semantic_entropy_rao"], expected, 14)
                self.assertNotIn("logprob", line)

    def test_only_where_there_are_log_probabilities(self):
        out = measure([{"answers": ["x", "y"]}, {"answers": ["x", "y"], "logprob": [-1, -1]}, {"answers": [{"text": "x", "logprob": None}] * 2},
                       {"answers": ["x", "y"], "logprob": -3}])
        self.assertEqual(["semantic_entropy_rao" in line for line in out], [False, True, False, False])


class Output(unittest.TestCase):
    lines = [{"id": "a", "answers": ["x", "x", "y", "z"]}, {"id": "b", "answers": ["x", "x"]}, {"id": "c", "answers": ["x", "y"], "logprob": [-1, -1]}]

    def test_summary(self):
        _, out, err = run("entropy", "--answers", "-", data=lines_of(self.lines))
        mean = (1.5 + 0 + 1) / 3
        self.assertEqual(err, "prompts     3\nanswers     8, 2 to 4 to a prompt\ncertain     1 with one cluster (33.3333 %)\n"
                              f"mean        {mean:.6g} bits (plug-in)\nmean        1 bits (by log-probability)\n")
        for unit, scale in ("nats", math.log(2)), ("bans", math.log10(2)):
            _, same, err = run("entropy", "--answers", "--unit", unit, "-", data=lines_of(self.lines))
            self.assertEqual(same, out)  # records are nats
            self.assertIn(f"mean        {mean * scale:.6g} {unit} (plug-in)\n", err)
        _, _, err = run("entropy", "--answers", "--estimator", "all", data=lines_of(self.lines[:1]))
        self.assertIn("answers     4, 4 to each prompt\n", err)
        self.assertEqual(re.findall(r"\((.*)\)\n", err)[1:], list(ESTIMATORS))

    def test_selects(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/out.jsonl"
            self.assertEqual(run("entropy", "--answers", "-o", path, data=lines_of(self.lines))[:2], (0, ""))
            code, out, _ = run("select", path, "--level", "sample", "--by", "semantic_entropy", "--keep", "high:1", "--emit", "samples")
            self.assertEqual((code, json.loads(out)["id"]), (0, "a"))
            code, out, _ = run("select", path, "--level", "sample", "--by", "n_clusters", "--keep", "..2", "--emit", "samples")
            self.assertEqual([json.loads(line)["id"] for line in out.splitlines()], ["b", "c"])

    def test_file_and_manifest(self):
        with tempfile.TemporaryDirectory() as folder:
            source, path = f"{folder}/in.jsonl", f"{folder}/out.jsonl"
            with open(source, "wb") as file:
                file.write(lines_of(self.lines))
            code, out, _ = run("entropy", "--answers", source, "-o", path, "--outcomes", 5, "--estimator", "nsb")
            self.assertEqual((code, out), (0, ""))
            with open(path, encoding="utf-8") as file:
                self.assertEqual(len(file.readlines()), 3)
            with open(path + ".manifest.json", encoding="utf-8") as file:
                manifest = json.load(file)
            self.assertEqual({key: manifest[key] for key in ("unit", "estimator", "outcomes", "match", "label", "logprob", "group", "counts")},
                             {"unit": "nat", "estimator": "nsb", "outcomes": 5, "match": "normalised", "label": None,
                              "logprob": "logprob", "group": None, "counts": {"prompts": 3, "answers": 8, "certain": 1}})
            self.assertEqual(manifest["inputs"][0]["path"], source)
            code, out, _ = run("entropy", "--answers", source, "-o", "-")
            self.assertEqual((code, len(out.splitlines()), sorted(os.listdir(folder))),
                             (0, 3, ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json"]))

    def test_whole_or_not_at_all(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/out.jsonl"
            code, out, err = run("entropy", "--answers", "-", "-o", path, data=lines_of(self.lines) + b"{\n")
            self.assertEqual((code, out, os.listdir(folder)), (2, "", []))
            self.assertIn("standard input:4: broken JSON", err)
            with open(path, "wb") as file:
                file.write(lines_of(self.lines))
            code, _, err = run("entropy", "--answers", path, "-o", path)
            self.assertEqual(code, 2)
            self.assertIn("it is being read", err)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), lines_of(self.lines))

    @unittest.skipIf("ENTROL_SANITIZED" in os.environ, "a sanitizer keeps what is freed")
    def test_memory_does_not_grow_with_prompts_of_a_line(self):
        peaks = []
        with tempfile.TemporaryDirectory() as folder:
            for n in 1000, 30000:
                with open(f"{folder}/in.jsonl", "wb") as file:
                    file.write(lines_of({"id": i, "answers": [f"answer {i} {j}" for j in range(20)]} for i in range(n)))
                process = subprocess.Popen([ENTROL, "entropy", "--answers", f"{folder}/in.jsonl"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = status
                self.assertEqual(status, 0)
                peaks.append(usage.ru_maxrss)
        self.assertLess(peaks[1], peaks[0] + 2000)  # KiB


class Refused(unittest.TestCase):
    def refuse(self, message, lines, *options):
        data = lines if isinstance(lines, bytes) else lines_of(lines)
        code, out, err = run("entropy", "--answers", *options, "-", data=data)
        self.assertEqual((code, out), (2, ""), err)
        self.assertTrue(err.startswith("entrol: ") and err.count("\n") == 1, err)
        self.assertIn(message, err)

    def test_answers(self):
        self.refuse("standard input:1: field \"answers\": expected answers, found an empty array", [{"answers": []}])
        self.refuse("standard input:1: expected 2 answers to the prompt or more, found 1", [{"answers": ["x"]}])
        self.refuse("standard input:2: expected 2 answers to the prompt or more, found 1",
                    [{"id": i, "text": "x"} for i in (1, 2, 1)])
        self.refuse("standard input:1: answer 2: expected a string, or an object with a \"text\", found 5", [{"answers": ["x", 5]}])
        self.refuse("answer 1: expected a string, or an object with a \"text\", found null", [{"answers": [None, "x"]}])
        self.refuse("answer 2: expected a string, or an object with a \"text\", found an object", [{"answers": ["x", {"txt": "y"}]}])
        self.refuse("answer 1: expected a string as its text, found 3", [{"answers": [{"text": 3}, "x"]}])
        self.refuse("answer 1: expected a string as its text, found null", [{"choices": [{"message": {"content": None}}, {"text": "x"}]}])
        self.refuse("standard input:1: field \"said\": expected answers, found nothing", [{"answers": ["x", "y"]}], "--field", "said")
        self.refuse("standard input:1: field \"said\": expected a string as its text, found 4", [{"id": 1, "said": 4}], "--field", "said")
        self.refuse("expected an array \"answers\", or one answer's \"answer\", \"completion\", \"response\" or \"text\" (--field names "
                    "another), found \"id\", \"q\"", [{"id": 1, "q": "x"}])

    def test_shapes(self):
        self.refuse("standard input:2: expected an array of answers, as in line 1 of standard input, found one answer",
                    lines_of([{"id": 1, "answers": ["x"]}, {"id": 1, "text": "x"}]), "--group", "id")
        self.refuse("standard input:3: expected one answer, as in line 1 of standard input, found an array of answers",
                    [{"id": 1, "text": "x"}, {"id": 1, "text": "y"}, {"id": 1, "answers": ["x", "y"]}])
        self.refuse("expected a field \"prompt_id\", \"prompt\" or \"id\" that says whose answer it is (--group names another), found \"text\"",
                    [{"text": "x"}])
        self.refuse("standard input:2: field \"id\": expected what tells prompts apart, found nothing", [{"id": 1, "text": "x"}, {"text": "x"}])
        self.refuse("standard input:1: field \"g\": expected what tells prompts apart, found null", [{"g": None, "text": "x"}], "--group", "g")

    def test_labels(self):
        self.refuse("standard input:1: answer 2: field \"c\": expected a string or a number, found nothing", [{"answers": [{"c": 1}, {"text": "x"}]}], "--label", "c")
        self.refuse("answer 1: field \"c\": expected a string or a number, found true or false", [{"answers": [{"c": True}, {"c": 1}]}], "--label", "c")
        self.refuse("standard input:2: field \"c\": expected a string or a number, found nothing", [{"id": 1, "c": 1}, {"id": 1, "text": "x"}], "--label", "c")
        self.refuse("standard input:1: field \"c\": expected 2 values, one for each answer, found 3", [{"answers": ["x", "y"], "c": [1, 2, 3]}], "--label", "c")

    def test_log_probabilities(self):
        both = lambda first, second: [{"answers": [{"text": "x", "logprob": first}, {"text": "y", "logprob": second}]}]
        self.refuse("answer 2: field \"logprob\": expected a log-probability, at most 0, found 0.5", both(-1, 0.5))
        self.refuse("answer 1: field \"logprob\": expected a log-probability, at most 0, found a string", both("-1", -1))
        self.refuse("expected a log-probability, at most 0, found a string", both("Infinity", -1))
        self.refuse("expected a log-probability, at most 0, found a string", both("NaN", -1))
        self.refuse("expected a log-probability, at most 0, found null", both([-1, None], -1))
        self.refuse("expected an array with the log-probability of each token, found an empty array", both([], -1))
        self.refuse("expected an array with the log-probability of each token, found -1", both(-1, -1), "--logprob-as", "mean")
        self.refuse("standard input:1: expected a log-probability for every answer to a prompt or for none, found some without", both(-1, None))
        self.refuse("expected an answer that is possible, found the log-probability -Infinity for each", both("-Infinity", "-Infinity"))
        self.refuse("answer 1: field \"lp\": expected a log-probability, at most 0, found nothing", both(-1, -1), "--logprob", "lp")
        self.refuse("field \"logprob\": expected 2 values, one for each answer, found 1", [{"answers": ["x", "y"], "logprob": [-1]}])

    def test_outcomes(self):
        self.refuse("standard input:1: expected at most 2 clusters, as --outcomes says, found 3", [{"answers": ["x", "y", "z"]}], "--outcomes", "2")
        self.refuse("--outcomes: expected a whole number from 1 to 1000000, found \"0\"", [], "--outcomes", "0")

    def test_what_is_no_json_lines(self):
        self.refuse("standard input: expected answers, found none", b"")
        self.refuse("standard input: expected answers, found none", b"\n \n")
        self.refuse("standard input:1: expected answers, one JSON object a line, found \"[{\"answers\":", b"[{\"answers\": [\"x\"]}]\n")
        self.refuse("standard input:1: expected answers, one JSON object a line, found \"{\"", b"{\n\"answers\": []}\n")
        self.refuse("standard input:1: expected answers, one JSON object a line, found \"hello\"", b"hello")
        self.refuse("standard input:2: expected a JSON object, found an array", b"\n[1]\n")
        self.refuse("standard input:2: broken JSON at column 5", b"\n{oops}\n")

    def test_hostile_lines(self):
        self.refuse("a NUL", b"{\"answers\": [\"x\0\", \"y\"]}\n")
        self.refuse("\\u0000 is not allowed", b"{\"answers\": [\"x\\u0000\", \"y\"]}\n")
        self.refuse("broken JSON", b"{\"answers\": [\"\xff\", \"y\"]}\n")
        self.refuse("broken JSON", b"{\"answers\": [\"\\ud800\", \"y\"]}\n")
        self.refuse("duplicate object key", b"{\"answers\": [\"x\"], \"answers\": [\"y\"]}\n")
        self.refuse("broken JSON", b"{\"answers\": " + b"[" * 100000)
        self.refuse("standard input:1: the line is longer than 64 MiB", b"{\"answers\": [\"" + b"x" * (64 << 20) + b"\", \"y\"]}\n")

    def test_a_long_answer(self):
        [line] = measure([{"answers": ["x" * (8 << 20), "X" * (8 << 20), "y"]}])
        self.assertEqual(members(line), [[0, 1], [2]])

    def test_usage(self):
        for arguments, message in ((["--label", "c", "-"], "expected --answers with --match, --label"),
                                   (["--counts", "1,2", "-o", "x"], "expected --answers with"),
                                   (["--estimator", "all", "-"], "--estimator all is for --answers"),
                                   (["--answers", "--probs", "1"], "found several"),
                                   (["--answers", "-", "-o", "x.safetensors"], ".safetensors is for token records"),
                                   (["--answers", "/nonexistent"], "No such file"), (["--answers", "/"], "found a directory"),
                                   (["--answers", "--match", "fuzzy", "-"], "expected one of normalised|exact")):
            code, out, err = run("entropy", *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(message, err)


if __name__ == "__main__":
    unittest.main()

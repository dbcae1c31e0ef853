"""entrol report: the page's data against values computed by hand, and that nothing in it can run or load."""
import base64
import hashlib
import html.parser
import json
import math
import os
import pty
import re
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")


class Page(html.parser.HTMLParser):
    """The page as a browser takes it apart: the elements, and the text of scripts, styles and the title."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style", "title", "h1"):
            self.open = (tag, dict(attributes), [])
            self.texts.append(self.open)

    def handle_endtag(self, tag):
        if self.open and tag == self.open[0]:
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.open[2].append(data)

    def text(self, tag, kind=None):
        return ["".join(parts) for name, attributes, parts in self.texts
                if name == tag and attributes.get("type") == kind]

    def data(self):
        return json.loads(self.text("script", "application/json")[0])

    def policy(self):
        return [a["content"] for t, a in self.elements
                if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]


def run(records, *options):
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    done = subprocess.run([ENTROL, "report", *options], input=text.encode(), capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def report(records, *options):
    code, out, err = run(records, *options)
    if code:
        raise AssertionError(f"exit {code}: {err}")
    return out


RECORD = {"id": "d", "text": "ab😀c", "byte_start": [0, 1, 2, 6], "byte_end": [1, 2, 6, 7], "token_id": [5, 6, 7, 8],
          "entropy": [0.5, 1.0, 2.0, 4.0], "logprob": [None, -1.0, -2.0, -3.0], "rank": [None, 1, 2, 3]}
HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028\u2029]]>&amp;\u202e\x1b\"\\'`${x}</style>{{script}}"


class Data(unittest.TestCase):
    def test_totals(self):
        totals = Page(report([RECORD])).data()["totals"]
        self.assertEqual((totals["documents"], totals["tokens"]), (1, 4))
        self.assertAlmostEqual(totals["mean_entropy"], 7.5 / 4, 6)
        self.assertAlmostEqual(totals["median_entropy"], 1.5, 6)
        self.assertAlmostEqual(totals["p95_entropy"], 2 + 0.85 * 2, 6)  # rank 0.95 * 3 = 2.85
        self.assertAlmostEqual(totals["perplexity"], math.exp(2), 5)
        self.assertAlmostEqual(totals["bits_per_byte"], 6 / math.log(2) / 6, 6)  # three tokens of 1 + 4 + 1 bytes

    def test_totals_over_documents_and_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in "pq":
                with open(os.path.join(folder, name), "w") as file:
                    file.write(json.dumps(RECORD) + "\n" + json.dumps(RECORD) + "\n")
            out = subprocess.run([ENTROL, "report", "p", "q"], cwd=folder, capture_output=True, check=True).stdout
            data = Page(out.decode()).data()
            self.assertEqual((data["totals"]["documents"], data["totals"]["tokens"]), (4, 16))
            self.assertEqual([s["name"] for s in data["sources"]], ["p", "q"])

    def test_an_impossible_token_makes_the_perplexity_infinite(self):
        totals = Page(report([{"id": "d", "entropy": [1, 1], "logprob": [-1, "-Infinity"]}])).data()["totals"]
        self.assertEqual(totals["perplexity"], "Infinity")
        self.assertIsNone(totals["bits_per_byte"])

    def test_columns_are_thousandths_of_a_nat(self):
        record = dict(RECORD, entropy=[0.0124, 1.2345678, None, 12.4616], logprob=[None, -0.0004, "-Infinity", -3.5],
                      keep=[True, False, None, True], top_id=[[5, 9], [5, 9], [5, 9], [5]],
                      top_logprob=[[-0.1, -2.5], [-0.1, -2.5], [-0.1, -2.5], [-0.1]])
        document = Page(report([record])).data()["documents"][0]
        self.assertEqual(document["entropy"], [12, 1235, None, 12462])
        self.assertEqual(document["surprisal"], [None, 0, "Infinity", 3500])
        self.assertEqual(document["rank"], [None, 1, 2, 3])
        self.assertEqual(document["keep"], [1, 0, None, 1])
        self.assertEqual(document["n_top"], 2)
        self.assertEqual(document["top_id"], [5, 9, 5, 9, 5, 9, 5, None])
        self.assertEqual(document["top_surprisal"], [100, 2500] * 3 + [100, None])

    def test_lengths_are_in_utf16_and_pieces_are_whole_characters(self):
        self.assertEqual(Page(report([RECORD])).data()["documents"][0]["length"], [1, 1, 2, 1])
        split = {"id": "d", "text": "a世b", "byte_start": [0, 1, 2, 3, 4], "byte_end": [1, 2, 3, 4, 5], "entropy": [1] * 5}
        self.assertEqual(Page(report([split])).data()["documents"][0]["length"], [1, 1, -1, -1, 1])
        gap = {"id": "d", "text": "Q😀 yes!", "byte_start": [5], "byte_end": [9], "entropy": [1]}
        document = Page(report([gap])).data()["documents"][0]
        self.assertEqual((document["length"], document["gap"]), ([4], [[0, 3], [1, 1]]))

    def test_rows_without_text(self):
        document = Page(report([{"id": "x", "entropy": [1, 2]}])).data()["documents"][0]
        self.assertTrue(document["is_rows"])
        self.assertEqual((document["text"], document["length"]), ("0 1 ", [2, 2]))

    def test_vocabulary(self):
        record = dict(RECORD, top_id=[[5, 90]] * 4, top_token=[["a", " the"]] * 4, top_logprob=[[-1, -2]] * 4)
        self.assertEqual(Page(report([record])).data()["vocabulary"],
                         {"5": "a", "6": "b", "7": "😀", "8": "c", "90": " the"})

    def test_unit_and_title(self):
        page = Page(report([RECORD], "--unit", "nats", "--title", "A & B <i>"))
        self.assertEqual(page.data()["unit"], "nat")
        self.assertEqual((page.text("title"), page.text("h1")), (["A & B <i>"], ["A & B <i>"]))

    def test_manifest(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.jsonl")
            with open(path, "w") as file:
                file.write(json.dumps(RECORD) + "\n")
            with open(path + ".manifest.json", "w") as file:
                json.dump({"entrol": "0.1.0", "command": ["</script>"]}, file)
            out = subprocess.run([ENTROL, "report", path], capture_output=True, check=True).stdout.decode()
            self.assertEqual(Page(out).data()["sources"][0]["manifest"]["command"], ["</script>"])


class Safety(unittest.TestCase):
    def hostile(self):
        n = len(HOSTILE.encode())
        return {"id": HOSTILE, "text": HOSTILE, "byte_start": [0], "byte_end": [n], "token_id": [3], "entropy": [1],
                "logprob": [-1], "top_id": [[4]], "top_token": [[HOSTILE]], "top_logprob": [[-0.5]]}

    def test_hostile_text_survives_and_stays_inside_its_element(self):
        out = report([self.hostile()], "--title", HOSTILE)
        page = Page(out)
        self.assertEqual([t for t, _ in page.elements].count("script"), 2)
        document = page.data()["documents"][0]
        self.assertEqual((document["text"], document["id"]), (HOSTILE, HOSTILE))
        self.assertEqual(page.data()["vocabulary"]["4"], HOSTILE)
        shown = re.sub("[\u2028\u2029\u202e\x1b]", lambda found: f"<U+{ord(found[0]):04X}>", HOSTILE)
        self.assertEqual((page.text("title"), page.text("h1")), ([shown], [shown]))
        block = page.text("script", "application/json")[0]
        for character in "<>&\u2028\u2029":
            self.assertNotIn(character, block)

    def test_the_policy_allows_its_own_script_and_style_only(self):
        page = Page(report([self.hostile()]))
        digest = lambda text: "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        script, style = page.text("script")[0], page.text("style")[0]
        self.assertEqual(page.policy(), [f"default-src 'none'; script-src {digest(script)}; "
                                         f"style-src {digest(style)}; base-uri 'none'; form-action 'none'"])

    def test_nothing_is_loaded(self):
        page = Page(report([RECORD]))
        for tag, attributes in page.elements:
            self.assertNotIn(tag, ("img", "link", "iframe", "object", "embed", "base", "form", "video", "audio"))
            for name in attributes:
                self.assertNotIn(name, ("src", "href", "style", "action", "srcset"))
                self.assertFalse(name.startswith("on"), name)

    def test_the_script_makes_no_markup_of_strings(self):
        script = Page(report([RECORD])).text("script")[0]
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                     "DOMParser", "fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon", "localStorage"):
            self.assertNotIn(word, script)


class Ends(unittest.TestCase):
    def test_output_file_appears_whole_or_not_at_all(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.html")
            self.assertEqual(run([RECORD], "-o", path)[0], 0)
            with open(path) as file:
                before = file.read()
            done = subprocess.run([ENTROL, "report", "-o", path], input=json.dumps(RECORD).encode() + b"\n{broken",
                                  capture_output=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"standard input:2", done.stderr)
            with open(path) as file:
                self.assertEqual(file.read(), before)
            self.assertEqual(os.listdir(folder), ["r.html"])

    def test_the_input_is_not_overwritten(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r.jsonl")
            with open(path, "w") as file:
                file.write(json.dumps(RECORD) + "\n")
            done = subprocess.run([ENTROL, "report", path, "-o", path], capture_output=True)
            self.assertEqual(done.returncode, 2)
            with open(path) as file:
                self.assertEqual(json.loads(file.read()), RECORD)

    def test_a_pipe_by_name_is_read_whole(self):
        records = [dict(RECORD, id=str(i)) for i in range(2000)]  # more than one read of 64 KiB
        data = "".join(json.dumps(record) + "\n" for record in records).encode()
        with tempfile.TemporaryDirectory() as folder:
            path, page = os.path.join(folder, "fifo"), os.path.join(folder, "r.html")
            os.mkfifo(path)
            reader = subprocess.Popen([ENTROL, "report", path, "-o", page])
            self.addCleanup(reader.kill)  # it would wait for ever if it opened the pipe again
            with open(path, "wb") as pipe:
                pipe.write(data)
            self.assertEqual(reader.wait(60), 0)
            with open(page) as file:
                self.assertEqual([d["id"] for d in Page(file.read()).data()["documents"]], [r["id"] for r in records])

    def test_a_terminal_is_not_filled_with_html(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(json.dumps(RECORD) + "\n")
            file.flush()
            try:
                master, slave = pty.openpty()
            except OSError as error:  # a system without /dev/pts
                self.skipTest(f"no terminal: {error}")
            done = subprocess.run([ENTROL, "report", file.name], stdout=slave, stderr=subprocess.PIPE)
            os.close(slave)
            os.close(master)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"-o report.html", done.stderr)

    def test_errors(self):
        self.assertEqual(run([], "/nonexistent")[0], 2)
        code, _, err = run([{"id": "d", "rank": [1]}])
        self.assertEqual(code, 2)
        self.assertEqual(err, 'entrol: standard input:1 (d): expected a column "entropy" or "logprob"\n')
        self.assertEqual(run([RECORD], "--unit", "bans")[0], 2)

    def test_a_record_without_tokens_has_no_totals(self):
        data = Page(report([{"id": "e", "entropy": []}])).data()
        self.assertEqual(data["totals"]["documents"], 1)
        self.assertIsNone(data["totals"]["mean_entropy"])


if __name__ == "__main__":
    unittest.main()

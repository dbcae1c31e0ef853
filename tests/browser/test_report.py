"""entrol report in a real browser: it draws, switches, answers to mouse and keyboard, loads nothing, and is quick.

Needs Chromium (or CHROMIUM=path); without it every test is skipped by name."""
import json
import math
import os
import random
import subprocess
import tempfile
import unittest

import chromium

ENTROL = os.environ.get("ENTROL", "build/entrol")
BIT = math.log(2)
SECONDS_TO_LOAD = 5  # for 100,000 tokens; measured: 0.7 s

HOSTILE = "</script><script>window.owned=1</script><img src=x onerror=window.owned=1>\u202e\u2028\x1b"


def document(name, pieces, **more):
    """`pieces`: (text, entropy and surprisal in bits, rank)."""
    data = [p[0].encode() for p in pieces]
    ends = [sum(map(len, data[:i + 1])) for i in range(len(data))]
    record = {"id": name, "text": b"".join(data).decode(), "byte_start": [0] + ends[:-1], "byte_end": ends,
              "token_id": [100 + i for i in range(len(pieces))], "entropy": [p[1] * BIT for p in pieces],
              "logprob": [None if p[2] is None else -p[2] * BIT for p in pieces], "rank": [p[3] for p in pieces]}
    record.update(more)
    return record


def small():
    pieces = [("The", 0, None, None), (" cat", 2, 1, 1), (" sat", 0.1, 9, 4000), (" on\n", 6, 3, 20), ("mats", 8, 8, 200)]
    first = document("first", pieces, top_id=[[101, 900]] * 5, top_token=[[" cat", " dog"]] * 5,
                     top_logprob=[[-1 * BIT, -3 * BIT]] * 5)
    second = document("second", [(HOSTILE, 1, 1, 1), (" 世界", 3, 2, 2), ("😀", 4, 4, 4), (" end", 5, 5, 5)])
    second["token_id"] = [200, 201, 202, 203]
    return [first, second]


def large(n_tokens):
    random.seed(1)
    words = [" the", " uncertainty", " of", " a", " model", ",", " 世", "界", ".\n", " measures", " token", " by"]
    records, per = [], 2500
    for number in range(n_tokens // per):
        pieces = []
        for _ in range(per):
            h = min(12, random.expovariate(0.4))
            pieces.append((random.choice(words), h, random.expovariate(1 / (h + 0.1)), int(2 ** random.uniform(0, h))))
        records.append(document(f"doc {number}", pieces, top_id=[[1, 2, 3, 4, 5]] * per,
                                top_logprob=[[-.5, -1.5, -2, -3, -4]] * per))
    return records


@unittest.skipUnless(chromium.find(), "no chromium")
class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.browser = chromium.Browser(chromium.find())
        cls.addClassCleanup(cls.folder.cleanup)
        cls.addClassCleanup(cls.browser.close)
        cls.small = cls.report("small.html", small())

    @classmethod
    def report(cls, name, records, *options):
        path = os.path.join(cls.folder.name, name)
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        subprocess.run([ENTROL, "report", "-o", path, *options], input=text.encode(), check=True)
        return path

    def load(self, path, **view):
        seconds = self.browser.open(path, **view)
        self.addCleanup(self.expect_quiet, path)
        return seconds

    def expect_quiet(self, path):
        """No console message, no violation of the policy, no exception, no request but the page itself."""
        self.assertEqual(self.browser.complaints(), [])
        self.assertEqual([u.split("#")[0] for u in self.browser.requests()], ["file://" + os.path.abspath(path)])

    def token(self, t, expression):
        return self.browser.run(f"(() => {{ const span = document.querySelector('span[data-t=\"{t}\"]'); "
                                f"return {expression}; }})()")

    def color(self, t):
        return self.token(t, "getComputedStyle(span).backgroundColor")

    def middle(self, t):
        return self.token(t, "(r => [r.x + r.width / 2, r.y + r.height / 2])(span.getClientRects()[0])")

    def inspector(self):
        return self.browser.run("document.getElementById('inspector').innerText")

    def press(self, selector):
        self.browser.run(f"document.querySelector({json.dumps(selector)}).click()")

    def test_the_text_is_there_and_inert(self):
        self.load(self.small)
        self.assertEqual(self.token(1, "span.textContent"), " cat")
        self.assertEqual(self.token(6, "span.textContent"), " 世界")
        self.assertIn("U+202E", self.token(5, "span.textContent"))
        pane = self.browser.run("document.getElementById('pane').textContent")
        for character in "\u202e\u2028\x1b":
            self.assertNotIn(character, pane)
        self.assertIsNone(self.browser.run("window.owned || null"))
        self.assertEqual(self.browser.run("document.querySelectorAll('img, iframe').length"), 0)

    def test_totals(self):
        self.load(self.small)
        totals = self.browser.run("document.getElementById('totals').innerText").replace("\n", " ")
        entropies = sorted([0, 2, .1, 6, 8, 1, 3, 4, 5])
        surprisals = [1, 9, 3, 8, 1, 2, 4, 5]
        self.assertIn("Documents 2", totals)
        self.assertIn("Tokens 9", totals)
        self.assertIn(f"Mean entropy {sum(entropies) / 9:.2f} bits", totals)
        self.assertIn("Median entropy 3.00 bits", totals)
        self.assertIn(f"Perplexity {2 ** (sum(surprisals) / 8):.2f}", totals)

    def test_switches_change_the_colours(self):
        self.load(self.small)
        plain, (deepest, one_less) = "rgba(0, 0, 0, 0)", [self.browser.run(
            f"getComputedStyle(document.querySelector('.ramp .v{level}')).backgroundColor") for level in (15, 14)]
        self.assertEqual(len({plain, deepest, one_less}), 3)
        self.assertEqual((self.color(0), self.color(2), self.color(4)), (plain, plain, deepest))
        self.press("#mode [data-value=surprisal]")
        # Low entropy, high surprisal. The scale ends at 10 bits, so 9 are the 15th of 16 steps.
        self.assertEqual(self.color(2), one_less)
        self.assertEqual(self.token(0, "span.className"), "unknown")
        self.press("#mode [data-value=rank]")
        self.assertEqual((self.color(1), self.color(2)), (plain, deepest))
        self.press("#mode [data-value=keep]")
        self.assertNotEqual(self.color(0), self.color(4))
        self.assertEqual([self.token(t, "span.className") for t in (0, 4)], ["kept", "dropped"])

    def test_the_threshold_decides_what_is_kept(self):
        self.load(self.small)
        self.press("#mode [data-value=keep]")
        for position, kept in ((0, 1), (1000, 9)):
            self.browser.run("(s => { s.value = %d; s.dispatchEvent(new Event('input')); })"
                             "(document.querySelector('#keep input'))" % position)
            self.assertEqual(self.browser.run("document.querySelectorAll('#pane .kept').length"), kept)
            self.assertIn(f"{kept} of 9", self.browser.run("document.querySelector('#keep .note').textContent"))

    def test_what_was_recorded_as_kept(self):
        path = self.report("kept.html", [document("d", [("a", 9, 1, 1), ("b", 0, 1, 1)], keep=[True, False])])
        self.load(path)
        self.press("#mode [data-value=keep]")
        self.assertEqual([self.token(t, "span.className") for t in (0, 1)], ["kept", "dropped"])
        self.press("#keep [data-value=threshold]")
        self.assertEqual([self.token(t, "span.className") for t in (0, 1)], ["dropped", "kept"])

    def test_hover_shows_the_numbers_and_the_top_tokens(self):
        self.load(self.small)
        self.browser.mouse(*self.middle(2))
        shown = self.inspector()
        for part in ("␣sat", "token 2 of first", "id 102", "0.10 bits", "9.00 bits", "4,000", "0.20 %",  # 2^-9
                     "␣cat", "50.0 %", "␣dog", "12.5 %"):
            self.assertIn(part, shown)

    def test_keyboard(self):
        self.load(self.small)
        self.browser.run("document.getElementById('pane').focus()")
        for key, expected in (("ArrowRight", "token 0 of first"), ("ArrowRight", "token 1 of first"),
                              ("End", "token 4 of first"), ("ArrowRight", "token 0 of second"),
                              ("ArrowLeft", "token 4 of first"), ("ArrowUp", "token 0 of first"),
                              ("ArrowDown", "token 4 of first"), ("Home", "token 0 of first")):
            self.browser.key(key)
            self.assertIn(expected, self.inspector(), key)
        self.assertEqual(self.browser.run("document.querySelectorAll('.selected').length"), 1)
        self.browser.key("Escape")
        self.assertIn("Point at a token", self.inspector())
        self.browser.run("document.querySelector('#mode [aria-checked=true]').focus()")
        self.browser.key("ArrowRight")
        self.assertEqual(self.browser.run("document.activeElement.dataset.value"), "surprisal")
        self.assertEqual(self.browser.run("document.activeElement.getAttribute('aria-checked')"), "true")

    def test_the_worst_are_ranked_and_linked(self):
        self.load(self.small)
        first = "document.querySelector('#worst-tokens a')"
        self.assertIn("9.00", self.browser.run(first + ".innerText"))
        self.browser.run(first + ".click()")
        self.browser.run("new Promise(r => setTimeout(r, 50))")
        self.assertIn("token 2 of first", self.inspector())
        self.assertEqual(self.browser.run("location.hash"), "#d0-t2")
        self.press("#order [data-value=entropy]")
        self.assertIn("8.00", self.browser.run(first + ".innerText"))
        self.press("#order [data-value=wrong]")
        self.assertIn("8.90", self.browser.run(first + ".innerText"))  # 9 - 0.1
        documents = self.browser.run("[...document.querySelectorAll('#worst-documents a')].map(a => a.innerText)")
        self.assertEqual(len(documents), 2)

    def test_charts(self):
        self.load(self.small)
        self.assertEqual(self.browser.run("document.querySelectorAll('figure svg').length"), 5)
        note = self.browser.run("document.querySelector('#quadrants .note').textContent")
        self.assertIn("Split at entropy 3.00 and surprisal 3.50 bits", note)  # the medians
        self.press("#quadrants [data-value=one]")
        self.assertIn("Split at entropy 1.00 and surprisal 1.00 bits",
                      self.browser.run("document.querySelector('#quadrants .note').textContent"))
        names = self.browser.run("[...document.querySelectorAll('#quadrants .name')].map(n => n.textContent)")
        # Of the eight tokens with both, above 1 bit: entropy 2 6 8 3 4 5; surprisal 9 3 8 2 4 5.
        self.assertEqual(names, ["Confident and right 12.5 %", "Confident but wrong 12.5 %",
                                 "Unsure yet right 12.5 %", "Unsure and wrong 62.5 %"])

    def test_nats(self):
        self.load(self.report("nats.html", small(), "--unit", "nats"))
        self.browser.mouse(*self.middle(1))
        self.assertIn("1.39 nats", self.inspector())  # 2 ln 2

    def test_dark_phone_and_print(self):
        self.load(self.small, width=390, height=844, dark=True)
        self.assertEqual(self.browser.run("getComputedStyle(document.body).backgroundColor"), "rgb(20, 23, 28)")
        self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 390)
        self.browser.run("document.getElementById('text').scrollIntoView()")
        self.browser.click(*self.middle(1))
        self.assertEqual(self.browser.run("document.querySelector('.inspector.open') !== null"), True)
        self.assertGreater(len(self.browser.call("Page.printToPDF")["data"]), 10000)

    def test_records_with_little_in_them(self):
        for name, records in (("rows", [{"id": "x", "entropy": [1, 2, 3]}]), ("one", [{"entropy": [1]}]),
                              ("zero", [{"text": "", "entropy": []}]), ("missing", [{"entropy": [None, None]}]),
                              ("surprisal", [{"text": "ab", "byte_start": [0, 1], "byte_end": [1, 2], "logprob": [None, -2]}]),
                              ("infinite", [{"entropy": [1, 2], "logprob": ["-Infinity", -1]}]),
                              ("impossible", [{"entropy": ["Infinity", "-Infinity", 3e38, "NaN", -1, 1],
                                               "logprob": ["-Infinity", "-Infinity", "Infinity", "NaN", 3e38, -1]}])):
            with self.subTest(name):
                self.load(self.report(name + ".html", records))
                self.expect_quiet(os.path.join(self.folder.name, name + ".html"))
                self.doCleanups()

    def test_100000_tokens(self):
        path = self.report("large.html", large(100000))
        self.assertLess(self.load(path), SECONDS_TO_LOAD)
        self.assertLess(self.browser.run("document.querySelectorAll('#pane span').length"), 10000)
        self.assertIn("100,000", self.browser.run("document.getElementById('totals').innerText"))
        self.browser.run("document.getElementById('pane').focus()")
        self.browser.run("location.hash = '#d39-t2499'")
        self.browser.run("new Promise(r => setTimeout(r, 300))")
        self.assertIn("token 2,499 of doc 39", self.inspector())
        place = self.browser.run("(r => [r.top, r.bottom])(document.querySelector('.selected').getBoundingClientRect())")
        pane = self.browser.run("(r => [r.top, r.bottom])(document.getElementById('pane').getBoundingClientRect())")
        self.assertTrue(pane[0] <= place[0] and place[1] <= pane[1], (place, pane))
        self.assertLess(self.browser.run("document.querySelectorAll('#pane span').length"), 10000)


if __name__ == "__main__":
    unittest.main()

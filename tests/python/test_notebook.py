"""entrol.notebook: its HTML, read by a parser, and its colours beside those of the command's report."""

import html.parser
import json
import math
import os
import random
import re
import unittest

try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("numpy is not installed") from None

from entrol import notebook

REPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cli", "report")
ALLOWED = {"style", "figure", "figcaption", "b", "span", "i", "div", "svg", "line", "path", "circle", "text"}


def read(name):
    with open(os.path.join(REPORT, name), encoding="utf-8") as file:
        return file.read()


class Page(html.parser.HTMLParser):
    """The elements, the pieces of the text with their class and title, and what a reader hears beside them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.pieces, self.heard, self.attributes = [], set(), [], "", set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.attributes.update(given)
        inside = any(kind == "text" for _, kind in self.open)
        if tag == "span" and inside:
            self.pieces.append([given.get("class"), given.get("title"), ""])
        if tag not in ("line", "path", "circle"):
            self.open.append((tag, given.get("class")))

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data):
        kinds = [kind for _, kind in self.open]
        if "text" in kinds and "sign" not in kinds and self.pieces:
            self.pieces[-1][2] += data
        if "heard" in kinds:
            self.heard += data


class Colors(unittest.TestCase):
    def test_they_are_the_reports(self):
        css = read("report.css")
        day, night = [
            dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
            for block in css.split("prefers-color-scheme: dark", 2)[:2]
        ]
        for values, ramp, ink, on_high in (
            (day, notebook.DAY, notebook.INK_DAY, notebook.ON_HIGH_DAY),
            (night, notebook.NIGHT, notebook.INK_NIGHT, notebook.ON_HIGH_NIGHT),
        ):
            self.assertEqual([values[f"v{i}"] for i in range(16)], ramp)
            self.assertEqual({name: values[name] for name in ink}, ink)
            self.assertEqual(values["on-high"], on_high)
        high_day = [int(step) for step in re.findall(r"^\.v(\d+) \{[^}]*color: var\(--on-high\); \}", css, re.M)]
        high_night = re.search(r"dark\) \{ (.*?) \{ color: var\(--on-high\)", css)[1]
        self.assertEqual(high_day, list(range(notebook.HIGH_DAY, 16)))
        self.assertEqual(
            sorted(int(x) for x in re.findall(r"\d+", high_night)) + high_day, list(range(notebook.HIGH_NIGHT, 16))
        )

    def test_letters_can_be_read(self):
        """WCAG's contrast of ink and ground: the report promises 4.0 by day, 4.1 by night."""

        def luminance(color):
            parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            linear = [x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        for ramp, ink, on_high, high, least in (
            (notebook.DAY, notebook.INK_DAY, notebook.ON_HIGH_DAY, notebook.HIGH_DAY, 4.0),
            (notebook.NIGHT, notebook.INK_NIGHT, notebook.ON_HIGH_NIGHT, notebook.HIGH_NIGHT, 4.1),
        ):
            for i, color in enumerate(ramp):
                a, b = sorted((luminance(color), luminance(on_high if i >= high else ink["ink"])))
                self.assertGreaterEqual((b + 0.05) / (a + 0.05), least - 0.05, (i, color))

    def test_hidden_characters_are_the_reports(self):
        pattern = re.search(r"const hidden = /\[(.*?)\]\|", read("model.js"))[1]
        inside = lambda code: any(low <= code <= high for low, high in ranges)
        ranges = [
            (int(low, 16), int(high or low, 16))
            for low, high in re.findall(r"\\u([0-9a-f]{4})(?:-\\u([0-9a-f]{4}))?", pattern)
        ]
        for code in [*range(0xD800), *range(0xE000, 0x10000)]:
            self.assertEqual(bool(notebook.HIDDEN.match(chr(code))), inside(code), hex(code))
        self.assertEqual(
            [bool(notebook.HIDDEN.match(chr(c))) for c in (0xDFFFF, 0xE0000, 0xE00FF, 0xE0100)],
            [False, True, True, False],
        )


class HeatMaps(unittest.TestCase):
    def test_values_have_their_colors(self):
        ln2 = math.log(2)  # a value in nats of so many bits
        made = notebook.heat_map(["a", " b", "c", "d", "e"], [0, 1.99 * ln2, 4 * ln2, 99, None], top=4)
        page = Page(made._repr_html_())
        self.assertEqual([kind for kind, _, _ in page.pieces], ["v0", "v7", "v15", "v15", "unknown"])
        self.assertEqual([text for _, _, text in page.pieces], ["a", " b", "c", "d", "e"])
        self.assertEqual(page.pieces[1][1], " b: 1.99 bits")
        self.assertEqual(page.pieces[4][1], "e: no value")
        self.assertEqual(Page(notebook.heat_map(["a"], [2.0], unit="nats").html).pieces[0][1], "a: 2.00 nats")
        infinite = Page(notebook.heat_map(["a", "b"], [float("inf"), float("-inf")]).html)
        self.assertEqual(
            [(kind, title) for kind, title, _ in infinite.pieces], [("v15", "a: infinite"), ("v0", "b: infinite")]
        )

    def test_the_scale_ends_at_a_round_number(self):
        values = np.linspace(0, 7.9 * math.log(2), 1000)
        self.assertIn("> 8 bits and more", notebook.heat_map(["x"] * 1000, values).html)

    def test_nothing_becomes_markup(self):
        chosen = random.Random(7)
        parts = [
            "<script>alert(1)</script>",
            "\"onmouseover=x'",
            "&amp;",
            "</div></figure>",
            "\u202e",
            "\0",
            "\ud800",
            "\n",
            "\t",
            "‮",
            "\U000e0041",
            "]]>",
            "<!--",
            "é",
            "",
            " ",
        ]
        for _ in range(200):
            tokens = ["".join(chosen.choices(parts, k=chosen.randint(0, 4))) for _ in range(6)]
            made = notebook.heat_map(
                tokens, [chosen.choice([None, 1.0, float("inf")]) for _ in tokens], title=chosen.choice(parts)
            )
            text = made._repr_html_()
            page = Page(text)
            self.assertLessEqual(page.tags, ALLOWED)
            self.assertLessEqual(page.attributes, {"class", "title", "aria-hidden", "dir"})
            self.assertEqual(len(page.pieces), 6)
            text.encode()  # no lone surrogate either
            for token, (_, _, shown) in zip(tokens, page.pieces):
                expected = "".join(
                    c if c in "\n\t" or not notebook.HIDDEN.match(c) else f"U+{ord(c):04X}" for c in token
                )
                self.assertEqual(shown, expected or "∅")
            self.assertNotRegex(text.replace("\n", ""), r"[\u0000-\u0008\u202a-\u202e]")
            self.assertNotRegex(text, "https?://|url\\(|@import|<script")

    def test_what_is_heard(self):
        page = Page(notebook.heat_map(["one", "two", "x\n"], [math.log(2), 3 * math.log(2), None]).html)
        self.assertEqual(
            page.heard,
            "Entropy of 3 tokens: mean 2.00 bits, highest “two” 3.00 bits (token 2), “one” 1.00 bits (token 1).",
        )
        self.assertEqual(Page(notebook.heat_map(["a"], [None]).html).heard, "Entropy of 1 token: no values.")

    def test_a_long_text_is_cut_and_says_so(self):
        made = notebook.heat_map(["a "] * 100, [1.0] * 100, limit=30)
        self.assertEqual(len(Page(made.html).pieces), 30)
        self.assertIn("the first 30 of 100 tokens", made.html)

    def test_refused(self):
        for error, words, call in [
            (TypeError, "tokens: expected a sequence of strings", lambda: notebook.heat_map("abc", [1, 2, 3])),
            (TypeError, "tokens: expected strings, got int at 1", lambda: notebook.heat_map(["a", 2], [1, 2])),
            (ValueError, "values: expected 1, as many", lambda: notebook.heat_map(["a"], [1, 2])),
            (TypeError, "values: expected numbers", lambda: notebook.heat_map(["a"], ["x"])),
            (ValueError, "unit: expected bits or nats", lambda: notebook.heat_map(["a"], [1], unit="dB")),
            (ValueError, "top: expected a number above 0", lambda: notebook.heat_map(["a"], [1], top=0)),
            (ValueError, "limit: expected a number from 1", lambda: notebook.heat_map(["a"], [1], limit=0)),
            (TypeError, "record: expected an object", lambda: notebook.show("[1]")),
            (ValueError, "by = 'rank': the record has no column", lambda: notebook.show({"text": "a"}, by="rank")),
            (ValueError, "record: expected text with", lambda: notebook.show({"entropy": [1.0]})),
            (
                ValueError,
                "do not fit the text",
                lambda: notebook.show({"text": "a", "entropy": [1.0], "byte_start": [0], "byte_end": [9]}),
            ),
        ]:
            with self.assertRaisesRegex(error, words):
                call()


class Records(unittest.TestCase):
    def show(self, text, ends, entropy, **more):
        starts = [0, *ends[:-1]]
        return Page(
            notebook.show({"text": text, "byte_start": starts, "byte_end": ends, "entropy": entropy, **more}).html
        )

    def test_pieces_are_the_texts(self):
        page = self.show("ab c", [2, 4], [1.0, None])
        self.assertEqual([(kind == "unknown", text) for kind, _, text in page.pieces], [(False, "ab"), (True, " c")])

    def test_tokens_within_a_character_are_one_piece(self):
        page = self.show("a雪b", [1, 2, 4, 5], [0.0, 3 * math.log(2), 1.0, "NaN"])
        self.assertEqual([text for _, _, text in page.pieces], ["a", "雪", "b"])
        self.assertEqual(page.pieces[1][1], "雪: 3.00 bits")  # the greatest, as in the report
        self.assertEqual(page.pieces[2][1], "b: no value")

    def test_what_no_token_covers(self):
        record = {
            "scored_text": "ask: yes end",
            "text": "other",
            "byte_start": [5],
            "byte_end": [8],
            "logprob": [-math.log(2)],
        }
        page = Page(notebook.show(json.dumps(record), by="surprisal").html)
        self.assertEqual(
            [(title, text) for _, title, text in page.pieces],
            [("ask: : no value", "ask: "), ("yes: 1.00 bits", "yes"), (" end: no value", " end")],
        )
        self.assertIn("Surprisal", page.heard)

    def test_a_record_with_tokens_alone(self):
        page = Page(notebook.show({"token": ["a", "b"], "entropy": np.array([1.0, 2.0], np.float32)}).html)
        self.assertEqual([text for _, _, text in page.pieces], ["a", "b"])


class Plots(unittest.TestCase):
    def test_quantiles_are_numpys(self):
        values = np.random.default_rng(3).gamma(2, 1, 500)
        made = notebook.quantiles([*values, None, float("nan")], unit="nats")
        for q in (0, 0.1, 0.5, 0.8, 1):
            self.assertAlmostEqual(made.at(q), float(np.quantile(values, q)))
        text = made._repr_html_()
        self.assertLessEqual(Page(text).tags, ALLOWED)
        self.assertIn(f">{np.quantile(values, 0.8):.2f}<", text)
        self.assertIn("Entropy of 500 tokens", text)

    def test_none_and_negative_ones(self):
        self.assertEqual(repr(notebook.quantiles([None])), "Quantiles: Entropy: no values.")
        self.assertNotIn("<svg", notebook.quantiles([])._repr_html_())
        self.assertIn("<svg", notebook.quantiles([-2.0, -1.0])._repr_html_())
        self.assertIn("<svg", notebook.quantiles([0.0, 0.0])._repr_html_())


if __name__ == "__main__":
    unittest.main()

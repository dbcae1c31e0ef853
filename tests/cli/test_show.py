"""entrol show: the marks and colours against values chosen by hand, wrapping, escaping, exit codes."""
import gzip
import json
import math
import os
import pty
import re
import select
import subprocess
import tempfile
import unicodedata
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
BIT = math.log(2)
MARKS = "▁▂▃▄▅▆▇█"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def record(pieces, **more):
    """A record of (text, entropy in bits) pieces; bytes are allowed for broken characters."""
    data = [p.encode() if isinstance(p, str) else p for p, _ in pieces]
    ends = [sum(map(len, data[:i + 1])) for i in range(len(data))]
    fields = {"id": "d", "text": b"".join(data).decode(), "byte_start": [0] + ends[:-1], "byte_end": ends,
              "entropy": [None if h is None else h * BIT for _, h in pieces]}
    fields.update(more)
    return json.dumps(fields, ensure_ascii=False) + "\n"


def show(text, *options, env=None):
    """(exit code, standard output, standard error); records go in on standard input."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM", "TERM", "COLORFGBG")}
    environment.update(env or {})
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run([ENTROL, "show", *options], input=data, capture_output=True, env=environment, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def body(output):
    """The lines of the only document: after the legend, a blank line and the heading, up to the blank line."""
    return output.split("\n\n")[1].split("\n")[1:]


def columns(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class Marks(unittest.TestCase):
    def test_each_step_of_the_scale(self):
        # 10 bits in 8 steps of 1.25.
        pieces = [("abcdefgh"[h] * 2, 1.25 * h + 0.5) for h in range(8)] + [("z", 20), ("y", None)]
        code, out, err = show(record(pieces))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(body(out), ["aabbccddeeffgghhzy", "".join(m * 2 for m in MARKS) + "█?"])
        self.assertEqual(out.split("\n")[0], f"entropy  0 {MARKS} 10 bits and more")

    def test_mean_in_the_unit_asked_for(self):
        text = record([("a", 1), ("b", 3)])
        self.assertIn("d  2 tokens, mean entropy 2 bits\n", show(text)[1])
        self.assertIn("d  2 tokens, mean entropy 1.386 nats\n", show(text, "--unit", "nats")[1])  # 2 ln 2

    def test_surprisal_is_minus_logprob(self):
        text = record([("a", 0), ("b", 0)], logprob=[-8 * BIT, -15 * BIT])
        self.assertEqual(body(show(text, "--by", "surprisal")[1]), ["ab", "▅█"])  # 8 of 15 is the fifth of 8 steps

    def test_varentropy_is_squared(self):
        text = record([("a", 0), ("b", 0)], varentropy=[8 * BIT * BIT, 0])
        self.assertIn("mean varentropy 4 bits squared", show(text, "--by", "varentropy")[1])

    def test_rank_is_on_a_log_scale(self):
        # Two of eight marks a power of ten, from 1 to 10,000.
        text = record([("a", 0)] * 5, rank=[1, 10, 100, 1000, 10000])
        self.assertEqual(body(show(text, "--by", "rank")[1]), ["aaaaa", "▁▃▅▇█"])

    def test_keep(self):
        text = record([("a", 0), ("b", 0), ("c", 0), ("d", 0)], keep=[True, False, None, True])
        out = show(text, "--by", "keep")[1]
        self.assertEqual(body(out), ["abcd", "█·?█"])
        self.assertIn("66.7 % kept", out)

    def test_scale(self):
        self.assertEqual(body(show(record([("a", 1), ("b", 2)]), "--scale", "2")[1]), ["ab", "▅█"])

    def test_scale_that_ends_before_it_starts(self):
        text = record([("a", 1)], rank=[1], logprob=[-2])
        for column, scale in (("entropy", "0"), ("entropy", "-1"), ("rank", "1"), ("logprob", "-30")):
            code, out, err = show(text, "--by", column, "--scale", scale)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(f"--scale {scale}: the scale of {column} starts at", err)
        # From -15 to -1, -2 is at 13/14: the last of 8 steps. To 0 it would be the seventh.
        self.assertEqual(body(show(text, "--by", "logprob", "--unit", "nats", "--scale", "-1")[1]), ["a", "█"])

    def test_a_column_without_a_range_spans_the_document(self):
        text = record([("a", 0), ("b", 0), ("c", 0)], logsumexp=[5, 6, 7])
        self.assertEqual(body(show(text, "--by", "logsumexp", "--unit", "nats")[1]), ["abc", "▁▅█"])

    def test_text_that_was_not_scored_has_no_mark(self):
        text = json.dumps({"id": "d", "text": "Q: yes!", "byte_start": [3, 6], "byte_end": [6, 7],
                           "entropy": [10 * BIT, 0]}) + "\n"
        self.assertEqual(body(show(text)[1]), ["Q: yes!", "   ███▁"])

    def test_rows_of_a_logits_file_show_their_numbers(self):
        text = json.dumps({"id": "x", "entropy": [0, 10 * BIT]}) + "\n"
        self.assertEqual(body(show(text)[1]), ["0 1 ", "▁▁██"])

    def test_token_strings_serve_where_there_is_no_text(self):
        text = json.dumps({"id": "x", "token": ["ab", "c"], "entropy": [0, 10 * BIT]}) + "\n"
        self.assertEqual(body(show(text)[1]), ["abc", "▁▁█"])


class Characters(unittest.TestCase):
    def test_a_split_character_is_joined_and_counts_as_its_worst_token(self):
        world = "世".encode()
        out = show(record([("a", 0), (world[:1], 1), (world[1:2], 9.5), (world[2:], 2), ("b", 0)]))[1]
        self.assertEqual(body(out), ["a世b", "▁██▁"])

    def test_wide_characters_wrap_at_the_width(self):
        out = show(record([("世", 1)] * 12), "--width", "10")[1]
        self.assertEqual(body(out)[::2], ["世" * 5, "世" * 5, "世" * 2])
        self.assertEqual(len(body(out)[1]), 10)

    def test_no_line_is_wider_than_the_terminal(self):
        text = "Wide 界世 and e\u0301 accents, 😀 emoji 👍 and some_very_long_word_that_has_to_be_cut 日本語テスト。\n" * 3
        pieces = [(c, i % 9) for i, c in enumerate(re.findall(r"\s?\S{1,5}|\s", text))]
        for width in (10, 11, 17, 40, 79):
            lines = body(show(record(pieces), "--width", str(width))[1])
            for shown, marks in zip(lines[::2], lines[1::2]):
                self.assertLessEqual(columns(shown), width)
                self.assertEqual(len(marks), columns(shown))
            self.assertEqual("".join(lines[::2]).replace("↵", "\n"), text)

    def test_lines_end_between_words(self):
        out = show(record([("alpha", 1), (" beta", 1), (" gamma", 1)]), "--width", "12")[1]
        self.assertEqual(body(out)[::2], ["alpha beta ", "gamma"])

    def test_no_line_starts_with_a_chinese_comma(self):
        out = show(record([(c, 1) for c in "天地玄黄，宇宙"]), "--width", "10")[1]
        self.assertEqual(body(out)[::2], ["天地玄黄，", "宇宙"])
        out = show(record([(c, 1) for c in "天地玄黄宇，宙"]), "--width", "10")[1]
        self.assertEqual(body(out)[::2], ["天地玄黄", "宇，宙"])

    def test_combining_marks_take_no_column(self):
        out = show(record([("e\u0301", 0), ("x", 10)]))[1]
        self.assertEqual(body(out), ["e\u0301x", "▁█"])

    def test_control_and_bidirectional_characters_are_escaped(self):
        hostile = "\x1b]0;owned\x07" + "".join(map(chr, [*range(0, 9), *range(11, 32), *range(127, 160), 0x61c, 0x200b,
                  0x200e, 0x200f, *range(0x2028, 0x202f), *range(0x2060, 0x2070), 0xfeff, 0xe0041])) + "\x1b[31mred"
        hostile = hostile.replace("\0", "")  # the reader refuses or drops NUL on its own
        for options in (["--color", "never"], ["--color", "truecolor"], ["--color", "16", "--style", "underline"],
                        ["--top", "3"]):
            code, out, _ = show(record([(hostile, 3)], id="i" + hostile), *options)
            self.assertEqual(code, 0)
            left = SGR.sub("", out) if "--color" in options and "never" not in options else out
            for c in left:
                bad = unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"
                self.assertFalse(bad, f"U+{ord(c):04X} reached the terminal")
            joined = left.replace("\n", "")
            if "--top" not in options:
                for name in ("<U+001B>]0;owned<U+0007>", "<U+202E>", "<U+2066>", "<U+2028>", "<U+009B>", "<U+E0041>"):
                    self.assertIn(name, re.sub(r"[▁-█ ]{3,}", "", joined))

    def test_only_our_own_colours_come_out(self):
        out = show(record([("\x1b[31mred\x1b[0m", 3)]), "--color", "truecolor")[1]
        self.assertNotIn("\x1b[31m", out)

    def test_newlines_are_seen_and_done(self):
        self.assertEqual(body(show(record([("a\n", 0), ("b", 10)]))[1]), ["a↵", "▁▁", "b", "█"])


class Colours(unittest.TestCase):
    text = record([("low", 0), ("high", 10)])

    def test_depths(self):
        cases = [({"COLORTERM": "truecolor"}, "\x1b[48;2;246;233;114;38;5;16mhigh"),
                 ({"TERM": "xterm-256color"}, "\x1b[48;5;"), ({"TERM": "xterm"}, "\x1b[43;30mhigh")]
        for env, expected in cases:
            self.assertIn(expected, show(self.text, "--color", "always", env=env)[1])

    def test_256_colours_are_the_nearest_of_the_cube(self):
        # f6e972 = (246, 233, 114); the cube's steps are 0 95 135 175 215 255: 5, 4 (215 is nearer to 233), 1.
        # 235 is the middle of 215 and 255; 115 that of 95 and 135: 16 + 36*5 + 6*4 + 1 = 221.
        self.assertIn("\x1b[48;5;221;38;5;16mhigh", show(self.text, "--color", "256")[1])

    def test_pipes_and_no_color_have_none(self):
        self.assertNotIn("\x1b", show(self.text, env={"COLORTERM": "truecolor", "TERM": "xterm"})[1])
        self.assertIn("\x1b", self.in_terminal({"TERM": "xterm"}))
        self.assertNotIn("\x1b", self.in_terminal({"TERM": "xterm", "NO_COLOR": "1"}))
        self.assertNotIn("\x1b", self.in_terminal({"TERM": "dumb"}))

    def in_terminal(self, env):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write(self.text)
            file.flush()
            try:
                master, slave = pty.openpty()
            except OSError as error:  # a system without /dev/pts
                self.skipTest(f"no terminal: {error}")
            environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM", "TERM")}
            process = subprocess.Popen([ENTROL, "show", file.name], stdout=slave, env={**environment, **env})
            os.close(slave)
            out = b""
            while select.select([master], [], [], 30)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                out += data
            os.close(master)
            self.assertEqual(process.wait(30), 0)
            return out.decode()

    def test_underline(self):
        out = show(self.text, "--color", "truecolor", "--style", "underline")[1]
        self.assertIn("\x1b[4;58;2;246;233;114mhigh\x1b[0m", out)
        self.assertNotIn("\x1b[48", out)

    def test_light_theme(self):
        for options, env in ((["--theme", "light"], {}), ([], {"COLORFGBG": "0;15"})):
            self.assertIn("\x1b[48;2;44;92;163;38;5;231mhigh",
                          show(self.text, "--color", "truecolor", *options, env=env)[1])

    def test_every_line_ends_without_colour(self):
        out = show(record([("many words in here", 10)] * 5), "--color", "truecolor", "--width", "20")[1]
        for line in out.split("\n"):
            last = SGR.findall(line)[-1:]
            self.assertIn(last, ([], ["\x1b[0m"]))


class Top(unittest.TestCase):
    text = record([("one", 1), (" two", 7), (" three", 4)], token_id=[11, 12, 13],
                  top_id=[[11, 12], [13, 99], [12, 11]], top_token=[["one", " two"], [" three", "it"], [" two", "one"]],
                  top_logprob=[[math.log(.5), math.log(.25)]] * 3)

    def test_worst_first_with_alternatives(self):
        out = show(self.text, "--top", "2")[1]
        table = out[out.index("Highest entropy, bits"):].split("\n")
        self.assertEqual(table[2], "     7.000  one[ two] three")
        self.assertEqual(table[3], "            d, token 1")
        self.assertEqual(table[4], "            expected “ three” 50.0 %, “it” 25.0 %")
        self.assertEqual(table[5], "     4.000  one two[ three]")
        self.assertEqual(table[8:], [""])

    def test_names_come_from_the_text_where_none_are_recorded(self):
        fields = json.loads(self.text)
        del fields["top_token"]
        out = show(json.dumps(fields), "--top", "1")[1]
        self.assertIn("expected “ three” 50.0 %, #99 25.0 %", out)

    def test_least_probable_is_worst_for_logprob(self):
        out = show(record([("a", 0), ("b", 0)], logprob=[-1, -3]), "--by", "logprob", "--top", "1", "--unit", "nats")[1]
        self.assertIn("Lowest logprob, nats\n\n    -3.000  a[b]\n", out)

    def test_a_certain_token_has_no_minus(self):
        out = show(record([("a", 0)], logprob=[0]), "--by", "surprisal", "--top", "1")[1]
        self.assertIn("\n     0.000  [a]\n", out)

    def test_over_documents(self):
        out = show(record([("x", 2)], id="p") + record([("y", 5)], id="q"), "--top", "1")[1]
        self.assertIn("[y]\n            q, token 0\n", out)
        self.assertIn("entrol score --top 5", out)  # no alternatives recorded


class Ends(unittest.TestCase):
    text = record([("a", 1)], id="one") + record([("b", 2)], id="two") + record([("c", 3)], id="three")

    def test_limit_and_document(self):
        self.assertEqual(show(self.text, "--limit", "2")[1].count("1 token,"), 2)
        out = show(self.text, "--doc", "two")[1]
        self.assertIn("two  1 token, mean entropy 2 bits", out)
        self.assertNotIn("three", out)

    def test_a_document_that_is_not_there(self):
        code, _, err = show(self.text, "--doc", "four")
        self.assertEqual(code, 1)
        self.assertIn('"four"', err)

    def test_files_gzip_and_several(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, "a.jsonl.gz"), os.path.join(folder, "b.jsonl")]
            with gzip.open(paths[0], "wt") as file:
                file.write(record([("a", 1)], id="first"))
            with open(paths[1], "w") as file:
                file.write(record([("b", 1)], id="second"))
            code, out, _ = show("", *paths)
            self.assertEqual(code, 0)
            self.assertLess(out.index("first"), out.index("second"))

    def test_errors_end_with_2_and_say_where(self):
        code, _, err = show(self.text + "{broken\n")
        self.assertEqual(code, 2)
        self.assertRegex(err, r"standard input:4")
        code, _, err = show(self.text, "--by", "entropi")
        self.assertEqual(code, 2)
        self.assertIn("entropi", err)
        code, _, err = show(self.text, "--by", "rank")
        self.assertEqual(code, 2)
        self.assertIn('"rank"', err)
        self.assertEqual(show("", "/nonexistent/file")[0], 2)
        self.assertEqual(show(self.text, "--width", "3")[0], 2)
        self.assertEqual(show(self.text, "--by", "keep", "--top", "3")[0], 2)
        for option in ("--limit", "--top"):
            self.assertIn("expected a whole number from 1 to", show(self.text, option, "0")[2])

    def test_a_missing_column_is_named_with_its_file(self):
        hints = {"keep": "; entrol select writes it", "weight": "; entrol select writes it",
                 "entropy_lower": "; entrol score writes it of recorded log-probabilities",
                 "entropy_upper": "; entrol score writes it of recorded log-probabilities",
                 "renyi": "; entrol score --columns renyi writes it"}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.jsonl")
            with open(path, "w") as file:
                file.write("\n" + self.text)
            for column, hint in hints.items():
                code, _, err = show("", path, "--by", column)
                self.assertEqual((code, err), (2, f'entrol: {path}:2 (one): no column "{column}"{hint}\n'))

    def test_a_record_without_tokens(self):
        self.assertEqual(show(json.dumps({"id": "e", "text": "", "entropy": []}))[0], 0)


if __name__ == "__main__":
    unittest.main()

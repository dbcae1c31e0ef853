"""The texts of the cases, from packages that scripts/cases unpacked; and the three corpora that are made of them.

    news.jsonl     news stories as they are
    noisy.jsonl    the same stories with typing errors in 3 % of the words; `damaged` holds where
    mixed.jsonl    passages of ten kinds, in the field `kind`: five are sound, four are broken, one repeats a sentence
"""
import ast
import glob
import html.parser
import json
import os
import random
import re
import textwrap

import damage

ERRORS = 0.03  # of the words
SOUND = ("news", "manual", "German", "Chinese", "code")
BROKEN = ("shuffled", "garbage", "swapped", "misread")  # the first two badly, the others slightly
REPEATED = "repeated"
MODULES = ("bdb", "cmd", "difflib", "doctest", "fractions", "ftplib", "imaplib", "mailbox", "modulefinder", "pdb", "poplib", "pprint",
           "profile", "shutil", "smtplib", "statistics", "tarfile", "trace", "webbrowser")
LICENCES = ("Apache-2.0", "Artistic", "GFDL-1.3", "GPL-1", "GPL-2", "GPL-3", "LGPL-2.1", "LGPL-3", "MPL-1.1", "MPL-2.0")
# Characters of a passage: about 75 tokens of the default model in each kind.
LENGTH = {"news": 350, "manual": 330, "German": 280, "Chinese": 120, "code": 260, "repeated": 350, "shuffled": 300, "garbage": 170,
          "swapped": 320, "misread": 250}


def packages(folder):
    """The packages that the folder was unpacked from, where it says so."""
    path = f"{folder}/packages.txt"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return sorted(file.read().split())


def stories(folder):
    """The Lee background corpus: 300 stories of the Australian Broadcasting Corporation's news mail, one a line."""
    with open(f"{folder}/lee_background.cor", encoding="latin-1") as file:
        by_start = {line[:60]: line.strip() for line in file}  # some stand there twice
    return [text for text in by_start.values() if 300 <= len(text) <= 2000]


class Paragraphs(html.parser.HTMLParser):
    """What stands in the <p> of a page."""

    def __init__(self, path):
        super().__init__()
        self.found, self.inside = [], False
        with open(path, encoding="utf-8") as file:
            self.feed(file.read())

    def handle_starttag(self, tag, attributes):
        if tag == "p":
            self.inside = True
            self.found.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "p"

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def manual(folder, language):
    """Paragraphs of the Debian FAQ in a language: long ones, in which it is really written."""
    pages = sorted(glob.glob(f"{folder}/usr/share/doc/debian/FAQ/**/*.{language}.html", recursive=True))
    texts = [" ".join(p.split()) for page in pages for p in Paragraphs(page).found]
    if language == "zh-cn":
        texts = [re.sub(r"(?<=[^\x00-\x7f]) (?=[^\x00-\x7f])", "", t) for t in texts]
        return [t for t in texts if len(t) >= 90 and len(re.findall(r"[\u4e00-\u9fff]", t)) > len(t) / 2]
    return [t for t in texts if len(t) >= 200]


def functions(folder):
    """Functions of Python's standard library without a docstring, which would be prose."""
    found = []
    for module in MODULES:
        for path in sorted(glob.glob(f"{folder}/usr/lib/python3*/{module}.py")):
            with open(path, encoding="utf-8") as file:
                source = file.read()
            defined = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
            found += [textwrap.dedent(ast.get_source_segment(source, node, padded=True))
                      for node in defined if not ast.get_docstring(node)]
    return [text for text in found if len(text) >= 200]


def sentences(folder):
    """Sentences of well-known licences."""
    found = []
    for name in LICENCES:
        for path in glob.glob(f"{folder}/usr/share/common-licenses/{name}"):
            with open(path, encoding="utf-8") as file:
                text = " ".join(file.read().split())
            found += [s for s in re.findall(r"(?<=[.] )[A-Z][^.;:]{60,120}[.]", text)]
    return found


def passage(text, kind):
    """Its beginning, of the kind's length, not cut inside a word."""
    cut = text[:LENGTH[kind]]
    return cut if cut == text or kind == "Chinese" else cut.rsplit(None, 1)[0]


def mixed(folder, spare_stories, n_each):
    """Passages of each kind, in an order that says nothing."""
    choose = random.Random(2)
    news = spare_stories[:n_each]
    raw = {"news": news, "shuffled": [damage.shuffled(passage(t, "shuffled"), choose) for t in news],
           "garbage": [damage.misread(passage(t, "garbage"), choose, 0.25) for t in news],
           "swapped": [damage.swapped(passage(t, "swapped"), choose) for t in news],
           "misread": [damage.misread(passage(t, "misread"), choose, 0.03) for t in news],
           "manual": manual(folder, "en"), "German": manual(folder, "de"), "Chinese": manual(folder, "zh-cn"),
           "code": functions(folder), "repeated": sentences(folder)}
    lines = []
    for kind, texts in raw.items():
        texts = choose.sample(texts, min(n_each, len(texts)))
        if kind == REPEATED:
            texts = [" ".join([text] * 10) for text in texts]
        lines += [{"id": f"{kind} {i + 1}", "text": passage(text, kind), "kind": kind} for i, text in enumerate(texts)]
    choose.shuffle(lines)
    return lines


def write(path, lines):
    """Only where it says something new: records are newer than what they were made of."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make(folder, work, n_stories, n_each):
    """The three corpora in the folder WORK."""
    os.makedirs(work, exist_ok=True)
    choose = random.Random(1)
    all_stories = stories(folder)
    choose.shuffle(all_stories)
    news = [{"id": f"story {i + 1}", "text": text} for i, text in enumerate(all_stories[:n_stories])]
    noisy = [dict(line, **dict(zip(("text", "damaged"), damage.with_typing_errors(line["text"], ERRORS, choose)))) for line in news]
    write(f"{work}/news.jsonl", news)
    write(f"{work}/noisy.jsonl", noisy)
    write(f"{work}/mixed.jsonl", mixed(folder, all_stories[n_stories:], n_each))

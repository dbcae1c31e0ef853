"""The examples in docs/ that show what a command prints: each is run, and prints that."""
import os
import re
import shlex
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENTROL = os.path.abspath(os.environ.get("ENTROL", "build/entrol"))


def read(name):
    with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as file:
        return file.read()


def examples(name):
    """(command line, what it prints) of every "    $ " in a document, in order."""
    found = re.findall(r"^    \$ (.*)\n((?:    (?!\$ ).*\n)*)", read(name), re.MULTILINE)
    return [(command, re.sub(r"^    ", "", output, flags=re.MULTILINE)) for command, output in found]


class Formats(unittest.TestCase):
    def test_examples_print_what_they_show(self):
        with tempfile.TemporaryDirectory() as folder:
            for command, output in examples("formats.md"):
                words = shlex.split(command)
                if words[0] == "cat":
                    with open(os.path.join(folder, words[1]), "w", encoding="utf-8") as file:
                        file.write(output)
                    continue
                with self.subTest(command=command):
                    done = subprocess.run([ENTROL, *words[1:]], cwd=folder, capture_output=True, text=True)
                    self.assertEqual(done.stdout, output, done.stderr)
        self.assertGreaterEqual(len(examples("formats.md")), 6)


class Rules(unittest.TestCase):
    """The picture: a line of values, and for each rule what it keeps of them."""
    picture = re.findall(r"^    ([a-z0-9:%.]+) +((?:[#.] +){12})", read("rules.md"), re.MULTILINE)
    values = re.search(r"^    values +(.*)$", read("rules.md"), re.MULTILINE).group(1).split()

    def test_the_picture_is_what_select_does(self):
        line = ('{"entropy": [%s]}\n' % ", ".join(self.values)).encode()
        self.assertEqual(len(self.picture), 10)
        for rule, marks in self.picture:
            with self.subTest(rule=rule):
                done = subprocess.run([ENTROL, "select", "--keep", rule], input=line, capture_output=True)
                want = ["true" if mark == "#" else "false" for mark in marks.split()]
                self.assertEqual(done.stdout, line[:-2] + b', "keep": [%s]}\n' % ",".join(want).encode())

    def test_the_table_of_recipes_is_the_registry(self):
        """Every row is what --help says of the recipe, and no recipe is without a row."""
        said = " ".join(subprocess.run([ENTROL, "select", "--help"], capture_output=True, text=True).stdout.split())
        rows = re.findall(r"^\| [a-z-]* *\| `(.+?)` \| `(.+?)` \| (.+?) \| (.+?) \|$", read("rules.md"), re.MULTILINE)
        for name, rule, says, source in rows:
            self.assertIn(f"{name}: {rule}; {says} ({source})", said)
        self.assertEqual(len(rows), len(re.findall(r" [a-z0-9-]+: (?:--level sample |--scope \S+ )*--by ", said)))

    def test_the_bad_rule_is_answered_so(self):
        text = re.search(r'^    (entrol: --keep "(.*?)".*\n(?:    .*\n)+)', read("rules.md"), re.MULTILINE)
        done = subprocess.run([ENTROL, "select", "--keep", text.group(2)], capture_output=True, text=True)
        self.assertEqual(done.stderr, re.sub(r"^    ", "", text.group(1), flags=re.MULTILINE))


if __name__ == "__main__":
    unittest.main()

"""The documents keep in step: links lead somewhere, named commands, options, functions and tests exist, the manual page
lists what --help lists, and the README's examples run."""
import functools
import glob
import os
import re
import shlex
import subprocess
import tempfile
import unicodedata
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
ENTROL = os.environ.get("ENTROL", os.path.join(BUILD, "entrol"))
MODEL = os.environ.get("ENTROL_MODEL")
DOCUMENTS = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"] + \
    sorted(os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/*.md"))

# The headings of the document that Entrol grew from, which README.zh-CN.md answers one by one.
HEADINGS = """
香农熵
核心定义:什么是香农熵?
加入熵项的意义
熵项的本质:衡量策略的随机性
熵项的计算方式(分场景)
离散动作空间
连续动作空间
熵项在损失函数中的作用
常见变种:自适应熵系数
总结
代码-基于大模型的输出输出计算熵
计算香农熵代码
计算熵的分布,将熵超出阈值范围的样本过滤掉
为什么要mask掉熵更大的token,背后的原理是什么?
核心:熵值与模型不确定性的关系
为什么要 mask 高熵 token?典型场景与原理
半监督学习 / 自训练
主动学习
模型压缩 / 知识蒸馏
对抗训练 / 噪声鲁棒性
反例:何时需要保留高熵 token?
""".split("\n")[1:-1]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def help_of(*command):
    return subprocess.run([ENTROL, *command, "--help"], check=True, capture_output=True, text=True).stdout


def commands():
    """The commands that `entrol --help` lists."""
    return re.findall(r"^  ([a-z]+) +\S", help_of().split("Commands:\n")[1], re.MULTILINE)


def options(command):
    """Every --option that the command's help describes, at the head of a line."""
    heads = re.findall(r"^ {2,12}(-.*)$", help_of(command), re.MULTILINE)
    return {name for head in heads for name in re.findall(r"--[a-z][a-z-]*", re.split(r"  +", head)[0])}


def shell_lines(document):
    """The commands in a document's indented or fenced blocks that call entrol, continued lines joined."""
    text = read(document).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in text.split("\n") if re.match(r"^(    |\$ )?\s*(build/)?entrol [a-z]", line)]


class Links(unittest.TestCase):
    def test_lead_somewhere(self):
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(document)):
                with self.subTest(document=document, target=target):
                    if "://" not in target:
                        self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(document), target)))

    def test_named_files_exist(self):
        for document in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md"):
            for path in re.findall(r"\b(?:src|scripts|tests|docs|man|bench|examples|cmake)/[\w./-]*\w", read(document)):
                with self.subTest(document=document, path=path):
                    self.assertTrue(glob.glob(os.path.join(ROOT, path)) or re.search("NAME|ROOM", path))


class Commands(unittest.TestCase):
    def test_named_options_exist(self):
        for document in DOCUMENTS:
            for line in shell_lines(document):
                words = shlex.split(line, comments=True)
                with self.subTest(document=document, line=line):
                    self.assertIn(words[1], commands())
                    for word in words[2:]:
                        if word.startswith("--"):
                            self.assertIn(word.split("=")[0], options(words[1]) | {"--help"})

    def test_readme_examples_run(self):
        """Each in turn, in one folder, as a reader would."""
        if not MODEL:
            self.skipTest("needs ENTROL_MODEL")
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(BUILD, f"{folder}/build")
            os.symlink(f"{ROOT}/examples", f"{folder}/examples")
            for line in shell_lines("README.md"):
                with self.subTest(line=line):
                    done = subprocess.run(["bash", "-o", "pipefail", "-c", line.replace(" score ", f" score -m {MODEL} ")
                                           .replace(" filter ", f" filter -m {MODEL} ")],
                                          cwd=folder, capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_both_languages_show_the_same(self):
        chinese = [line.replace("guxiang", "alice") for line in shell_lines("README.zh-CN.md")]
        self.assertEqual(chinese, shell_lines("README.md"))
        blocks = [re.findall(r"^    (.*)", read(document), re.MULTILINE) for document in ("README.md", "README.zh-CN.md")]
        built = [[line for line in block if re.match(r"cc |\./|scripts/amalgamate", line)] for block in blocks]
        self.assertEqual(built[0], built[1])
        self.assertTrue(built[0])


class ManualPage(unittest.TestCase):
    def test_says_what_help_says(self):
        written = subprocess.run([f"{ROOT}/scripts/manual", ENTROL], check=True, capture_output=True, text=True).stdout
        self.assertEqual(read("man/entrol.1"), written, "run scripts/manual > man/entrol.1")

    def test_every_command_and_option_is_in_it(self):
        page = read("man/entrol.1").replace("\\-", "-")
        described = re.search(r"^\.Sh COMMANDS$(.*?)^\.Sh ", page, re.MULTILINE | re.DOTALL).group(1)
        sections = re.split(r"^\.Ss ", described, flags=re.MULTILINE)[1:]
        self.assertEqual([section.split("\n")[0] for section in sections], commands())
        for section in sections:
            command = section.split("\n")[0]
            with self.subTest(command=command):
                self.assertEqual(sorted({f"-{name}" for name in re.findall(r"\bFl (-[a-z][a-z-]*)", section)}),
                                 sorted(options(command)))


class ChineseReadme(unittest.TestCase):
    text = unicodedata.normalize("NFKC", read("README.zh-CN.md"))  # Chinese punctuation as its ASCII twin

    def test_every_heading_has_a_row(self):
        rows = [line for line in self.text.split("\n") if line.startswith("|")]
        for heading in HEADINGS:
            with self.subTest(heading=heading):
                self.assertTrue(any(unicodedata.normalize("NFKC", heading) in row for row in rows))

    def test_named_functions_exist(self):
        headers = "".join(read(os.path.relpath(path, ROOT)) for path in
                          glob.glob(f"{ROOT}/include/entrol/*.h") + glob.glob(f"{ROOT}/adapters/*/*.h"))
        for name in set(re.findall(r"\bentrol_[a-z_]+\b", self.text)):
            with self.subTest(name=name):
                self.assertRegex(headers, rf"\b{name}\b")


if __name__ == "__main__":
    unittest.main()

"""What every command shares: help, unknown names, closed pipes, full disks, files that cannot be read."""
import os
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")


def run(*arguments, data=b"", **more):
    done = subprocess.run([ENTROL, *arguments], input=data, capture_output=True, timeout=60, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def commands():
    out = run("--help")[1]
    return [line.split()[0] for line in out.split("Commands:\n")[1].splitlines() if line.startswith("  ") and line[2] != " "]


class Help(unittest.TestCase):
    def test_the_list(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        for name in ("entropy", "inspect", "version"):
            self.assertIn(name, commands())
        self.assertEqual(run("help"), (0, out, ""))
        self.assertEqual(run("-h"), (0, out, ""))

    def test_every_command_explains_itself(self):
        for name in commands():
            code, out, err = run(name, "--help")
            self.assertEqual((code, err), (0, ""), name)
            self.assertTrue(out.startswith(f"usage: entrol {name} "), name)
            self.assertEqual(run("help", name), (0, out, ""), name)
            for line in out.split("Examples:")[0].splitlines()[2:]:
                self.assertLessEqual(len(line), 80, (name, line))

    def test_unknown_names_are_corrected(self):
        for arguments, message in ((("entrpoy",), 'unknown command "entrpoy"; did you mean "entropy"?'),
                                   (("help", "versoin"), 'did you mean "version"?'),
                                   (("frobnicate",), '"entrol --help" lists them'),
                                   (("entropy", "--prbos", "1"), "unknown option --prbos; did you mean --probs?"),
                                   (("entropy", "--prbos=1"), "unknown option --prbos; did you mean --probs?"),
                                   (("entropy", "-x"), "unknown option -x"),
                                   (("entropy", "--probs"), "--probs: expected LIST after it, found the end"),
                                   (("entropy", "--verbose=1", "-"), "--verbose takes no value"),
                                   ((), "expected a command"),
                                   (("version", "more"), 'version takes no argument, found "more"')):
            code, out, err = run(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn(message, err)
            self.assertEqual(err.count("\n"), 1)

    def test_operands_that_look_like_options(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "--probs"), "w") as file:
                file.write("ab")
            self.assertEqual(run("entropy", "--", "--probs", cwd=folder), (0, "1 bits\n", ""))

    def test_options_stand_anywhere_and_the_last_wins(self):
        self.assertEqual(run("entropy", "-", "--unit", "nats", "--unit", "bits", data=b"ab"), (0, "1 bits\n", ""))

    def test_units_have_the_same_names_everywhere(self):
        record = b'{"id": "d", "entropy": [1.5]}\n'
        runs = {"score": ["--help"], "select": ["-", "--keep", "low:100%"], "filter": ["-", "--keep", "low:100%"],
                "show": [], "report": [], "entropy": ["--probs", "1"]}
        for command, arguments in runs.items():
            units = ["bits", "nats"] + ["bans"] * (command == "entropy")
            self.assertIn(f"      --unit {'|'.join(units)}", run(command, "--help")[1])
            for unit in units:
                with self.subTest(command=command, unit=unit):
                    plural = run(command, "--unit", unit, *arguments, data=record)
                    self.assertEqual(plural[0], 0, plural)
                    self.assertEqual(run(command, "--unit", unit[:-1], *arguments, data=record), plural)
            code, _, err = run(command, "--unit", "hartleys", *arguments, data=record)
            self.assertEqual((code, err), (2, f'entrol: --unit: expected one of {"|".join(units)}, found "hartleys"\n'))

    def test_help_lists_the_choices_and_the_bounds(self):
        for command, head in (("show", "--color auto|always|never|16|256|truecolor"), ("show", "--theme auto|dark|light"),
                              ("show", "--style background|underline|marks"), ("select", "--level token|sample"),
                              ("select", "--emit records|labels|trl|spans|samples")):
            self.assertIn(f"      {head}", run(command, "--help")[1])
        self.assertIn("From 1 to 256.", " ".join(run("score", "--help")[1].split()))


class Output(unittest.TestCase):
    def test_a_closed_pipe(self):
        for arguments in (["entropy", "--probs", "1"], ["--help"], ["inspect", "-"]):
            read, write = os.pipe()
            os.close(read)
            done = subprocess.run([ENTROL, *arguments], input=b"text", stdout=write, stderr=subprocess.PIPE, timeout=60)
            os.close(write)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertEqual(done.stderr, b"entrol: cannot write standard output: its reader has closed it\n", arguments)

    def test_a_full_disk(self):
        for arguments in (["entropy", "--probs", "1"], ["--help"], ["inspect", "-"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([ENTROL, *arguments], input=b"text", stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertEqual(done.stderr, b"entrol: cannot write standard output: No space left on device\n", arguments)

    def test_closed_standard_streams(self):
        for redirection, message in ((">&-", "cannot write standard output: Bad file descriptor"),
                                     ("<&-", "cannot read standard input: Bad file descriptor")):
            done = subprocess.run(["sh", "-c", f'exec "$0" entropy - {redirection}', ENTROL], input=b"ab", capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (2, b"", f"entrol: {message}\n".encode()))

    def test_nothing_but_the_result_on_standard_error(self):
        self.assertEqual(run("inspect", "-", data=b"text")[2], "")  # no progress where there is no terminal


class Input(unittest.TestCase):
    def test_files_that_cannot_be_read(self):
        with tempfile.TemporaryDirectory() as folder:
            secret = os.path.join(folder, "secret")
            with open(secret, "w") as file:
                file.write("text")
            os.chmod(secret, 0)
            for command in ("entropy", "inspect"):
                code, out, err = run(command, folder)
                self.assertEqual((code, out, err), (2, "", f"entrol: cannot read {folder}: expected a file, found a directory\n"))
                code, out, err = run(command, folder + "/missing")
                self.assertEqual((code, out, err), (2, "", f"entrol: cannot open {folder}/missing: No such file or directory\n"))
                if os.geteuid() != 0:
                    code, out, err = run(command, secret)
                    self.assertEqual((code, out, err), (2, "", f"entrol: cannot open {secret}: Permission denied\n"))

    def test_records_without_a_document(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in (("empty", ""), ("blank", " \n\t\r\n\n")):
                path = os.path.join(folder, name)
                with open(path, "w") as file:
                    file.write(content)
                message = f"entrol: {path}: expected token records, found none: it is empty\n"
                for arguments in (["show"], ["report"], ["select", "--keep", "low:80%"],
                                  ["select", "--level", "sample", "--keep", "low:80%"]):
                    code, out, err = run(*arguments, path)
                    self.assertEqual((code, err), (2, message), arguments)
                self.assertEqual(run("report", path, "-o", path + ".html")[0], 2)
                self.assertFalse(os.path.exists(path + ".html"))
            self.assertEqual(run("show")[2], "entrol: standard input: expected token records, found none: it is empty\n")

    def test_no_room_for_a_temporary_file(self):
        # A pipe that inspect reads twice goes to TMPDIR.
        code, out, err = run("inspect", "-", data=b"text", env={**os.environ, "TMPDIR": "/nonexistent"})
        self.assertEqual((code, out), (2, ""))
        self.assertIn("/nonexistent (TMPDIR says where): No such file or directory", err)

    def test_terminals_are_not_steered_by_file_names(self):
        code, out, err = run("inspect", "a\x1b[2J\nb")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("a\\x1b[2J\\x0ab", err)
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("a\x1b[2J", "\u202eb")]
            for path in paths:
                with open(path, "w") as file:
                    file.write("ab")
            for options in ([], ["-v"]):
                out = run("entropy", *options, *paths)[1]
                self.assertIn(f"{folder}/a\\x1b[2J\n", out)
                self.assertIn(f"{folder}/\\xe2\\x80\\xaeb\n", out)


if __name__ == "__main__":
    unittest.main()

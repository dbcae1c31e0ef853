"""`mpirun -n N entrol select`: what N processes write together is what one writes, which test_select.py judges."""
import array
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

ENTROL = os.path.abspath(os.environ.get("ENTROL", "build/entrol"))
HAS_MPI = b"\nMPI: not in this build\n" not in subprocess.run([ENTROL, "version"], capture_output=True).stdout
# More processes than processors, and root's, are the tests' alone; and a container may forbid one process to read
# another's memory. As in tests/mpi/CMakeLists.txt.
LAUNCHER = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,vader", "OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
PIECE = 1 << 20  # ranks.c sends what a rank wrote in such pieces


def execute(command, environment, data=b""):
    return subprocess.run([str(word) for word in command], input=data, capture_output=True, timeout=300,
                          env={**os.environ, **LAUNCHER, **environment})


def alone(*arguments, **environment):
    return execute([ENTROL, *arguments], environment)


def together(n, *arguments, data=b"", **environment):
    return execute(["mpirun", "-n", n, ENTROL, *arguments], environment, data)


def said(done):
    """What entrol said: mpirun has a few lines of its own where a process ends with another code than 0."""
    text = re.sub(r"^-{70,}\n.*?^-{70,}\n", "", done.stderr.decode(), flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if line and not line.startswith("exchanged ")]


def write_container(path, values, n_documents=4):
    """Token records as docs/formats.md lays them out: entropies alone, documents of about the same length."""
    offsets = array.array("q", [len(values) * i // n_documents for i in range(n_documents + 1)])
    data, start = array.array("f", values).tobytes(), 8 * len(offsets)
    header = json.dumps({"__metadata__": {"format": "entrol-records-1", "unit": "nat"},
                         "document_offset": {"dtype": "I64", "shape": [len(offsets)], "data_offsets": [0, start]},
                         "entropy": {"dtype": "F32", "shape": [len(values)],
                                     "data_offsets": [start, start + len(data)]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + offsets.tobytes() + data)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="entrol-ranks-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, documents):
        """Objects, or lines as they are to stand in the file."""
        with open(self.path(name), "wb") as file:
            for document in documents:
                file.write((document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n")
        return self.path(name)

    def corpus(self, n_documents=(9, 1, 30, 4), seed=1, distinct=40, missing=True):
        """A file a number: tied values, NaNs, nulls, documents without tokens, texts of one byte a token."""
        chosen = random.Random(seed)
        one = lambda: chosen.choice([None, "NaN"]) if missing and chosen.random() < 0.05 else chosen.randrange(distinct) / 8
        names = [f"{i}.jsonl" for i in range(len(n_documents))]
        for i, n in enumerate(n_documents):
            documents = []
            for j in range(n):
                values = [one() for _ in range(chosen.choice([0, 1, 2, 7, 30]))]
                places = list(range(len(values)))
                documents.append({"id": f"{i}-{j}", "text": "x" * len(values), "token_id": places, "n": chosen.randrange(5),
                                  "entropy": values, "byte_start": places, "byte_end": [place + 1 for place in places]})
            self.write(names[i], documents)
        return [self.path(name) for name in names]

    def same(self, sizes, files, *flags, **environment):
        """One run alone and one on each number of ranks: the same bytes, summary and exit code."""
        one = alone("select", *files, *flags, **environment)
        for n in sizes:
            with self.subTest(n=n, flags=flags):
                several = together(n, "select", *files, *flags, **environment)
                self.assertEqual(several.stdout, one.stdout)
                self.assertEqual((several.returncode, said(several)), (one.returncode, said(one)))
        return one

    def refused(self, n, *arguments, says, **more):
        """Exit code 2, nothing on standard output, and one message."""
        done = together(n, *arguments, **more)
        self.assertEqual((done.returncode, done.stdout), (2, b""), done.stderr.decode())
        self.assertEqual(len([line for line in said(done) if line.startswith("entrol: ")]), 1, said(done))
        self.assertIn(says, said(done)[0])
        return said(done)


@unittest.skipUnless(HAS_MPI, "this build has no MPI")
@unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
class Ranks(Files):
    """Five ranks have four files at most: one of them has none."""

    def test_rules(self):
        files = self.corpus()
        for rule in ("low:80%", "low:17", "p5..p95"):
            self.same((1, 2, 3, 5), files, "--keep", rule)
        for rule in ("high:20%", "high:0", "low:=30%", "0.5..2"):
            self.same((3,), files, "--keep", rule)

    def test_masks_and_methods(self):
        files = self.corpus(seed=2)
        for flags in (("--mask", "high:33"), ("--mask", "p10.."), ("--keep", "p10..p90", "--quantile", "hazen"),
                      ("--keep", "low:80%", "--quantile", "torch", "--unit", "nats")):
            self.same((2, 5), files, *flags)

    def test_ties_are_drawn_as_one_process_draws_them(self):
        files = self.corpus(seed=3, distinct=3)
        for seed in (0, 1, 77):
            self.same((2, 3, 5), files, "--keep", "high:40", "--tie-seed", seed)

    def test_forms_of_output(self):
        files = self.corpus(seed=4)
        for flags in (("--emit", "labels"), ("--emit", "trl"), ("--emit", "spans"), ("--emit", "samples"), ("--explain",),
                      ("--weight", "sigmoid"), ("--weight", "rise:p5..p95"), ("--weight", "fall:p10..p60", "--emit", "labels")):
            self.same((3,), files, "--keep", "high:25%", *flags)

    def test_documents_by_themselves(self):
        files = self.corpus(seed=5)
        for n in (2, 3, 5):
            one = self.same((n,), files, "--scope", "document", "--keep", "low:60%")
            self.assertIn("document by document", one.stderr.decode())
        self.same((3,), files, "--scope", "document", "--keep", "high:2", "--weight", "rise:p5..p95")

    def test_samples(self):
        files = self.corpus(seed=6, missing=False)
        for flags in (("--keep", "low:50%"), ("--keep", "high:7", "--by", "n", "--tie-seed", 5),
                      ("--keep", "p5..p95", "--by", "entropy_window_max:3"), ("--mask", "low:3", "--emit", "labels"),
                      ("--keep", "high:5", "--explain")):
            self.same((2, 5), files, "--level", "sample", *flags)

    def test_recipes_and_preview(self):
        files = self.corpus(seed=7)
        self.same((3,), files, "--for", "reinforcement")
        self.same((2, 3), files, "--preview", "--keep", "high:20%")
        self.same((2,), files, "--preview", "--keep", "low:9", "--mask", "low:3")  # which is an error

    def test_bounds_that_only_some_ranks_have(self):
        chosen = random.Random(8)
        files = self.corpus((6, 6, 6), seed=8)
        between = []
        for i in range(6):
            low = [chosen.randrange(40) / 8 for _ in range(9)]
            between.append({"id": f"b{i}", "token_id": list(range(9)), "entropy_lower": low,
                            "entropy_upper": [value + chosen.choice([0, 0, 0.25, 1]) for value in low]})
        for i in (0, 2):
            mixed = list(files)
            mixed[i] = self.write(f"bounds{i}.jsonl", between)
            for flags in (("--keep", "low:60%"), ("--keep", "high:20", "--undecided", "keep"), ("--mask", "high:20%"),
                          ("--keep", "high:20%", "--explain"), ("--preview", "--keep", "p10..p90")):
                self.same((3,), mixed, *flags)
            error = (*mixed, "--keep", "low:60%", "--undecided", "error")
            one, several = alone("select", *error), together(5, "select", *error)
            self.assertEqual((several.returncode, several.stdout, said(several)), (2, b"", said(one)))

    def test_nothing_kept_is_exit_1(self):
        done = self.same((2,), self.corpus(), "--keep", "9..10")
        self.assertEqual(done.returncode, 1)

    def test_missing_values(self):
        files = self.corpus(seed=9)
        clean = self.corpus((3, 2), seed=10, missing=False)
        self.assertIn("the first: ", said(self.same((2, 3, 5), files, "--keep", "low:80%"))[-1])
        self.assertEqual(self.same((3,), files, "--keep", "low:80%", "--nan", "error").returncode, 2)
        late = clean + [self.write("nan.jsonl", [{"entropy": [1, 2]}, {"entropy": [1, "NaN"]}])]
        self.assertIn("nan.jsonl:2 (", said(self.same((3,), late, "--keep", "low:80%"))[-1])
        self.assertEqual(self.same((3,), late, "--keep", "low:80%", "--nan", "error").returncode, 2)
        nothing = [self.write(f"null{i}.jsonl", [{"entropy": [None, None]}, {"entropy": []}]) for i in range(3)]
        for rule in ("low:80%", "high:4", "p5..p95"):
            self.assertEqual(self.same((2, 3), nothing, "--keep", rule).returncode, 1)

    def test_references_stand_beside_their_files(self):
        files = self.corpus((4, 3, 5), seed=11, missing=False)
        other = os.path.join(self.folder, "other")
        os.mkdir(other)
        for path in files:
            with open(path) as source, open(os.path.join(other, os.path.basename(path)), "w") as copy:
                for line in source:
                    document = json.loads(line)
                    document["entropy"] = [value / 2 for value in document["entropy"]]
                    copy.write(json.dumps(document) + "\n")
        flags = [word for path in files for word in ("--reference", os.path.join(other, os.path.basename(path)))]
        self.same((2, 3, 5), files, "--by", "reference_entropy", "--keep", "high:20%", *flags)
        self.refused(2, "select", *files, "--by", "reference_entropy", "--keep", "high:20%", *flags[:4],
                     says="expected 3, found 2")

    def test_containers_and_packed_files_are_read(self):
        chosen = random.Random(12)
        write_container(self.path("a.safetensors"), [chosen.randrange(90) / 16 for _ in range(4000)])
        files = self.corpus((5, 5), seed=12)
        subprocess.run(["gzip", files[1]], check=True)
        self.same((2, 3), [self.path("a.safetensors"), files[0], files[1] + ".gz"], "--keep", "high:300")

    def test_values_beyond_a_block(self):
        """More than a million values a rank are in a temporary file."""
        chosen = random.Random(13)
        some = [chosen.randrange(1 << 16) / 4096 for _ in range(1 << 16)]
        for i in range(2):
            values = list(itertools.islice(itertools.cycle(some[i:]), (1 << 20) + 70000 * i))
            write_container(self.path(f"{i}.safetensors"), values)
        files = [self.path("0.safetensors"), self.path("1.safetensors")]
        self.same((2,), files, "--keep", "p5..p95", "--preview")
        self.same((2,), files, "--keep", "high:1000000", "--emit", "samples", "--level", "sample")

    def test_pieces_of_what_a_rank_wrote(self):
        """Rank 1's output ends with a piece, before it and after it."""
        first = self.write("first.jsonl", [{"entropy": [1], "n": 1}])
        for n_bytes in (PIECE, 2 * PIECE, PIECE - 1, 3 * PIECE + 1):
            line = b'{"entropy": [2], "n": 2, "more": "%s"}'
            second = self.write("second.jsonl", [line % (b"x" * (n_bytes - len(line) + 1))])
            self.assertEqual(os.path.getsize(second), n_bytes)
            self.same((3,), [first, second, first], "--level", "sample", "--by", "n", "--keep", "1..2")

    def test_fewer_files_than_ranks(self):
        self.same((5,), self.corpus((8,), seed=14), "--keep", "low:9")

    def test_many_small_files(self):
        files = self.corpus((1, 2, 1, 3, 1, 1, 2, 5, 1, 40, 1, 2), seed=15)
        self.same((2, 3, 5), files, "--keep", "high:31")
        self.same((3,), files[::-1], "--keep", "high:31")

    def test_a_file_and_its_manifest(self):
        files = self.corpus(seed=16)
        paths = [self.path("one.jsonl"), self.path("several.jsonl")]
        manifests = []
        for run, path in zip((alone, lambda *words: together(3, *words)), paths):
            done = run("select", *files, "--keep", "high:20%", "-o", path)
            self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr.decode())
            with open(path + ".manifest.json") as file:
                manifests.append(json.load(file))
        with open(paths[0], "rb") as one, open(paths[1], "rb") as several:
            self.assertEqual(several.read(), one.read())
        self.assertFalse(os.path.exists(paths[1] + ".part"))
        self.assertEqual(manifests[1].pop("ranks"), 3)
        self.assertGreater(manifests[1].pop("bytes_exchanged"), 0)
        for manifest in manifests:
            del manifest["command"]
        self.assertEqual(manifests[1], manifests[0])
        for path, told in zip(files, manifests[1]["inputs"]):
            with open(path, "rb") as file:
                self.assertEqual(told["sha256"], hashlib.sha256(file.read()).hexdigest())

    def test_filter_of_records(self):
        files = self.corpus(seed=17, missing=False)
        one, several = (run("filter", *files, "--keep", "low:5") for run in (alone, lambda *words: together(3, *words)))
        self.assertEqual((several.returncode, several.stdout, said(several)), (one.returncode, one.stdout, said(one)))
        text = self.write("text.txt", [b"words"])
        self.refused(2, "filter", text, text, "--keep", "low:1", says="one process")

    def test_bytes_exchanged_do_not_depend_on_the_number_of_values(self):
        chosen = random.Random(18)
        exchanged = {}
        for n in (1000, 1000000):
            files = [self.path(f"{n}-{i}.safetensors") for i in range(3)]
            for i, path in enumerate(files):
                write_container(path, [chosen.gammavariate(2, 1) for _ in range(n // 2 if i == 0 else n // 4)])
            for rule in ("low:80%", "high:=20%", "p5..p95", "1..2"):
                done = together(3, "select", *files, "--keep", rule, "--emit", "samples")
                told = re.search(r"^exchanged   (\d+) bytes of counts by each of 3 processes", done.stderr.decode(), re.MULTILINE)
                exchanged.setdefault(rule, []).append(int(told.group(1)))
        for rule, (few, many) in exchanged.items():
            self.assertEqual(few, many, rule)
            self.assertLess(many, 400000, rule)
            self.assertGreater(many, 0, rule)


@unittest.skipUnless(HAS_MPI, "this build has no MPI")
@unittest.skipUnless(shutil.which("mpirun"), "mpirun is not installed")
class Troubles(Files):
    """Whatever fails on a rank ends all of them with exit code 2, one message and nothing written."""

    def fails_as_alone(self, n, *arguments):
        one, several = alone("select", *arguments), together(n, "select", *arguments)
        self.assertEqual((several.returncode, several.stdout), (2, b""))
        self.assertEqual(said(several), said(one))

    def test_a_broken_line(self):
        files = self.corpus((4, 3, 5), seed=20)
        for i in range(3):
            broken = list(files)
            broken[i] = self.write("broken.jsonl", [{"entropy": [1, 2]}, b'{"entropy": [1, 2'])
            self.fails_as_alone(3, *broken, "--keep", "low:80%")
            self.assertIn("broken.jsonl:2", self.refused(5, "select", *broken, "--keep", "low:80%", "--scope", "document",
                                                        says="broken.jsonl:2")[0])

    def test_the_first_of_several_broken_lines_is_told(self):
        broken = [self.write(f"broken{i}.jsonl", [{"entropy": [1]}, b"{"]) for i in range(3)]
        self.fails_as_alone(3, self.corpus((3,))[0], *broken, "--keep", "low:80%")

    def test_nothing_is_left_behind(self):
        files = self.corpus((4, 3), seed=21) + [self.write("broken.jsonl", [{"entropy": [1, 2]}, b'{"entropy": [1, 2'])]
        for scope in ("corpus", "document"):
            self.refused(3, "select", *files, "--keep", "low:80%", "--scope", scope, "-o", self.path("out.jsonl"),
                         says="broken.jsonl:2")
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("out")], [])

    def test_missing_and_unfit_files(self):
        files = self.corpus((4, 3), seed=22)
        self.fails_as_alone(3, *files, self.path("nowhere.jsonl"), "--keep", "low:80%")
        self.fails_as_alone(3, *files, self.folder, "--keep", "low:80%")
        self.fails_as_alone(3, *files, self.write("empty.jsonl", []), "--keep", "low:80%")
        self.fails_as_alone(3, *files, "--keep", "low:80%", "--by", "rank")
        self.fails_as_alone(3, *files, "--keep", "low:80%", "-o", files[1])
        self.fails_as_alone(3, *files, "--keep", "low:80%", "-o", self.path("nowhere/out.jsonl"))
        self.fails_as_alone(2, *files, "--keep", "low:8o%")
        self.fails_as_alone(2, *files, "--kep", "low:8%")

    def test_one_rank_alone_has_no_room(self):
        """A temporary file that only rank 1 cannot make."""
        files = self.corpus((4, 3), seed=23)
        script = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then export TMPDIR=/nowhere; fi; exec "$@"'
        done = execute(["mpirun", "-n", 3, "sh", "-c", script, "sh", ENTROL, "select", *files, "--keep", "low:80%"], {})
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertEqual(len(said(done)), 1)
        self.assertIn("/nowhere (TMPDIR says where)", said(done)[0])

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_a_full_disk(self):
        files = [self.write(f"{i}.jsonl", [{"entropy": [1], "more": "x" * 3 * PIECE}]) for i in range(3)]
        self.refused(3, "select", *files, "--keep", "low:80%", "-o", "/dev/full", says="cannot write /dev/full: No space left")

    def test_what_one_process_alone_can_do(self):
        files = self.corpus((4, 3), seed=24)
        for flags in (("--scope", "group:n"), ("--unique", "text", "--level", "sample"), ("-o", self.path("out.safetensors")),
                      ("--recipe", "flexmatch")):
            self.refused(2, "select", *files, *(() if "--recipe" in flags else ("--keep", "low:3")), *flags,
                         says="one process alone can do that, and 2 were started together")
        with open(files[0], "rb") as file:
            self.refused(2, "select", "--keep", "low:3", data=file.read(), says="standard input: one process alone")
        self.assertFalse(os.path.exists(self.path("out.safetensors")))

    def test_other_commands(self):
        files = self.corpus((4,), seed=25)
        self.refused(3, "show", *files, says="show is done by one process, and 3 were started together")
        self.refused(3, "shwo", *files, says='did you mean "show"?')
        version = together(3, "version")
        self.assertEqual((version.returncode, version.stdout.count(b"\nMPI: ")), (0, 1))
        self.assertEqual(together(2, "help", "select").stdout, alone("help", "select").stdout)
        self.assertEqual(together(2, "select", "--help").stdout, alone("select", "--help").stdout)

    def test_other_arguments_on_a_rank(self):
        files = self.corpus((4, 3), seed=26)
        done = execute(["mpirun", "-n", 1, ENTROL, "select", *files, "--keep", "low:3", ":", "-n", 2, ENTROL, "select", *files,
                        "--keep", "low:4"], {})
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertEqual(len(said(done)), 1)
        self.assertIn("process 1 was given other arguments than process 0", said(done)[0])

    def test_each_for_itself(self):
        files = self.corpus((4,), seed=27)
        one = alone("select", *files, "--keep", "low:3", "--emit", "spans")
        both = together(2, "select", *files, "--keep", "low:3", "--emit", "spans", ENTROL_MPI="off")
        self.assertEqual(both.returncode, 0)
        self.assertEqual(sorted(both.stdout.splitlines()), sorted(2 * one.stdout.splitlines()))
        done = alone("version", ENTROL_MPI="maybe")
        self.assertEqual((done.returncode, done.stderr), (2, b"entrol: ENTROL_MPI=maybe: expected on or off\n"))

    def test_a_launcher_of_another_mpi(self):
        files = self.corpus((4,), seed=28)
        done = alone("select", *files, "--keep", "low:3", PMI_SIZE="3", PMI_RANK="0")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"PMI_SIZE says that there are 3 processes, and ", done.stderr)


class Alone(Files):
    """One process of a launcher is like none, with MPI or without."""

    def test_a_launcher_of_one_process(self):
        files = self.corpus((4, 3), seed=30)
        plain = alone("select", *files, "--keep", "low:3")
        one = alone("select", *files, "--keep", "low:3", OMPI_COMM_WORLD_SIZE="1", OMPI_COMM_WORLD_RANK="0")
        self.assertEqual((one.returncode, one.stdout, one.stderr), (0, plain.stdout, plain.stderr))

    @unittest.skipIf(HAS_MPI, "this build has MPI")
    def test_several_processes_without_mpi(self):
        files = self.corpus((4, 3), seed=31)
        for variable in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"):
            done = alone("select", *files, "--keep", "low:3", **{variable: "3"})
            self.assertEqual((done.returncode, done.stdout), (2, b""))
            self.assertIn(f"entrol: {variable}: several processes were started", done.stderr.decode())
            self.assertEqual(alone("select", *files, "--keep", "low:3", ENTROL_MPI="off", **{variable: "3"}).returncode, 0)


if __name__ == "__main__":
    unittest.main()

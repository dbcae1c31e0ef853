"""`pip install .`: what the source distribution and the wheel hold, and that it works from there.

The wheel is built from the unpacked source distribution, as package hosts' builders do; nothing is downloaded, and
llama.cpp is the system's or lies in the cache. What builds it is in the folder that ENTROL_BUILD_TOOLS names
(setup_build_tools of scripts/setup.sh).
"""

import ctypes
import glob
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

try:
    import numpy
except ImportError:
    numpy = None

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
ENTROL = os.environ.get("ENTROL", os.path.join(BUILD, "entrol"))
TOOLS = os.environ.get("ENTROL_BUILD_TOOLS")
CACHE = os.environ.get("ENTROL_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/tmp"), ".cache"), "entrol"
)
NUMPY = os.path.dirname(os.path.dirname(numpy.__file__)) if numpy else None
PACKAGE = "adapters/python/entrol"
COMMAND = "adapters/python/_entrol_command.py"
LIBRARY_ONLY = "--config-settings=cmake.define.ENTROL_BUILD_COMMAND=OFF"
MEASURE = """
import entrol, numpy
print(entrol.__file__, entrol._library.library._name, f"{entrol.measure_rows(numpy.zeros((1, 4))).entropy[0]:.4f}")
"""
made = {}  # what setUpModule made: folder, sdist, wheel, target, environment


def pip_python():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0:
            return python
    raise unittest.SkipTest("python3 has no pip")


def clean_environment():
    """A user's: neither the run's Python path nor the libraries' is set, and llama.cpp has to be found."""
    folders = os.environ.get("PKG_CONFIG_PATH", "").split(":")
    others = ":".join(folder for folder in folders if folder and not folder.startswith(CACHE))
    environment = dict(os.environ, PYTHONPATH=TOOLS, PKG_CONFIG_PATH=others)
    for name in ("LD_LIBRARY_PATH", "ENTROL_LIBRARY", "CMAKE_ARGS", "SKBUILD_CMAKE_ARGS"):
        environment.pop(name, None)
    return environment


def run_pip(command, *arguments, python=(), **environment):
    """pip, of the Python that has one, with nothing downloaded; python: ("--python", PATH) of another."""
    return subprocess.run(
        [made["python"], "-m", "pip", *python, command, "--no-deps", "--no-index", *arguments],
        env=dict(made["environment"], **environment),
        capture_output=True,
        text=True,
    )


def build_wheel(source, name, *settings, **environment):
    """Builds a wheel into a folder of its own: what pip did, and the wheel's path where there is one."""
    folder = os.path.join(made["folder"], name)
    done = run_pip("wheel", "-v", "--no-build-isolation", *settings, "--wheel-dir", folder, source, **environment)
    wheels = glob.glob(f"{folder}/*.whl")
    return done, wheels[0] if wheels else None


def install(wheel, name):
    """Installs a wheel into an empty folder; its path."""
    target = os.path.join(made["folder"], name)
    run_pip("install", "--target", target, wheel).check_returncode()
    return target


def run_installed(target, *arguments, **environment):
    return subprocess.run(
        [f"{target}/bin/entrol", *arguments],
        capture_output=True,
        text=True,
        env=dict(made["environment"], PYTHONPATH=target, **environment),
    )


def setUpModule():
    if not TOOLS:
        raise unittest.SkipTest("ENTROL_BUILD_TOOLS is not set (setup_build_tools of scripts/setup.sh)")
    made["temporary"] = tempfile.TemporaryDirectory()
    made.update(folder=made["temporary"].name, environment=clean_environment(), python=pip_python())
    unittest.addModuleCleanup(made["temporary"].cleanup)
    script = f"from scikit_build_core.build import build_sdist; build_sdist({made['folder']!r})"
    subprocess.run([made["python"], "-c", script], cwd=ROOT, env=made["environment"], check=True, capture_output=True)
    [made["sdist"]] = glob.glob(f"{made['folder']}/*.tar.gz")
    with tarfile.open(made["sdist"]) as archive:
        archive.extractall(f"{made['folder']}/source")
    [source] = glob.glob(f"{made['folder']}/source/*")
    done, made["wheel"] = build_wheel(source, "wheel")
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    made["target"] = install(made["wheel"], "target")


def version():
    with open(f"{ROOT}/include/entrol/base.h", encoding="utf-8") as header:
        return re.search(r'#define ENTROL_VERSION "(.*)"', header.read()).group(1)


def files_below(folder):
    """The sources below a folder of the repository, relative to it."""
    paths = glob.glob(f"{ROOT}/{folder}/**", recursive=True)
    files = [path for path in paths if os.path.isfile(path) and "__pycache__" not in path]
    return {os.path.relpath(path, f"{ROOT}/{folder}") for path in files}


def system_has_llama():
    return subprocess.run(["pkg-config", "--exists", "llama"], env=made["environment"]).returncode == 0


def dynamic(path, tag):
    """What the dynamic section of an ELF file says, as readelf prints it: "[...]"."""
    printed = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout
    return re.findall(rf"\({tag}\).*\[(.*)\]", printed)


class Sdist(unittest.TestCase):
    def names(self):
        with tarfile.open(made["sdist"]) as archive:
            return {name.split("/", 1)[1] for name in archive.getnames()}

    def test_is_named_after_the_header(self):
        self.assertEqual(os.path.basename(made["sdist"]), f"entrol-{version()}.tar.gz")

    def test_has_every_source_of_the_build_and_its_documents(self):
        for folder in ("adapters", "cli", "cmake", "include", "man", "src"):
            self.assertLessEqual({f"{folder}/{name}" for name in files_below(folder)}, self.names())
        self.assertLessEqual({"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO"}, self.names())

    def test_has_nothing_that_was_built_and_no_tests(self):
        tops = {name.split("/")[0] for name in self.names()}
        self.assertEqual(tops & {"build", "tests", "bench", "examples", "docs", ".git", ".ci"}, set())
        self.assertEqual([name for name in self.names() if re.search(r"__pycache__|\.(so|a|o|pyc)$", name)], [])


class Wheel(unittest.TestCase):
    def test_fits_every_python_3_of_this_platform(self):
        name = os.path.basename(made["wheel"])
        self.assertRegex(name, rf"^entrol-{re.escape(version())}-py3-none-linux_{os.uname().machine}\.whl$")

    def test_has_these_files_and_no_others(self):
        expected = {f"entrol/{name}" for name in files_below(PACKAGE)}
        expected |= {f"entrol/include/{name}" for name in files_below("include")}
        expected |= {
            "_entrol_command.py",
            "entrol/bin/entrol",
            "entrol/lib/libentrol.so",
            f"entrol-{version()}.data/data/share/man/man1/entrol.1",
        }
        with zipfile.ZipFile(made["wheel"]) as wheel:
            names = {name for name in wheel.namelist() if ".dist-info/" not in name}
            self.assertTrue(all(item.external_attr >> 28 != 0xA for item in wheel.infolist()), "a symbolic link")
        parts = r"entrol/lib/(lib(llama|ggml[a-z-]*)\.so\.\d+|LICENSE\.llama\.cpp)"
        llama = {name for name in names if re.fullmatch(parts, name)}
        self.assertEqual(names - llama, expected)
        self.assertEqual(bool(llama), not system_has_llama())
        self.assertIn("entrol/py.typed", names)

    def test_metadata(self):
        with zipfile.ZipFile(made["wheel"]) as wheel:
            info = f"entrol-{version()}.dist-info"
            metadata = wheel.read(f"{info}/METADATA").decode().split("\n\n")[0].split("\n")
            self.assertIn(f"{info}/licenses/LICENSE", wheel.namelist())
        self.assertIn(f"Version: {version()}", metadata)
        self.assertIn("License-Expression: MIT", metadata)
        self.assertIn("Requires-Python: >=3.10", metadata)
        needs = [line for line in metadata if line.startswith("Requires-Dist") and "extra ==" not in line]
        self.assertEqual([re.match(r"Requires-Dist: ([a-z]+)", line).group(1) for line in needs], ["numpy"])
        extras = {line.split(": ")[1] for line in metadata if line.startswith("Provides-Extra")}
        self.assertEqual(extras, {"torch", "trl", "verl", "sb3", "datasets"})

    def test_run_paths_stay_inside_the_package(self):
        package = f"{made['target']}/entrol"
        [path] = dynamic(f"{package}/bin/entrol", "RPATH") or dynamic(f"{package}/bin/entrol", "RUNPATH")
        self.assertEqual(path.split(":")[0], "$ORIGIN/../lib")
        self.assertFalse(CACHE in path or made["folder"] in path, path)
        self.assertEqual(dynamic(f"{package}/lib/libentrol.so", "SONAME"), ["libentrol.so"])
        for library in glob.glob(f"{package}/lib/*.so.*"):
            with self.subTest(library=library):
                self.assertEqual(dynamic(library, "RUNPATH"), ["$ORIGIN"])
                self.assertEqual(dynamic(library, "SONAME"), [os.path.basename(library)])


class Command(unittest.TestCase):
    def test_starts_without_loading_the_package(self):
        """Neither NumPy nor the library is needed."""
        done = run_installed(made["target"], "version", ENTROL_LIBRARY="/nonexistent", PYTHONNOUSERSITE="1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_version(self):
        done = run_installed(made["target"], "version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith(f"entrol {version()}\n"), done.stdout)
        self.assertNotIn("llama.cpp: not in this build", done.stdout)

    def test_arguments_and_exit_status_are_the_commands(self):
        done = run_installed(made["target"], "entropy", "--probs", "0.5 0.5,a b")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn('expected a number as number 3, found "a"', done.stderr)

    def test_scores_as_the_build_does(self):
        writer = f"{BUILD}/llama_write_tiny_model"
        model, text = f"{made['folder']}/tiny.gguf", f"{made['folder']}/text.txt"
        if not os.path.exists(writer) or not os.path.exists(ENTROL):
            self.skipTest("this build has no llama.cpp")
        subprocess.run([writer, model], check=True)
        with open(text, "w", encoding="utf-8") as file:
            file.write("It was the best of times.\n")
        arguments = ["score", "-m", model, "-t", "1", text, "-o", "-"]
        installed = run_installed(made["target"], *arguments)
        built = subprocess.run([ENTROL, *arguments], capture_output=True, text=True)
        self.assertEqual(installed.returncode, 0, installed.stderr)
        self.assertIn('"entropy":', installed.stdout)
        self.assertEqual(installed.stdout, built.stdout)

    def test_uses_the_llama_cpp_of_the_package(self):
        if system_has_llama():
            self.skipTest("llama.cpp is the system's")
        command = os.path.realpath(f"{made['target']}/entrol/bin/entrol")
        traced = subprocess.run(
            [command, "version"],
            capture_output=True,
            text=True,
            env=dict(made["environment"], LD_TRACE_LOADED_OBJECTS="1"),
        ).stdout
        found = re.findall(r"^\s*lib(?:llama|ggml)\S* => (\S+)", traced, re.MULTILINE)
        self.assertGreaterEqual(len(found), 4)
        for path in found:
            self.assertEqual(os.path.dirname(os.path.realpath(path)), os.path.realpath(f"{made['target']}/entrol/lib"))


class Library(unittest.TestCase):
    def test_is_loaded_from_the_package(self):
        library = ctypes.CDLL(f"{made['target']}/entrol/lib/libentrol.so")
        library.entrol_version.restype = ctypes.c_char_p
        self.assertEqual(library.entrol_version().decode(), version())

    def check_measures(self, python, path, package, library):
        """The package and the library that a Python takes, and what they measure."""
        done = subprocess.run(
            [python, "-c", MEASURE], capture_output=True, text=True, env=dict(made["environment"], PYTHONPATH=path)
        )
        self.assertEqual(done.stdout, f"{package}/__init__.py {library}/lib/libentrol.so 1.3863\n", done.stderr)  # ln 4

    @unittest.skipUnless(NUMPY, "NumPy is not installed")
    def test_is_what_the_package_imports(self):
        package = f"{made['target']}/entrol"
        self.check_measures(made["python"], f"{made['target']}:{NUMPY}", package, package)

    @unittest.skipUnless(NUMPY, "NumPy is not installed")
    def test_an_editable_install_has_the_sources_and_the_library(self):
        environment = f"{made['folder']}/environment"
        subprocess.run([made["python"], "-m", "venv", "--without-pip", environment], check=True)
        python = f"{environment}/bin/python"
        run_pip(
            "install", "--no-build-isolation", LIBRARY_ONLY, "--editable", ROOT, python=("--python", python)
        ).check_returncode()
        [installed] = glob.glob(f"{environment}/lib/python*/site-packages/entrol")
        self.check_measures(python, NUMPY, f"{ROOT}/{PACKAGE}", installed)

    def test_a_c_program_is_built_against_the_package(self):
        package, program = f"{made['target']}/entrol", f"{made['folder']}/program"
        subprocess.run(
            [
                "cc",
                f"{ROOT}/examples/entropy.c",
                "-o",
                program,
                f"-I{package}/include",
                f"-L{package}/lib",
                "-lentrol",
                f"-Wl,-rpath,{package}/lib",
            ],
            check=True,
        )
        done = subprocess.run([program], capture_output=True, text=True, env=made["environment"])
        self.assertIn("row 0: 1.3863 nats, 2.0000 bits\n", done.stdout)  # ln 4


class Parts(unittest.TestCase):
    """What is left out or missing."""

    NO_PACKAGES = {"PKG_CONFIG_PATH": "", "PKG_CONFIG_LIBDIR": "/nonexistent"}

    def test_the_library_alone_needs_no_packages(self):
        done, wheel = build_wheel(ROOT, "library", LIBRARY_ONLY, **self.NO_PACKAGES)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        target = install(wheel, "library-target")
        self.assertEqual(os.listdir(f"{target}/entrol/lib"), ["libentrol.so"])
        self.assertFalse(os.path.exists(f"{target}/entrol/bin"))
        command = run_installed(target, "version")
        self.assertEqual((command.returncode, command.stdout), (2, ""))
        self.assertRegex(command.stderr, r"^entrol: .*without the command \(ENTROL_BUILD_COMMAND=OFF\)")
        self.assertEqual(command.stderr.count("\n"), 1)

    def test_without_llama_cpp(self):
        done, wheel = build_wheel(ROOT, "plain", "--config-settings=cmake.define.ENTROL_LLAMA=OFF")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        target = install(wheel, "plain-target")
        self.assertEqual(os.listdir(f"{target}/entrol/lib"), ["libentrol.so"])
        self.assertIn("llama.cpp: not in this build", run_installed(target, "version").stdout)

    def test_missing_packages_are_named_and_not_installed(self):
        programs = f"{made['folder']}/programs"
        os.makedirs(programs)
        with open(f"{programs}/apt-get", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {programs}/called\n")
        os.chmod(f"{programs}/apt-get", 0o755)
        done, wheel = build_wheel(ROOT, "missing", PATH=f"{programs}:{os.environ['PATH']}", **self.NO_PACKAGES)
        self.assertNotEqual(done.returncode, 0)
        self.assertIsNone(wheel)
        self.assertIn("apt-get install libjansson-dev zlib1g-dev libzstd-dev libssl-dev)", done.stdout + done.stderr)
        self.assertIn("ENTROL_BUILD_COMMAND=OFF", done.stdout + done.stderr)
        self.assertFalse(os.path.exists(f"{programs}/called"))

    def test_a_command_that_cannot_be_started_is_an_error(self):
        target = f"{made['folder']}/broken"
        shutil.copytree(f"{made['target']}/bin", f"{target}/bin")
        shutil.copy(f"{ROOT}/{COMMAND}", target)
        os.makedirs(f"{target}/entrol/bin")
        with open(f"{target}/entrol/bin/entrol", "w", encoding="utf-8"):
            pass  # not executable
        done = run_installed(target, "version")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^entrol: cannot start .*entrol/bin/entrol: Permission denied\n$")


if __name__ == "__main__":
    unittest.main()

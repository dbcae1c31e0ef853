"""Builds Entrol in every way that matters, runs every test, and adds up. scripts/check sets up and calls this.

    tests/run.py [--quick] [--only STAGE,STAGE...] [--seed N] [--list]

A suite is a program, a script or a file of unittest cases that ends with "NAME: N passed, N failed, N skipped"
(tests/harness.h, tests/suite.py). A suite that ends in another way is one failed test. What a suite printed is
kept in build/check/STAGE/SUITE.log, and shown when something failed, its end once more before the last line, which is
the total: "N passed, N failed".
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = "build/check"
QUICK_TESTS = {"ENTROL_QUICK": "1"}  # fewer of the large rows; the release build and AddressSanitizer have them all
LEVELS = ("scalar", "avx2", "avx512", "neon")
FUZZ_SECONDS = 60  # of all targets together
SUITE_SECONDS = 900
SIDE_BY_SIDE = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
SHOWN_LINES = 400  # of a failure's output; a failed build can print thousands
LAST_LINES = 60  # of them, shown again at the end, where one looks first
CLOSING = re.compile(r"^\S+: (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
SKIPPED = re.compile(r"^\s*skip(?:ped)?\b:?\s*(.*)", re.IGNORECASE)

NAMED = re.compile(r"(?:(?:\w+\.)*(\w+): )?(.*)", re.DOTALL)  # a test of a suite and why it was skipped


class Total:
    """What all suites came to."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.failures = []  # suite, how many, the end of what it printed
        self.skipped = []

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


class Stage:
    """Runs the suites of one stage, as many side by side as there are processors, and prints a line for each in order."""

    def __init__(self, name, total):
        self.name, self.total = name, total
        self.started = []
        self.folder = f"{LOGS}/{name}"
        os.makedirs(self.folder, exist_ok=True)

    def execute(self, suite, command, environment=None):
        """Runs a command with its output in the suite's log: exit status, output and seconds."""
        start = time.monotonic()
        try:
            done = subprocess.run(command, env=dict(os.environ, **(environment or {})), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SUITE_SECONDS)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            status, output = "none: it ran out of time", late.stdout or b""
        except OSError as error:
            status, output = f"none: {error}", b""
        with open(f"{self.folder}/{suite}.log", "wb") as log:
            log.write(output)
        return status, output.decode(errors="replace"), time.monotonic() - start

    def start(self, judge, suite, command, environment=None):
        """Runs a command beside others; judge(suite, status, output, seconds) is called by finish()."""
        self.started.append((judge, suite, SIDE_BY_SIDE.submit(self.execute, suite, command, environment)))

    def finish(self):
        """Waits for what was started and judges it, in order; what comes after needs it, or the machine for itself."""
        results = [judge(suite, *execution.result()) for judge, suite, execution in self.started]
        self.started = []
        return results

    def run(self, suite, command, environment=None):
        """A suite that prints its own closing line."""
        self.start(self.judge_suite, suite, command, environment)

    def check(self, suite, command, environment=None):
        """One test that passes when the command does; exit status 77 skips it, for the reason on the last line."""
        self.start(self.judge_check, suite, command, environment)

    def judge_suite(self, suite, status, output, seconds):
        lines = output.rstrip().splitlines()
        closing = CLOSING.match(lines[-1]) if lines else None
        passed, failed, n_skipped = (int(n or 0) for n in closing.groups()) if closing else (0, 0, 0)
        if failed == 0 and (status != 0 or not closing):
            failed = 1
            output += f"\n(exit status {status}, {'with' if closing else 'without'} a closing line)\n"
        reasons = [match.group(1) for match in map(SKIPPED.match, lines[:-1]) if match][:n_skipped]
        reasons += ["no reason given"] * (n_skipped - len(reasons))
        self.say(suite, passed, failed, [f"{self.name}/{suite}: {reason}" for reason in reasons], seconds, output)

    def judge_check(self, suite, status, output, seconds):
        if status == 77:
            reason = (output.strip().splitlines() or ["no reason given"])[-1]
            self.say(suite, 0, 0, [f"{self.name}/{suite}: {reason}"], seconds, "")
        else:
            self.say(suite, int(status == 0), int(status != 0), [], seconds, f"{output}\n(exit status {status})\n")
        return status == 0

    def skip(self, suite, reason):
        self.finish()
        self.say(suite, 0, 0, [f"{self.name}/{suite}: {reason}"], 0, "")

    def say(self, suite, passed, failed, skipped, seconds, output):
        counts = [f"{passed} passed"] if passed else []
        counts += [f"{failed} FAILED"] if failed else []
        counts += [f"{len(skipped)} skipped"] if skipped else []
        print(f"    {suite:<28} {', '.join(counts) or 'nothing to run':<32} {seconds:7.1f} s", flush=True)
        if failed:
            lines = output.rstrip().splitlines()
            if len(lines) > SHOWN_LINES:
                lines = [f"({len(lines) - SHOWN_LINES} lines before these are in {self.folder}/{suite}.log)"] + lines[-SHOWN_LINES:]
            print("".join(f"      | {line}\n" for line in lines), flush=True)
            self.total.failures.append((f"{self.name}/{suite}", failed, lines[-LAST_LINES:]))
        self.total.add(passed, failed, skipped)


def configure_and_build(stage, preset, *options):
    """True if it built. pkg-config's earlier answers are forgotten: the llama.cpp in the cache may be another one."""
    stage.check("configure", ["cmake", "--preset", preset, "-U", "__pkg_config_*", "-U", "pkgcfg_lib_*",
                              "-DENTROL_WERROR=ON", *options])
    if not all(stage.finish()):
        return False
    stage.check("build", ["cmake", "--build", folder_of(preset)])
    return all(stage.finish())


def folder_of(preset):
    return "build" if preset == "release" else f"build/{preset}"


def c_tests(stage, folder, wrapper=(), environment=None, prefix="", only=""):
    """The tests that CMake knows of."""
    listed = subprocess.run(["ctest", "--test-dir", folder, "--show-only=json-v1"], check=True, capture_output=True)
    for test in json.loads(listed.stdout)["tests"]:
        if test["name"].startswith(only):
            own = dict(pair.split("=", 1) for property in test.get("properties", ()) if property["name"] == "ENVIRONMENT"
                       for pair in property["value"])
            command = test.get("command", [f"{folder}/{test['name']}"])  # ctest knows none for what was not built
            stage.run(prefix + test["name"], [*wrapper, *command], {**own, **(environment or {})})


def python_tests(stage, pattern, folder, environment=None, python=sys.executable):
    own = {"ENTROL": os.path.abspath(f"{folder}/entrol"), "BUILD": os.path.abspath(folder)}
    for path in sorted(glob.glob(pattern)):
        name = os.path.splitext(os.path.basename(path))[0]
        stage.run(f"{name}.py", [python, "tests/suite.py", path], {**own, **(environment or {})})


def command_tests(stage, folder, environment=None):
    """The tests of the command, with a tiny model: it knows nothing, and says it fast."""
    tiny, writer = os.path.abspath(f"{folder}/tiny.gguf"), f"{folder}/llama_write_tiny_model"
    written = os.path.exists(writer) and subprocess.run([writer, tiny]).returncode == 0
    python_tests(stage, "tests/cli/test_*.py", folder, dict(environment or {}, ENTROL_MODEL=tiny if written else ""))


def stage_format(stage):
    """the layout of the C files is clang-format's"""
    files = [path for folder in ("include", "src", "adapters", "cli", "tests", "bench", "examples")
             for ending in ("c", "h") for path in sorted(glob.glob(f"{folder}/**/*.{ending}", recursive=True))]
    stage.check("clang-format", ["clang-format", "--dry-run", "-Werror", *files])


def stage_release(stage):
    """the build that people get: its C tests, the tests of the command, and what only a real model shows"""
    if configure_and_build(stage, "release", "-DENTROL_BLAS=ON", "-DENTROL_MPI=ON",
                           f"-DENTROL_ENVIRONMENTS={os.environ.get('ENTROL_ENVIRONMENTS', '')}"):
        c_tests(stage, "build")
        command_tests(stage, "build")
        stage.finish()  # the real model takes every processor
        python_tests(stage, "tests/model/test_*.py", "build")


def stage_project(stage):
    """symbols, headers, installing, the single file, the documents"""
    for script in sorted(glob.glob("tests/*.sh")):
        if script != "tests/debian.sh":
            stage.check(os.path.basename(script)[:-3], ["bash", script], {"BUILD": os.path.abspath("build")})
    python_tests(stage, "tests/project/test_*.py", "build")


def stage_python(stage):
    """the Python package as pip installs it, and with PyTorch, TRL, verl and the others"""
    peers, python = os.environ.get("ENTROL_PEERS"), os.environ.get("ENTROL_PEERS_PYTHON")  # scripts/check's
    if not peers or not python:
        stage.skip("package", "PyTorch and the other peers are pinned for Python 3.11 on x86-64")
        return
    stage.check("package", ["bash", "-c", ". scripts/setup.sh && setup_python_package"], {"ENTROL_PYTHON": python})
    if all(stage.finish()):
        python_tests(stage, "tests/python/test_*.py", "build", package_environment(peers), python)


def package_environment(peers):
    """That of tests of what is installed in build/python: beside other suites, without the network, with their caches in build/."""
    installed, home = os.path.abspath("build/python"), os.path.abspath("build/python-home")
    os.makedirs(f"{home}/ipython", exist_ok=True)
    learning = os.environ.get("ENTROL_LEARNING", "")
    return {"PYTHONPATH": f"{installed}:{peers}:{learning}", "ENTROL_LIBRARY": "", "ENTROL": f"{installed}/entrol/bin/entrol",
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": f"{home}/huggingface", "IPYTHONDIR": f"{home}/ipython",
            "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def stage_browser(stage):
    """the report in a browser"""
    python_tests(stage, "tests/browser/test_*.py", "build")


def stage_levels(stage):
    """the C tests at every instruction-set level of this machine"""
    for level in LEVELS:
        probe = subprocess.run(["build/entrol", "version"], env=dict(os.environ, ENTROL_CPU=level), capture_output=True)
        if probe.returncode != 0:
            stage.skip(level, "this machine does not have it")
            continue
        c_tests(stage, "build", environment={"ENTROL_CPU": level, **QUICK_TESTS}, prefix=f"{level}-", only="test_")


def stage_asan(stage):
    """AddressSanitizer"""
    # Not detect_stack_use_after_return: gcc 12 aligns its stacks to 32 bytes, and AVX-512 needs 64 (gcc bug 110027).
    sanitized(stage, {"ASAN_OPTIONS": "strict_string_checks=1"})


def stage_ubsan(stage):
    """UndefinedBehaviorSanitizer"""
    sanitized(stage, {"UBSAN_OPTIONS": "print_stacktrace=1", **QUICK_TESTS})


def stage_tsan(stage):
    """ThreadSanitizer, without llama.cpp and OpenBLAS, whose own threads and locks it cannot follow"""
    # Its fixed memory map collides with some kernels' randomised one; where setarch may, that is turned off.
    fixed = ["setarch", os.uname().machine, "--addr-no-randomize"]
    wrapper = fixed if subprocess.run([*fixed, "true"], capture_output=True).returncode == 0 else []
    sanitized(stage, {"TSAN_OPTIONS": "halt_on_error=1", "ENTROL_MODEL": "", **QUICK_TESTS}, wrapper, "-DENTROL_LLAMA=OFF", "-DENTROL_BLAS=OFF")


def sanitized(stage, environment, wrapper=(), *options):
    if configure_and_build(stage, stage.name, "-DENTROL_BUILD_BENCH=OFF", *options):
        folder = folder_of(stage.name)
        c_tests(stage, folder, wrapper, environment)
        command_tests(stage, folder, dict(environment, ENTROL_SANITIZED="1"))


def stage_neon(stage):
    """the library for AArch64, run by qemu"""
    if configure_and_build(stage, "neon"):
        c_tests(stage, "build/neon", environment=QUICK_TESTS)  # CMake puts the emulator before each command


def stage_fuzz(stage):
    """a minute of fuzzing, shared by the parsers"""
    if not configure_and_build(stage, "fuzz", "-DENTROL_BUILD_TESTS=ON", "-DENTROL_BUILD_BENCH=OFF"):
        return
    targets = [os.path.splitext(os.path.basename(path))[0] for path in sorted(glob.glob("tests/fuzz/fuzz_*.c"))]
    for target in targets:
        found = f"{stage.folder}/{target}"
        os.makedirs(found, exist_ok=True)
        corpus = f"tests/fuzz/corpus/{target.removeprefix('fuzz_')}"
        stage.check(target, [f"build/fuzz/{target}", f"-max_total_time={max(1, FUZZ_SECONDS // len(targets))}",
                             "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
                             f"-artifact_prefix={found}-", found] + [corpus] * os.path.isdir(corpus))


STAGES = [stage_format, stage_release, stage_project, stage_python, stage_browser, stage_levels, stage_asan, stage_ubsan,
          stage_tsan, stage_neon, stage_fuzz]
QUICK = ("format", "release", "project")


def main():
    names = [stage.__name__.removeprefix("stage_") for stage in STAGES]
    parser = argparse.ArgumentParser(description="Builds Entrol, runs every test and adds up.",
                                     epilog="stages: " + ", ".join(names))
    parser.add_argument("--quick", action="store_true", help="only " + ", ".join(QUICK))
    parser.add_argument("--only", metavar="STAGE,...", help="only these stages")
    parser.add_argument("--seed", metavar="N", help="other random numbers for the tests in C")
    parser.add_argument("--list", action="store_true", help="only say which stages these are")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else QUICK if arguments.quick else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(names)}")
    if arguments.list:
        print(*wanted)
        return 0
    if arguments.seed:
        os.environ["ENTROL_SEED"] = arguments.seed
    os.chdir(ROOT)
    total, start = Total(), time.monotonic()
    for i, name in enumerate(wanted):
        function = STAGES[names.index(name)]
        print(f"[{i + 1}/{len(wanted)}] {name}: {function.__doc__}  ({time.monotonic() - start:.0f} s so far)", flush=True)
        stage = Stage(name, total)
        function(stage)
        stage.finish()
    close(total, time.monotonic() - start)
    return 1 if total.failed else 0


def close(total, seconds):
    show_skipped(total.skipped)
    for suite, failed, lines in total.failures:
        print(f"failed: {suite} ({failed})")
        print("".join(f"    | {line}\n" for line in lines), end="")
    print(f"{seconds:.0f} s; logs in {LOGS}; {len(total.skipped)} skipped")
    print(f"{total.passed} passed, {total.failed} failed")


def show_skipped(skipped):
    """Where and why, a line for each reason, with the names of the tests where they were given: "SUITE: [TEST: ]REASON"."""
    reasons = {}
    for line in skipped:
        suite, what = line.split(": ", 1)
        test, reason = NAMED.match(what).groups()
        reasons.setdefault(reason, {}).setdefault(suite, []).append(test)
    if reasons:
        print("skipped:")
    for reason, suites in reasons.items():
        places = {}  # suites that skip the same tests are named together
        for suite, tests in suites.items():
            places.setdefault(", ".join(filter(None, tests)), []).append(suite)
        print(f"    {reason}")
        for tests, names in places.items():
            print("        " + ", ".join(names) + (f": {tests}" if tests else ""))


if __name__ == "__main__":
    sys.exit(main())

"""Nothing that is given to the package ends the interpreter, hangs it or grows it: what cannot be taken raises an
exception that names the argument."""

import gc
import os
import re
import resource
import subprocess
import sys
import threading
import tracemalloc
import unittest
import warnings

import entrol
import numpy as np
import textbook
from junk import all_calls, call, core_calls, drawn, numpy_gemm, torch, torch_calls

N_CALLS, SEED = 10_000, 20261129
WORDS = re.compile(r"\w+")


def complaint(name, arguments, error):
    """What is wrong with an exception; None: nothing."""
    if not isinstance(error, (ValueError, TypeError, IndexError, NotImplementedError, MemoryError, OverflowError)):
        return f"{name}: {type(error).__name__}: {error}"
    first = WORDS.match(str(error))
    if first is None or not (first[0] in arguments or any(f"'{one}'" in str(error) for one in arguments)):
        return f"{name}: names no argument: {type(error).__name__}: {error}"
    return None


def fuzz(seed, n):
    """Run in a process of its own: a line for each exception that is not as it should be, then how many there were."""
    import faulthandler

    faulthandler.enable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if torch is not None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
    n_raised = 0
    for number, (name, function, arguments, changed) in enumerate(drawn(seed, n)):
        try:
            call(function, arguments)
        except Exception as error:
            n_raised += 1
            found = complaint(name, arguments, error)
            if found:
                print(f"call {number}, {changed} changed: {found}"[:400])
    print(f"{n} calls, {n_raised} raised")


class Fuzz(unittest.TestCase):
    def test_random_calls(self):
        n = 2000 if os.environ.get("ENTROL_QUICK") else N_CALLS
        run = subprocess.run(
            [sys.executable, os.path.abspath(__file__), "--fuzz", str(SEED), str(n)],
            capture_output=True,
            text=True,
            timeout=800,
        )
        self.assertEqual(run.returncode, 0, run.stderr[-3000:])
        lines = run.stdout.splitlines()
        self.assertEqual(lines[:-1], [])
        n_raised = int(lines[-1].split()[2])
        self.assertTrue(n // 4 < n_raised < n, lines[-1])  # both happen

    def test_good_calls_return(self):
        for name, (function, arguments) in all_calls().items():
            with self.subTest(name):
                call(function, arguments)


class Leaks(unittest.TestCase):
    """100,000 calls, half of which raise, leave the process as large as the first 10,000 did."""

    def calls(self, rounds):
        wrong = {
            "measure_rows": {"targets": "a"},
            "measure_output": {"bias": [1]},
            "quantile": {"q": 7.0},
            "select": {"rule": "?"},
            "objective_compute": {"clip_low": -1},
            "controller": {"target": "?"},
            "gradient_rows": {"state": 1},
            "kl_estimate": {"estimator": "k4"},
        }
        table = core_calls()
        for _ in range(rounds):
            for name, changes in wrong.items():
                function, good = table[name]
                function(**good)
                try:
                    function(**{**good, **changes})
                except (ValueError, TypeError):
                    continue
                self.fail(name)

    def torch_calls(self, rounds):
        for _ in range(rounds):
            for function, good in self.table.values():
                call(function, good)
                try:
                    function(**{**good, "temperature": -1.0})
                except ValueError:
                    continue
                self.fail(function.__name__)

    def check(self, run, warm, rounds):
        run(warm)
        gc.collect()
        before = current_bytes()
        run(rounds)
        gc.collect()
        self.assertLess(current_bytes() - before, 4 << 20)
        tracemalloc.start()
        try:
            run(warm // 10 + 1)
            gc.collect()
            first = tracemalloc.get_traced_memory()[0]
            run(warm // 2 + 1)
            gc.collect()
            self.assertLess(tracemalloc.get_traced_memory()[0] - first, 50_000)
        finally:
            tracemalloc.stop()

    def test_core(self):
        self.check(self.calls, 600, 5_000)

    @unittest.skipIf(torch is None, "torch is not there")
    def test_torch(self):
        self.table = torch_calls()
        self.check(self.torch_calls, 300, 2_500)


def current_bytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Threads(unittest.TestCase):
    def test_two_on_one_context(self):
        """Each gets the results of its own rows."""
        context, failures = entrol.Context(threads=2, gemm=numpy_gemm), []
        weight = np.random.default_rng(1).normal(size=(1500, 16)).astype(np.float32)

        def work(seed):
            try:
                for i in range(150):
                    rows = np.random.default_rng([seed, i]).normal(size=(20, 300)).astype(np.float32)
                    found = entrol.measure_rows(rows, context=context).entropy
                    np.testing.assert_allclose(found, textbook.entropy(textbook.log_softmax(rows)), rtol=1e-5)
                    found = entrol.measure_output(rows[:, :16], weight, context=context).entropy
                    expected = textbook.entropy(textbook.log_softmax(rows[:, :16].astype(np.float64) @ weight.T))
                    np.testing.assert_allclose(found, expected, rtol=1e-4)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        self.assertEqual(failures, [])

    def test_a_call_inside_a_call(self):
        """Of the same context it is refused, where it waited for itself for ever; of another one, and in a child
        that was forked there, it is made."""
        code = """
            import entrol, os, numpy as np
            rows, inner = np.zeros((4, 512), np.float32), {}

            class Pieces:
                def __iter__(self):
                    yield entrol.measure_rows(rows, **inner).entropy, None

            class Comm:
                rank, size = 0, 2
                def all_reduce(self, counts):
                    entrol.measure_rows(rows, context=inner.get("context", with_comm))

            def gemm(operands):
                entrol.measure_rows(rows, context=inner.get("context", with_gemm))
                c, a, b = entrol.gemm_arrays(operands)
                c[...] = a @ b

            class Forked:
                def __iter__(self):
                    child = os.fork()
                    if child == 0:
                        os._exit(0 if entrol.measure_rows(rows).entropy.size == 4 else 1)
                    assert os.waitpid(child, 0)[1] == 0
                    yield [1, 2, 3], None

            with_comm, with_gemm = entrol.Context(comm=Comm()), entrol.Context(threads=2, gemm=gemm)
            hidden, weight = np.zeros((4, 8), np.float32), np.zeros((9000, 8), np.float32)
            calls = (
                lambda: entrol.Bounds(Pieces(), "high:2"),
                lambda: entrol.quantile(rows, 0.5, context=with_comm),
                lambda: entrol.measure_output(hidden, weight, context=with_gemm),
            )
            for call in calls:
                try:
                    call()
                except entrol.ArgumentError as error:
                    assert error.argument == "context", error
                else:
                    raise AssertionError("not refused")
            inner["context"] = entrol.Context()
            for call in calls:
                call()
            entrol.Bounds(Forked(), "high:2")
        """
        self.run_in_a_process(code)

    def test_the_interpreter_ends_while_a_thread_calls(self):
        code = """
            import threading, numpy as np, entrol
            from junk import numpy_gemm
            context = entrol.Context(threads=2, gemm=numpy_gemm)
            def work():
                while True:
                    entrol.measure_rows(np.zeros((50, 4000), np.float32))
                    rows = np.zeros((4000, 8), np.float32)
                    entrol.measure_output(rows[:600], rows, context=context)
            threading.Thread(target=work, daemon=True).start()
            import time; time.sleep(0.3)
        """
        self.run_in_a_process(code)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_fork(self):
        """A child goes on with the contexts of its parent, one of which a thread of the parent is in."""
        code = """
            import os, threading, numpy as np, entrol
            from junk import CONTEXT, torch, torch_calls, core_calls, call
            rows = np.random.default_rng(0).normal(size=(64, 5000)).astype(np.float32)
            everything = {**core_calls(), **torch_calls()}
            for function, arguments in everything.values():
                call(function, arguments)
            expected, is_done = entrol.measure_rows(rows).entropy, threading.Event()
            def work():
                while not is_done.is_set():
                    entrol.measure_rows(rows)
            thread = threading.Thread(target=work)
            thread.start()
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    right = np.array_equal(entrol.measure_rows(rows).entropy, expected)
                    for function, arguments in everything.values():
                        call(function, arguments)
                    os._exit(0 if right else 1)
                _, status = os.waitpid(child, 0)
                assert status == 0, status
            is_done.set()
            thread.join()
        """
        self.run_in_a_process(code)

    def run_in_a_process(self, code):
        lines = code.splitlines()[1:]
        run = subprocess.run(
            [sys.executable, "-c", "\n".join(line[12:] for line in lines)],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((os.path.dirname(os.path.abspath(__file__)), *sys.path))},
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))


class Comms(unittest.TestCase):
    class Comm:
        rank, size, error = 0, 2, None

        def all_reduce(self, counts):
            if self.error is not None:
                raise self.error

    def test_what_it_raises_is_raised(self):
        comm = self.Comm()
        context = entrol.Context(threads=1, comm=comm)
        values = np.arange(10, dtype=np.float32)
        for error in (ConnectionError("rank 1 is gone"), KeyboardInterrupt(), MemoryError()):
            comm.error = error
            for run in (
                lambda: entrol.quantile(values, 0.5, context=context),
                lambda: entrol.select(values, "high:2", context=context),
                lambda: entrol.high_entropy_mask(values, context=context),
                lambda: entrol.advantage_whiten(values, context=context),
                lambda: entrol.objective_compute("reinforce", logprob=values, advantage=values, context=context),
                lambda: entrol.Controller("pi", context=context),
            ):
                with self.assertRaises(type(error)) as caught:
                    run()
                self.assertIs(caught.exception, error)
        self.assertEqual(entrol.measure_rows(np.zeros((1, 4)), context=context).entropy.shape, (1,))

    def test_a_comm_that_is_none(self):
        for comm in (
            object(),
            5,
            type("Comm", (), {"all_reduce": print, "rank": 2, "size": 2}),
            type("Comm", (), {"all_reduce": print, "rank": 0, "size": 0}),
            type("Comm", (), {"all_reduce": print, "rank": "a", "size": 1}),
        ):
            with self.assertRaisesRegex((ValueError, TypeError), "^comm"):
                entrol.Context(comm=comm)

    def test_contexts(self):
        for name, value in (
            ("threads", -1),
            ("threads", 1e3),
            ("threads", 5000),
            ("cpu", "sse"),
            ("cpu", None),
            ("gemm", 5),
        ):
            with self.assertRaisesRegex((ValueError, TypeError), f"^{name}: "):
                entrol.Context(**{name: value})
        for level in ("scalar", "avx2", "avx512", "neon"):
            try:
                self.assertEqual(entrol.Context(cpu=level).cpu, level)
            except entrol.UnsupportedError as error:
                self.assertIn(f"cpu = '{level}'", str(error))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fuzz"]:
        fuzz(int(sys.argv[2]), int(sys.argv[3]))
    else:
        unittest.main()

"""libentrol's quantiles are NumPy's, bit for bit, by every method: numpy.quantile of the values as float64."""
import ctypes
import os
import unittest

import numpy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", f"{ROOT}/build")
METHODS = ["linear", "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen",
           "weibull", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"]
CASES = 1000 if os.environ.get("ENTROL_QUICK") else 10000


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("method", ctypes.c_int), ("nan", ctypes.c_int)]


def closest_observation(values, q):
    """NumPy's of 2.0 and later: older ones rounded halves to the other side than Hyndman and Fan say."""
    index = numpy.asarray(len(values) * q - 1 - 0.5)
    below = numpy.floor(index)
    stays = (index == below) & (below % 2 == 1)
    return numpy.sort(values)[numpy.maximum(numpy.where(stays, below, below + 1), 0).astype(int)]


def expected(values, q, method):
    values = values.astype(numpy.float64) + 0.0  # -0 is 0
    if method == "closest_observation":
        return closest_observation(values, q)
    return numpy.quantile(values, q, method=method)


class Quantiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library = ctypes.CDLL(f"{BUILD}/libentrol.so")
        cls.context = ctypes.c_void_p()
        assert cls.library.entrol_context_create(ctypes.byref(cls.context), None) == 0

    @classmethod
    def tearDownClass(cls):
        cls.library.entrol_context_destroy(cls.context)

    def quantiles(self, values, q, method):
        number = ctypes.c_int()
        self.assertEqual(self.library.entrol_quantile_method_parse(ctypes.byref(number), method.encode()), 0)
        options = Options(ctypes.sizeof(Options), number.value, 0)
        result = numpy.empty(len(q))
        status = self.library.entrol_quantile(
            self.context, result.ctypes.data_as(ctypes.c_void_p), None, values.ctypes.data_as(ctypes.c_void_p), None,
            ctypes.c_size_t(len(values)), q.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(q)), ctypes.byref(options))
        self.assertEqual(status, 0)
        return result

    def check(self, values, q, method):
        numpy.testing.assert_array_equal(self.quantiles(values, q, method), expected(values, q, method),
                                         f"{method} of {len(values)} values")

    def test_random_cases(self):
        random = numpy.random.default_rng()
        for case in range(CASES):
            n = int(random.integers(1, 40)) if case % 50 else int(random.integers(40, 5000))
            values = random.normal(size=n) if case % 3 else random.integers(-3, 4, size=n)
            q = random.random(4) if case % 2 else random.integers(0, n + 1, size=4) / n
            self.check(values.astype(numpy.float32), q, METHODS[case % len(METHODS)])

    def test_many_values(self):
        random = numpy.random.default_rng()
        for method in METHODS:
            n = int(random.integers(150000, 400000))
            self.check(random.exponential(size=n).astype(numpy.float32), random.random(5), method)

    def test_ends(self):
        for method in METHODS:
            for n in 1, 2, 3:
                self.check(numpy.arange(n, dtype=numpy.float32), numpy.array([0, 0.5, 1]), method)


if __name__ == "__main__":
    unittest.main()

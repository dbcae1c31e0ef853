"""The matrix product of entrol.torch's output layer: torch's BLAS in the library's threads, and the memory it takes."""

import subprocess
import sys
import textwrap
import unittest

from entrol.torch import _product
from entrol.torch import linear_logprob_and_entropy as linear
from layers import Case, gradients, layer, torch


class Products(Case):
    def everything(self):
        hidden, weight, bias, index, *records = layer(leading=(700,), seed=5)
        found = linear(hidden, weight, index, bias)
        return (*found, *gradients(found, records, (hidden, weight, bias)))

    def test_bits_do_not_depend_on_the_threads(self):
        if not _product._gemm()[1]:
            self.skipTest("this torch's BLAS cannot be held to one thread")
        results = []
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            try:
                results.append(self.everything())
            finally:
                torch.set_num_threads(1)
        for others in results[1:]:
            for one, other in zip(results[0], others):
                self.assertTrue(torch.equal(one, other))

    def test_threads_of_torch_are_as_before(self):
        """MKL's number of threads is put back on the calling thread."""
        before = torch.__config__.parallel_info()
        self.everything()
        self.assertEqual(torch.__config__.parallel_info(), before)

    def test_by_torch_where_blas_is_another(self):
        expected, blas = self.everything(), _product._blas
        caches = _product._gemm, _product._of
        _product._blas = lambda: None
        try:
            for cache in caches:
                cache.cache_clear()
            self.assertEqual(_product.product_context().threads, 1)
            with torch.autocast("cpu", torch.bfloat16):
                found = self.everything()
        finally:
            _product._blas = blas
            for cache in caches:
                cache.cache_clear()
        for one, other in zip(found, expected):
            self.close(one, other, 3e-6)


class Memory(unittest.TestCase):
    def test_logits_are_not_stored(self):
        """4,096 rows of 32,768 columns are 512 MB of float32 logits; what a step takes beyond what it gives back is a
        fraction of that. In a process of its own, whose peak is nobody else's."""
        code = """
            import resource, torch, entrol.torch as et
            torch.set_num_threads(2)
            hidden = torch.randn(4096, 16).requires_grad_()
            weight = torch.randn(32768, 16).requires_grad_()
            index = torch.zeros(4096, dtype=torch.int64)
            et.linear_logprob_and_entropy(hidden[:8], weight[:2048], index[:8])[0].sum().backward()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            logprob, entropy = et.linear_logprob_and_entropy(hidden, weight, index)
            (logprob.sum() + entropy.sum()).backward()
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        """
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=600
        )
        self.assertLess(float(run.stdout), 80)


if __name__ == "__main__":
    unittest.main()

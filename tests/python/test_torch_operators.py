"""The operators behind entrol.torch's logits as PyTorch sees them: torch.library's own checks, torch.compile, autocast,
what is refused, whose memory is written, and how much of it there is."""

import os
import re
import tempfile
import unittest
import unittest.mock

try:
    import torch
    from torch.library import opcheck
except ImportError as error:
    raise unittest.SkipTest(f"no PyTorch: {error}")
import entrol.torch as et
from entrol.torch import _chunked, _context, _rows

torch.set_num_threads(2)
OPS = torch.ops.entrol
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def case(dtype=torch.float32, shape=(3, 4, 50), width=1):
    """logits, index (..., width), mask, row_mask."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).to(dtype)
    index = torch.randint(0, shape[-1], (*shape[:-1], width), generator=generator)
    mask, row_mask = torch.rand(shape, generator=generator) < 0.8, torch.rand(shape[:-1], generator=generator) < 0.7
    return logits, index, mask, row_mask


def loss(logits, index, **settings):
    logprob, entropy = et.logprob_and_entropy(logits, index, temperature=0.7, **settings)
    return (logprob * 2).sum() - (entropy * 0.5).sum()


class Operators(unittest.TestCase):
    def test_opcheck(self):
        for dtype in DTYPES:
            for width in (1, 3):
                logits, index, mask, row_mask = case(dtype, width=width)
                for given in ((index, mask, row_mask), (None, None, None), (index, mask[0, 0], None)):
                    with self.subTest(dtype=dtype, width=width, given=[tensor is not None for tensor in given]):
                        arguments = *given, 0.7, 128, True, False
                        opcheck(OPS.measure, (logits.clone().requires_grad_(), *arguments))
                        entropy, logprob, state = OPS.measure(logits, *arguments)
                        by = torch.ones_like(entropy), torch.ones_like(logprob) if given[0] is not None else None
                        rest = *by, logits, state, given[0], given[1], 0.7, 128
                        opcheck(OPS.measure_backward, rest)
                        opcheck(OPS.measure_backward_, rest)

    def test_compile(self):
        """One graph, forward and backward, with sizes that change, and the same numbers."""

        def head(hidden, weight, index):
            return loss(hidden @ weight, index)

        compiled = torch.compile(head, fullgraph=True, dynamic=True)
        for rows in (4, 7):
            for width in (1, 3):
                _, index, _, _ = case(shape=(rows, 60), width=width)
                results = []
                for function in (head, compiled):
                    hidden, weight = torch.ones(rows, 8) / 3, torch.linspace(-1, 1, 480).view(8, 60).requires_grad_()
                    value = function(hidden, weight, index)
                    value.backward()
                    results.append((value.detach(), weight.grad))
                torch.testing.assert_close(results[0], results[1])

    def test_compile_with_masks(self):
        logits, index, mask, row_mask = case()

        def both(logits):
            return et.logprob_and_entropy(logits, index, mask=mask, row_mask=row_mask, dtype=torch.bfloat16)

        torch.testing.assert_close(torch.compile(both, fullgraph=True)(logits), both(logits), rtol=0, atol=0)

    def test_autocast(self):
        layer, hidden = torch.nn.Linear(8, 50), torch.randn(4, 8)
        with torch.autocast("cpu", torch.bfloat16):
            logits = layer(hidden)
            self.assertEqual(et.entropy_from_logits(logits).dtype, torch.bfloat16)
            entropy = et.entropy_from_logits(logits, dtype=torch.float32)
        entropy.sum().backward()
        torch.testing.assert_close(entropy, et.entropy_from_logits(logits.float()))
        self.assertTrue(layer.weight.grad.isfinite().all())

    def test_shapes_without_memory(self):
        logits, index, _, _ = case()
        logprob, entropy = et.logprob_and_entropy(logits.to("meta"), index.to("meta"))
        self.assertEqual((logprob.shape, entropy.shape, entropy.is_meta), (index.shape, logits.shape[:-1], True))

    def test_other_devices_have_the_same_formulas(self):
        """What other devices run, on the CPU's tensors, which the library reads otherwise; whole and in place."""
        for dtype, tolerance in zip(DTYPES, (1e-5, 1e-12, 1e-3, 1e-2)):
            logits, index, mask, row_mask = case(dtype, width=3)
            logits, index, mask, row_mask = logits[:, 1:], index[:, 1:], mask[:, 1:], row_mask[:, 1:]
            logits[0, 0, 3], index[~row_mask] = torch.nan, 0
            by = (torch.linspace(-1, 1, n).to(_chunked.accumulator(dtype)) for n in (9, 27))
            by = [tensor.view(shape) for tensor, shape in zip(by, ((3, 3), (3, 3, 3)))]
            arguments = index, mask, row_mask, 0.7
            entropy, logprob, state = _chunked.measure(logits, *arguments, 2)
            expected = OPS.measure(logits, *arguments, 2, True, False)
            out = torch.empty_like(logits, memory_format=torch.contiguous_format)
            _chunked.gradient(*by, logits, state, index, mask, 0.7, 2, out)
            slope = OPS.measure_backward(*by, logits, expected[2], index, mask, 0.7, 2)
            _chunked.gradient(*by, logits, state, index, mask, 0.7, 2, None)
            for pair in ((entropy, expected[0]), (logprob, expected[1]), (out, slope), (logits, slope)):
                torch.testing.assert_close(*pair, rtol=tolerance, atol=tolerance, equal_nan=True)

    @unittest.skipUnless(torch.cuda.is_available(), "no GPU")
    def test_a_gpu(self):
        for dtype in DTYPES:
            results = []
            for device in ("cpu", "cuda"):
                logits, index, mask, row_mask = (tensor.to(device) for tensor in case(dtype, width=3))
                leaf = logits.requires_grad_()
                value = loss(leaf[:, 1:], index[:, 1:], mask=mask[:, 1:], row_mask=row_mask[:, 1:], dtype=torch.float32)
                value.backward()
                results.append((value.detach().cpu(), leaf.grad.cpu()))
            torch.testing.assert_close(*results)

    def test_defaults_of_the_process_change_nothing(self):
        for width in (1, 3):
            logits, index, mask, row_mask = case(width=width)
            results = []
            for dtype, device in ((torch.float32, "cpu"), (torch.float64, "cpu"), (torch.float32, "meta")):
                leaf = logits.clone().requires_grad_()
                before = torch.get_default_dtype()
                try:
                    torch.set_default_dtype(dtype)
                    torch.set_default_device(device)
                    loss(leaf, index, mask=mask, row_mask=row_mask).backward()
                finally:
                    torch.set_default_dtype(before)
                    torch.set_default_device(None)
                results.append(leaf.grad)
            self.assertTrue(torch.equal(results[0], results[1]) and torch.equal(results[0], results[2]))

    def test_threads(self):
        before = torch.get_num_threads()
        logits, index, _, _ = case()
        try:
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(loss(logits, index).item())
                self.assertEqual(_context.context().threads, threads)
        finally:
            torch.set_num_threads(before)
        self.assertEqual(len(set(results)), 1)

    def test_more_threads_than_a_context_can_have(self):
        asked = []
        with (
            unittest.mock.patch.object(torch, "get_num_threads", lambda: 5000),
            unittest.mock.patch.object(_context, "_of", asked.append),
        ):
            _context.context()
        self.assertEqual(asked, [1024])


class InPlace(unittest.TestCase):
    def test_the_gradient_is_written_over_the_logits(self):
        for dtype in DTYPES:
            for width in (1, 3):
                values, index, mask, row_mask = case(dtype, width=width)
                expected, leaf = (values.clone().requires_grad_() for _ in range(2))
                logits = leaf * 1
                part, index = logits[:, 1:], index[:, 1:]
                settings = {"mask": mask[:, 1:], "row_mask": row_mask[:, 1:], "dtype": torch.float32}
                loss(expected[:, 1:], index, **settings).backward()
                loss(part, index, inplace_backward=True, **settings).backward()
                with self.subTest(dtype=dtype, width=width):
                    self.assertTrue(torch.equal(leaf.grad, expected.grad))
                    self.assertTrue(torch.equal(part, expected.grad[:, 1:]))
                    self.assertTrue(torch.equal(logits[:, 0], values[:, 0]))

    def test_the_memory_is_the_same(self):
        given = []
        values, index, _, _ = case()
        logits = values.requires_grad_() * 1
        logits.register_hook(lambda gradient: given.append(gradient.data_ptr()))
        loss(logits, index, inplace_backward=True).backward()
        self.assertEqual(given, [logits.data_ptr()])

    def test_who_needs_the_logits_is_told(self):
        leaf, index = case()[0].requires_grad_(), case()[1]
        squares = leaf * 1
        other = squares.square().sum()  # saves them
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            (loss(squares, index, inplace_backward=True) + other).backward()
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            loss(torch.tanh(leaf), index, inplace_backward=True).backward()
        logits = leaf * 1
        value = loss(logits, index, inplace_backward=True)
        value.backward(retain_graph=True)
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            value.backward()

    def test_what_cannot_be_written_is_refused(self):
        leaf, index, _, _ = case()
        leaf.requires_grad_()
        for logits in (leaf, leaf[:, :], (leaf * 1)[:1].expand(3, 4, 50), (leaf * 1).transpose(1, 2)):
            with self.assertRaisesRegex(ValueError, "inplace_backward"):
                et.entropy_from_logits(logits, inplace_backward=True)
        with torch.no_grad():
            et.entropy_from_logits(leaf, inplace_backward=True)
        with self.assertRaisesRegex(Exception, "inplace_backward"):
            torch.compile(lambda x: et.entropy_from_logits(x * 1, inplace_backward=True), fullgraph=True)(leaf)


class Refused(unittest.TestCase):
    def test_arguments(self):
        logits, index, mask, row_mask = case()
        index = index[..., 0]
        both = et.logprob_and_entropy
        for error, word, call in (
            (TypeError, "logits", lambda: et.entropy_from_logits([1.0])),
            (TypeError, "logits", lambda: et.entropy_from_logits(index)),
            (TypeError, "logits", lambda: et.entropy_from_logits(logits.to(torch.complex64))),
            (TypeError, "logits", lambda: et.entropy_from_logits(logits.to_sparse())),
            (ValueError, "logits", lambda: et.entropy_from_logits(torch.tensor(1.0))),
            (ValueError, "logits", lambda: et.entropy_from_logits(logits[..., :0])),
            (ValueError, "chunk_size", lambda: et.entropy_from_logits(logits, 0)),
            (ValueError, "temperature", lambda: et.entropy_from_logits(logits, temperature=0)),
            (ValueError, "temperature", lambda: et.selective_log_softmax(logits, index, -1.0)),
            (ValueError, "temperature", lambda: both(logits, index, temperature=float("nan"))),
            (TypeError, "dtype", lambda: et.entropy_from_logits(logits, dtype=torch.int32)),
            (TypeError, "index", lambda: both(logits, 3)),
            (TypeError, "index", lambda: both(logits, index.float())),
            (TypeError, "index", lambda: both(logits, index > 3)),
            (ValueError, "index", lambda: both(logits, index[:2])),
            (ValueError, "index", lambda: both(logits, index.to("meta"))),
            (ValueError, "mask", lambda: et.entropy_from_logits(logits, mask=mask[:2])),
            (TypeError, "mask", lambda: et.entropy_from_logits(logits, mask=mask.int())),
            (TypeError, "mask", lambda: et.entropy_from_logits(logits, mask=[True] * 50)),
            (ValueError, "mask", lambda: et.entropy_from_logits(logits, mask=mask.to("meta"))),
            (ValueError, "row_mask", lambda: et.selective_log_softmax(logits, index, row_mask=mask)),
            (TypeError, "row_mask", lambda: et.selective_log_softmax(logits, index, row_mask=[[1] * 4] * 3)),
            (ValueError, "row_mask", lambda: et.entropy_from_logits(logits, row_mask=row_mask.to("meta"))),
        ):
            with self.assertRaisesRegex(error, f"^{word}:"):
                call()

    def test_an_index_that_is_no_column(self):
        for dtype in (torch.float32, torch.float64):
            for wrong in (-1, 50, 1 << 40):
                logits, index, _, _ = case(dtype, width=3)
                index[1, 2, 1] = wrong
                with self.assertRaisesRegex(IndexError, rf"^index: .* from 0 to 49, got {wrong} at \[1, 2, 1\]"):
                    et.selective_log_softmax(logits, index)
                with self.assertRaisesRegex(IndexError, rf"got {wrong} at \[1, 2\]"):
                    et.selective_log_softmax(logits, index[..., 1])

    def test_what_autograd_cannot_have_of_it(self):
        leaf = case()[0].requires_grad_()
        (gradient,) = torch.autograd.grad(et.entropy_from_logits(leaf).sum(), leaf, create_graph=True)
        with self.assertRaisesRegex(NotImplementedError, "second derivatives"):
            gradient.sum().backward()
        with self.assertRaisesRegex(NotImplementedError, "vmap"):
            torch.func.vmap(et.entropy_from_logits)(leaf.detach())
        for transform in (torch.func.grad, torch.func.vjp):
            with self.assertRaisesRegex(NotImplementedError, "torch.func"):
                values = leaf.detach()
                total = lambda logits: et.entropy_from_logits(logits).sum()  # noqa: E731
                transform(total, values) if transform is torch.func.vjp else transform(total)(values)
        with torch.autograd.forward_ad.dual_level(), self.assertRaisesRegex(NotImplementedError, "forward-mode"):
            et.entropy_from_logits(torch.autograd.forward_ad.make_dual(leaf.detach(), torch.ones_like(leaf)))


@unittest.skipUnless(os.path.exists("/proc/self/smaps"), "no /proc/self/smaps")
class Memory(unittest.TestCase):
    def test_the_forward_pass_makes_nothing_of_the_logits_size_and_the_backward_pass_one_gradient(self):
        n_rows, n_columns = 64, 1 << 17  # 32 MB
        leaf, index, _, _ = case(shape=(n_rows, n_columns))
        leaf.requires_grad_()
        with torch.profiler.profile(profile_memory=True) as forward:
            value = loss(leaf, index)
        with torch.profiler.profile(profile_memory=True) as backward:
            value.backward()
        taken = [sum(max(0, event.self_cpu_memory_usage) for event in run.events()) for run in (forward, backward)]
        self.assertLess(taken[0], leaf.nbytes / 100)
        self.assertGreaterEqual(taken[1], leaf.nbytes)
        self.assertLess(taken[1], leaf.nbytes * 1.01)

    def test_big_gradients_are_on_huge_pages(self):
        if not os.path.exists("/sys/kernel/mm/transparent_hugepage/enabled"):
            self.skipTest("this kernel has no transparent huge pages")
        leaf, index, _, _ = case(shape=(16, 1 << 18))  # 16 MB
        leaf.requires_grad_()
        for pays in (False, True):
            leaf.grad = None
            with unittest.mock.patch.object(_rows, "_has_huge_pages", lambda: pays):  # noqa: B023
                loss(leaf, index).backward()
            self.assertEqual(self.has_advice(leaf.grad.data_ptr() + leaf.nbytes // 2), pays)

    def test_huge_pages_are_not_for_a_machine_that_gives_its_free_pages_back(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertFalse(_rows._reports_free_pages(folder))
            for features, gives in (("0110000010\n", False), ("0110010010\n", True)):
                os.makedirs(f"{folder}/virtio0", exist_ok=True)
                with open(f"{folder}/virtio0/features", "w") as file:
                    file.write(features)
                self.assertEqual(_rows._reports_free_pages(folder), gives)
            os.makedirs(f"{folder}/virtio1/features")  # cannot be read
            self.assertTrue(_rows._reports_free_pages(folder))

    def test_long_gaps_of_the_row_mask_are_not_read_and_short_ones_are(self):
        logits = torch.empty(1).expand(3, 6, 1 << 19)[:, :5]  # as if of 2 MB a row
        keep = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool).flatten()
        self.assertEqual([(s.first, s.count) for s in _rows.segments(logits, keep)], [(0, 3), (9, 6)])
        apart = torch.empty(3, 6, 1 << 14)[:, :5]
        size = apart.element_size() * apart.stride(0)
        places = [(s.first, s.count, s.address - apart.data_ptr()) for s in _rows.segments(apart)]
        self.assertEqual(places, [(0, 5, 0), (5, 5, size), (10, 5, 2 * size)])

    def has_advice(self, address):
        """Whether the mapping that holds an address has been advised MADV_HUGEPAGE: "hg" of its VmFlags (proc(5))."""
        inside = False
        with open("/proc/self/smaps") as file:
            for line in file:
                mapping = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
                if mapping:
                    inside = int(mapping[1], 16) <= address < int(mapping[2], 16)
                elif inside and line.startswith("VmFlags:"):
                    return "hg" in line.split()
        self.fail("no mapping has the address")


if __name__ == "__main__":
    unittest.main()

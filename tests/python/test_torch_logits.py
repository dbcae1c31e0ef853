"""entrol.torch's entropies and log-probabilities of logits, and their gradients. Expected values: TRL's own functions
(trl.trainer.utils, at the tolerance of its tests), and torch's autograd of the textbook formula in float64."""

import contextlib
import io
import math
import os
import unittest
import warnings

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no PyTorch: {error}")
import entrol.torch as et

try:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from trl.trainer import utils as trl
except ImportError:
    trl = None

torch.set_num_threads(2)
FLOATS, HALVES = (torch.float32, torch.float64), (torch.float16, torch.bfloat16)
INF, NAN = math.inf, math.nan
TRL_TOLERANCE = 1e-5


def logits_of(*shape, dtype=torch.float32, seed=0, scale=3.0):
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale).to(dtype)


def index_of(*shape, columns, seed=1):
    return torch.randint(0, columns, shape, generator=torch.Generator().manual_seed(seed))


def textbook(logits, index=None, temperature=1.0, mask=None):
    """ln p of columns (..., K) and H in float64: sums over the possible columns alone."""
    z = logits.double() / temperature
    possible = z > -INF if mask is None else (z > -INF) & mask
    log_p = torch.log_softmax(z.masked_fill(~possible, -INF), -1)
    entropy = -(log_p.exp() * log_p.masked_fill(~possible, 0)).sum(-1)
    return None if index is None else log_p.gather(-1, index), entropy


def gradients(logits, index, by_logprob, by_entropy, temperature=1.0, **settings):
    """d(sum by_logprob ln p + by_entropy H)/dlogits, ours and the textbook's, as float64."""
    ours = logits.detach().clone().requires_grad_()
    logprob, entropy = et.logprob_and_entropy(ours, index, temperature=temperature, dtype=torch.float64, **settings)
    ((logprob * by_logprob).sum() + (entropy * by_entropy).sum()).backward()
    theirs = logits.detach().double().requires_grad_()
    columns = index if index.ndim == logits.ndim else index[..., None]
    logprob, entropy = textbook(theirs, columns, temperature, settings.get("mask"))
    ((logprob.view(index.shape) * by_logprob).sum() + (entropy * by_entropy).sum()).backward()
    return ours.grad, theirs.grad


class LogitsCase(unittest.TestCase):
    def close(self, result, expected, tolerance):
        torch.testing.assert_close(result, expected, rtol=tolerance, atol=tolerance, equal_nan=True)

    def rounded(self, result, expected, tolerance=TRL_TOLERANCE):
        """`result`, of a half type, is a number within `tolerance` of `expected`, rounded once."""
        slack = tolerance * expected.abs().clamp(min=1)
        low, high = ((expected + side).to(result.dtype) for side in (-slack, slack))
        self.assertTrue(bool(((low <= result) & (result <= high)).all()), f"{result} is not {expected} rounded")


@unittest.skipIf(trl is None, "no TRL")
class LikeTrl(LogitsCase):
    """The same names, positions, shapes and dtypes."""

    def test_float(self):
        for dtype in FLOATS:
            logits, index = logits_of(3, 7, 1000, dtype=dtype), index_of(3, 7, columns=1000)
            row_mask = index_of(3, 7, columns=2)
            top = index_of(3, 7, 4, columns=1000)
            for ours, theirs in (
                (et.entropy_from_logits(logits, 5), trl.entropy_from_logits(logits, 5)),
                (et.selective_log_softmax(logits, index, 0.7), trl.selective_log_softmax(logits, index, 0.7)),
                (
                    et.selective_log_softmax(logits, index, 0.7, row_mask),
                    trl.selective_log_softmax(logits, index, 0.7, row_mask),
                ),
                (et.selective_log_softmax(logits, top), trl.selective_log_softmax(logits, top)),
                (
                    et.selective_log_softmax(logits, top, row_mask=row_mask[..., None] * (top % 2)),
                    trl.selective_log_softmax(logits, top, row_mask=row_mask[..., None] * (top % 2)),
                ),
                *zip(
                    et.logprob_and_entropy(logits, index, False, 0.7, row_mask),
                    trl.selective_log_softmax_and_entropy(logits, index, False, 0.7, row_mask),
                ),
            ):
                with self.subTest(dtype=dtype):
                    self.close(ours, theirs, TRL_TOLERANCE)  # compares dtype and shape, too

    def test_half_types_are_the_rounding_of_the_float32_result(self):
        for dtype in HALVES:
            logits, index = logits_of(3, 7, 1000, dtype=dtype), index_of(3, 7, columns=1000)
            top = index_of(3, 7, 4, columns=1000)
            exact = logits.float()
            for ours, theirs in (
                (et.entropy_from_logits(logits), trl.entropy_from_logits(exact)),
                (et.selective_log_softmax(logits, index), trl.selective_log_softmax(exact, index)),
                (et.selective_log_softmax(logits, top, 0.7), trl.selective_log_softmax(exact, top, 0.7)),
            ):
                with self.subTest(dtype=dtype):
                    self.assertEqual(ours.dtype, trl.entropy_from_logits(logits).dtype)
                    self.rounded(ours, theirs)

    def test_the_gradient(self):
        logits, index = logits_of(3, 7, 1000), index_of(3, 7, columns=1000)
        row_mask, by = index_of(3, 7, columns=2), logits_of(2, 3, 7, seed=2)
        results = []
        for function in (et.logprob_and_entropy, trl.selective_log_softmax_and_entropy):
            leaf = logits.clone().requires_grad_()
            logprob, entropy = function(leaf, index, True, 0.7, row_mask)
            ((by[0] * logprob).sum() + (by[1] * entropy).sum()).backward()
            results.append(leaf.grad)
        self.close(*results, TRL_TOLERANCE)

    def test_no_gradient_of_an_entropy_that_is_only_looked_at(self):
        leaf = logits_of(2, 9).requires_grad_()
        logprob, entropy = et.logprob_and_entropy(leaf, index_of(2, columns=9), entropy_requires_grad=False)
        self.assertTrue(logprob.requires_grad)
        self.assertFalse(entropy.requires_grad)

    def test_impossible_columns_are_nan_in_trl_and_exact_here(self):
        logits = torch.tensor([[0.5, -INF, 1.5, -INF], [-INF, 3.0, -INF, -INF]])
        self.assertTrue(trl.entropy_from_logits(logits).isnan().all())
        self.close(et.entropy_from_logits(logits).double(), textbook(logits)[1], 1e-6)
        self.assertEqual(et.entropy_from_logits(logits)[1], 0)

    def test_the_greatest_half_numbers_are_nan_in_trl_and_exact_here(self):
        logits = torch.tensor([[65504, -65504, 65504, 0]], dtype=torch.float16)
        self.assertTrue(trl.entropy_from_logits(logits).isnan().all())
        self.assertEqual(et.entropy_from_logits(logits), torch.tensor(math.log(2)).half())
        logprob = et.selective_log_softmax(logits, torch.tensor([[0, 3]]))
        self.assertEqual(logprob[0, 0], torch.tensor(-math.log(2)).half())
        self.assertEqual(logprob[0, 1], -65504)


class Values(LogitsCase):
    def test_masks_of_columns(self):
        for dtype in FLOATS:
            logits, index = logits_of(2, 5, 301, dtype=dtype), index_of(2, 5, 3, columns=301)
            for shape in ((301,), (5, 301), (2, 1, 301), (2, 5, 301)):
                mask = index_of(*shape, columns=2) > 0
                with self.subTest(dtype=dtype, mask=shape):
                    logprob, entropy = et.logprob_and_entropy(logits, index, temperature=0.7, mask=mask)
                    expected = textbook(logits, index, 0.7, mask)
                    self.close(logprob.double(), expected[0], 2e-6)
                    self.close(entropy.double(), expected[1], 2e-6)
                    self.assertTrue((logprob == -INF).any())

    def test_nearly_certain_rows_keep_their_digits(self):
        for dtype in FLOATS:
            row = torch.zeros(1, 1000, dtype=dtype)
            row[0, 7] = 40
            rest = 999 * math.exp(-40)  # H = ln(1 + rest) + 40 rest / (1 + rest)
            self.close(et.entropy_from_logits(row).item() / (rest * 41), 1.0, 1e-5)

    def test_rows_without_a_possible_column_are_nothing(self):
        for dtype in (*FLOATS, *HALVES):
            for row, mask in (([-INF] * 3, None), ([1.0, NAN, INF], [[True] * 3, [False] * 3])):
                logits = torch.tensor([[1.0, 2.0, 3.0], row], dtype=dtype, requires_grad=True)
                mask = None if mask is None else torch.tensor(mask)
                for index in (torch.tensor([0, 0]), torch.tensor([[0, 1], [0, 1]])):
                    with self.subTest(dtype=dtype, row=row, index=index.shape):
                        logprob, entropy = et.logprob_and_entropy(logits, index, mask=mask)
                        self.assertEqual((entropy[1].item(), logprob[1].abs().sum().item()), (0, 0))
                        (gradient,) = torch.autograd.grad(logprob.sum() + entropy.sum(), logits)
                        self.assertTrue((gradient[1] == 0).all())
                        self.assertTrue((gradient[0] != 0).all())

    def test_masked_rows_are_nothing_whatever_they_hold(self):
        for dtype in (*FLOATS, *HALVES):
            for width in (1, 2):
                logits = logits_of(4, 50, dtype=dtype).requires_grad_()
                with torch.no_grad():
                    logits[1], logits[2, 3] = NAN, INF
                index = index_of(4, width, columns=50)
                index[1], index[2] = -100, 1 << 40
                logprob, entropy = et.logprob_and_entropy(logits, index, row_mask=torch.tensor([1.0, 0, 0, 2]))
                (gradient,) = torch.autograd.grad(logprob.sum() + entropy.sum(), logits)
                with self.subTest(dtype=dtype, width=width):
                    for result in (logprob, entropy, gradient):
                        self.assertTrue((result[1:3] == 0).all())
                        self.assertTrue((result[::3] != 0).any() and result.isfinite().all())

    def test_a_masked_column_of_several_may_be_any_number(self):
        logits, index = torch.randn(2, 5), torch.tensor([[1, -100], [2, 3]])
        keep = torch.tensor([[1, 0], [1, 1]])
        found = et.selective_log_softmax(logits, index, row_mask=keep)
        expected = logits.log_softmax(-1).gather(-1, index.clamp(min=0)) * keep
        torch.testing.assert_close(found, expected)

    def test_trouble_stays_in_its_row(self):
        for dtype in (*FLOATS, *HALVES):
            logits = logits_of(5, 50, dtype=dtype)
            logits[1, 7], logits[2, 7], logits[3], logits[3, 7] = NAN, INF, -INF, NAN
            for index in (index_of(5, columns=50), index_of(5, 3, columns=50)):
                leaf = logits.clone().requires_grad_()
                logprob, entropy = et.logprob_and_entropy(leaf, index)
                (logprob.sum() + entropy.sum()).backward()
                for result in (logprob, entropy, leaf.grad):
                    with self.subTest(dtype=dtype, index=index.shape, shape=result.shape):
                        self.assertTrue(result[1:4].isnan().all())
                        self.assertTrue(result[::4].isfinite().all())

    def test_an_impossible_target(self):
        for dtype in FLOATS:
            logits = torch.tensor([[1.0, -INF, 3.0]], dtype=dtype, requires_grad=True)
            p = torch.softmax(logits.detach(), -1)
            for index in (torch.tensor([1]), torch.tensor([[1, 1]])):
                logprob = et.selective_log_softmax(logits, index)
                self.assertTrue((logprob == -INF).all())
                (gradient,) = torch.autograd.grad(logprob.sum(), logits)
                self.close(gradient, -index.numel() * p, 1e-6)
                self.assertEqual(gradient[0, 1], 0)

    def test_the_dtype_of_the_result(self):
        for dtype in (*FLOATS, *HALVES):
            logits, index = logits_of(2, 9, dtype=dtype), index_of(2, columns=9)
            self.assertEqual(et.selective_log_softmax(logits, index).dtype, dtype)
            for to in (*FLOATS, *HALVES):
                self.assertEqual(et.entropy_from_logits(logits, dtype=to).dtype, to)
        self.close(et.entropy_from_logits(logits, dtype=torch.float32).double(), textbook(logits)[1], 2e-6)

    def test_tensors_as_they_lie(self):
        """Slices, transposed and repeated rows, columns that do not follow each other, a conjugate's imaginary part."""
        whole = logits_of(6, 8, 40, 33)
        views = {
            "slice": whole[:, 1:, :-3],
            "columns": whole[..., :20],
            "transposed": whole.transpose(0, 2),
            "steps": whole[::2, ::3],
            "repeated": whole[:1, :1].expand(6, 8, 40, 33),
            "apart": whole.movedim(0, -1),
            "negative": torch.view_as_complex(whole[..., :32].unflatten(-1, (16, 2)).contiguous()).conj().imag,
            "one column": whole[..., :1],
        }
        for dtype in FLOATS:
            for name, view in views.items():
                view = view.to(dtype)
                keep = index_of(*view.shape[:-1], columns=8) > 0
                with self.subTest(name, dtype=dtype):
                    expected = textbook(view)[1]
                    self.close(et.entropy_from_logits(view).double(), expected, 2e-6)
                    self.close(et.entropy_from_logits(view, row_mask=keep).double(), expected * keep, 2e-6)

    def test_long_gaps_of_masked_rows(self):
        logits = logits_of(4, 6, 1 << 19, scale=1.0)[:, :5]  # 2 MB a row
        keep = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 1, 0], [1, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
        expected = et.entropy_from_logits(logits) * keep
        self.assertTrue(torch.equal(et.entropy_from_logits(logits, row_mask=keep), expected))

    def test_many_chunks(self):
        logits, index = logits_of(7, 3, 1 << 20, dtype=torch.float64)[:, :2], index_of(7, 2, columns=1 << 20)
        expected = textbook(logits, index[..., None])
        logprob, entropy = et.logprob_and_entropy(logits, index)
        self.close(logprob, expected[0][..., 0], 1e-12)
        self.close(entropy, expected[1], 1e-12)


class Gradients(LogitsCase):
    def test_one_column_and_several(self):
        for dtype in FLOATS:
            for index in (index_of(4, 6, columns=300), index_of(4, 6, 5, columns=3)):  # some are the same column
                for temperature in (1.0, 0.7, 3.0):
                    with self.subTest(dtype=dtype, index=index.shape, temperature=temperature):
                        by = logits_of(*index.shape, seed=2), logits_of(4, 6, seed=3)
                        pair = gradients(logits_of(4, 6, 300, dtype=dtype), index, *by, temperature)
                        self.close(pair[0].double(), pair[1], 1e-5 if dtype == torch.float32 else 1e-12)

    def test_half_types_are_rounded_once(self):
        for dtype in HALVES:
            for index in (index_of(4, 6, columns=300), index_of(4, 6, 5, columns=3)):
                with self.subTest(dtype=dtype, index=index.shape):
                    by = logits_of(*index.shape, seed=2), logits_of(4, 6, seed=3)
                    result, expected = gradients(logits_of(4, 6, 300, dtype=dtype), index, *by)
                    self.rounded(result, expected)

    def test_masks_and_impossible_columns(self):
        for dtype in FLOATS:
            logits, mask = logits_of(4, 6, 300, dtype=dtype), index_of(6, 300, columns=2) > 0
            logits[:, :, 200:] = -INF
            mask[:, :2] = True
            for index in (index_of(4, 6, columns=2), index_of(4, 6, 3, columns=2)):
                by = logits_of(*index.shape, seed=2), logits_of(4, 6, seed=3)
                ours = logits.clone().requires_grad_()
                logprob, entropy = et.logprob_and_entropy(ours, index, mask=mask)
                ((logprob * by[0]).sum() + (entropy * by[1]).sum()).backward()
                # the textbook has no row of another length: each row's possible columns alone
                for row in ((0, 0), (1, 3), (3, 5)):
                    possible = (mask[row[1]] & (logits[row] > -INF)).nonzero()[:, 0]
                    _, expected = gradients(logits[row][possible][None], index[row][None], by[0][row][None], by[1][row])
                    with self.subTest(dtype=dtype, index=index.shape, row=row):
                        self.close(ours.grad[row][possible].double(), expected[0], 1e-5)
                        self.assertEqual(ours.grad[row].count_nonzero(), len(possible))

    def test_gradcheck(self):
        """float64 at torch's own tolerances. float32: outputs within 2e-6 of 4 make finite differences of 2e-2 wrong by
        4e-4, their own error is of the order of 1e-2 squared."""
        index, keep = index_of(3, 2, columns=7), torch.tensor([1, 0, 1])
        for dtype, settings in ((torch.float64, {}), (torch.float32, {"eps": 1e-2, "atol": 2e-3, "rtol": 1e-2})):
            leaf = logits_of(3, 7, dtype=dtype, scale=1.0).requires_grad_()

            def measured(logits):
                return et.logprob_and_entropy(logits, index, temperature=0.8, row_mask=keep)

            with self.subTest(dtype=dtype), warnings.catch_warnings(action="ignore"):  # it warns of float32
                self.assertTrue(torch.autograd.gradcheck(measured, leaf, **settings))

    def test_of_one_result_alone(self):
        logits, index = logits_of(4, 300), index_of(4, columns=300)
        for by_logprob, by_entropy in ((1.0, 0.0), (0.0, 1.0)):
            leaf = logits.clone().requires_grad_()
            logprob, entropy = et.logprob_and_entropy(leaf, index)
            (by_logprob * logprob.sum() if by_logprob else entropy.sum()).backward()
            expected = gradients(logits, index, torch.tensor(by_logprob), torch.tensor(by_entropy))[1]
            self.close(leaf.grad.double(), expected, 1e-6)
        leaf.grad = None
        (et.logprob_and_entropy(leaf, index)[1].detach() * leaf.sum()).sum().backward()  # none of either

    def test_a_derivative_that_is_not_finite(self):
        leaf = logits_of(3, 50).requires_grad_()
        (et.entropy_from_logits(leaf) * torch.tensor([1.0, NAN, INF])).sum().backward()
        self.assertTrue(leaf.grad[1:].isnan().all() and leaf.grad[0].isfinite().all())

    def test_without_rows(self):
        for dtype in FLOATS:
            leaf = torch.empty(0, 3, 50, dtype=dtype, requires_grad=True)
            logprob, entropy = et.logprob_and_entropy(leaf, torch.empty(0, 3, dtype=torch.long))
            self.assertEqual((logprob.shape, entropy.shape), ((0, 3), (0, 3)))
            (logprob.sum() + entropy.sum()).backward()
            self.assertEqual(leaf.grad.shape, leaf.shape)

    def test_one_row_without_leading_dimensions(self):
        for dtype in FLOATS:
            for index in (torch.tensor(3), torch.tensor([3, 5, 3])):
                result, expected = gradients(logits_of(50, dtype=dtype), index, torch.tensor(2.0), torch.tensor(-1.0))
                self.close(result.double(), expected, 1e-6)


class Documents(unittest.TestCase):
    def test_the_example_runs(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(f"{root}/docs/python.md", encoding="utf-8") as file:
            section = file.read().split("## PyTorch: entropies and log-probabilities\n")[1].split("\n## ")[0]
        names = {}
        exec("\n".join(line[4:] for line in section.split("\n") if line.startswith("    ")), names)
        row = names["logits"].grad[1]
        self.assertTrue((row[:4] != 0).any() and (row[4:] == 0).all())


if __name__ == "__main__":
    unittest.main()

"""What the package reads of other people's arrays: PyTorch's, NumPy's, lists, and what cannot be read. Expected values:
textbook formulas in float64 (textbook.py)."""

import math
import unittest

import entrol
import numpy as np
import textbook

try:
    import torch
except ImportError:
    torch = None


@unittest.skipIf(torch is None, "torch is not there")
class ForeignArrays(unittest.TestCase):
    """What is read of an array is its values: a float64 copy of them has the same entropy."""

    def check(self, value, expected=None):
        found = entrol.measure_rows(value).entropy
        reference = np.asarray(value.double() if isinstance(value, torch.Tensor) else value, np.float64)
        np.testing.assert_allclose(found, textbook.entropy(textbook.log_softmax(reference)), rtol=1e-5)
        return found

    def test_dtypes_and_layouts_of_torch(self):
        base = torch.randn(4, 6, 50, generator=torch.Generator().manual_seed(0))
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            values = base.to(dtype)
            for view in (
                values,
                values[:, ::2],
                values[..., ::3],
                values.transpose(0, 1),
                values.transpose(1, 2),
                values[0, 0],
                values[1:, 2:, 5:],
                values[:1].expand(3, 6, 50),
                values[..., :1].expand(4, 6, 50),
                values[:0],
                values[:, :0],
            ):
                with self.subTest(dtype=dtype, shape=view.shape, strides=view.stride()):
                    self.assertEqual(self.check(view).shape, tuple(view.shape[:-1]))

    def test_torch_is_not_copied(self):
        values = torch.zeros(2, 8)
        state = entrol.measure_rows(values, [0, 1], want="state").state
        entrol.gradient_rows(values, state, logprob=1.0, targets=[0, 1], out=values)
        np.testing.assert_allclose(values.numpy(), np.eye(2, 8) - 1 / 8)

    def test_bfloat16_as_a_vector_and_as_results(self):
        values = torch.tensor([0.5, 1.0, 2.0], dtype=torch.bfloat16)
        self.assertEqual(entrol.quantile(values, 0.5).item(), 1.0)
        out = torch.empty(1, 3, dtype=torch.bfloat16)
        state = entrol.measure_rows(values[None], want="state").state
        entrol.gradient_rows(values[None], state, entropy=1.0, out=out)
        log_p = textbook.log_softmax(values[None].double().numpy())
        expected = textbook.gradient(log_p, np.ones(1), np.zeros(1), [0])
        np.testing.assert_allclose(out.float().numpy(), expected, rtol=2**-8)

    def test_layouts_of_numpy(self):
        base = (np.random.default_rng(30).normal(size=(4, 6, 50)) * 3).astype(np.float32)
        frozen = base.copy()
        frozen.flags.writeable = False
        for array in (
            base[::-1],
            base[:, ::-2],
            base[..., ::-1],
            np.asfortranarray(base),
            base.astype(">f4"),
            base.astype(np.float16),
            base.astype(">f2"),
            base.astype(np.float64),
            frozen,
            np.broadcast_to(base[0, 0], (3, 50)),
            base[:0],
            base[:, :0],
            base.view(np.recarray),
            np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(np.float32).reshape(base.shape),
            base.round().astype(np.int16),
        ):
            with self.subTest(dtype=array.dtype, strides=array.strides):
                self.check(array)

    def test_numbers_and_lists(self):
        self.check([[1.0, 2.0], [3, 4]])
        self.assertEqual(entrol.quantile(3.0, 0.25), 3.0)
        self.assertEqual(entrol.quantile(np.float32(3), np.array(0.5)).shape, ())
        self.assertEqual(entrol.measure_rows(np.zeros(4)).entropy.shape, ())

    def test_no_column_and_no_row(self):
        record = entrol.measure_rows(np.zeros((3, 0), np.float32))
        self.assertTrue(np.isnan(record.entropy).all())
        self.assertEqual(record.diagnosis.n_bad, 3)
        self.assertEqual(entrol.measure_rows(np.zeros((0, 5), np.float32), mask=np.ones((0, 5))).entropy.shape, (0,))

    def test_what_cannot_be_read(self):
        zeros = torch.zeros(2, 3)
        for error, value in (
            (ValueError, zeros.to("meta")),
            (ValueError, zeros.clone().requires_grad_()),
            (ValueError, zeros.to_sparse()),
            (ValueError, torch.complex(zeros, zeros + 1).conj().imag),  # 1 in memory, and a bit that says -1
            (ValueError, torch._efficientzerotensor((2, 3))),
            (TypeError, zeros.to(torch.complex64)),
            (ValueError, zeros.to(torch.float8_e4m3fn)),
            (TypeError, np.zeros((2, 3), np.complex64)),
            (TypeError, np.zeros((2, 3), np.longdouble)),
            (TypeError, np.ma.masked_array(np.zeros((2, 3)), True)),
            (TypeError, [[1.0], [2.0, 3.0]]),
            (TypeError, "text"),
            (TypeError, None),
            (TypeError, object()),
            (ValueError, 3.0),
        ):
            with self.subTest(kind=type(value), dtype=getattr(value, "dtype", None)):
                with self.assertRaisesRegex(error, "^logits: "):
                    entrol.measure_rows(value)

    def test_a_producer_that_raises(self):
        class Producer:
            def __dlpack_device__(self):
                return 1, 0

            def __dlpack__(self):
                raise LookupError("gone")

        with self.assertRaisesRegex(ValueError, "^logits: .*gone"):
            entrol.measure_rows(Producer())

    def test_whole_numbers_keep_their_values(self):
        logits = np.zeros((1, 4))
        for targets in ([1.5], [2**63], np.array([2**64 - 1], np.uint64), ["a"], [[0, 1]]):
            with self.assertRaisesRegex((ValueError, TypeError), "^targets: "):
                entrol.measure_rows(logits, targets, want="logprob")
        for dtype in (np.int8, np.uint16, np.int32, np.uint64, bool, torch.int16):
            one = torch.ones(1, dtype=dtype) if isinstance(dtype, torch.dtype) else np.ones(1, dtype)
            found = entrol.measure_rows(logits, one, want="logprob").logprob
            self.assertAlmostEqual(found[0], -math.log(4), 6)


if __name__ == "__main__":
    unittest.main()

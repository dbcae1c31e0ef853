"""entrol.torch's output layer: against float64 autograd of whole logits, TRL's ChunkedLogProbFunction, and the
functions of logits."""

import math
import os
import sys
import unittest
import warnings

import entrol.torch as et
from entrol.torch import linear_logprob_and_entropy as linear
from layers import N_COLUMNS, Case, gradients, layer, textbook, torch

try:
    from trl.kernels import ChunkedLogProbFunction
except ImportError:
    ChunkedLogProbFunction = None

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def _detached(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


class Values(Case):
    SETTINGS = (
        {},
        {"temperature": 0.7},
        {"soft_cap": 4.0},
        {"logit_scale": 0.25},
        {"soft_cap": 4.0, "logit_scale": 2.5, "temperature": 1.7},
    )

    def test_against_whole_logits_in_float64(self):
        for dtype in DTYPES:
            inputs = layer(dtype)
            for settings in self.SETTINGS:
                with self.subTest(dtype=dtype, **settings):
                    self.compare(inputs, settings, dtype)

    def compare(self, inputs, settings, dtype):
        *parameters, index, by_logprob, by_entropy = inputs
        found = linear(*parameters[:2], index, parameters[2], **settings)
        expected = textbook(*parameters, index, **settings)
        kind = torch.float64 if dtype == torch.float64 else torch.float32
        for one, other in zip(found, expected):
            self.assertEqual(one.dtype, kind)
            self.close(one, other, 1e-14 if kind == torch.float64 else 3e-6)
        # The gradients are rounded to the dtype once.
        tolerance = {torch.float32: 4e-6, torch.float16: 2**-11, torch.bfloat16: 2**-8, torch.float64: 1e-13}[dtype]
        records = by_logprob, by_entropy
        for one, other in zip(gradients(found, records, parameters), gradients(expected, records, parameters)):
            self.assertEqual(one.dtype, dtype)
            self.close(one, other, tolerance)

    def test_dtypes_that_differ(self):
        for of_hidden, of_weight, of_bias in (
            (torch.float32, torch.bfloat16, torch.float64),
            (torch.float16, torch.float32, torch.bfloat16),
            (torch.float32, torch.float64, torch.float32),
        ):
            hidden, weight, bias, index, *_ = layer()
            given = hidden.to(of_hidden), weight.to(of_weight), index, bias.to(of_bias)
            found = linear(*given)
            expected = textbook(given[0], given[1], given[3], index)
            self.assertEqual(
                found[0].dtype, torch.float64 if torch.float64 in (of_hidden, of_weight) else torch.float32
            )
            for one, other in zip(found, expected):
                self.close(one, other, 3e-6)

    def test_layouts(self):
        hidden, weight, bias, index, *records = layer(leading=(6, 10))
        expected = textbook(hidden[::2, 1::3], weight, bias, index[::2, 1::3])
        found = linear(hidden[::2, 1::3], weight.T.contiguous().T, index[::2, 1::3].int(), bias.expand(2, -1)[0])
        for one, other in zip(found, expected):
            self.close(one, other, 3e-6)
        one_row = linear(hidden[0, 0], weight, index[0, 0], bias)
        self.assertEqual(one_row[0].shape, ())
        self.close(one_row[0], textbook(hidden, weight, bias, index)[0][0, 0], 3e-6)

    def test_no_rows(self):
        for dtype in (torch.float32, torch.float64):
            hidden, weight, _, _, *_ = layer(dtype)
            empty = hidden.detach()[:0].requires_grad_()
            found = linear(empty, weight, torch.zeros(0, 5, dtype=torch.int64))
            self.assertEqual(found[0].shape, (0, 5))
            by_hidden, by_weight = torch.autograd.grad(
                found[0].sum() + found[1].sum(), (empty, weight), allow_unused=True
            )
            self.assertEqual(float(0 if by_weight is None else by_weight.abs().sum()), 0.0)

    def test_an_impossible_column(self):
        for dtype in (torch.float32, torch.float64):
            hidden, weight, bias, index, *records = layer(dtype)
            bias = bias.detach().clone()
            bias[[3, 1500]] = -math.inf
            index[0, 0], bias = 3, bias.requires_grad_()
            found, expected = linear(hidden, weight, index, bias), textbook(hidden, weight, bias, index)
            self.assertEqual(found[0][0, 0], -math.inf)
            self.close(found[1], expected[1], 3e-6)
            by_weight, by_bias = gradients(found[1:], records[1:], (weight, bias))
            self.assertTrue((by_weight[[3, 1500]] == 0).all() and (by_bias[[3, 1500]] == 0).all())
            keep = bias.detach() > -math.inf
            of_kept = textbook(hidden, weight[keep], bias[keep], torch.zeros_like(index))[1:]
            self.close(by_weight, gradients(of_kept, records[1:], (weight,))[0], 1e-5)

    def test_rows_that_do_not_count(self):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            hidden, weight, bias, index, *records = layer(dtype)
            row_mask = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
            keep = row_mask == 1
            with torch.no_grad():
                hidden[~keep] = math.nan
            index[~keep] = -100
            found = linear(hidden, weight, index, bias, row_mask=row_mask)
            of_kept = linear(hidden[keep], weight, index[keep], bias)
            for one, other in zip(found, of_kept):
                self.assertTrue((one[~keep] == 0).all())
                self.close(one[keep], other, 1e-15)
            by_kept = gradients(of_kept, [record[keep] for record in records], (hidden, weight, bias))
            for one, other in zip(gradients(found, records, (hidden, weight, bias)), by_kept):
                self.close(one, other, 1e-6)
            nothing = linear(hidden, weight, index, bias, row_mask=torch.zeros(3, 5))
            self.assertEqual(nothing[1].abs().sum(), 0)

    def test_one_row_that_does_not_count(self):
        hidden, weight, bias, index, *_ = layer(leading=())
        results = linear(hidden, weight, index, bias, row_mask=torch.tensor(False))
        self.assertEqual([(one.shape, one.item()) for one in results], [((), 0.0)] * 2)
        for slope in gradients(results, (1.0, 1.0), (hidden, weight, bias)):
            self.assertFalse(slope.any())

    def test_rows_without_a_column_and_with_nan(self):
        for dtype in (torch.float32, torch.float64):
            hidden, weight, bias, index, *records = layer(dtype)
            void = torch.full_like(bias, -math.inf)
            found = linear(hidden, weight, index, void)
            self.assertEqual([result.abs().sum().item() for result in found], [0, 0])
            for gradient in gradients(found, records, (hidden, weight)):
                self.assertEqual(gradient.abs().sum(), 0)
            with torch.no_grad():
                hidden[1, 2, 0] = math.nan
            found = linear(hidden, weight, index, bias)
            is_nan = torch.zeros(3, 5, dtype=torch.bool)
            is_nan[1, 2] = True
            for result in found:
                self.assertTrue(torch.equal(result.isnan(), is_nan))
            by_hidden = gradients(found, records, (hidden,))[0]
            self.assertTrue(torch.equal(by_hidden.isnan().any(-1), is_nan))


@unittest.skipIf(ChunkedLogProbFunction is None, "TRL is not there")
class Trl(Case):
    def test_chunked_log_probabilities(self):
        for dtype, tolerance in ((torch.float32, 5e-6), (torch.bfloat16, 0.02)):
            for soft_cap, scale, temperature, has_bias in (
                (None, 1.0, 1.0, False), (None, 0.3, 0.8, True), (6.0, 1.0, 1.0, True), (6.0, 2.0, 1.3, False),
            ):  # fmt: skip
                hidden, weight, bias, index, *records = layer(dtype, (15,))
                bias = bias if has_bias else None
                theirs = ChunkedLogProbFunction.apply(
                    hidden, weight, bias, index, temperature, 512, soft_cap, scale, ("entropy",)
                )[:2]
                ours = linear(
                    hidden, weight, index, bias, temperature=temperature, soft_cap=soft_cap, logit_scale=scale
                )
                with self.subTest(dtype=dtype, soft_cap=soft_cap, scale=scale, has_bias=has_bias):
                    for one, other in zip(ours, theirs):
                        self.close(one, other, tolerance)
                    inputs = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
                    for one, other in zip(gradients(ours, records, inputs), gradients(theirs, records, inputs)):
                        self.close(one, other, tolerance)


class Torch(Case):
    def test_the_functions_of_logits(self):
        hidden, weight, bias, index, *records = layer()
        theirs = et.logprob_and_entropy(torch.nn.functional.linear(hidden, weight, bias), index, temperature=1.4)
        ours = linear(hidden, weight, index, bias, temperature=1.4)
        for one, other in zip(ours, theirs):
            self.close(one, other, 3e-6)
        inputs = hidden, weight, bias
        for one, other in zip(gradients(ours, records, inputs), gradients(theirs, records, inputs)):
            self.close(one, other, 3e-6)

    def test_operator(self):
        for dtype in (torch.float32, torch.bfloat16):
            hidden, weight, bias, index, *_ = layer(dtype)
            rows = torch.rand(3, 5) < 0.6
            for given in (
                (hidden, weight, bias.float(), index, rows, 0.8, 0.0),
                (hidden, weight, None, index, None, 1.0, 5.0),
                (hidden.detach(), weight, None, index, None, 1.0, 0.0),
            ):
                torch.library.opcheck(torch.ops.entrol.linear, given)
                logprob, entropy, state = torch.ops.entrol.linear(*given)
                wanted = [tensor is not None for tensor in given[:3]]
                for by in ((logprob, entropy), (None, entropy)):
                    rest = *by, *given[:4], state, *given[5:], wanted
                    torch.library.opcheck(torch.ops.entrol.linear_backward, [_detached(one) for one in rest])

    def test_gradcheck(self):
        rng = torch.Generator().manual_seed(4)
        hidden, weight, bias = (
            torch.randn(*shape, dtype=torch.float64, generator=rng).requires_grad_() for shape in ((3, 4), (7, 4), (7,))
        )
        index, rows = torch.tensor([0, 6, 3]), torch.tensor([1, 0, 1])

        def of(h, w, b, cap):
            return linear(h, w, index, b, soft_cap=cap, temperature=0.6, logit_scale=1.5, row_mask=rows)

        for cap in (None, 3.0):
            self.assertTrue(torch.autograd.gradcheck(lambda *p, cap=cap: of(*p, cap), (hidden, weight, bias)))

    def test_chunks_of_plain_torch(self):
        """As many rows that a chunk does not end where they do."""
        hidden, weight, bias, index, *records = layer(torch.float64, (11,))
        expected = textbook(hidden, weight, bias, index)
        module = sys.modules["entrol.torch._linear"]
        before, module.CHUNK_LOGITS = module.CHUNK_LOGITS, 4 * N_COLUMNS
        try:
            found = linear(hidden, weight, index, bias)
            for one, other in zip(found, expected):
                self.close(one, other, 1e-14)
            inputs = hidden, weight, bias
            for one, other in zip(gradients(found, records, inputs), gradients(expected, records, inputs)):
                self.close(one, other, 1e-13)
        finally:
            module.CHUNK_LOGITS = before

    def test_no_second_derivative(self):
        hidden, weight, _, index, *_ = layer()
        first = torch.autograd.grad(linear(hidden, weight, index)[1].sum(), hidden, create_graph=True)[0]
        with self.assertRaisesRegex(NotImplementedError, "second derivative"):
            first.sum().backward()

    def test_compile(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = torch.compile(linear, fullgraph=True, backend="aot_eager")
            for row_mask in (None, torch.rand(3, 5) < 0.5):
                hidden, weight, bias, index, *records = layer()
                ours, theirs = (
                    f(hidden, weight, index, bias, soft_cap=5.0, row_mask=row_mask) for f in (linear, compiled)
                )
                for one, other in zip(ours, theirs):
                    self.assertTrue(torch.equal(one, other))
                inputs = hidden, weight, bias
                for one, other in zip(gradients(ours, records, inputs), gradients(theirs, records, inputs)):
                    self.assertTrue(torch.equal(one, other))

    def test_autocast_changes_nothing(self):
        hidden, weight, bias, index, *records = layer()
        plain = linear(hidden, weight, index, bias)
        with torch.autocast("cpu", torch.bfloat16):
            cast = linear(hidden, weight, index, bias)
        inputs = hidden, weight, bias
        for one, other in zip((*plain, *gradients(plain, records, inputs)), (*cast, *gradients(cast, records, inputs))):
            self.assertTrue(torch.equal(one, other))

    def test_defaults_of_the_process_change_nothing(self):
        for dtype in (torch.float32, torch.float64):
            hidden, weight, bias, index, *records = layer(dtype)
            plain = linear(hidden, weight, index, bias, row_mask=index > 100)
            expected = (*plain, *gradients(plain, records, (hidden, weight, bias)))
            torch.set_default_dtype(torch.float16)
            torch.set_default_device("meta")
            try:
                found = linear(hidden, weight, index, bias, row_mask=index > 100)
                found = (*found, *gradients(found, records, (hidden, weight, bias)))
                only_hidden = gradients(linear(hidden, weight, index), records, (hidden,))
            finally:
                torch.set_default_device(None)
                torch.set_default_dtype(torch.float32)
            self.assertEqual(only_hidden[0].device.type, "cpu")
            for one, other in zip(found, expected):
                self.assertTrue(torch.equal(one, other))

    def test_inference_mode(self):
        hidden, weight, bias, index, *_ = layer()
        expected = linear(hidden, weight, index, bias)
        with torch.inference_mode():
            for of in (hidden, hidden * 1):
                for one, other in zip(linear(of, weight, index, bias), expected):
                    self.assertTrue(torch.equal(one, other))

    def test_a_weight_used_twice(self):
        """The embedding and the output layer of one matrix: both gradients add up."""
        _, weight, _, index, *records = layer()
        tokens = torch.randint(0, N_COLUMNS, (3, 5), generator=torch.Generator().manual_seed(9))
        by = [
            gradients(f(torch.nn.functional.embedding(tokens, weight)), records, (weight,))[0]
            for f in (lambda h: linear(h, weight, index), lambda h: textbook(h, weight, None, index))
        ]
        self.close(*by, 4e-6)

    def test_gradients_that_are_not_needed(self):
        for dtype in (torch.float32, torch.float64):
            for chosen in range(1, 8):
                *parameters, index, by_logprob, by_entropy = layer(dtype)
                for at, tensor in enumerate(parameters):
                    tensor.requires_grad_(bool(chosen >> at & 1))
                hidden, weight, bias = parameters
                linear(hidden, weight, index, bias)[0].sum().backward()
                wanted = [tensor for tensor in parameters if tensor.requires_grad]
                expected = gradients(textbook(hidden, weight, bias, index)[:1], [torch.ones(3, 5)], wanted)
                for tensor, gradient in zip(wanted, expected):
                    self.close(tensor.grad, gradient, 4e-6)
                self.assertTrue(all(t.grad is None for t in parameters if not t.requires_grad))
            frozen = [tensor.detach() for tensor in parameters]
            self.assertFalse(linear(frozen[0], frozen[1], index, frozen[2])[0].requires_grad)


class Documents(unittest.TestCase):
    def test_the_example_runs(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(f"{root}/docs/python.md", encoding="utf-8") as file:
            sections = file.read().split("\n## PyTorch: ")
        names = {}
        for title in ("entropies and log-probabilities\n", "the output layer\n"):
            section = next(section for section in sections if section.startswith(title)).split("\n## ")[0]
            exec("\n".join(line[4:] for line in section.split("\n") if line.startswith("    ")), names)
        self.assertTrue((names["hidden"].grad[1, 4:] == 0).all() and (names["hidden"].grad[1, :4] != 0).any())


class Errors(unittest.TestCase):
    def test_they_name_the_argument(self):
        hidden, weight, bias, index, *_ = layer()
        meta = torch.device("meta")
        cases = (
            (TypeError, "hidden", {"hidden": [[1.0]]}),
            (TypeError, "hidden", {"hidden": hidden.detach().int()}),
            (TypeError, "hidden", {"hidden": hidden.detach().to_sparse()}),
            (ValueError, "hidden", {"hidden": torch.tensor(1.0)}),
            (ValueError, "weight", {"hidden": hidden.to(meta)}),
            (ValueError, "weight", {"weight": weight.to(meta)}),
            (ValueError, "weight", {"weight": weight[:, 1:]}),
            (ValueError, "weight", {"weight": weight[0]}),
            (ValueError, "weight", {"weight": weight[:0]}),
            (TypeError, "weight", {"weight": None}),
            (TypeError, "weight", {"weight": weight.to(torch.complex64)}),
            (TypeError, "bias", {"bias": [0.0]}),
            (TypeError, "bias", {"bias": bias.long()}),
            (ValueError, "bias", {"bias": bias[1:]}),
            (ValueError, "bias", {"bias": bias.to(meta)}),
            (TypeError, "index", {"index": None}),
            (TypeError, "index", {"index": index.float()}),
            (ValueError, "index", {"index": index[0]}),
            (ValueError, "index", {"index": index[..., None]}),
            (ValueError, "index", {"index": index.to(meta)}),
            (IndexError, "index", {"index": index + N_COLUMNS}),
            (IndexError, "index", {"index": index - N_COLUMNS}),
            (ValueError, "temperature", {"temperature": 0.0}),
            (ValueError, "temperature", {"temperature": -1.0}),
            (ValueError, "temperature", {"temperature": math.nan}),
            (TypeError, "temperature", {"temperature": "1"}),
            (ValueError, "temperature", {"logit_scale": 1e7}),
            (ValueError, "soft_cap", {"soft_cap": -1.0}),
            (ValueError, "soft_cap", {"soft_cap": math.nan}),
            (ValueError, "soft_cap", {"soft_cap": 1e7}),
            (ValueError, "logit_scale", {"logit_scale": 0.0}),
            (ValueError, "logit_scale", {"logit_scale": -2.0}),
            (ValueError, "row_mask", {"row_mask": torch.ones(5)}),
            (TypeError, "row_mask", {"row_mask": [1]}),
        )
        for error, name, changed in cases:
            given = {"hidden": hidden, "weight": weight, "index": index, "bias": bias, **changed}
            with self.subTest(**{key: str(value)[:40] for key, value in changed.items()}):
                with self.assertRaisesRegex(error, f"^{name}\\b"):
                    linear(**given)

    def test_transforms_of_torch_func(self):
        hidden, weight, _, index, *_ = layer()
        with self.assertRaisesRegex(NotImplementedError, "^hidden: "):
            torch.func.vmap(lambda h, i: linear(h, weight, i))(hidden, index)

    def test_shapes_alone(self):
        hidden, weight, bias, index = (tensor.to("meta") for tensor in layer()[:4])
        for settings in ({}, {"row_mask": torch.ones(3, 5, device="meta")}):
            found = linear(hidden, weight, index, bias, **settings)
            self.assertEqual([(one.device.type, one.shape) for one in found], [("meta", (3, 5))] * 2)


if __name__ == "__main__":
    unittest.main()

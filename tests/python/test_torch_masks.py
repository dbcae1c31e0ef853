"""entrol.torch's high_entropy_mask and quantile in one process, beside TRL's method and torch.quantile; and its
Controller, beside the published law."""

import inspect
import math
import types
import unittest

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

import numpy as np

import entrol
from entrol.torch import Controller, group_advantage, high_entropy_mask, quantile

torch.set_num_threads(2)


class Masks(unittest.TestCase):
    def test_the_examples_of_trl(self):
        e = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.7, 0.8, 0.9, 1.0, 1.1, 1.2]])
        mask = torch.ones(2, 6, dtype=torch.long)
        mask[1, 4:] = 0
        kept = {0.8: [[1, 2], [1, 3]], 0.5: [[0, 5], [1, 0], [1, 1], [1, 2], [1, 3]], 1.0: [[1, 3]]}
        for threshold, expected in kept.items():
            self.assertEqual(high_entropy_mask(e, mask, threshold).nonzero().tolist(), expected)
        self.assertEqual(high_entropy_mask(e, mask, 0.0).tolist(), mask.bool().tolist())
        self.assertFalse(bool(high_entropy_mask(e, torch.zeros(2, 6), 0.5).any()))
        e2 = torch.tensor([[0.1, 0.2, 0.3, 1.4, 0.5, 0.14], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]])
        first = torch.tensor([[1, 1, 1, 1, 0, 0]] * 2)
        self.assertEqual(high_entropy_mask(e2, first, 0.8).nonzero().tolist(), [[0, 3], [1, 3]])

    def test_it_is_trls_on_this_torch(self):
        try:
            from trl.trainer.grpo_trainer import GRPOTrainer
        except ImportError as error:
            self.skipTest(f"no TRL: {error}")
        alone = types.SimpleNamespace(pad_across_processes=lambda x, dim, pad_index: x, gather=lambda x: x)
        trainer = types.SimpleNamespace(accelerator=alone)
        theirs = inspect.unwrap(GRPOTrainer.get_high_entropy_mask)
        generator = torch.Generator().manual_seed(1)
        for i in range(60):
            n = int(torch.randint(1, 400, (), generator=generator))
            e = torch.rand(3, n, generator=generator)
            if i % 3 == 0:
                e = (e * 8).floor() / 8  # ties
            mask = (torch.rand(3, n, generator=generator) < 0.7).long()
            for dtype in (torch.float32, torch.bfloat16):
                threshold = float(torch.rand((), generator=generator))
                values = e.to(dtype)
                expected = theirs(trainer, values, mask, threshold)
                self.assertTrue(torch.equal(high_entropy_mask(values, mask, threshold, method="installed"), expected))

    def test_padding_and_trouble(self):
        e, mask = torch.tensor([0.1, 0.9, math.nan, -5.0]), torch.tensor([True, True, False, True])
        self.assertEqual(high_entropy_mask(e, mask, 0.5).tolist(), [True, True, False, False])
        self.assertEqual(high_entropy_mask(e.double(), mask.double(), 1.0).tolist(), [False, True, False, False])
        with self.assertRaisesRegex(entrol.DataError, r"entropies: NaN at \[2\]"):
            high_entropy_mask(e, torch.ones(4), 0.5)
        cases = [
            (TypeError, "entropies", ([0.1], None, 0.5)),
            (ValueError, "mask", (e, mask[:2], 0.5)),
            (TypeError, "mask", (e, [1], 0.5)),
            (ValueError, "threshold", (e, mask, 1.5)),
        ]
        for kind, name, arguments in cases:
            with self.subTest(name), self.assertRaisesRegex(kind, name):
                high_entropy_mask(*arguments)
        for name, more in (("method", {"method": "best"}), ("nan", {"nan": "drop"})):
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                high_entropy_mask(e, mask, 0.5, **more)
        with self.assertRaisesRegex(TypeError, "group"):
            high_entropy_mask(e, mask, 0.5, group=3)

    def test_numbers_that_are_negated_lazily(self):
        values = torch.complex(torch.zeros(5), torch.tensor([1.0, 2, 3, 4, 7])).conj().imag
        self.assertTrue(values.is_neg())
        self.assertEqual(quantile(values, 0.25).item(), -4)
        self.assertEqual(high_entropy_mask(values, None, 0.75).tolist(), [True, True, False, False, False])
        self.assertEqual(group_advantage(values[None], scale="none").argmax().item(), 0)

    def test_the_arithmetic_of_torch_2_9(self):
        """Ranks of float32: q = 0.8 of 101 numbers is the 81st itself, of float64 a little beyond it."""
        x = torch.zeros(101)
        x[81:] = 1
        self.assertEqual(quantile(x, 0.8, method="torch_f32_rank").item(), 0)
        beyond = float(np.float32(0.8)) * 100 - 80
        self.assertAlmostEqual(quantile(x, 0.8, method="torch").item(), beyond, delta=1e-7 * beyond)
        self.assertEqual(quantile(x, 0.8, method="installed").item(), torch.quantile(x, 0.8).item())
        if torch.__version__.startswith("2.9."):
            self.assertEqual(quantile(x, 0.8, method="installed").item(), 0)

    def test_quantiles_are_torchs(self):
        generator = torch.Generator().manual_seed(2)
        for n in (1, 2, 101, 5000):
            x = torch.randn(n, generator=generator, requires_grad=True)
            q = torch.rand(16, generator=generator)
            self.assertEqual(quantile(x, q, method="installed").tolist(), torch.quantile(x.detach(), q).tolist())
            self.assertEqual(quantile(x, 0.8, method="installed").item(), torch.quantile(x.detach(), 0.8).item())
        x, mask = torch.arange(10.0), torch.arange(10) % 2
        self.assertEqual(quantile(x, 0.5, mask).item(), torch.quantile(x[1::2], 0.5).item())
        self.assertEqual((quantile(x, 0.5).shape, quantile(x, torch.zeros(2)).shape), ((), (2,)))
        self.assertTrue(math.isnan(quantile(x, 0.5, torch.zeros(10)).item()))


class Controllers(unittest.TestCase):
    def test_pi_is_its_law(self):
        """EntroPIC (arXiv 2511.15248): K_p e + K_i sum e, of the tokens that count, while nothing limits it."""
        controller = Controller("pi", target=0.5, kp=0.7, ki=0.05, min=-100, max=100)
        generator = torch.Generator().manual_seed(3)
        total = 0.0
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.float32):
            entropies = torch.rand(4, 5, generator=generator).to(dtype).requires_grad_()
            mask = torch.rand(4, 5, generator=generator) < 0.6
            entropies.data[~mask] = math.nan
            coefficient = controller.observe(entropies, mask.long())
            error = 0.5 - entropies.detach()[mask].double().mean().item()
            total += error
            self.assertAlmostEqual(coefficient, 0.7 * error + 0.05 * total, delta=1e-7)
            self.assertEqual(controller.coefficient, coefficient)
        self.assertEqual((controller.command.step, controller.kind.name), (5, "pi"))

    def test_a_state_goes_on(self):
        def observe(controller, steps):
            return [controller.observe(torch.full((3,), x)) for x in steps]

        first, steps = Controller("pi", target=0.5), [0.2, 0.4, 0.9, 0.1]
        observe(first, steps[:2])
        saved = first.state_dict()
        other = Controller("pi", target=0.5)
        other.load_state_dict(saved)
        self.assertEqual(observe(first, steps[2:]), observe(other, steps[2:]))
        for wrong in ({}, {"state": 1}, "text", {"state": "entrol-controller 9"}):
            with self.subTest(wrong), self.assertRaises(ValueError):
                other.load_state_dict(wrong)
        with self.assertRaises(ValueError):
            Controller("pi", target=0.6).load_state_dict(saved)

    def test_sums_and_trouble(self):
        sums, tokens = Controller("pi", target="0.7max", n_actions=8), Controller("pi", target="0.7max", n_actions=8)
        e = torch.tensor([0.5, 1.0, 1.25])
        self.assertEqual(sums.observe_sum(e.sum(), torch.tensor(3)), tokens.observe(e))
        before = tokens.coefficient
        with self.assertRaises(entrol.DataError):
            tokens.observe(torch.tensor([math.nan]))
        with self.assertRaises(entrol.DataError):
            tokens.observe(e, torch.zeros(3))
        with self.assertRaisesRegex(TypeError, "entropies"):
            tokens.observe([0.5])
        with self.assertRaisesRegex(ValueError, "mask"):
            tokens.observe(e, torch.zeros(2))
        self.assertEqual((tokens.coefficient, tokens.command.step), (before, 1))
        with self.assertRaisesRegex(TypeError, "gain"):
            Controller("pi", gain=1)
        with self.assertRaisesRegex(ValueError, "name"):
            Controller("pid")


if __name__ == "__main__":
    unittest.main()

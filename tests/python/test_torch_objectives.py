"""entrol.torch.objective beside the published formulas in float64 with torch's autograd, and beside TRL's own loss;
advantages of tensors beside TRL's and their definitions."""

import math
import os
import sys
import unittest
import warnings

try:
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

import entrol
from entrol.torch import gae, group_advantage, leave_one_out, objective, whiten

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
from objective_formulas import CASES, LEAVES, LENGTH, ROWS, clipped, mean, tokens

import objectives as peers  # TRL's loss, called as a function

torch.set_num_threads(2)


class BesideFormulas(unittest.TestCase):
    def test_every_case(self):
        for seed in (1, 2, 3):
            arrays, mask = tokens(seed)
            for name, settings, more, formula in CASES:
                with self.subTest(name, seed=seed, **settings):
                    given = {key: arrays[key] for key in ("logprob", "advantage", *more)}
                    exact = {key: x.double() for key, x in given.items()}
                    mine = {key: x.masked_fill(~mask, math.nan) for key, x in given.items()}  # padding does not matter
                    leaves = [key for key in LEAVES if key in given]
                    for key in leaves:
                        exact[key].requires_grad_()
                        mine[key].requires_grad_()
                    expected = formula(exact, mask)
                    wanted = torch.autograd.grad(expected, [exact[key] for key in leaves], allow_unused=True)
                    result = objective(name, mask=mask, **mine, **settings)
                    found = torch.autograd.grad(result.loss, [mine[key] for key in leaves])
                    self.assertAlmostEqual(
                        result.loss.item(), expected.item(), delta=2e-7 * max(1, abs(expected.item()))
                    )
                    for key, slope, want in zip(leaves, found, wanted):
                        want = torch.zeros(ROWS, LENGTH, dtype=torch.float64) if want is None else want
                        scale = max(want.abs().max().item(), 1e-6)
                        torch.testing.assert_close(slope.double() / scale, want / scale, rtol=0, atol=1e-6)
                        self.assertEqual(result.gradients[key].tolist(), slope.tolist())
                        self.assertEqual(slope[~mask].abs().sum().item(), 0)


class BesideTrl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.classes = peers.trainers()
        except ImportError as error:
            raise unittest.SkipTest(f"no TRL: {error}")

    def test_loss_and_gradients(self):
        generator = torch.Generator().manual_seed(4)
        for name, which, settings, has in peers.CASES:
            with self.subTest(name):
                arrays, mask = peers.batch(generator)
                loss, by_logprob, by_entropy = peers.trl_loss(self.classes, arrays, mask, has)
                given = {
                    k: v
                    for k, v in arrays.items()
                    if (k != "weight" or has.get("weighted")) and (k != "old_logprob" or not has.get("on_policy"))
                }
                given["advantage"] = arrays["advantage"][:, 0]  # of each row, as TRL has it
                leaves = [given[key].clone().requires_grad_() for key in ("logprob", "entropy")]
                result = objective(
                    which, mask=mask, **{**given, "logprob": leaves[0], "entropy": leaves[1]}, **settings
                )
                result.loss.backward()
                self.assertAlmostEqual(result.loss.item(), loss, delta=1e-6 * max(abs(loss), 1e-3))
                for leaf, want in zip(leaves, (by_logprob, by_entropy)):
                    scale = max(want.abs().max().item(), 1e-9)
                    torch.testing.assert_close(leaf.grad.double() / scale, want / scale, rtol=0, atol=1e-6)

    def test_advantages(self):
        rewards = torch.randn(peers.GROUPS * peers.GROUP, generator=torch.Generator().manual_seed(5))
        rewards[: peers.GROUP] = 0.5  # a group of equal rewards
        rows = rewards.reshape(peers.GROUPS, peers.GROUP)
        for scale in ("group", "batch", "none"):
            expected = peers.trl_advantages(self.classes, rewards, scale)
            torch.testing.assert_close(group_advantage(rows, scale=scale).flatten(), expected, rtol=1e-5, atol=1e-6)
        starts = torch.arange(peers.GROUPS + 1) * peers.GROUP
        torch.testing.assert_close(
            leave_one_out(rewards, starts),
            peers.trl_advantages(self.classes, rewards, "leave one out"),
            rtol=1e-5,
            atol=1e-6,
        )


class Results(unittest.TestCase):
    def setUp(self):
        self.arrays, self.mask = tokens()
        self.given = {key: self.arrays[key] for key in ("logprob", "old_logprob", "advantage", "entropy")}

    def test_diagnostics_are_floats(self):
        result = objective("ppo", mask=self.mask, entropy_coefficient=0.01, value_coefficient=0, **self.given)
        self.assertTrue(all(isinstance(x, float) for x in result.diagnostics.values()))
        t, m = {key: x.double() for key, x in self.given.items()}, self.mask
        log_ratio = t["logprob"] - t["old_logprob"]
        expected = {
            "entropy": mean(t["entropy"], m),
            "kl_k1": mean(-log_ratio, m),
            "kl_k3": mean(log_ratio.exp() - 1 - log_ratio, m),
            "n_tokens": m.sum(),
            "entropy_loss": -0.01 * mean(t["entropy"], m),
            "ratio_mean": mean(log_ratio.exp(), m),
            "clip_high": mean(((log_ratio.exp() > 1.2) & (t["advantage"] > 0)).double(), m),
        }
        for key, value in expected.items():
            self.assertAlmostEqual(result.diagnostics[key], value.item(), delta=1e-6, msg=key)
        self.assertTrue(math.isnan(result.diagnostics["reference_kl"]))
        self.assertTrue(
            math.isnan(
                objective("ppo", mask=self.mask, loss_alone=True, value_coefficient=0, **self.given).diagnostics[
                    "kl_k1"
                ]
            )
        )
        self.assertEqual(result.n_ranks, 1)
        r, a = log_ratio.exp(), t["advantage"]
        is_clipped = ((r > 1.2) & (a > 0)) | ((r < 0.8) & (a < 0))
        self.assertEqual(result.kept.tolist(), (m & ~is_clipped).tolist())
        torch.testing.assert_close(result.token_loss[m].double(), clipped(r, a, 0.2, 0.2)[m], rtol=1e-6, atol=1e-6)

    def test_defaults_of_the_process_change_nothing(self):
        expected = objective("dapo", mask=self.mask, entropy_coefficient=0.1, **self.given)
        try:
            torch.set_default_device("meta")
            found = objective("dapo", mask=self.mask, entropy_coefficient=0.1, **self.given)
            same = objective("dapo", mask=self.mask, **self.given)
        finally:
            torch.set_default_device(None)
        self.assertEqual(found.loss.item(), expected.loss.item())
        self.assertEqual(found.gradients["entropy"].tolist(), expected.gradients["entropy"].tolist())
        self.assertEqual(same.diagnostics["n_tokens"], expected.diagnostics["n_tokens"])

    def test_dtypes(self):
        for dtype, of_loss in (
            (torch.float64, torch.float64),
            (torch.bfloat16, torch.float32),
            (torch.float16, torch.float32),
        ):
            logprob = self.arrays["logprob"].to(dtype).requires_grad_()
            result = objective("dapo", mask=self.mask, **{**self.given, "logprob": logprob})
            same = objective("dapo", mask=self.mask, **{**self.given, "logprob": logprob.detach().float()})
            self.assertEqual(result.loss.dtype, of_loss)
            self.assertAlmostEqual(result.loss.item(), same.loss.item(), delta=1e-7)
            result.loss.backward()
            self.assertEqual(logprob.grad.dtype, dtype)
            self.assertEqual(logprob.grad.tolist(), same.gradients["logprob"].to(dtype).tolist())

    def test_advantages_of_rows_and_sequences(self):
        of_rows = torch.randn(ROWS)
        given = {**self.given, "advantage": of_rows[:, None].expand(ROWS, LENGTH)}
        expected = objective("grpo", mask=self.mask, **given).loss.item()
        for advantage in (of_rows, of_rows[:, None]):
            self.assertEqual(
                objective("grpo", mask=self.mask, **{**given, "advantage": advantage}).loss.item(), expected
            )
        flat = {key: x.reshape(-1) for key, x in given.items()}
        starts = torch.arange(ROWS + 1) * LENGTH
        self.assertEqual(
            objective("grpo", mask=self.mask.flatten(), sequence_starts=starts, **flat).loss.item(), expected
        )

    def test_the_loss_scales_its_gradients(self):
        logprob = self.arrays["logprob"].clone().requires_grad_()
        result = objective("dapo", mask=self.mask, **{**self.given, "logprob": logprob})
        (3 * result.loss).backward()
        torch.testing.assert_close(logprob.grad, 3 * result.gradients["logprob"])
        self.assertFalse(result.gradients["logprob"].requires_grad)

    def test_a_coefficient_may_be_a_tensor(self):
        expected = objective("dapo", mask=self.mask, entropy_coefficient=0.25, **self.given).loss.item()
        clip = torch.tensor(0.1, dtype=torch.float64)  # whose float32 is another number
        both = [
            objective("dapo", mask=self.mask, clip_low=value, clip_high=torch.tensor(0.25), **self.given)
            for value in (clip, 0.1)
        ]
        self.assertEqual(both[0].loss.item(), both[1].loss.item())
        for coefficient in (torch.tensor(0.25), torch.tensor([0.25], dtype=torch.float64), "0.25"):
            self.assertEqual(
                objective("dapo", mask=self.mask, entropy_coefficient=coefficient, **self.given).loss.item(), expected
            )

    def test_opcheck_and_compile(self):
        logprob = self.arrays["logprob"].clone().requires_grad_()
        a = self.arrays  # all that any diagnostic is made of: opcheck takes NaN for a difference
        arguments = (
            "ppo",
            "kl_estimator=k3",
            "entropy_coefficient kl_coefficient",
            torch.tensor([0.01, 0.1], dtype=torch.float64),
            "",
            0,
            False,
            logprob,
            a["entropy"].clone().requires_grad_(),
            None,
            a["value"].bfloat16().requires_grad_(),
            a["old_logprob"],
            a["reference_logprob"],
            a["advantage"],
            None,
            None,
            a["target_return"],
            None,
            self.mask,
            None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.library.opcheck(torch.ops.entrol.objective, arguments)

        def loss(logprob, coefficient):
            return objective(
                "dapo", mask=self.mask, entropy_coefficient=coefficient, **{**self.given, "logprob": logprob}
            ).loss

        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        for coefficient in (0.01, 0.02, 0.03, 0.04, 0.05):
            found = compiled(logprob, coefficient)
            self.assertEqual(found.item(), loss(logprob, coefficient).item())
            (slope,) = torch.autograd.grad(found, logprob)
            self.assertEqual(slope.tolist(), torch.autograd.grad(loss(logprob, coefficient), logprob)[0].tolist())
        self.assertLessEqual(torch._dynamo.utils.counters["stats"]["unique_graphs"], 2)

    def test_trouble(self):
        cases = [
            (ValueError, "name: no objective 'pp'", lambda: objective("pp", **self.given)),
            (TypeError, "logprob", lambda: objective("dapo", **{**self.given, "logprob": [1.0]})),
            (TypeError, "entropy", lambda: objective("dapo", **{**self.given, "entropy": 1.0})),
            (ValueError, "advantage: dapo needs it", lambda: objective("dapo", logprob=self.given["logprob"])),
            (
                ValueError,
                "old_logprob: expected the shape",
                lambda: objective("dapo", **{**self.given, "old_logprob": torch.zeros(3)}),
            ),
            (ValueError, "mask: expected the shape", lambda: objective("dapo", mask=torch.ones(3), **self.given)),
            (
                TypeError,
                "^clip: dapo has no such array or parameter; did you mean clip_low",
                lambda: objective("dapo", clip=1, **self.given),
            ),
            (TypeError, "clip_low: expected a number", lambda: objective("dapo", clip_low=None, **self.given)),
            (ValueError, "clip_low = -1.0", lambda: objective("dapo", clip_low=-1, **self.given)),
            (ValueError, "aggregation", lambda: objective("dapo", aggregation="mean", **self.given)),
            (TypeError, "group", lambda: objective("dapo", group="world", **self.given)),
            (
                entrol.DataError,
                "",
                lambda: objective("dapo", **{**self.given, "entropy": torch.full((ROWS, LENGTH), math.nan)}),
            ),
        ]
        for kind, words, call in cases:
            with self.subTest(words), self.assertRaisesRegex(kind, words):
                call()

    def test_names_and_texts_are_taken_whole(self):
        with self.assertRaisesRegex(TypeError, "^clip_low x: dapo has no such array"):
            objective("dapo", **{"clip_low x": 0.1}, **self.given)
        for text in ("token_mean\u2028", "token_mean\rover=batch", "a\x0bb"):
            with self.assertRaisesRegex(ValueError, "^aggregation"):
                objective("dapo", aggregation=text, **self.given)

    def test_there_is_no_second_derivative(self):
        logprob = self.given["logprob"].detach().clone().requires_grad_()
        for of_loss in (lambda loss: loss, torch.square):
            loss = of_loss(objective("dapo", **{**self.given, "logprob": logprob}).loss)
            (slope,) = torch.autograd.grad(loss, logprob, create_graph=True)
            with self.assertRaisesRegex(NotImplementedError, "second derivatives"):
                torch.autograd.grad(slope.square().sum(), logprob)

    def test_forward_mode_is_refused(self):
        logprob = self.given["logprob"].detach()
        loss = lambda x: objective("dapo", **{**self.given, "logprob": x}).loss  # noqa: E731
        with self.assertRaisesRegex(NotImplementedError, "^logprob: "):
            torch.func.jvp(loss, (logprob,), (torch.ones_like(logprob),))


class Advantages(unittest.TestCase):
    def test_gae_is_its_recursion(self):
        generator = torch.Generator().manual_seed(6)
        rewards, values, final = (torch.randn(7, 3, generator=generator) for _ in range(3))
        last, gamma, lambda_ = torch.randn(3, generator=generator), 0.97, 0.9
        ends = torch.randint(0, 3, (7, 3), generator=generator)
        advantages, returns = gae(rewards, values, last, ends=ends, final_values=final, gamma=gamma, lambda_=lambda_)
        expected, carried, after = (
            torch.zeros(7, 3, dtype=torch.float64),
            torch.zeros(3, dtype=torch.float64),
            last.double(),
        )
        for t in reversed(range(7)):
            following = torch.where(ends[t] == 0, after, torch.where(ends[t] == 1, 0.0, final[t].double()))
            carried = (
                rewards[t].double()
                + gamma * following
                - values[t]
                + gamma * lambda_ * torch.where(ends[t] == 0, carried, 0.0)
            )
            expected[t], after = carried, values[t].double()
        torch.testing.assert_close(advantages.double(), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(returns.double(), expected + values, rtol=1e-6, atol=1e-6)

    def test_whiten_is_its_definition_and_keeps_the_dtype(self):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(7))
        mask = torch.rand(5, 4, generator=torch.Generator().manual_seed(8)) < 0.7
        expected = torch.where(mask, (x - x[mask].mean()) / (x[mask].std() + 1e-8), torch.zeros(()))
        torch.testing.assert_close(whiten(x, mask), expected)
        self.assertEqual(whiten(x.bfloat16(), mask).dtype, torch.bfloat16)
        self.assertEqual(whiten(x.double(), mask.long()).dtype, torch.float64)
        with self.assertRaisesRegex(ValueError, "mask"):
            whiten(x, mask[0])
        with self.assertRaisesRegex(TypeError, "rewards"):
            group_advantage([[1.0, 2.0]])


if __name__ == "__main__":
    unittest.main()

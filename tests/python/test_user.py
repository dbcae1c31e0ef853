"""What a new user meets: keywords that are misspelt, reasons, what things show of themselves, copies, groups."""

import copy
import inspect
import math
import pickle
import unittest

import entrol
import numpy as np

try:
    import entrol.torch as et
    import torch
except ImportError:
    et = None

ARRAYS = {
    "logprob",
    "advantage",
    "mask",
    "old_logprob",
    "reference_logprob",
    "entropy",
    "old_entropy",
    "support_entropy",
    "value",
    "old_value",
    "target_return",
    "weight",
    "sequence_starts",
}


def losses():
    """Each package's function of an objective, and what makes its arrays."""
    return [(entrol.objective_compute, np.asarray)] + ([(et.objective, torch.as_tensor)] if et else [])


class Keywords(unittest.TestCase):
    def test_a_misspelt_array_is_named(self):
        logprob = np.zeros((2, 3), np.float32)
        for given, meant in {
            "advantages": "advantage",
            "old_logprobs": "old_logprob",
            "attention_mask": "mask",
            "Entropy": "entropy",
            "returns": "target_return",
            "clip_hihg": "clip_high",
        }.items():
            for compute, array in losses():
                expected = (
                    f"^{given}: dapo has no such array or parameter; did you mean {meant}\\? it has logprob, .*clip_"
                )
                with self.subTest(given=given, compute=compute), self.assertRaisesRegex(TypeError, expected):
                    compute("dapo", logprob=array(logprob), **{given: array(logprob)})

    def test_what_is_like_nothing(self):
        for compute, array in losses():
            with self.assertRaisesRegex(TypeError, "^xyz: dapo has no such array or parameter; it has logprob, "):
                compute("dapo", logprob=array(np.zeros(2, np.float32)), xyz=1)

    def test_of_controllers(self):
        for make in [entrol.Controller] + ([et.Controller] if et else []):
            expected = (
                "^targte: pi has no such parameter; did you mean target\\? it has max_entropy, n_actions, .*target"
            )
            with self.assertRaisesRegex(TypeError, expected):
                make("pi", targte=1)

    def test_arrays_are_in_the_signature(self):
        for compute, _ in losses():
            self.assertLessEqual(ARRAYS, set(inspect.signature(compute).parameters))
            for name in entrol.objectives():
                self.assertIn(name, compute.__doc__)
            self.assertRegex(" ".join(compute.__doc__.split()), "without it every ratio is 1")

    def test_a_share_of_the_greatest_entropy_needs_it(self):
        for make in [entrol.Controller] + ([et.Controller] if et else []):
            for given in {"target": "0.5max"}, {"target": 0.3, "collapse": "0.1max"}:
                with self.assertRaisesRegex(entrol.ArgumentError, "max': needs n_actions= or max_entropy="):
                    make("pi", **given)
        self.assertAlmostEqual(entrol.Controller("pi", target="0.5max", n_actions=8).command.target, 0.5 * math.log(8))


class Reasons(unittest.TestCase):
    def check(self, pattern, call):
        with self.subTest(pattern), self.assertRaisesRegex(entrol.DataError, pattern) as caught:
            call()
        return caught.exception

    def test_a_mask_that_leaves_nothing(self):
        zeros = np.zeros((2, 3), np.float32)
        for compute, array in losses():
            given = {"logprob": array(zeros), "advantage": array(zeros), "old_logprob": array(zeros)}
            error = self.check("^mask: no token counts$", lambda: compute("dapo", mask=array(zeros), **given))
            self.assertEqual(error.diagnosis.reason, "no token counts")
        self.check("^mask: no token counts$", lambda: entrol.advantage_whiten(zeros, zeros))
        self.check("^mask: no token counts$", lambda: entrol.Controller("pi").observe_tokens(zeros, zeros))
        self.check("^count: no token counts$", lambda: entrol.Controller("pi").observe(0, 0))
        self.check("^entropies: no tokens$", lambda: entrol.Controller("pi").observe_tokens([]))

    def test_too_few(self):
        self.check("expected at least 4 pairs, got 3$", lambda: entrol.fit_ceiling([1, 2, 3], [1, 2, 3]))
        self.check("^mask: expected at least 2", lambda: entrol.advantage_whiten([1, 2], [1, 0]))

    def test_the_place_is_an_index(self):
        bad = np.zeros((2, 4), np.float32)
        bad[0, 3] = math.nan
        zeros = np.zeros_like(bad)
        place = r"NaN at \[0, 3\] \(1 in trouble\)$"
        self.check(f"^advantage: {place}", lambda: entrol.objective_compute("reinforce", logprob=zeros, advantage=bad))
        self.check(f"^rewards: {place}", lambda: entrol.advantage_group(bad, scale="none"))
        self.check(f"^logprob: {place}", lambda: entrol.kl_estimate(bad, zeros))
        self.check(f"^entropies: {place}", lambda: entrol.high_entropy_mask(bad))
        self.check(f"^values: {place}", lambda: entrol.quantile(bad, 0.5))
        self.check(f"^entropies: {place}", lambda: entrol.Controller("pi").observe_tokens(bad))
        self.check(r"^values: NaN at 9 \(", lambda: entrol.Bounds([(bad[:, :3], None), (bad[0], None)], "low:50%"))


class Shown(unittest.TestCase):
    def test_registries_are_short_tables(self):
        for table in entrol.objectives(), entrol.controllers(), entrol.recipes():
            lines = repr(table).split("\n")
            self.assertEqual([line.split()[0] for line in lines], list(table))
            self.assertLessEqual(max(map(len, lines)), 120)
            self.assertEqual(table._repr_html_().count("<tr>"), len(table))
        self.assertIsInstance(entrol.objectives(), dict)
        self.assertIn("each token counting the same", repr(entrol.objectives()).split("dapo")[1])
        self.assertIn("<td>beta = initial + kp e + ki sum e, e = target - H;", entrol.controllers()._repr_html_())
        self.assertEqual(list(pickle.loads(pickle.dumps(entrol.objectives()))), list(entrol.objectives()))

    def test_one_shows_its_parameters(self):
        for table in entrol.objectives(), entrol.controllers():
            for row in table.values():
                lines = repr(row).split("\n")
                self.assertTrue(lines[0].startswith(f"{row.name}: "))
                self.assertLessEqual({*row.parameters}, {line.split()[0] for line in lines[3:]})
                self.assertLessEqual(max(map(len, lines[3:])), 120)
        with self.assertRaises(TypeError):  # it is shared: what is set of every objective is checked by it
            entrol.objectives()["dapo"].parameters["clip_high"] = None
        self.assertRegex(
            repr(entrol.objectives()["dapo"].parameters), r"(?m)^clip_high +0\.28 +0 to inf +ratios are held"
        )
        self.assertIn("<td>clip_high</td>", entrol.objectives()["dapo"].parameters._repr_html_())
        self.assertRegex(repr(entrol.objectives()["dapo"]), r"\n  clip_high +0\.28 +0 to inf +ratios are held")

    def test_results_show_what_is_known(self):
        zeros = np.zeros((2, 3), np.float32)
        for compute, array in losses():
            shown = repr(compute("reinforce", logprob=array(zeros), advantage=array(zeros + 1)))
            self.assertTrue(shown.startswith("ObjectiveResult(loss="), shown)
            self.assertIn("n_tokens=6", shown)
            self.assertNotRegex(shown, "nan|array|tensor")
        self.assertRegex(
            repr(entrol.measure_rows(zeros)), r"^Record\(entropy=array\(\[1.098\S+ 1.098\S+ dtype=float32\)\)$"
        )
        self.assertEqual(repr(entrol.rule_parse("low:20%")), "Rule('low:20%')")

    def test_histories(self):
        history = entrol.callbacks.EntropyHistory(warn=False, reference_steps=1)
        self.assertEqual(repr(history), "EntropyHistory(no observation)")
        history.observe(1, 2.0)
        history.observe(2, 0.01)
        self.assertEqual(repr(history), "EntropyHistory(2 observations, step 2: 0.01 nats, alarms: collapse)")


class Copies(unittest.TestCase):
    def check(self, controller, observe):
        for _ in range(3):
            observe(controller)
        for made in copy.deepcopy(controller), pickle.loads(pickle.dumps(controller)):
            self.assertIs(type(made), type(controller))
            self.assertEqual((made.command, made.kind.name), (controller.command, "pi"))
            before = controller.command
            after = observe(made)
            self.assertEqual(controller.command, before)  # it is another one
            self.assertNotEqual(made.command, before)
            again = copy.deepcopy(controller)
            self.assertEqual(observe(again), after)  # and goes on as the first

    def test_of_the_core(self):
        settings = {"target": "0.5max", "n_actions": 50, "kp": 0.1, "ki": 0.01}
        self.check(entrol.Controller("pi", **settings), lambda one: one.observe(1.5, 2))
        one = entrol.Controller("pi", **settings, context=entrol.Context(threads=2))
        self.assertEqual(pickle.loads(pickle.dumps(one))._context.threads, 2)

    @unittest.skipIf(et is None, "torch is not there")
    def test_of_torch(self):
        entropies = torch.tensor([0.5, 0.25])
        self.check(et.Controller("pi", target="0.9x", reference_steps=2), lambda one: one.observe(entropies))

    def test_ranks_are_refused(self):
        class Alone:
            rank, size = 0, 1

            def all_reduce(self, counts):
                pass

        context = entrol.Context(comm=Alone())
        for refuse in copy.deepcopy, pickle.dumps:
            with self.assertRaisesRegex(TypeError, "^comm: "):
                refuse(context)
            with self.assertRaisesRegex(TypeError, "^context: "):
                refuse(entrol.Controller("pi", context=context))
        with self.assertRaisesRegex(TypeError, "^gemm: "):
            pickle.dumps(entrol.Context(gemm=print))

    @unittest.skipIf(et is None, "torch is not there")
    def test_torch_s_groups_are_refused(self):
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            controller = et.Controller("pi", group=torch.distributed.group.WORLD)
            for refuse in copy.deepcopy, pickle.dumps:
                with self.assertRaisesRegex(TypeError, "^group: .* take its state_dict"):
                    refuse(controller)
        finally:
            torch.distributed.destroy_process_group()


class Groups(unittest.TestCase):
    def test_the_size_of_every_group(self):
        """TRL's flat rewards, num_generations of each prompt together: (r - mean) / (std + 1e-4), std of n - 1."""
        rewards = np.random.default_rng(5).normal(size=12)
        table = rewards.astype(np.float32).astype(np.float64).reshape(3, 4)
        expected = (table - table.mean(1, keepdims=True)) / (table.std(1, ddof=1, keepdims=True) + 1e-4)
        left_out = table - (table.sum(1, keepdims=True) - table) / 3
        for size in 4, np.int64(4):
            np.testing.assert_allclose(entrol.advantage_group(rewards, size)[0], expected.ravel(), atol=1e-6)
            np.testing.assert_allclose(entrol.advantage_leave_one_out(rewards, size), left_out.ravel(), atol=1e-6)
        if et:
            found = et.group_advantage(torch.from_numpy(rewards), 4)
            np.testing.assert_allclose(found, expected.ravel(), atol=1e-6)
            np.testing.assert_allclose(et.leave_one_out(torch.from_numpy(rewards), 4), left_out.ravel(), atol=1e-6)
        with self.assertRaisesRegex(ValueError, "^group_starts: expected a size that divides the 12 rewards, got 5"):
            entrol.advantage_group(rewards, 5)
        with self.assertRaisesRegex(ValueError, "^group_starts: expected a whole number from 1"):
            entrol.advantage_group(rewards, 0)

    def test_an_advantage_of_each_sequence(self):
        rng = np.random.default_rng(6)
        logprob, old = (rng.normal(size=(3, 4)).astype(np.float32) * 0.1 for _ in range(2))
        of_rows = np.array([1.0, -2.0, 0.5], np.float32)
        whole = {"advantage": np.repeat(of_rows, 4).reshape(3, 4)}
        for compute, array in losses():
            given = {"logprob": array(logprob), "old_logprob": array(old)}
            expected = compute("gspo", **given, advantage=array(whole["advantage"]))
            for shape in (3,), (3, 1):
                found = compute("gspo", **given, advantage=array(of_rows.reshape(shape)))
                self.assertEqual(float(found.loss), float(expected.loss))
                self.assertTrue((found.gradients["logprob"] == expected.gradients["logprob"]).all())
            flat = {key: value.reshape(-1) for key, value in given.items()}
            starts = array(np.array([0, 4, 8, 12]))
            found = compute("gspo", **flat, advantage=array(of_rows), sequence_starts=starts)
            self.assertEqual(float(found.loss), float(expected.loss))
            with self.assertRaisesRegex(ValueError, r"^advantage: expected the shape \(3, 4\), or \(3,\) of the seq"):
                compute("gspo", **given, advantage=array(of_rows[:2]))
            with self.assertRaisesRegex(ValueError, "^sequence_starts: gspo needs it$"):
                compute("gspo", **flat, advantage=array(whole["advantage"].ravel()))
            with self.assertRaisesRegex(ValueError, "^sequence_starts: expected numbers that rise from 0"):
                compute("gspo", **flat, advantage=array(of_rows), sequence_starts=array(np.array([0, 4, 8, 11])))


if __name__ == "__main__":
    unittest.main()

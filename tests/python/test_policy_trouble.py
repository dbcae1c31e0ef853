"""Policies in trouble: rows that are not finite, actions that cannot be, arguments that are refused by name."""

import math
import unittest

import entrol
import numpy as np


class Trouble(unittest.TestCase):
    def test_a_row_in_trouble_is_alone(self):
        logits = np.array([[0.0, 1.0], [np.nan, 0.0], [-np.inf, -np.inf], [2.0, 2.0]])
        found = entrol.policy_measure(entrol.Policy("categorical", logits), np.array([0, 0, 0, 1]))
        self.assertEqual(np.isnan(found.entropy).tolist(), [False, True, True, False])
        self.assertEqual((found.diagnosis.n_bad, found.diagnosis.first_row, found.diagnosis.first_column), (2, 1, 0))
        first, _, told = entrol.policy_gradient(entrol.Policy("categorical", logits), entropy=1.0)
        self.assertEqual((np.isnan(first).any(-1).tolist(), told.n_bad), ([False, True, True, False], 2))
        drawn = entrol.policy_sample(entrol.Policy("categorical", logits))
        self.assertEqual((np.isnan(drawn.actions).tolist(), drawn.diagnosis.first_row), ([False, True, True, False], 1))

    def test_an_action_that_cannot_be(self):
        found = entrol.policy_measure(entrol.Policy("categorical", np.zeros((2, 3))), np.array([3, 1]))
        self.assertTrue(math.isnan(found.logprob[0]) and not math.isnan(found.entropy[0]))
        self.assertEqual(found.diagnosis.code.name, "ACTION")

    def test_arguments_are_refused_by_name(self):
        flat, gaussian = np.zeros((2, 3)), entrol.Policy("gaussian", np.zeros((2, 3)), np.zeros((2, 3)))
        squashed = entrol.Policy("squashed-gaussian", flat, flat)
        cases = [
            ("kind", lambda: entrol.policy_measure(entrol.Policy("normal", flat))),
            ("policy", lambda: entrol.policy_measure(flat)),
            (
                "first",
                lambda: entrol.policy_measure(entrol.Policy("full-gaussian", np.zeros((2, 0)), np.zeros((2, 0, 0)))),
            ),
            ("second", lambda: entrol.policy_measure(entrol.Policy("gaussian", flat))),
            ("second", lambda: entrol.policy_measure(entrol.Policy("gaussian", flat, np.zeros((2, 2))))),
            ("second", lambda: entrol.policy_measure(entrol.Policy("full-gaussian", flat, flat))),
            ("second", lambda: entrol.policy_measure(entrol.Policy("categorical", flat, flat))),
            ("sizes", lambda: entrol.policy_measure(entrol.Policy("multi-discrete", flat))),
            ("sizes", lambda: entrol.policy_measure(entrol.Policy("multi-discrete", flat, sizes=(2, 2)))),
            ("sizes", lambda: entrol.policy_measure(entrol.Policy("multi-discrete", flat, sizes=(3, 0)))),
            ("mask", lambda: entrol.policy_measure(entrol.Policy("gaussian", flat, flat, mask=flat))),
            ("mask", lambda: entrol.policy_measure(entrol.Policy("categorical", flat, mask=np.ones(2)))),
            ("low", lambda: entrol.policy_measure(entrol.Policy("beta", flat, flat, low=1.0, high=1.0))),
            (
                "log_sigma_low",
                lambda: entrol.policy_measure(
                    entrol.Policy("gaussian", flat, flat, log_sigma_low=1.0, log_sigma_high=0.0)
                ),
            ),
            ("actions", lambda: entrol.policy_measure(gaussian, np.zeros(2))),
            ("actions", lambda: entrol.policy_measure(gaussian, want="logprob")),
            ("reference", lambda: entrol.policy_measure(gaussian, want="kl_pq")),
            ("reference", lambda: entrol.policy_measure(gaussian, reference=squashed)),
            ("want", lambda: entrol.policy_measure(gaussian, want="variance")),
            (
                "actions_are_before_squash",
                lambda: entrol.policy_measure(gaussian, flat, actions_are_before_squash=True),
            ),
            ("entropy", lambda: entrol.policy_gradient(gaussian, entropy=np.zeros(3))),
            ("actions", lambda: entrol.policy_gradient(gaussian, logprob=1.0)),
            ("out_first", lambda: entrol.policy_gradient(gaussian, entropy=1.0, out_first=np.zeros(3))),
            ("seed", lambda: entrol.policy_sample(gaussian, seed=-1)),
            ("before", lambda: entrol.policy_sample(gaussian, before=flat)),
            ("out", lambda: entrol.policy_sample(gaussian, out=np.zeros((3, 2)))),
        ]
        for name, call in cases:
            with self.subTest(name), self.assertRaisesRegex((ValueError, TypeError), name):
                call()

    def test_results_lie_apart(self):
        first, second, both = np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3))
        policy = entrol.Policy("squashed-gaussian", first, second)
        actions, d_action = np.zeros((2, 3)), np.ones((2, 3))
        for arrays in (
            {"out_first": first},
            {"out_second": second},
            {"out_first": actions},
            {"out_first": d_action},
            {"out_first": both, "out_second": both},
        ):
            with self.assertRaisesRegex(ValueError, f"^{list(arrays)[-1]}: expected memory apart"):
                entrol.policy_gradient(policy, actions, policy, logprob=0.1, d_action=d_action, **arrays)
        for arrays in ({"out": first}, {"before": second}, {"out": both, "before": both}):
            with self.assertRaisesRegex(ValueError, f"^{list(arrays)[-1]}: expected memory apart"):
                entrol.policy_sample(policy, **arrays)

    def test_a_kind_without_a_path(self):
        flat = np.zeros((2, 3))
        with self.assertRaises(NotImplementedError):
            entrol.policy_gradient(entrol.Policy("beta", flat, flat, low=0, high=1), flat + 0.5, d_action=flat)


if __name__ == "__main__":
    unittest.main()

"""entrol.trl.GRPOTrainer beside TRL's own, on a model that is made here: its controllers, objectives and masks."""

import contextlib
import math
import os
import unittest
import unittest.mock

import numpy as np
import torch
from tiny_trl import Run, tiny
from trl import GRPOConfig
from trl import GRPOTrainer as TrlTrainer

import entrol
import entrol.trl
from entrol.trl import GRPOTrainer

PLAIN = {"use_bias_correction_kl": False}


class Controllers(Run):
    def test_skywork_is_trl_s_own(self):
        """TRL's use_adaptive_entropy is Skywork-OR1's controller: the same coefficients step for step, and losses."""
        given = {"max_steps": 8, "gradient_accumulation_steps": 2, "top_entropy_quantile": 0.5}
        theirs = self.log(
            use_adaptive_entropy=True, entropy_target=4.62, entropy_coef=0.0, entropy_coef_delta=0.02, **given
        )
        controller = {"name": "skywork", "target": 4.62, "initial": 0.0, "delta": 0.02}
        ours = self.log(GRPOTrainer, {"controller": controller}, **given)
        self.same(ours, theirs, rtol=1e-6)
        # TRL logs its coefficient whether the gate lets it through or not; ours is what is applied in the next step.
        applied = [line["controller/coefficient"] for line in ours]
        for line, coefficient in zip(theirs, applied):
            self.assertIn(coefficient, (0.0, line["entropy_coef"]))
        self.assertGreater(len({c for c in applied if c > 0}), 1)
        self.assertIn(0.0, applied)

    def test_pi_holds_the_entropy(self):
        """Without a controller the entropy falls by a third in 30 steps of this reward; with one it stays."""
        given = {"max_steps": 30, "learning_rate": 3e-3, "per_device_train_batch_size": 16}
        target = 4.4
        theirs = self.log(**given)
        controller = {"name": "pi", "target": target, "kp": 1.0, "ki": 0.1, "max": 10.0}
        ours = self.log(GRPOTrainer, {"controller": controller}, **given)
        last = [np.mean([line["entropy"] for line in log[-5:]]) for log in (theirs, ours)]
        self.assertLess(last[0], 0.75 * target, last)
        self.assertLess(abs(last[1] - target), 0.1 * target, last)
        self.assertEqual({line["controller/target"] for line in ours}, {target})
        for line in ours:
            self.assertLessEqual(line["entropy/p10"], line["entropy/p50"])
            self.assertLessEqual(line["entropy/p50"], line["entropy/p90"])
        applied = [line["entropy_coef"] for line in ours]
        self.assertEqual(applied[1:], [line["controller/coefficient"] for line in ours[:-1]])

    def test_evaluations_are_not_observed(self):
        """What a run evaluates between its steps, and how long, leaves its controller as it is."""
        controller = {"name": "pi", "target": 4.7, "kp": 0.1}
        trainer = self.trainer(GRPOTrainer, {"controller": controller}, max_steps=3)
        trainer.eval_dataset = trainer.train_dataset
        log = self.run_trainer(trainer)
        before = trainer._steering.controller.state_dict()
        with contextlib.redirect_stdout(None):
            trainer.evaluate()
        self.assertEqual(trainer._steering.controller.state_dict(), before)
        self.assertEqual(trainer._steering.command.step, len(log))
        self.assertTrue(trainer._steering.is_empty)

    def test_alarms_are_logged(self):
        given = {"name": "constant", "initial": 0.0, "collapse": 4.6, "reference_steps": 2}
        log = self.log(GRPOTrainer, {"controller": {**given, "collapse": "1.01x"}}, max_steps=4)
        self.assertEqual(log[-1]["alarm/collapse"], 1.0)
        self.assertEqual(log[-1]["alarm/explosion"], 0.0)

    def test_entropic_weighs_samples(self):
        """With gains of 0 the weights stay 1 - 0.25 and 1 + 0.25: TRL's losses of advantages that are multiplied."""

        class Weighted(TrlTrainer):
            def _generate_and_score_completions(self, inputs):
                output = super()._generate_and_score_completions(inputs)
                a = output["advantages"]
                return {**output, "advantages": torch.where(a > 0, 0.75 * a, 1.25 * a)}

        controller = {"name": "entropic", "target": 4.4, "initial": 0.25, "kp": 0, "ki": 0}
        ours = self.log(GRPOTrainer, {"controller": controller}, max_steps=3, num_iterations=2)
        self.same(ours, self.log(Weighted, max_steps=3, num_iterations=2), rtol=1e-6)

    def test_adaptive_kl_drives_beta(self):
        """What it observes is the KL of whole samples: TRL's mean over tokens times the mean length. The coefficients
        are those of the same controller told of these by hand."""
        settings = {"name": "adaptive_kl", "target": 0.05, "initial": 0.04, "horizon": 20, "batch": 16}
        given = {"max_steps": 5, "beta": 0.04, "per_device_train_batch_size": 16, **PLAIN}
        trainer = self.trainer(GRPOTrainer, {"controller": settings}, **given)
        log = self.run_trainer(trainer)
        by_hand = entrol.Controller(settings.pop("name"), **settings)
        for line in log:
            self.assertAlmostEqual(line["controller/observed"], line["kl"] * line["completions/mean_length"], places=5)
            self.assertAlmostEqual(
                by_hand.observe(line["controller/observed"]).coefficient, line["controller/coefficient"], places=9
            )
        self.assertEqual(trainer.beta, log[-1]["controller/coefficient"])
        self.assertNotEqual(log[-1]["controller/coefficient"], 0.04)

    def test_a_share_of_the_greatest_entropy_is_of_the_vocabulary(self):
        trainer = self.trainer(GRPOTrainer, {"controller": {"name": "pi", "target": "0.5max"}})
        self.assertAlmostEqual(trainer._steering.command.target, 0.5 * math.log(len(tiny.WORDS)))

    def test_a_controller_that_is_there_already(self):
        controller = entrol.torch.Controller("constant", initial=0.02)
        log = self.log(GRPOTrainer, {"controller": controller})
        self.same(log, self.log(entropy_coef=0.02), rtol=1e-6)

    def test_what_trl_s_loss_cannot_be_given(self):
        cases = (
            ({"controller": "aepo"}, {}, "'aepo' drives the temperature; TRL's loss has no term on samples"),
            ({"controller": "aer"}, {}, "'aer' drives the entropy coefficient by prompt; TRL's loss has one"),
            ({"controller": "adaptive_kl"}, {}, "controller: 'adaptive_kl' .*only where GRPOConfig.beta. is not 0"),
            ({"controller": "pi"}, {"use_adaptive_entropy": True}, "controller: GRPOConfig.use_adaptive_entropy=True"),
            ({"controller": "pi"}, {"entropy_coef": 0.1}, "controller: 'pi' drives .*GRPOConfig.entropy_coef=0.1."),
            ({"controller": "pid"}, {}, "no controller 'pid'"),
            ({"controller": {"target": 1}}, {}, "controller: expected dict.name=.*no name in"),
            ({"objective": "aent"}, {}, "objective: aent needs support_entropy; TRL's output layer"),
            ({"objective": "a2c", "mask": None}, {}, None),
            ({"objective": {"name": "ppo", "value_coefficient": 0.5}}, {}, "objective: ppo needs value; .*no critic"),
            ({"objective": "popp"}, {}, "objective: no 'popp'; there are reinforce"),
            ({"objective": {"name": "dapo", "kl_coefficient": 0.1}}, {}, "kl_coefficient is GRPOConfig.beta"),
            ({"objective": "dapo"}, {"delta": 2.0}, "GRPOConfig.delta=2.0. does nothing beside it"),
            ({"objective": "dapo"}, {"beta": 0.1}, "GRPOConfig.use_bias_correction_kl=True"),
            ({"mask": "lowest"}, {}, "mask: 'lowest' is neither a recipe .* nor a rule"),
            ({"keep": "lowest"}, {}, "keep: 'lowest' is neither a recipe .* nor a rule"),
            ({"mask": "hes"}, {}, "mask: recipe 'hes' has level sample, expected token"),
        )
        for extra, given, message in cases:
            with self.subTest(extra=extra, given=given):
                if message is None:
                    self.trainer(GRPOTrainer, extra, **given)
                    continue
                with self.assertRaisesRegex(ValueError, message):
                    self.trainer(GRPOTrainer, extra, **given)
        for controller in ("entropic", {"name": "adaptive_kl"}):  # the coefficient is not what they drive
            self.trainer(GRPOTrainer, {"controller": controller}, entropy_coef=0.01, beta=0.04)
        self.trainer(GRPOTrainer, {"objective": "ppo"})
        with self.assertRaisesRegex(TypeError, "keep: expected a rule, .*got float"):
            self.trainer(GRPOTrainer, {"keep": 0.2})
        with self.assertRaisesRegex(TypeError, "controller: expected a name or dict"):
            self.trainer(GRPOTrainer, {"controller": 3})
        with self.assertRaisesRegex(TypeError, "^clip: dapo has no such parameter; did you mean clip_low"):
            self.trainer(GRPOTrainer, {"objective": {"name": "dapo", "clip": 3}})

    def test_mistakes_are_told_before_the_model_is_loaded(self):
        for given, message in (
            ({"controller": {"name": "pi", "taget": 1}}, "taget"),
            ({"controller": "aepo"}, "'aepo' drives the temperature"),
            ({"controller": {"name": "pi", "target": "7max"}}, "target = '7max'"),
            ({"objective": "popp"}, "objective: no 'popp'"),
            ({"objective": {"name": "dapo", "clip": 3}}, "clip: dapo has no such parameter"),
            ({"mask": "lowest"}, "mask: 'lowest'"),
            ({"keep": "low:80%", "mask": "low:80%"}, "keep: mask is its complement"),
        ):
            with self.subTest(given), self.assertRaisesRegex((TypeError, ValueError), message):
                GRPOTrainer("/there/is/no/model", "no reward", **given)
        args = self.config(GRPOConfig, entropy_coef=0.1)
        with self.assertRaisesRegex(ValueError, "controller: .*entropy_coef=0.1"):
            GRPOTrainer("/there/is/no/model", "no reward", args, controller="pi")


class Checkpoints(Run):
    def both(self, name, extra, **given):
        """The log of a whole run, of one that was interrupted after three steps and resumed, and that trainer."""
        given |= {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "learning_rate": 3e-3}
        whole = self.log(GRPOTrainer, extra, output_dir=os.path.join(self.folder, "whole", name), **given)
        place = os.path.join(self.folder, "parts", name)

        class Interrupted(GRPOTrainer):
            def training_step(self, *arguments):
                if self.state.global_step == 3:
                    raise KeyboardInterrupt
                return super().training_step(*arguments)

        with self.assertRaises(KeyboardInterrupt):
            self.run_trainer(self.trainer(Interrupted, extra, output_dir=place, **given))
        resumed = self.trainer(GRPOTrainer, extra, output_dir=place, **given)
        return whole, self.run_trainer(resumed, resume_from_checkpoint=True), resumed, place

    def test_interrupted_and_resumed_is_undisturbed(self):
        controller = {"name": "pi", "target": "0.95x", "reference_steps": 2, "kp": 0.5, "ki": 0.1}
        whole, log, resumed, place = self.both("pi", {"controller": controller})
        names = ("loss", "entropy", "entropy_coef", "controller/coefficient", "controller/observed")
        self.same(log[-3:], whole[-3:], names, rtol=1e-6, atol=1e-9)
        self.assertNotEqual(whole[-1]["entropy_coef"], 0)
        with open(os.path.join(place, "checkpoint-6", "entrol_controller.txt"), encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text, resumed._steering.controller.state_dict()["state"])
        self.assertTrue(text.startswith("entrol-controller 1\nname pi\n"))

    def test_what_an_objective_draws_at_random_is_undisturbed_too(self):
        objective = {"name": "clip_cov", "covariance_share": 0.3, "covariance_low": 0.01}
        whole, log, *_ = self.both("clip_cov", {"objective": objective}, gradient_accumulation_steps=2)
        self.same(log[-3:], whole[-3:], ("loss", "entropy", "grad_norm"), rtol=1e-6, atol=1e-9)

    def test_another_controller_or_none_is_refused(self):
        place = os.path.join(self.folder, "none")
        given = {"output_dir": place, "save_strategy": "steps", "save_steps": 1}
        self.log(GRPOTrainer, {}, max_steps=1, **given)
        trainer = self.trainer(GRPOTrainer, {"controller": "pi"}, **given)
        with self.assertRaisesRegex(FileNotFoundError, "entrol_controller.txt is missing: .*without a controller"):
            self.run_trainer(trainer, resume_from_checkpoint=True)
        with open(os.path.join(place, "checkpoint-1", "entrol_controller.txt"), "w", encoding="utf-8") as file:
            file.write(entrol.Controller("pi", target=1.0).save())
        trainer = self.trainer(GRPOTrainer, {"controller": {"name": "pi", "target": 2.0}}, **given)
        with self.assertRaisesRegex(ValueError, "no state of this controller with these settings"):
            self.run_trainer(trainer, resume_from_checkpoint=True)


class Objectives(Run):
    """Losses and gradients of entrol.objectives() beside TRL's loss types: with a reference, several iterations over
    each generation, and generations of more than one optimizer step, in which num_items_in_batch is not the step's."""

    GIVEN = {
        "max_steps": 4,
        "beta": 0.04,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "learning_rate": 3e-3,
        **PLAIN,
    }
    CASES = (
        ("dapo", {"loss_type": "dapo", "epsilon_high": 0.28}),
        ("grpo", {"loss_type": "grpo"}),
        ("dr_grpo", {"loss_type": "dr_grpo"}),
        ("cispo", {"loss_type": "cispo", "epsilon_high": 5.0}),
        ("sapo", {"loss_type": "sapo"}),
        (
            {"name": "gspo", "clip_low": 0.2, "clip_high": 0.2},
            {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        ),
    )

    def test_they_are_trl_s(self):
        for objective, theirs in self.CASES:
            with self.subTest(objective):
                ours = self.log(GRPOTrainer, {"objective": objective}, entropy_coef=0.01, **self.GIVEN)
                peer = self.log(entropy_coef=0.01, **self.GIVEN, **theirs)
                self.same(ours, peer, ("loss", "grad_norm", "entropy", "kl", "reward"))
                self.assertGreater(ours[-1]["objective/ratio_greatest"], 1.01)

    def test_with_trl_s_mask_and_weights_of_sequences(self):
        given = {**self.GIVEN, "top_entropy_quantile": 0.3, "off_policy_mask_threshold": 0.01}
        ours = self.log(GRPOTrainer, {"objective": "dapo"}, entropy_coef=0.01, **given)
        self.same(ours, self.log(entropy_coef=0.01, loss_type="dapo", epsilon_high=0.28, **given))

    def test_it_clips_as_it_was_told(self):
        log = self.log(GRPOTrainer, {"objective": {"name": "dapo", "clip_low": 1e-4}}, **self.GIVEN)
        self.assertGreater(log[-1]["objective/clip_low"], 0)
        self.assertEqual([name for name in log[-1] if name.startswith("clip_ratio")], [])  # of TRL's epsilon
        self.same(log, self.log(loss_type="dapo", epsilon=1e-4, epsilon_high=0.28, **self.GIVEN))

    def test_erc_has_the_entropies_of_the_old_policy(self):
        """Those of the policy that sampled, computed by TRL's own call without gradients."""
        trainer = self.trainer(GRPOTrainer, {"objective": "erc"}, **{**self.GIVEN, "beta": 0.0})
        seen, compute = [], trainer._objective._compute

        def spy(_, inputs, *rest):
            seen.append((inputs["old_entropies"], rest[1], inputs["completion_mask"].bool()))
            return compute(_, inputs, *rest)

        with unittest.mock.patch.object(trainer._objective, "_compute", spy):
            self.run_trainer(trainer)
        ratios = [(now.detach() - old)[mask].abs().max().item() for old, now, mask in seen]
        self.assertLess(ratios[0], 1e-5)  # the policy that samples
        self.assertGreater(max(ratios), 1e-3)  # and one that has learnt since

    def test_a_batch_without_tokens(self):
        """As where every completion is cut off and masked: nothing to learn, and nothing to observe."""

        class Cut(GRPOTrainer):
            def _generate_and_score_completions(self, inputs):
                output = super()._generate_and_score_completions(inputs)
                nothing = torch.zeros_like(output["completion_mask"])
                return {**output, "completion_mask": nothing, "num_items_in_batch": nothing.sum()}

        log = self.log(Cut, {"objective": "dapo", "controller": "pi"})
        self.assertEqual([line["loss"] for line in log], [0.0, 0.0])
        for name in ("controller/observed", "entropy/p50"):
            self.assertNotIn(name, log[-1])

    def test_a_rule_that_keeps_no_token(self):
        """Nothing to learn of, and nothing for the controller to observe: it stays as it is."""
        for controller in ("pi", "entropic"):
            for objective in (None, "dapo"):
                extra = {"controller": controller, "objective": objective, "keep": "100.."}
                trainer = self.trainer(GRPOTrainer, extra)
                log = self.run_trainer(trainer)
                self.assertEqual([line["loss"] for line in log], [0.0, 0.0])
                self.assertNotIn("controller/observed", log[-1])
                self.assertGreater(log[-1]["entropy/p50"], 0)
                self.assertEqual(trainer._steering.command.step, 0)


class Masks(Run):
    ENTROPIES = torch.tensor([[0.1, 0.2, 0.3, 1.4, 0.5, 9.0], [0.5, 0.6, 0.7, 0.8, 9.0, 9.0]])
    MASK = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0]])

    def kept(self, rule, argument="mask"):
        trainer = self.trainer(GRPOTrainer, {argument: rule})
        return trainer.get_high_entropy_mask(self.ENTROPIES, self.MASK, 0.0).int().tolist()

    def test_rules_leave_out_what_they_name(self):
        self.assertEqual(self.kept("..0.5"), [[0, 0, 0, 1, 0, 0], [0, 1, 1, 1, 0, 0]])
        self.assertEqual(self.kept("high:2"), [[1, 1, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0]])
        self.assertEqual(self.kept("1.0.."), [[1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0]])

    def test_keep_is_the_complement(self):
        self.assertEqual(self.kept("high:2", "keep"), [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0]])
        self.assertEqual(self.kept("high:20%", "keep"), self.kept("low:80%", "mask"))
        with self.assertRaisesRegex(ValueError, "keep: mask is its complement"):
            self.trainer(GRPOTrainer, {"keep": "high:20%", "mask": "low:80%"})

    def test_recipes(self):
        self.assertEqual(self.kept("8020"), [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0]])  # a fifth of nine, at least two
        self.assertEqual(self.kept("noise"), [[1, 1, 1, 0, 1, 0], [1, 1, 1, 0, 0, 0]])

    def test_a_rule_is_in_trl_s_loss(self):
        """TRL's own loss with a mask that is written out in torch."""

        class Below(TrlTrainer):
            def get_high_entropy_mask(self, entropies, mask, threshold):
                return (entropies < 4.5) & mask.bool()

        ours = self.log(GRPOTrainer, {"mask": "4.5.."}, entropy_coef=0.01)
        self.same(ours, self.log(Below, top_entropy_quantile=0.5, entropy_coef=0.01), rtol=1e-6)

    def test_trl_s_share_is_trl_s_mask(self):
        for share in (0.0, 0.2, 0.5, 0.8):
            ours = self.log(GRPOTrainer, top_entropy_quantile=share, gradient_accumulation_steps=2)
            self.same(ours, self.log(top_entropy_quantile=share, gradient_accumulation_steps=2), rtol=1e-6)

    def test_a_nan_is_an_error(self):
        trainer = self.trainer(GRPOTrainer)
        with self.assertRaises(entrol.DataError):
            trainer.get_high_entropy_mask(torch.tensor([[1.0, math.nan]]), torch.ones(1, 2), 0.5)


class Trainers(Run):
    """patch(trainer) gives a trainer that there is already what entrol.trl.GRPOTrainer has."""

    def tearDown(self):
        entrol.trl.unpatch()

    def test_a_patched_trainer_is_entrol_s(self):
        class Own(TrlTrainer):
            pass

        extra = {"controller": {"name": "constant", "initial": 0.02}, "objective": "grpo", "mask": "8020"}
        trainer = self.trainer(Own)
        with entrol.trl.patch(trainer, **extra):
            self.assertIsInstance(trainer, Own)
            ours = self.run_trainer(trainer)
        self.same(ours, self.log(GRPOTrainer, extra))
        self.assertIs(type(trainer), Own)
        self.assertEqual((trainer.entropy_coef, trainer.top_entropy_quantile), (0.0, 1.0))

    def test_what_trl_has_changed_since_stays(self):
        """Its own controller goes on in a trainer that has only a rule of Entrol's for a while."""
        given = {"use_adaptive_entropy": True, "entropy_target": 9.0, "entropy_coef_delta": 0.02}
        trainer = self.trainer(**given)
        with entrol.trl.patch(trainer, keep="high:50%"):
            log = self.run_trainer(trainer)
        self.assertEqual(trainer.entropy_coef, log[-1]["entropy_coef"])
        self.assertGreater(trainer.entropy_coef, 0.03)
        self.assertEqual(trainer.top_entropy_quantile, 1.0)

    def test_what_is_refused_leaves_it_as_it_was(self):
        trainer = self.trainer()
        with self.assertRaisesRegex(ValueError, "controller: 'aepo'"):
            entrol.trl.patch(trainer, controller="aepo")
        self.assertIs(type(trainer), TrlTrainer)
        with entrol.trl.patch(trainer), self.assertRaisesRegex(ValueError, "one of Entrol's already"):
            entrol.trl.patch(trainer)


if __name__ == "__main__":
    unittest.main()

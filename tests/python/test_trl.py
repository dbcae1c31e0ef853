"""entrol.trl.patch() beside TRL itself: the same trainers with and without it, on a model that is made here."""

import math
import unittest
import unittest.mock

import torch
from tiny_trl import PROMPTS, Run, tiny
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer import utils

import entrol
import entrol.trl


class Functions(unittest.TestCase):
    """What patch() replaces and unpatch() puts back."""

    NAMES = ("entropy_from_logits", "selective_log_softmax", "selective_log_softmax_and_entropy")

    def tearDown(self):
        entrol.trl.unpatch()

    def test_every_module_that_has_them_by_name(self):
        from trl.experimental.orpo import orpo_trainer

        before = {name: getattr(utils, name) for name in self.NAMES}
        with entrol.trl.patch():
            self.assertTrue(all(getattr(utils, name) is not before[name] for name in self.NAMES))
            self.assertIs(orpo_trainer.selective_log_softmax, utils.selective_log_softmax)
            from trl.experimental.tpo import tpo_trainer  # imported while they are replaced

            self.assertIs(tpo_trainer.selective_log_softmax_and_entropy, utils.selective_log_softmax_and_entropy)
        self.assertEqual(before, {name: getattr(utils, name) for name in self.NAMES})
        self.assertIs(orpo_trainer.selective_log_softmax, before["selective_log_softmax"])
        self.assertIs(tpo_trainer.selective_log_softmax_and_entropy, before["selective_log_softmax_and_entropy"])

    def test_an_impossible_column_is_no_nan(self):
        logits = torch.tensor([[0.0, -math.inf, 0.0]])
        self.assertTrue(utils.entropy_from_logits(logits).isnan().all())
        with entrol.trl.patch():
            self.assertAlmostEqual(utils.entropy_from_logits(logits).item(), math.log(2), places=6)

    def test_twice_and_within_each_other(self):
        before = utils.entropy_from_logits
        with entrol.trl.patch():
            ours = utils.entropy_from_logits
            with entrol.trl.patch():
                self.assertIs(utils.entropy_from_logits, ours)
            self.assertIs(utils.entropy_from_logits, ours)
        self.assertIs(utils.entropy_from_logits, before)
        entrol.trl.unpatch()
        self.assertIs(utils.entropy_from_logits, before)

    def test_a_trl_without_a_name_is_refused(self):
        with unittest.mock.patch.object(utils, "selective_log_softmax"):
            del utils.selective_log_softmax
            with self.assertRaisesRegex(ImportError, r"trl.trainer.utils has no selective_log_softmax: .*TRL 1.16"):
                entrol.trl.patch()
        self.assertEqual(utils.entropy_from_logits.__module__, "trl.trainer.utils")

    def test_other_devices_keep_trl_s(self):
        called = []
        with unittest.mock.patch.object(utils, "entropy_from_logits", lambda logits: called.append(logits.device)):
            with entrol.trl.patch():
                utils.entropy_from_logits(torch.empty(1, 2, device="meta"))
        self.assertEqual([device.type for device in called], ["meta"])

    def test_a_trainer_s_arguments_need_a_trainer(self):
        for name in ("controller", "objective", "mask", "keep"):
            with self.assertRaisesRegex(ValueError, f"{name}: needs a trainer"):
                entrol.trl.patch(**{name: "pi"})
        with self.assertRaisesRegex(TypeError, "trainer: expected a trl.GRPOTrainer, got str"):
            entrol.trl.patch("trainer")
        self.assertEqual(utils.entropy_from_logits.__module__, "trl.trainer.utils")


class Halves(unittest.TestCase):
    """Of half types that the processor multiplies itself TRL's own output layer stays."""

    def test_who_computes_the_output_layer(self):
        for dtype, has_products, is_ours in (
            (torch.float32, True, True),
            (torch.bfloat16, True, False),
            (torch.bfloat16, False, True),
            (torch.float16, True, False),
            (torch.float16, False, True),
        ):
            hidden, weight = torch.randn(4, 3).to(dtype), torch.randn(9, 3).to(dtype)
            theirs = unittest.mock.Mock()
            layer = entrol.trl._patch.OutputLayer(theirs)
            names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported")
            answers = dict.fromkeys(names, lambda has=has_products: has)
            with self.subTest(dtype=dtype, has_products=has_products):
                with unittest.mock.patch.multiple(torch.cpu, create=True, **answers):
                    layer.apply(hidden, weight, None, torch.zeros(4).long(), 1.0, 8, None, 1.0, ("log_probs",))
                self.assertEqual(theirs.apply.called, not is_ours)


class Patched(Run):
    """TRL's own trainers take the same steps with its functions and with Entrol's."""

    def both(self, make):
        theirs = self.run_trainer(make())
        with (
            entrol.trl.patch(),
            unittest.mock.patch.object(
                entrol.torch, "linear_logprob_and_entropy", wraps=entrol.torch.linear_logprob_and_entropy
            ) as layer,
            unittest.mock.patch.object(
                entrol.trl._patch.OutputLayer, "apply", autospec=True, side_effect=entrol.trl._patch.OutputLayer.apply
            ) as apply,
        ):
            ours = self.run_trainer(make())
        return ours, theirs, layer.call_count, apply.call_count

    def test_grpo_ten_steps(self):
        given = {"max_steps": 10, "beta": 0.04, "top_entropy_quantile": 0.8, "entropy_coef": 0.01}
        ours, theirs, n, _ = self.both(lambda: self.trainer(gradient_accumulation_steps=2, **given))
        self.same(ours, theirs, ("loss", "grad_norm", "entropy", "reward", "kl"))
        self.assertGreaterEqual(n, 10 * 2 * 2)  # policy and reference

    def test_grpo_losses(self):
        for loss_type in ("grpo", "bnpo", "dr_grpo", "cispo", "sapo", "luspo", "vespo"):
            with self.subTest(loss_type):
                given = {"loss_type": loss_type, "beta": 0.04, "entropy_coef": 0.01, "num_iterations": 2}
                if loss_type == "cispo":
                    given["epsilon_high"] = 5.0
                ours, theirs, n, _ = self.both(lambda: self.trainer(**given))
                self.same(ours, theirs)
                self.assertGreater(n, 0)

    def test_sft_ten_steps(self):
        """Its output layer also says which tokens are the likeliest: TRL's own does that."""
        texts = [f"aa {' '.join(tiny.WORDS[i : i + 6])}" for i in range(3, 35)]

        def make():
            args = self.config(SFTConfig, max_steps=10, max_length=16)
            data = tiny.dataset("text", texts)
            return SFTTrainer(self.folder, args=args, train_dataset=data, processing_class=tiny.tokenizer())

        ours, theirs, n, n_layers = self.both(make)
        self.same(ours, theirs, ("loss", "grad_norm", "entropy", "mean_token_accuracy"))
        self.assertEqual((n, n_layers), (0, 10))

    def preferences(self):
        rows = {"prompt": PROMPTS, "chosen": [" ae bf"] * len(PROMPTS), "rejected": [" cg dh ei"] * len(PROMPTS)}
        return tiny.datasets.Dataset.from_dict(rows)

    def test_dpo_ten_steps(self):
        def make():
            args = self.config(DPOConfig, max_steps=10)
            tokens = tiny.tokenizer()
            return DPOTrainer(self.folder, args=args, train_dataset=self.preferences(), processing_class=tokens)

        ours, theirs, _, n_layers = self.both(make)
        self.same(ours, theirs, ("loss", "grad_norm", "entropy"))
        self.assertGreaterEqual(n_layers, 10)

    def test_orpo_ten_steps(self):
        """It takes selective_log_softmax of logits."""
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        def make():
            args = self.config(ORPOConfig, max_steps=10, max_length=32)
            tokens, model = tiny.tokenizer(), tiny.model()
            return ORPOTrainer(model, args=args, train_dataset=self.preferences(), processing_class=tokens)

        theirs = self.run_trainer(make())
        with unittest.mock.patch.dict(
            entrol.trl._patch._replacement._makers,
            {"selective_log_softmax": unittest.mock.Mock(side_effect=lambda _: counted)},
        ):
            counted = unittest.mock.Mock(side_effect=entrol.torch.selective_log_softmax)
            with entrol.trl.patch():
                ours = self.run_trainer(make())
        self.same(ours, theirs, ("loss", "grad_norm"))
        self.assertGreaterEqual(counted.call_count, 10)

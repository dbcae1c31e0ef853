"""entrol.verl beside verl 0.9.1: its own losses on the same tensors, as far as a machine without a GPU runs it."""

import os
import tempfile
import unittest
from functools import partial

try:
    import torch
    import verl  # noqa: F401
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

from tensordict import TensorDict
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils import tensordict_utils, torch_functional
from verl.workers import engine_workers
from verl.workers.config import ActorConfig, PolicyLossConfig
from verl.workers.utils import losses

import entrol
import entrol.verl

torch.set_num_threads(1)
B, PROMPT, RESPONSE = 6, 3, 8
MODES = ("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean")


def config(loss_mode="vanilla", **given):
    settings = {"strategy": "fsdp", "rollout_n": 1, "ppo_micro_batch_size_per_gpu": B, **given}
    return ActorConfig(policy_loss=PolicyLossConfig(loss_mode=loss_mode), **settings)


def tensors(seed=0, spread=0.5):
    """Log-probabilities that are apart by about `spread`, lengths from 0 to 8, and NaN where nothing counts."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    lengths = torch.tensor([8, 3, 5, 0, 1, 7])
    mask = (torch.arange(RESPONSE) < lengths[:, None]).long()
    logprob = (-2 + draw(B, RESPONSE)).requires_grad_()
    made = {
        "old_log_prob": (logprob.detach() + spread * draw(B, RESPONSE)),
        "log_prob": logprob,
        "advantages": draw(B, 1).expand(B, RESPONSE).clone(),
        "response_mask": mask,
    }
    return made, (1 + draw(B, RESPONSE).abs())


def batch(seed=0, **more):
    """What ppo_loss is given: the model's output without padding, and the micro-batch."""
    made, entropies = tensors(seed)
    lengths = made["response_mask"].sum(-1).clamp(min=1)
    made["response_mask"] = mask = (torch.arange(RESPONSE) < lengths[:, None]).long()
    attention = torch.cat([torch.ones(B, PROMPT, dtype=torch.long), mask], 1)

    def flat(values):
        """One place ahead of the token that is predicted."""
        nothing = torch.zeros(B, PROMPT)
        return torch.cat([nothing[:, 1:], values, nothing[:, :1]], 1)[attention.bool()]

    output = {"log_probs": flat(made["log_prob"]), "entropy": flat(entropies)}
    fields = {"response_mask": mask, "old_log_probs": made["old_log_prob"], "advantages": made["advantages"], **more}
    dense = {"prompts": torch.ones(B, PROMPT, dtype=torch.long), "responses": torch.ones(B, RESPONSE, dtype=torch.long)}
    data = TensorDict({**dense, "attention_mask": attention, **fields}, batch_size=B)
    total = int(mask.sum())
    tensordict_utils.assign_non_tensor(data, dp_size=2, batch_num_tokens=2 * total, global_batch_size=2 * B)
    return made["log_prob"], output, data, entropies, mask.bool()


class PolicyLosses(unittest.TestCase):
    def compare(self, ours, theirs, mode, info, settings, **given):
        made, _ = tensors(**given)
        # Of each sequence: verl's GSPO has the gradient of each token's weight, the formula that of their mean.
        draw = torch.rand(B, RESPONSE, generator=torch.Generator().manual_seed(9))
        for weights in (None, draw[:, :1].expand(B, RESPONSE) if theirs == "gspo" else draw):
            results = []
            for name in (ours, theirs):
                chosen = config(**settings)
                chosen.global_batch_info.update(info)
                made["log_prob"].grad = None
                loss, metrics = get_policy_loss_fn(name)(
                    **made, loss_agg_mode=mode, config=chosen, rollout_is_weights=weights
                )
                loss.backward()
                results.append((loss.detach(), made["log_prob"].grad.clone(), metrics))
            torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)
            for name in ("actor/pg_clipfrac", "actor/ppo_kl", "actor/pg_clipfrac_lower"):
                if name in results[1][2] and ours == "entrol_ppo":
                    self.assertAlmostEqual(results[0][2][name], results[1][2][name], places=5)

    INFOS = (
        {},
        {"dp_size": 4, "batch_num_tokens": 100, "global_batch_size": 24, "loss_scale_factor": None},
        {"dp_size": 2, "batch_num_tokens": 60, "global_batch_size": 12, "loss_scale_factor": 16},
    )

    def test_ppo_is_vanilla(self):
        settings = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28, "clip_ratio_c": 3.0}
        entrol.verl.register("ppo", clip_low=0.2, clip_high=0.28, dual_clip=3.0)
        for mode in MODES:
            for info in self.INFOS:
                with self.subTest(mode=mode, info=info):
                    self.compare("entrol_ppo", "vanilla", mode, info, settings, spread=1.0)

    def test_others_are_verl_s(self):
        low, high = 0.2, 0.28
        clips = {"clip_low": low, "clip_high": high}
        cases = (
            ("dapo", clips, "vanilla", {"clip_ratio_c": 1e9}),
            ("gspo", clips, "gspo", {}),
            ("sapo", {}, "sapo", {}),
            ("reinforce", {}, "gpg", {}),
            ("cispo", {"ratio_low": 1 - low, "ratio_high": 1 + high}, "cispo", {}),
        )
        for name, settings, theirs, more in cases:
            (ours,) = entrol.verl.register(name, **settings)
            self.assertEqual(ours, f"entrol_{name}")
            with self.subTest(name):
                chosen = {"clip_ratio_low": low, "clip_ratio_high": high, **more}
                mode = "seq-mean-token-mean" if name in ("gspo", "sapo") else "token-mean"
                self.compare(ours, theirs, mode, self.INFOS[1], chosen)

    def test_without_names_all_that_verl_can_serve(self):
        names = entrol.verl.register()
        self.assertTrue({"entrol_dapo", "entrol_gspo", "entrol_kl_cov", "entrol_high_entropy"} <= set(names))
        self.assertFalse({"entrol_siren", "entrol_aent", "entrol_erc"} & set(names))

    def test_what_verl_does_not_tell(self):
        cases = (
            (("siren",), {}, "names: siren needs support_entropy, which verl does not hand"),
            (("erc",), {}, "names: erc needs old_entropy"),
            (("popp",), {}, "names: no objective 'popp'"),
            (("dapo",), {"aggregation": "token_mean"}, "aggregation: is verl's own, actor.loss_agg_mode"),
            (("dapo",), {"entropy_coefficient": 0.1}, "entropy_coefficient: is verl's own, actor.entropy_coeff"),
        )
        for names, settings, message in cases:
            with self.subTest(names=names, settings=settings), self.assertRaisesRegex(ValueError, message):
                entrol.verl.register(*names, **settings)
        with self.assertRaisesRegex(TypeError, "^clip: dapo has no such parameter; did you mean clip_low"):
            entrol.verl.register("dapo", clip=1)
        entrol.verl.register("dapo")
        with self.assertRaisesRegex(ValueError, "loss_agg_mode: expected one of token-mean"):
            get_policy_loss_fn("entrol_dapo")(**tensors()[0], loss_agg_mode="mean")

    def test_a_micro_batch_without_tokens(self):
        entrol.verl.register("dapo")
        made, _ = tensors()
        made["response_mask"] = torch.zeros_like(made["response_mask"])
        loss, _ = get_policy_loss_fn("entrol_dapo")(**made)
        loss.backward()
        self.assertEqual((loss.item(), made["log_prob"].grad.abs().sum().item()), (0.0, 0.0))


class Controllers(unittest.TestCase):
    """verl's ppo_loss with its ActorConfig and a micro-batch as its engines hand it over."""

    def test_the_coefficient_is_in_verl_s_loss(self):
        given = {"loss_agg_mode": "token-mean", "entropy_coeff": 0.02}
        logprob, output, data, entropies, mask = batch()
        expected, metrics = losses.ppo_loss(config(**given), output, data)
        actor = entrol.verl.ActorLoss(losses.ppo_loss, {"name": "constant", "initial": 0.02})
        loss, ours = actor(config(**{**given, "entropy_coeff": 0.0}), output, data)
        self.assertEqual(loss, expected)
        self.assertEqual(set(ours), set(metrics))

    def test_it_observes_what_was_trained_on(self):
        settings = {"name": "pi", "target": 2.5, "kp": 0.1, "initial": 0.01}
        actor, by_hand = entrol.verl.ActorLoss(losses.ppo_loss, settings), entrol.Controller(**settings)
        chosen = config(entropy_coeff=0.5)
        for step in range(3):
            seen = []
            for micro in range(2):
                _, output, data, entropies, mask = batch(seed=10 * step + micro)
                loss, _ = actor(chosen, output, data)
                self.assertEqual(chosen.entropy_coeff, by_hand.coefficient)
                with torch.no_grad():
                    actor(chosen, output, data)  # an evaluation is not observed
                seen.append(entropies[mask])
            command = by_hand.observe_tokens(torch.cat(seen))
            logged = actor.step()
            self.assertEqual(logged["controller/coefficient"], command.coefficient)
            self.assertAlmostEqual(logged["entropy/p50"], torch.cat(seen).quantile(0.5).item(), places=5)
            self.assertEqual(actor.step(), {})

    def test_entropic_and_adaptive_kl(self):
        _, output, data, _, _ = batch()
        weighted = data.clone()
        weighted["advantages"] = torch.where(data["advantages"] > 0, 0.75, 1.25) * data["advantages"]
        settings = {"name": "entropic", "target": 1.0, "initial": 0.25, "kp": 0, "ki": 0}
        loss, _ = entrol.verl.ActorLoss(losses.ppo_loss, settings)(config(), output, data)
        self.assertEqual(loss, losses.ppo_loss(config(), output, weighted)[0])

        made, _ = tensors()
        reference = made["log_prob"].detach() - 0.1
        _, output, data, _, mask = batch(ref_log_prob=reference)
        actor = entrol.verl.ActorLoss(losses.ppo_loss, {"name": "adaptive_kl", "initial": 0.3})
        with self.assertRaisesRegex(ValueError, "actor_rollout_ref.actor.use_kl_loss=True"):
            actor(config(), output, data)
        chosen = config(use_kl_loss=True)
        loss, _ = actor(chosen, output, data)
        self.assertEqual(loss, losses.ppo_loss(config(use_kl_loss=True, kl_loss_coef=0.3), output, data)[0])
        k3 = torch.exp(torch.tensor(-0.1)) - 1 + 0.1  # of each token
        self.assertAlmostEqual(actor.step()["controller/observed"], (k3 * mask.sum() / B).item(), places=5)

    def test_objectives_that_look_at_entropies(self):
        """DAPO's loss of the upper fifth of the tokens by entropy."""
        entrol.verl.register("high_entropy")
        made, entropies = tensors()
        with self.assertRaisesRegex(ValueError, "high_entropy needs entropies: entrol.verl.patch"):
            get_policy_loss_fn("entrol_high_entropy")(**made, config=config())
        _, output, data, entropies, mask = batch()
        actor = entrol.verl.ActorLoss(losses.ppo_loss)
        loss, _ = actor(config("entrol_high_entropy"), output, data)
        kept = mask & (entropies >= entropies[mask].quantile(0.8))
        r = (made["log_prob"] - made["old_log_prob"]).exp()
        token = -torch.minimum(r * made["advantages"], r.clamp(0.8, 1.28) * made["advantages"])
        # Divided by all tokens of the mini-batch, which is what verl's mean is.
        self.assertAlmostEqual(loss.item(), (2 * token[kept].sum() / (2 * mask.sum())).item(), places=5)

    def test_nested_tensors(self):
        """As verl has a batch without padding: rows of their own lengths."""

        def rows(values, lengths):
            return torch.nested.as_nested_tensor([row[:n] for row, n in zip(values, lengths)], layout=torch.jagged)

        _, output, data, _, mask = batch()
        fields = ("response_mask", "old_log_probs", "advantages", "responses")
        nested = TensorDict({name: rows(data[name], mask.sum(-1)) for name in fields}, batch_size=B)
        nested["prompts"] = rows(data["prompts"], [PROMPT] * B)
        n = int(mask.sum())
        tensordict_utils.assign_non_tensor(nested, dp_size=2, batch_num_tokens=2 * n, global_batch_size=2 * B)
        for settings in ({"name": "entropic", "target": 1.0, "initial": 0.25}, {"name": "pi", "target": 2.5}):
            results = []
            for given in (data, nested):
                actor = entrol.verl.ActorLoss(losses.ppo_loss, settings)
                results.append((actor(config(), output, given)[0].item(), actor.step()))
            self.assertAlmostEqual(results[0][0], results[1][0], places=6)
            self.assertEqual(results[0][1], results[1][1])

    def test_what_is_refused(self):
        for name, message in (("aepo", "drives the temperature"), ("aer", "one coefficient for all prompts")):
            with self.assertRaisesRegex(ValueError, f"controller: '{name}' .*{message}"):
                entrol.verl.ActorLoss(losses.ppo_loss, name)
        _, output, data, _, _ = batch()
        del output["entropy"]
        with self.assertRaisesRegex(ValueError, "actor_rollout_ref.actor.calculate_entropy=True"):
            entrol.verl.ActorLoss(losses.ppo_loss, "pi")(config(), output, data)


class Engine:
    """What a worker asks of its engine."""

    def is_mp_src_rank_with_outputs(self):
        return True

    def get_data_parallel_rank(self):
        return 0

    def save_checkpoint(self, folder, *_):
        os.makedirs(folder, exist_ok=True)

    def load_checkpoint(self, *_):
        pass


class Patched(unittest.TestCase):
    def setUp(self):
        self.addCleanup(entrol.verl.unpatch)

    def worker(self, loss):
        made = engine_workers.TrainingWorker.__new__(engine_workers.TrainingWorker)
        made.engine, made.loss_fn = Engine(), loss
        return made

    def train(self, worker, seed):
        """As TrainingWorker.train_batch runs its loss on one micro-batch."""
        _, output, data, _, _ = batch(seed)
        worker.loss_fn(model_output=output, data=data, dp_group=None)
        return tensordict_utils.get_tensordict(tensor_dict={}, non_tensor_dict={"metrics": {"loss": 1.0}}).cpu()

    def test_a_run_that_is_saved_and_resumed(self):
        original = engine_workers.TrainingWorker.train_batch
        engine_workers.TrainingWorker.train_batch = lambda worker, data: self.train(worker, data)
        self.addCleanup(setattr, engine_workers.TrainingWorker, "train_batch", original)
        entrol.verl.patch(controller={"name": "pi", "target": 2.5, "kp": 0.1, "ki": 0.1, "initial": 0.01})
        with tempfile.TemporaryDirectory() as folder:
            whole = self.worker(partial(engine_workers.ppo_loss, config=config()))
            logs = [tensordict_utils.get(whole.train_batch(seed), "metrics") for seed in range(3)]
            whole.save_checkpoint(folder)
            logs += [tensordict_utils.get(whole.train_batch(seed), "metrics") for seed in range(3, 6)]
            # A process that begins again: the checkpoint is loaded before the first loss.
            fresh = entrol.verl.ActorLoss(losses.ppo_loss.original, losses.ppo_loss._given)
            resumed = self.worker(partial(fresh, config=config()))
            resumed.load_checkpoint(folder)
            again = [tensordict_utils.get(resumed.train_batch(seed), "metrics") for seed in range(3, 6)]
        self.assertEqual(again, logs[3:])
        self.assertEqual(len({line["actor/controller/coefficient"] for line in logs}), 6)
        critic = self.worker(partial(losses.value_loss, config=None))
        with tempfile.TemporaryDirectory() as folder:
            critic.save_checkpoint(folder)
            self.assertEqual(os.listdir(folder), [])

    def test_a_distillation_has_its_loss_around_the_actor_s(self):
        entrol.verl.patch(controller={"name": "pi", "target": 2.5})
        worker = self.worker(partial(engine_workers.distillation_ppo_loss, config=config(), distillation_config=None))
        self.assertIs(entrol.verl._loss_of(worker), losses.ppo_loss)

    def test_names_are_put_back(self):
        before = (losses.ppo_loss, engine_workers.ppo_loss, engine_workers.TrainingWorker.train_batch)
        entrol.verl.patch()
        self.assertIsInstance(engine_workers.ppo_loss, entrol.verl.ActorLoss)
        self.assertIs(engine_workers.ppo_loss, losses.ppo_loss)
        # What Ray reads from the methods is still there.
        method = engine_workers.TrainingWorker.train_batch
        self.assertEqual(
            vars(before[2]),
            {k: v for k, v in vars(method).items() if k != "__wrapped__"} | ({"__wrapped__": before[2].__wrapped__}),
        )
        with self.assertRaisesRegex(RuntimeError, "patched already"):
            entrol.verl.patch()
        entrol.verl.unpatch()
        self.assertEqual(before, (losses.ppo_loss, engine_workers.ppo_loss, engine_workers.TrainingWorker.train_batch))

    def test_entropies_and_logprobs(self):
        logits = torch.randn(5, 7, 300, generator=torch.Generator().manual_seed(1)) * 4
        labels = torch.randint(0, 300, (5, 7), generator=torch.Generator().manual_seed(2))
        names = ("entropy_from_logits", "logprobs_from_logits", "entropy_from_logits_with_chunking")

        def values():
            x = logits.clone().requires_grad_()
            made = [
                torch_functional.entropy_from_logits(x),
                torch_functional.logprobs_from_logits(x, labels),
                torch_functional.entropy_from_logits_with_chunking(x.reshape(35, 300).bfloat16(), chunk_size=8),
            ]
            sum(one.sum() for one in made[:2]).backward()
            return [*made, x.grad]

        theirs, originals = values(), [getattr(torch_functional, name) for name in names]
        entrol.verl.patch()
        for ours, expected in zip(values(), theirs):
            self.assertEqual(ours.dtype, expected.dtype)
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
        logits[..., 0] = -torch.inf
        self.assertTrue(torch_functional.entropy_from_logits(logits).isfinite().all())
        entrol.verl.unpatch()
        self.assertEqual(originals, [getattr(torch_functional, name) for name in names])
        self.assertTrue(torch_functional.entropy_from_logits(logits).isnan().all())


if __name__ == "__main__":
    unittest.main()

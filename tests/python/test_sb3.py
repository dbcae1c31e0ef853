"""entrol.sb3 with Stable-Baselines3: a controller that holds the entropy of PPO, A2C and SAC, beside
Stable-Baselines3's own runs to the bit, what is observed against softmax by hand, and interrupted runs that go on as if
they had not been."""

import contextlib
import math
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import entrol

try:
    import stable_baselines3
    from gymnasium import spaces
except ImportError as error:
    raise unittest.SkipTest(str(error)) from error
import sb3_worlds as worlds
from entrol.callbacks import EntropyHistory
from entrol.sb3 import STATE, EntropyController, EntropyWatch, rollout_entropies
from stable_baselines3.common.logger import Logger


def softmax_entropy(logits):
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return -(p * np.log(p)).sum(axis=-1)


class Holding(unittest.TestCase):
    def test_the_entropy_of_ppo_stays_at_its_target_and_not_without_the_controller(self):
        target = 0.62
        with contextlib.redirect_stdout(None):
            free, held = EntropyController("constant", initial=0), EntropyController("pi", target=target, kp=5, ki=0.5)
            for callback in (free, held):
                worlds.cart_pole().learn(5000, callback=callback)
        without, with_it = (callback.history.column("entropy")[-10:] for callback in (free, held))
        print(
            f"the last 10 of 20 rollouts: {with_it.mean():.3f} ({with_it.min():.3f} to {with_it.max():.3f}) nats of "
            f"{target}; without a controller {without.mean():.3f} ({without.min():.3f} to {without.max():.3f})"
        )
        self.assertLess(abs(with_it.mean() - target), 0.04)
        self.assertLess(np.abs(with_it - target).max(), 0.1)
        self.assertLess(without.max(), target - 0.05)

    def test_a_share_of_the_greatest_entropy_is_of_the_actions_there_are(self):
        spaces_and_greatest = [
            (spaces.Discrete(5), math.log(5)),
            (spaces.MultiDiscrete([2, 3]), math.log(6)),
            (spaces.MultiBinary(3), 3 * math.log(2)),
        ]
        for space, greatest in spaces_and_greatest:
            callback = EntropyController("pi", target="0.7max")
            worlds.ppo(worlds.World(space)).learn(32, callback=callback)
            self.assertAlmostEqual(callback.command.target, 0.7 * greatest, 12)

    def test_the_coefficient_is_set_before_the_update_of_its_rollout(self):
        callback = EntropyController("pi", target=0.69, kp=1, ki=0)
        model = worlds.ppo(worlds.World(spaces.Discrete(2)), n_steps=32)
        used = []
        train = model.train
        model.train = lambda: (used.append(model.ent_coef), train())
        model.learn(96, callback=callback)
        rows = list(callback.history)
        self.assertEqual([row.step for row in rows], [32, 64, 96])
        for beta, row in zip(used, rows):
            self.assertAlmostEqual(beta, max(0, 0.69 - row.entropy), 12)


class Observing(unittest.TestCase):
    def test_what_is_observed_is_the_mean_over_the_rollout_of_softmax_by_hand(self):
        space = spaces.Dict({"a": spaces.Box(-1, 1, (3,)), "b": spaces.Discrete(4)})
        model = worlds.ppo(worlds.World(spaces.MultiDiscrete([2, 3]), space), "MultiInputPolicy", n_steps=48)

        def by_hand(model):
            whole = model.rollout_buffer.observations
            total = []
            for step in range(48):
                observation = {name: model.rollout_buffer.to_torch(array[step]) for name, array in whole.items()}
                latent = model.policy.mlp_extractor.forward_actor(model.policy.extract_features(observation))
                logits = model.policy.action_net(latent).detach().double().numpy()
                total.append(softmax_entropy(logits[:, :2]) + softmax_entropy(logits[:, 2:]))
            return float(np.mean(total))

        spy, callback = worlds.Spy(by_hand), EntropyController("constant")
        model.learn(144, callback=[spy, callback])
        np.testing.assert_allclose(callback.history.column("entropy"), spy.seen, rtol=1e-6)

    def test_sampled_is_less_the_mean_log_probability_of_the_actions(self):
        spy = worlds.Spy(lambda model: float(-model.rollout_buffer.log_probs.astype(np.float64).mean()))
        callback = EntropyController("constant", entropy="sampled")
        worlds.ppo("Pendulum-v1").learn(96, callback=[spy, callback])
        np.testing.assert_allclose(callback.history.column("entropy"), spy.seen, rtol=1e-6)

    def test_a_gaussian_in_a_box_is_the_textbooks(self):
        spy = worlds.Spy(lambda model: 0.5 + 0.5 * math.log(2 * math.pi) + model.policy.log_std.item())
        callback = EntropyController("constant")
        worlds.a2c("Pendulum-v1").learn(64, callback=[spy, callback])
        np.testing.assert_allclose(callback.history.column("entropy"), spy.seen, rtol=1e-6)

    def test_rollouts_of_more_rows_than_are_computed_at_once(self):
        model = worlds.ppo(worlds.World(spaces.Discrete(3)), n_steps=4100, batch_size=4100, n_epochs=1)
        model.learn(1)
        states = model.rollout_buffer.observations.reshape(4100, 3)
        whole = model.policy.get_distribution(model.rollout_buffer.to_torch(states)).entropy()
        np.testing.assert_allclose(rollout_entropies(model), whole.detach().numpy(), rtol=1e-5)

    def test_what_is_logged(self):
        kept = {}

        class Kept(Logger):
            def record(self, key, value, exclude=None):
                kept[key] = value

        model = worlds.ppo(worlds.World(spaces.Discrete(2)))
        model.set_logger(Kept(None, []))
        model.learn(32, callback=EntropyController("pi", target=0.5))
        self.assertEqual(kept["entrol/target"], 0.5)
        self.assertEqual(kept["entrol/coefficient"], model.ent_coef)
        self.assertAlmostEqual(kept["entrol/entropy"], math.log(2), 2)
        self.assertEqual((kept["entrol/collapse"], kept["entrol/explosion"]), (0, 0))


    def test_a_density_has_no_alarms_but_those_that_are_given(self):
        def raised(space, **settings):
            callback = EntropyController("constant", initial=0.0, **settings)
            worlds.ppo(worlds.World(space)).learn(32, callback=callback)
            for _ in range(20):
                callback.controller.observe(0.6, 1)
            return callback.controller.observe(-0.7, 1).alarms

        box = spaces.Box(-1, 1, (1,))
        self.assertEqual(raised(spaces.Discrete(2)), ("collapse",))
        self.assertEqual(raised(box), ())
        self.assertEqual(raised(box, collapse=-0.5), ("collapse",))


class SameBits(unittest.TestCase):
    def test_a_constant_controller_leaves_ppo_and_a2c_as_they_are_to_the_bit(self):
        makers = [
            lambda **given: worlds.ppo("CartPole-v1", **given),
            lambda **given: worlds.a2c("CartPole-v1", **given),
            lambda **given: worlds.ppo("Pendulum-v1", use_sde=True, **given),
        ]
        for make in makers:
            own = make(ent_coef=0.02).learn(128)  # one after the other: both draw from the global generators
            driven = make(ent_coef=0.5).learn(128, callback=EntropyController("constant", initial=0.02))
            self.assertTrue((worlds.parameters(own) == worlds.parameters(driven)).all())

    def test_a_watch_changes_nothing(self):
        history = EntropyHistory(target=0.6)
        own = worlds.ppo("CartPole-v1", ent_coef=0.02).learn(128)
        watched = worlds.ppo("CartPole-v1", ent_coef=0.02).learn(128, callback=EntropyWatch(history))
        self.assertTrue((worlds.parameters(own) == worlds.parameters(watched)).all())
        self.assertEqual([row.coefficient for row in history], [0.02] * 4)
        self.assertEqual([row.target for row in history], [0.6] * 4)


class Resuming(unittest.TestCase):
    SETTINGS = {"name": "pi", "target": 0.66, "kp": 3, "ki": 0.4}

    @staticmethod
    def go_on(model, n, callback):
        """From the same seed and a world that begins anew: all that Stable-Baselines3 itself does not keep."""
        model.set_random_seed(11)
        model._last_obs = None
        model.learn(n, callback=callback, reset_num_timesteps=False)
        return model

    def compare(self, make, load, n, settings):
        callback = EntropyController(**settings)
        whole = make()
        whole.learn(n, callback=callback)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            whole.save(path)
            resumed, anew = load(whole, path), load(whole, path)
        self.go_on(whole, n, callback)
        again = EntropyController(**settings)
        self.go_on(resumed, n, again)
        self.assertEqual(getattr(whole, STATE), getattr(resumed, STATE))
        self.assertEqual(callback.command, again.command)
        self.assertTrue((worlds.parameters(whole) == worlds.parameters(resumed)).all())
        self.go_on(anew, n, EntropyController(resume=False, **settings))
        self.assertNotEqual(getattr(whole, STATE), getattr(anew, STATE))
        with self.assertRaisesRegex(ValueError, "resume: .*other settings"):
            resumed.learn(n, callback=EntropyController(**{**settings, "target": 0.3}))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            whole.save(path)
            loaded = load(whole, path)
        with self.assertRaisesRegex(ValueError, "resume: the model was saved with another"):
            loaded.learn(n, callback=EntropyController(**{**settings, "target": 0.3}))
        with self.assertRaisesRegex(ValueError, "resume: an earlier learn.. of this model had another"):
            whole.learn(n, callback=EntropyController(**{**settings, "target": 0.3}))

    def test_ppo_goes_on_from_its_file_as_if_it_had_not_been_interrupted(self):
        self.compare(
            lambda: worlds.ppo("CartPole-v1", n_steps=64, learning_rate=3e-3),
            lambda model, path: stable_baselines3.PPO.load(path, env=model.get_env(), device="cpu"),
            256,
            self.SETTINGS,
        )

    def test_sac_too(self):
        def load(model, path):
            loaded = stable_baselines3.SAC.load(path, env=model.get_env(), device="cpu")
            model.save_replay_buffer(path + ".buffer")
            loaded.load_replay_buffer(path + ".buffer")
            return loaded

        self.compare(worlds.sac, load, 60, {"name": "sac", "rate": 0.01})


class SoftActorCritic(unittest.TestCase):
    def test_sac_is_the_automatic_coefficients_law(self):
        alphas = [worlds.Spy(lambda model: model.log_ent_coef.item()) for _ in range(2)]
        callback = EntropyController("sac", rate=3e-4)
        own = worlds.sac().learn(120, callback=alphas[0])
        driven = worlds.sac().learn(120, callback=[callback, alphas[1]])
        theirs, ours = (np.array(spy.seen) for spy in alphas)
        apart = np.abs(theirs - ours).max()
        print(
            f"ln alpha after 100 updates: {theirs[-1]:.7f} by Stable-Baselines3, {ours[-1]:.7f}; at most "
            f"{apart:.1e} apart: theirs is computed in float32"
        )
        self.assertLess(theirs[-1], -0.02)
        self.assertLess(apart, 2e-6)
        self.assertLess((worlds.parameters(own) - worlds.parameters(driven)).abs().max(), 1e-5)
        self.assertEqual(callback.command.target, own.target_entropy)
        self.assertEqual(callback.command.step, 100)

    def test_a_coefficient_of_zero_in_the_place_of_a_fixed_one(self):
        callback = EntropyController("skywork", target=-0.5, delta=0.1, gate="off")
        model = worlds.sac(ent_coef=0.3)
        spy = worlds.Spy(lambda model: math.exp(model.log_ent_coef.item()))
        model.learn(24, callback=[spy, callback])
        # H is about 0.4, above the target, so that skywork stays at 0.
        np.testing.assert_allclose(spy.seen[-3:], 1e-37, rtol=1e-4)
        self.assertEqual(callback.command.coefficient, 0)

    def test_bounds_hold_where_the_published_law_runs_away(self):
        callback = EntropyController("sac", rate=0.5, max=2, target=5)  # more than can be
        model = worlds.sac()
        model.learn(60, callback=callback)
        self.assertEqual(callback.command.coefficient, 2)
        self.assertTrue(callback.command.is_limited)
        self.assertAlmostEqual(model.log_ent_coef.item(), math.log(2), 6)

    def test_targets(self):
        for settings, model, expected in (
            ({}, worlds.sac(), -1),
            ({"target": "auto"}, worlds.sac(target_entropy=-3), -3),
            ({"target": -0.25}, worlds.sac(), -0.25),
        ):
            callback = EntropyController("sac", **settings)
            model.learn(22, callback=callback)
            self.assertEqual(callback.command.target, expected)

    def test_a_model_that_is_saved_goes_on_without_entrol(self):
        model = worlds.sac(ent_coef=0.3)
        model.learn(40, callback=EntropyController("constant", initial=0.125))
        with tempfile.TemporaryDirectory() as folder:
            model.save(os.path.join(folder, "model"))
            loaded = stable_baselines3.SAC.load(os.path.join(folder, "model"), env=model.get_env(), device="cpu")
        self.assertAlmostEqual(loaded.log_ent_coef.item(), math.log(0.125), 6)
        loaded.learn(40)
        self.assertNotEqual(loaded.log_ent_coef.item(), math.log(0.125))

    def test_of_the_gradient_steps_every_hundredth_is_recorded(self):
        callback = EntropyController("sac")
        worlds.sac().learn(230, callback=callback)
        self.assertEqual(callback.command.step, 210)
        self.assertEqual([row.step for row in callback.history], [21, 121, 221])


class Refused(unittest.TestCase):
    def test_controllers_that_do_not_drive_an_entropy_coefficient(self):
        drives = {name: kind.drives for name, kind in entrol.controllers().items()}
        for name, drive in drives.items():
            if drive == "entropy coefficient":
                EntropyController(name)
                continue
            with self.assertRaisesRegex(ValueError, f"name = '{name}': expected a controller that drives an entropy"):
                EntropyController(name)
        with self.assertRaisesRegex(ValueError, "name = 'nothing'"):
            EntropyController("nothing")
        with self.assertRaisesRegex(ValueError, "entropy = 'mean': expected 'exact' or 'sampled'"):
            EntropyController(entropy="mean")

    def test_settings_are_checked_at_once(self):
        for kind, pattern, settings in (
            (TypeError, "taget: pi has no such parameter", {"taget": 1}),
            (ValueError, "target = 'x': expected nats", {"target": "x"}),
            (ValueError, "target = '7max'", {"target": "7max"}),
            (TypeError, "target: ", {"target": None}),
            (ValueError, "kp = -1: expected a number from 0", {"kp": -1}),
            (TypeError, "n_actions: the model tells it", {"n_actions": 3}),
        ):
            with self.subTest(settings), self.assertRaisesRegex(kind, pattern):
                EntropyController("pi", **settings)
        for target in ("auto", "0.7max", "0.4x", -3.0, 0.5):
            EntropyController("pi", target=target)
            EntropyController("sac", target=target)

    def refuse(self, kind, pattern, model, **settings):
        with self.assertRaisesRegex(kind, pattern):
            model.learn(32, callback=EntropyController(**settings))

    def test_settings_and_models(self):
        discrete, box = worlds.World(spaces.Discrete(2)), worlds.World(spaces.Box(-1, 1, (2,)))
        self.refuse(ValueError, "0.7max'.* density, which has no greatest", worlds.ppo(box), target="0.7max")
        self.refuse(ValueError, "0.7max'.* density, which has no greatest", worlds.sac(), target="0.7max")
        self.refuse(ValueError, "target = 'auto'", worlds.ppo(discrete), target="auto")
        self.refuse(ValueError, "target = 0.8", worlds.ppo(discrete), target=0.8)
        self.refuse(TypeError, "^kd: pi has no such parameter; it has", worlds.ppo(discrete), kd=1)
        self.refuse(ValueError, "min", worlds.sac(), name="constant", initial=-1)
        model = stable_baselines3.DQN("MlpPolicy", discrete, learning_starts=0, device="cpu")
        self.refuse(TypeError, "model: expected PPO, A2C or SAC, got DQN", model)
        with self.assertRaisesRegex(RuntimeError, "command: the controller is made when learn"):
            EntropyController().command
        with self.assertRaisesRegex(TypeError, "model: expected PPO or A2C, got SAC"):
            worlds.sac().learn(10, callback=EntropyWatch(EntropyHistory()))

    def test_a_buffer_of_masked_actions(self):
        model = worlds.ppo(worlds.World(spaces.Discrete(2)))
        model.rollout_buffer.action_masks = None
        self.refuse(TypeError, "depend on action_masks", model)


class Example(unittest.TestCase):
    PROGRAM = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "sb3_ppo.py")

    def run_it(self, *arguments):
        done = subprocess.run([sys.executable, self.PROGRAM, *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_it_writes_its_files_and_goes_on_from_them(self):
        with tempfile.TemporaryDirectory() as folder:
            said = self.run_it(folder, "--steps", "512", "--target", "0.65")
            self.assertRegex(said, r"^step 512: entropy 0\.\d+ nats, target 0\.650, coefficient 0\.\d+, mean return \d")
            self.assertTrue(self.run_it(folder, "--steps", "256", "--target", "0.65").startswith("step 768: "))
            self.assertEqual(sorted(os.listdir(folder)), ["model.zip", "run.jsonl", "run.png"])
            history = EntropyHistory.load(os.path.join(folder, "run.jsonl"))
            self.assertEqual([row.step for row in history], [256, 512, 768])
            if os.environ.get("ENTROL"):
                told = subprocess.run(
                    [os.environ["ENTROL"], "diagnose", os.path.join(folder, "run.jsonl")],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                self.assertIn("3 rows, steps 256 to 768; entropy from entropy, reward from reward", told)

    def test_without_a_bonus(self):
        with tempfile.TemporaryDirectory() as folder:
            said = self.run_it(folder, "--steps", "256", "--controller", "constant", "--initial", "0")
        self.assertRegex(said, "^step 256: entropy 0.69. nats, target nan, coefficient 0.0000")


if __name__ == "__main__":
    unittest.main()

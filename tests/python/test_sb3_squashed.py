"""entrol.sb3's squashed policies: entropy by scipy's quadrature and its gradient by differences of it,
log-probabilities by torch's transformed distribution, and PPO, A2C and SAC with them."""

import math
import os
import tempfile
import unittest

import numpy as np

try:
    import stable_baselines3
    import torch
    from gymnasium import spaces
    from scipy.integrate import quad
except ImportError as error:
    raise unittest.SkipTest(str(error)) from error
import sb3_worlds as worlds
from entrol.sb3 import EntropyController, SquashedGaussianDistribution, SquashedGaussianPolicy, rollout_entropies
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

PLACES = [(0.0, -2.0), (0.0, 0.0), (0.7, -0.5), (-1.5, 0.5), (3.0, -1.0), (0.2, 1.5)]


def entropy_of(mean, log_sigma):
    """H of tanh x in nats, x normal: of x, and the mean of ln(1 - tanh^2 x) by adaptive quadrature."""

    def integrand(z):
        x = abs(mean + math.exp(log_sigma) * z)
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * 2 * (math.log(2) - x - math.log1p(math.exp(-2 * x)))

    zero = min(max(-mean / math.exp(log_sigma), -11), 11)
    return (
        0.5 * math.log(2 * math.pi * math.e)
        + log_sigma
        + quad(integrand, -12, zero, epsabs=1e-11)[0]
        + quad(integrand, zero, 12, epsabs=1e-11)[0]
    )


def slope(function, at, step=1e-4):
    return (function(at + step) - function(at - step)) / (2 * step)


def distribution(dtype=torch.float64):
    """A row of one dimension for each place."""
    mean, log_std = torch.tensor(PLACES, dtype=dtype).T[..., None]
    return mean.clone().requires_grad_(), log_std.clone().requires_grad_()


class Distribution(unittest.TestCase):
    def test_the_entropy_is_the_quadratures_where_stable_baselines_has_none(self):
        mean, log_std = distribution()
        made = SquashedGaussianDistribution(1).proba_distribution(mean, log_std)
        np.testing.assert_allclose(made.entropy().detach(), [entropy_of(*place) for place in PLACES], atol=1e-8)
        self.assertIsNone(SquashedDiagGaussianDistribution(1).proba_distribution(mean, log_std).entropy())

    def test_its_gradient_is_the_quadratures_too(self):
        mean, log_std = distribution()
        SquashedGaussianDistribution(1).proba_distribution(mean, log_std).entropy().sum().backward()
        by_mean = [slope(lambda m, s=s: entropy_of(m, s), m) for m, s in PLACES]
        by_log_std = [slope(lambda s, m=m: entropy_of(m, s), s) for m, s in PLACES]
        np.testing.assert_allclose(mean.grad[:, 0], by_mean, atol=2e-6)
        np.testing.assert_allclose(log_std.grad[:, 0], by_log_std, atol=2e-6)

    def test_the_gradient_of_less_the_log_probability_is_another(self):
        """What PPO takes where entropy() is None: by ln sigma, over many actions of one state, its mean is 0."""
        torch.manual_seed(0)
        mean, log_std = (
            torch.zeros(200000, 1, dtype=torch.float64),
            torch.zeros(1, dtype=torch.float64, requires_grad=True),
        )
        theirs = SquashedDiagGaussianDistribution(1).proba_distribution(mean, log_std)
        actions = theirs.sample().detach()
        (-theirs.log_prob(actions)).mean().backward()
        self.assertLess(abs(log_std.grad.item()), 0.02)
        log_std.grad = None
        SquashedGaussianDistribution(1).proba_distribution(mean[:1], log_std).entropy().mean().backward()
        self.assertAlmostEqual(log_std.grad.item(), slope(lambda s: entropy_of(0, s), 0.0), 5)
        self.assertGreater(abs(log_std.grad.item()), 0.1)

    def test_log_probabilities_are_those_of_torchs_transformed_distribution(self):
        mean, log_std = distribution()
        made = SquashedGaussianDistribution(1).proba_distribution(mean, log_std)
        normal = torch.distributions.Normal(mean, log_std.exp())
        squashed = torch.distributions.TransformedDistribution(normal, torch.distributions.transforms.TanhTransform())
        actions = torch.tensor([-0.9, -0.2, 0.0, 0.5, 0.99, 0.3], dtype=torch.float64)[:, None]
        np.testing.assert_allclose(
            made.log_prob(actions).detach(), squashed.log_prob(actions)[:, 0].detach(), rtol=1e-10
        )

    def test_the_interface(self):
        mean, log_std = distribution(torch.float32)
        made = SquashedGaussianDistribution(1)
        self.assertEqual(made.actions_from_params(mean, log_std).shape, mean.shape)
        np.testing.assert_allclose(
            made.actions_from_params(mean, log_std, deterministic=True), mean.detach().tanh(), rtol=1e-6
        )
        actions, log_prob = made.log_prob_from_params(mean, log_std)
        self.assertEqual((actions.shape, log_prob.shape, log_prob.dtype), (mean.shape, (6,), torch.float32))
        self.assertTrue(actions.requires_grad)
        on_bounds = made.log_prob(torch.tensor([1.0, -1, 1, -1, 1, -1])[:, None])
        self.assertTrue(on_bounds.isfinite().all())


class Policies(unittest.TestCase):
    def test_the_entropy_bonus_of_the_policy_by_differences(self):
        """Of a rollout's mean entropy, by the bias of the action layer and by ln sigma."""
        model = worlds.ppo(worlds.World(spaces.Box(-1, 1, (2,))), SquashedGaussianPolicy)
        policy = model.policy
        with torch.no_grad():
            policy.action_net.weight.normal_(0, 0.5)
            policy.action_net.bias.copy_(torch.tensor([0.4, -0.9]))
            policy.log_std.copy_(torch.tensor([-0.3, 0.2]))
        states = torch.rand(4, 3)
        _, _, entropies = policy.evaluate_actions(states, torch.zeros(4, 2))
        entropies.mean().backward()
        means = policy.get_distribution(states).distribution.mean_before_squash.detach().double().numpy()

        def bonus(shift, log_std):
            return np.mean([sum(entropy_of(m + d, s) for m, d, s in zip(row, shift, log_std)) for row in means])

        self.assertAlmostEqual(entropies.mean().item(), bonus((0, 0), (-0.3, 0.2)), 6)
        for i, unit in enumerate(np.eye(2)):
            by_bias = slope(lambda d, u=unit: bonus(d * u, (-0.3, 0.2)), 0.0)
            by_log_std = slope(lambda d, u=unit: bonus((0, 0), np.array([-0.3, 0.2]) + d * u), 0.0)
            self.assertAlmostEqual(policy.action_net.bias.grad[i].item(), by_bias, 5)
            self.assertAlmostEqual(policy.log_std.grad[i].item(), by_log_std, 5)

    def test_ppo_and_a2c_act_within_bounds_that_are_not_one(self):
        space = spaces.Box(np.array([0.0, -2.0], np.float32), np.array([1.0, 5.0], np.float32))
        for make in (worlds.ppo, worlds.a2c):
            world = worlds.World(space)  # which asserts that actions are in its space
            kwargs = {"policy": SquashedGaussianPolicy} if make is worlds.ppo else {}
            model = (
                make(world, **kwargs)
                if kwargs
                else stable_baselines3.A2C(SquashedGaussianPolicy, world, seed=1, device="cpu")
            )
            model.learn(96)
            self.assertLessEqual(np.abs(model.rollout_buffer.actions).max(), 1)
            drawn = np.array([model.predict(world.reset()[0])[0] for _ in range(50)])
            self.assertTrue((drawn >= space.low).all() and (drawn <= space.high).all())
            self.assertGreater(drawn[:, 1].max(), 1.2)

    def test_ratios_begin_at_one(self):
        model = worlds.ppo(worlds.World(spaces.Box(-1, 1, (2,))), SquashedGaussianPolicy, learning_rate=0.0)
        model.learn(32)
        buffer = model.rollout_buffer
        with torch.no_grad():
            _, log_prob, _ = model.policy.evaluate_actions(
                buffer.to_torch(buffer.observations), buffer.to_torch(buffer.actions)
            )
        np.testing.assert_allclose(log_prob, buffer.log_probs.reshape(-1), atol=1e-5)

    def test_saved_and_loaded(self):
        world = worlds.World(spaces.Box(-3, 3, (2,)))
        model = worlds.ppo(world, SquashedGaussianPolicy).learn(64)
        state = world.reset(seed=0)[0]
        with tempfile.TemporaryDirectory() as folder:
            model.save(os.path.join(folder, "model"))
            model.policy.save(os.path.join(folder, "policy"))
            loaded = stable_baselines3.PPO.load(os.path.join(folder, "model"), device="cpu").policy
            alone = SquashedGaussianPolicy.load(os.path.join(folder, "policy"), device="cpu")
        for policy in (loaded, alone):
            self.assertTrue(policy.squash_output)
            np.testing.assert_array_equal(
                policy.predict(state, deterministic=True)[0], model.predict(state, deterministic=True)[0]
            )

    def test_the_entropy_rises_to_its_target_with_a_controller(self):
        """Without any reward to learn; begun at ln sigma = -2."""

        class Idle(worlds.World):
            def step(self, action):
                state, _, *rest = super().step(action)
                return state, 0.0, *rest

        callback = EntropyController("pi", target=0.4, kp=1, ki=0, min=-1, explosion="none")
        settings = {"net_arch": [16], "log_std_init": -2.0}
        model = worlds.ppo(
            Idle(spaces.Box(-1, 1, (1,))),
            SquashedGaussianPolicy,
            learning_rate=0.008,
            n_steps=64,
            policy_kwargs=settings,
            normalize_advantage=False,
        )
        model.learn(64 * 40, callback=callback)
        entropies = callback.history.column("entropy")
        self.assertAlmostEqual(entropies[0], entropy_of(0, -2), 2)
        self.assertTrue((np.diff(entropies) > 0).all())
        self.assertLess(np.abs(entropies[-5:] - 0.4).max(), 0.02)

    def test_refused(self):
        with self.assertRaisesRegex(ValueError, "action_space: expected a Box with finite bounds, got Discrete"):
            worlds.ppo(worlds.World(spaces.Discrete(2)), SquashedGaussianPolicy)
        with self.assertRaisesRegex(ValueError, "action_space: expected a Box with finite bounds"):
            SquashedGaussianPolicy(spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (2,)), lambda _: 1e-3)
        with self.assertRaisesRegex(ValueError, "use_sde"):
            worlds.ppo("Pendulum-v1", SquashedGaussianPolicy, use_sde=True)


class Observed(unittest.TestCase):
    def test_of_a_squashed_policy_with_sde_the_quadrature_is_observed(self):
        model = worlds.ppo("Pendulum-v1", use_sde=True, policy_kwargs={"net_arch": [16], "squash_output": True})
        model.learn(32)
        buffer = model.rollout_buffer
        gaussian = model.policy.get_distribution(buffer.to_torch(buffer.observations)).distribution
        means, sigmas = gaussian.mean.detach().numpy()[:, 0], gaussian.stddev.detach().numpy()[:, 0]
        by_hand = [entropy_of(m, math.log(s)) for m, s in zip(means.astype(float), sigmas.astype(float))]
        np.testing.assert_allclose(rollout_entropies(model), by_hand, atol=2e-6)

    def test_of_sac_exactly_the_batchs(self):
        model = worlds.sac()
        batches = []
        ask = model.actor.action_log_prob

        def kept(observations):
            batches.append(observations)
            return ask(observations)

        model.actor.action_log_prob = kept
        callback = EntropyController("constant", initial=0.1, entropy="exact")
        model.learn(21, callback=callback)  # one update
        fresh = worlds.sac()  # the parameters from before it
        mean, log_std, _ = fresh.actor.get_action_dist_params(batches[0])
        by_hand = [entropy_of(m, s) for m, s in zip(mean.double()[:, 0].tolist(), log_std.double()[:, 0].tolist())]
        self.assertAlmostEqual(callback.command.entropy, np.mean(by_hand), 6)


if __name__ == "__main__":
    unittest.main()

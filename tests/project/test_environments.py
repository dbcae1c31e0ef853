"""The environments of examples/rl and examples/ppo.c step as gymnasium's do, and as their papers say."""
import ctypes
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from training import BUILD, MODELS, NO_MUJOCO, PLACE, RL, ROOT, compiled

GYMNASIUM = {"hopper": "Hopper-v5", "half-cheetah": "HalfCheetah-v5"}


class Outcome(ctypes.Structure):
    _fields_ = [("reward", ctypes.c_double), ("terminated", ctypes.c_int)]


class World(ctypes.Structure):
    """examples/rl/environment.h's environment."""


World._fields_ = [("n_observations", ctypes.c_size_t), ("n_actions", ctypes.c_size_t), ("n_dimensions", ctypes.c_size_t),
                  ("low", ctypes.c_double), ("high", ctypes.c_double), ("max_steps", ctypes.c_size_t),
                  ("reset", ctypes.CFUNCTYPE(None, ctypes.POINTER(World), ctypes.POINTER(ctypes.c_uint64), ctypes.c_void_p)),
                  ("step", ctypes.CFUNCTYPE(Outcome, ctypes.POINTER(World), ctypes.POINTER(ctypes.c_uint64), ctypes.c_void_p, ctypes.c_void_p)),
                  ("destroy", ctypes.CFUNCTYPE(None, ctypes.POINTER(World)))]


class Environment:
    def __init__(self, library, name, size=0):
        self.library, error = library, ctypes.create_string_buffer(1000)
        library.environment_create.restype = ctypes.POINTER(World)
        self.world = library.environment_create(name.encode(), ctypes.c_size_t(size), MODELS.encode(), error, ctypes.c_size_t(1000))
        if not self.world:
            raise ValueError(error.value.decode())
        self.random = ctypes.c_uint64(7)
        self.seen = np.zeros(self.world[0].n_observations)

    def reset(self):
        self.world[0].reset(self.world, ctypes.byref(self.random), self.seen.ctypes.data)
        return self.seen.copy()

    def step(self, action):
        action = np.atleast_1d(np.asarray(action, float)).copy()
        outcome = self.world[0].step(self.world, ctypes.byref(self.random), action.ctypes.data, self.seen.ctypes.data)
        return self.seen.copy(), outcome.reward, bool(outcome.terminated)

    def set_state(self, state):
        state = np.ascontiguousarray(state)
        self.library.mujoco_set_state(self.world, state.ctypes.data_as(ctypes.c_void_p), self.seen.ctypes.data_as(ctypes.c_void_p))
        return self.seen.copy()


class Discrete(unittest.TestCase):
    """Against the definitions in their papers."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.library = ctypes.CDLL(compiled(cls.folder.name, "environments.so", "-shared", "-fPIC",
                                           *(f"{RL}/{name}.c" for name in ("environment", "deep_sea", "river_swim")), "-lm"))

    def dive(self, sea, actions):
        sea.reset()
        return [sea.step(action) for action in actions]

    def path_to(self, right, row, column):
        """Actions that lead to a cell: right where the column is behind, else left."""
        actions, at = [], 0
        for r in range(row):
            go = at < column and column - at >= row - r or (at < column and (row - r - (column - at)) % 2 == 0)
            actions.append(right[r, at] if go else 1 - right[r, at])
            at = at + 1 if go else max(at - 1, 0)
        return actions, at

    def test_deep_sea(self):
        size = 8
        sea = Environment(self.library, "deep-sea", size)
        self.assertEqual((sea.world[0].n_actions, sea.world[0].max_steps, len(sea.seen)), (2, size, size * size))
        np.testing.assert_array_equal(sea.reset(), np.eye(1, size * size)[0])
        right = {}
        for row in range(size):  # row by row, for the way to a cell needs the rows above it
            for column in range(row + 1):
                actions, at = self.path_to(right, row, column)
                outcomes = [self.dive(sea, [*actions, action])[-1] for action in (0, 1)]
                costs = [-reward for _, reward, _ in outcomes]
                last = at == size - 1
                paid = min(costs) if last else max(costs)
                self.assertAlmostEqual(paid, 0.01 / size - last)
                self.assertEqual(costs.count(0), 1)
                right[row, at] = costs.index(paid)
                for action, (seen, _, ended) in enumerate(outcomes):
                    self.assertEqual(ended, row == size - 1)
                    to = min(at + 1, size - 1) if action == right[row, at] else max(at - 1, 0)
                    np.testing.assert_array_equal(seen.nonzero()[0], [] if ended else [(row + 1) * size + to])
        self.assertLess(abs(sum(right.values()) - len(right) / 2), 2 * math.sqrt(len(right)))  # a coin for each
        steps = self.dive(sea, [right[i, i] for i in range(size)])
        self.assertAlmostEqual(sum(reward for _, reward, _ in steps), 0.99)

    def test_river_swim(self):
        """Frequencies within 4.5 standard errors of Osband, Russo and Van Roy 2013, figure 2."""
        river, counts, paid = Environment(self.library, "river-swim"), np.zeros((6, 2, 6)), np.zeros((6, 2))
        draw = np.random.default_rng(3)
        self.assertEqual(river.world[0].max_steps, 20)
        for _ in range(3000):
            state, share = int(river.reset().argmax()), draw.random()
            for _ in range(20):
                action = int(draw.random() < share)
                seen, reward, ended = river.step(action)
                self.assertFalse(ended)
                counts[state, action, seen.argmax()] += 1
                self.assertEqual(reward, 0.005 if (state, action) == (0, 0) else 1 if (state, action) == (5, 1) else 0)
                state = int(seen.argmax())
        expected = np.zeros((6, 2, 6))
        for s in range(6):
            expected[s, 0, max(s - 1, 0)] = 1
            back, stay, on = (0, 0.4, 0.6) if s == 0 else (0.4, 0.6, 0) if s == 5 else (0.05, 0.6, 0.35)
            expected[s, 1, max(s - 1, 0)] += back
            expected[s, 1, s] += stay
            expected[s, 1, min(s + 1, 5)] += on
        n = counts.sum(2, keepdims=True)
        self.assertGreater(n.min(), 100)
        error = np.abs(counts / n - expected)
        self.assertTrue((error <= 4.5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all(), error)

    def test_no_such_environment(self):
        with self.assertRaisesRegex(ValueError, 'no environment "hoper"'):
            Environment(self.library, "hoper")


@unittest.skipUnless(PLACE, NO_MUJOCO)
class Gymnasium(unittest.TestCase):
    """Step by step beside gymnasium's own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        words = [f"{RL}/{name}.c" for name in ("environment", "deep_sea", "river_swim", "mujoco")]
        cls.library = ctypes.CDLL(compiled(cls.folder.name, "environments.so", "-shared", "-fPIC", "-DWITH_MUJOCO", "-isystem",
                                           f"{PLACE}/mujoco/include", *words, f"{PLACE}/mujoco/libmujoco.so",
                                           f"-Wl,-rpath,{PLACE}/mujoco", "-lm"))
        script = os.path.join(cls.folder.name, "steps.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(STEPS)
        done = subprocess.run([sys.executable, script], env=dict(os.environ, PYTHONPATH=PLACE), cwd=cls.folder.name, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        cls.expected = json.loads(done.stdout)

    def test_mujoco(self):
        for name, gymnasium in GYMNASIUM.items():
            ended = 0
            for episode in self.expected[gymnasium]:
                world = Environment(self.library, name)
                np.testing.assert_array_equal(world.set_state(episode["state"]), episode["first"])
                for action, seen, reward, terminated in episode["steps"]:
                    got = world.step(action)
                    np.testing.assert_array_equal(got[0], seen, name)
                    self.assertAlmostEqual(got[1], reward, delta=1e-12 * max(1, abs(reward)))
                    self.assertEqual(got[2], terminated)
                    ended += terminated
            self.assertEqual(ended > 0, name == "hopper")

    def test_first_states(self):
        """Where they are drawn from: uniform, within gymnasium's noise; HalfCheetah's velocities are normal."""
        for name, noise, n in (("hopper", 0.005, 5), ("half-cheetah", 0.1, 8)):
            world = Environment(self.library, name)
            seen = np.array([world.reset() for _ in range(2000)])
            positions = seen[:, :n] - self.expected["first"][name]
            self.assertLessEqual(np.abs(positions).max(), noise)
            np.testing.assert_allclose(positions.std(0), noise / math.sqrt(3), rtol=0.08)
            np.testing.assert_allclose(seen[:, n:].std(0), noise / (math.sqrt(3) if name == "hopper" else 1), rtol=0.08)
            self.assertEqual(np.abs(seen[:, n:]).max() > 2 * noise, name == "half-cheetah")

    def test_normalised(self):
        """What worlds.c shows beside gymnasium's wrappers, in CleanRL's order, around the same course."""
        shim = os.path.join(self.folder.name, "shim.c")
        with open(shim, "w", encoding="utf-8") as file:
            file.write(SHIM)
        words = [f"{RL}/{name}.c" for name in ("worlds", "environment", "deep_sea", "river_swim", "mujoco")]
        shown = ctypes.CDLL(compiled(self.folder.name, "worlds.so", "-shared", "-fPIC", "-DWITH_MUJOCO", f"-I{RL}", "-isystem",
                                     f"{PLACE}/mujoco/include", shim, *words, f"{PLACE}/mujoco/libmujoco.so",
                                     f"-Wl,-rpath,{PLACE}/mujoco", "-lm"))
        seen, reward, ended = (ctypes.c_float * 11)(), ctypes.c_float(), ctypes.c_uint8()
        shown.begin(MODELS.encode(), seen)
        raw = Environment(self.library, "hopper")
        raw.random.value = 16  # seed 1
        course, ours, draw = [{"seen": raw.reset().tolist()}], [list(seen)], np.random.default_rng(8)
        for _ in range(300):
            action = 1.5 * draw.normal(size=3)
            shown.go((ctypes.c_double * 3)(*action), seen, ctypes.byref(reward), ctypes.byref(ended))
            got = raw.step(np.clip(action, -1, 1))
            course.append({"seen": got[0].tolist(), "reward": got[1], "ended": got[2]})
            if got[2]:
                course.append({"seen": raw.reset().tolist()})
            self.assertEqual(bool(ended.value), got[2])
            ours.append([*seen, reward.value])
        done = subprocess.run([sys.executable, "-c", WRAPPED], env=dict(os.environ, PYTHONPATH=PLACE), input=json.dumps(course),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        theirs = json.loads(done.stdout)
        self.assertEqual(len(theirs), len(ours))
        self.assertGreater(sum("reward" not in step for step in course), 3)
        for i, (x, y) in enumerate(zip(ours, theirs)):
            np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-4, err_msg=str(i))  # gymnasium's moments are f32

    def test_pole(self):
        """examples/ppo.c's, with everything in it made visible."""
        library = ctypes.CDLL(compiled(self.folder.name, "ppo.so", "-shared", "-fPIC", "-w", "-Dstatic=", "-Dmain=ppo_main",
                                       f"-I{ROOT}/include/entrol", f"{ROOT}/examples/ppo.c", f"{BUILD}/libentrol.a", "-lm", "-pthread"))
        kinds = set()
        for episode in self.expected["CartPole-v1"]:
            pole = Pole((ctypes.c_double * 4)(*episode["state"]), 0)
            for action, seen, terminated in episode["steps"]:
                kind = library.pole_step(ctypes.byref(pole), action)
                kinds.add(kind)
                np.testing.assert_allclose(list(pole.state), seen, rtol=1e-12, atol=1e-14)
                self.assertEqual(kind == 1, terminated)
        self.assertEqual(kinds, {0, 1})
        pole = Pole((ctypes.c_double * 4)(0, 0, 0, 0), 499)
        self.assertEqual(library.pole_step(ctypes.byref(pole), 0), 2)  # cut off after 500


class Pole(ctypes.Structure):
    _fields_ = [("state", ctypes.c_double * 4), ("n_steps", ctypes.c_int)]


SHIM = r"""
#include "worlds.h"
static worlds all;
void begin(const char *models, float *seen);
void go(const double *action, float *seen, float *reward, uint8_t *ended);
void begin(const char *models, float *seen) {
    char error[1000];
    worlds_create(&all, 1, "hopper", 0, models, 1, error, sizeof error);
    all.normalise = 1;
    all.gamma = 0.99;
    worlds_reset(&all, seen);
}
void go(const double *action, float *seen, float *reward, uint8_t *ended) {
    worlds_step(&all, action, seen, reward, ended);
}
"""

# Plays a course to gymnasium's wrappers, and prints what they show.
WRAPPED = r"""
import json, sys
import gymnasium as gym, numpy as np
course = iter(json.load(sys.stdin))
class Course(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (11,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    def reset(self, **_):
        return np.array(next(course)["seen"]), {}
    def step(self, _):
        step = next(course)
        return np.array(step["seen"]), step["reward"], step["ended"], False, {}
env = gym.wrappers.NormalizeObservation(Course())
env = gym.wrappers.TransformObservation(env, lambda seen: np.clip(seen, -10, 10), env.observation_space)
env = gym.wrappers.NormalizeReward(env, gamma=0.99)
env = gym.wrappers.TransformReward(env, lambda reward: np.clip(reward, -10, 10))
shown = [env.reset()[0].tolist()]
try:
    while True:
        seen, reward, ended, _, _ = env.step(np.zeros(3))
        if ended:
            seen = env.reset()[0]
        shown.append([*seen.tolist(), float(np.squeeze(reward))])
except StopIteration:
    print(json.dumps(shown))
"""

# Runs where gymnasium is, and prints what it does.
STEPS = r"""
import json, sys, types
module = types.ModuleType("gymnasium.envs.mujoco.mujoco_rendering")  # it wants OpenGL; nothing is shown
module.MujocoRenderer = lambda *_: None
sys.modules[module.__name__] = module
import gymnasium, mujoco, numpy as np
draw, result = np.random.default_rng(5), {}
for name in ("Hopper-v5", "HalfCheetah-v5"):
    env = gymnasium.make(name).unwrapped
    env.reset(seed=1)
    result[name] = []
    for _ in range(5):
        qpos = env.init_qpos + draw.uniform(-0.05, 0.05, env.model.nq)
        qvel = draw.uniform(-0.5, 0.5, env.model.nv) if name == "HalfCheetah-v5" else draw.uniform(-11, 11, env.model.nv)
        mujoco.mj_resetData(env.model, env.data)
        env.set_state(qpos, qvel)
        episode = {"state": [*qpos, *qvel], "first": env._get_obs().tolist(), "steps": []}
        for _ in range(40):
            action = draw.uniform(-1, 1, env.model.nu)
            seen, reward, terminated, _, _ = env.step(action)
            episode["steps"].append([action.tolist(), seen.tolist(), float(reward), bool(terminated)])
        result[name].append(episode)
    result.setdefault("first", {})["hopper" if name == "Hopper-v5" else "half-cheetah"] = env.init_qpos[1:].tolist()
pole = gymnasium.make("CartPole-v1").unwrapped
result["CartPole-v1"] = []
for _ in range(5):
    pole.reset(seed=int(draw.integers(1000)))
    episode = {"state": pole.state.tolist(), "steps": []}
    for _ in range(200):
        action = int(draw.integers(2))
        _, _, terminated, _, _ = pole.step(action)
        episode["steps"].append([action, pole.state.tolist(), terminated])
        if terminated:
            break
    result["CartPole-v1"].append(episode)
print(json.dumps(result))
"""


if __name__ == "__main__":
    unittest.main()

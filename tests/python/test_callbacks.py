"""entrol.callbacks: alarms as include/entrol/control.h has them, a log that `entrol diagnose` reads, the fitted
ceiling, the picture, and a Trainer of transformers."""

import contextlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
import warnings

import numpy as np

import entrol
from entrol.callbacks import EntropyHistory, EntropyWarning, trainer_callback

ENTROL = os.environ.get("ENTROL", "")


def falling(n=60, ceiling=0.65):
    """Entropies that fall, and rewards by R = b - a exp(H), with a ceiling of b - a when they are spent."""
    entropies = 0.02 + 0.6 * np.exp(-np.arange(n) / 12)
    return entropies, ceiling + 0.15 - 0.15 * np.exp(entropies)


def history_of(entropies, rewards=None, **settings):
    history = EntropyHistory(**{"warn": False, **settings})
    for i, entropy in enumerate(entropies):
        history.observe(10 * (i + 1), entropy, 0.01, None if rewards is None else rewards[i])
    return history


class Alarms(unittest.TestCase):
    def said(self, history, entropies):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step, entropy in enumerate(entropies):
                history.observe(step, entropy)
        self.assertTrue(all(one.category is EntropyWarning and one.filename == __file__ for one in caught))
        return [str(one.message) for one in caught]

    def test_each_is_said_once_with_what_to_do_until_it_is_raised_anew(self):
        """Of a first mean of 1: below 0.1, over at 0.1 + 0.9 / 4 = 0.325; above 2, over at 1.75."""
        history = EntropyHistory(reference_steps=4)
        self.assertEqual(self.said(history, [1, 1, 1, 1, 0.11]), [])
        (collapse,) = self.said(history, [0.09, 0.05, 0.32])
        self.assertRegex(
            collapse, r"entropy collapse at step 0: 0.09 nats, at first 1\. To explore more: a greater entropy coef"
        )
        self.assertEqual(self.said(history, [0.33, 0.5]), [])
        self.assertEqual(len(self.said(history, [0.05])), 1)
        (explosion,) = self.said(history, [2.1, 1.9])
        self.assertRegex(explosion, "entropy explosion .*lower the entropy coefficient")
        self.assertEqual(history.rows[-1].alarms, ("explosion",))
        self.assertEqual(self.said(history, [1.7]), [])
        self.assertEqual(history.rows[-1].alarms, ())

    def test_thresholds_of_ones_own_and_a_target_that_is_no_alarm(self):
        self.assertEqual(len(self.said(EntropyHistory(collapse=0.5, explosion="none"), [1, 0.4, 9])), 1)
        self.assertEqual(self.said(EntropyHistory(reference_steps=1, target=0.05), [1, 0.06]), [])
        self.assertEqual(self.said(EntropyHistory(warn=False), [1, 0]), [])

    def test_a_nan_is_said_and_kept_and_the_run_goes_on(self):
        history = EntropyHistory(target="0.5x", reference_steps=2)
        (said,) = self.said(history, [1.0, math.nan, math.inf])
        self.assertRegex(said, "entropy not finite at step 1: nan nats. Look for a NaN")
        self.assertEqual(self.said(history, [1.0]), [])
        self.assertEqual(history.rows[-1].target, 0.5)
        self.assertEqual(len(self.said(history, [math.nan])), 1)

    def test_a_warning_can_stop_the_run(self):
        with warnings.catch_warnings(), self.assertRaises(EntropyWarning):
            warnings.simplefilter("error", EntropyWarning)
            EntropyHistory(collapse=0.5).observe(0, 0.1)

    def test_what_a_controller_says_is_recorded(self):
        controller, history = entrol.Controller("pi", target=0.4, kp=1, ki=0), EntropyHistory(warn=False)
        row = history.record(7, controller.observe(0.3), reward=2)
        self.assertEqual((row.step, row.entropy, row.target, row.reward), (7, 0.3, 0.4, 2))
        self.assertAlmostEqual(row.coefficient, 0.1, 12)
        self.assertEqual(history.record(8, controller.command, 0.5).coefficient, 0.5)

    def test_refused(self):
        for settings, pattern in (
            ({"target": "0.7max"}, "target = '0.7max'"),
            ({"collapse": "often"}, "collapse = 'often'"),
            ({"reference_steps": 0}, "reference_steps = 0"),
        ):
            with self.assertRaisesRegex(ValueError, pattern):
                EntropyHistory(**settings)
        self.assertAlmostEqual(EntropyHistory(target="0.7max", n_actions=4).observe(0, 1).target, 0.7 * math.log(4), 12)
        with self.assertRaises(TypeError):
            EntropyHistory().observe(1.5, 1)
        with self.assertRaisesRegex(ValueError, "name: expected one of step, entropy"):
            EntropyHistory().column("alarms")


class Logs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "run.jsonl")

    def test_saved_and_loaded_it_goes_on_as_it_was(self):
        entropies, rewards = falling()
        whole = history_of(entropies, rewards, target="0.5x")
        history_of(entropies[:30], rewards[:30], target="0.5x").save(self.path)
        loaded = EntropyHistory.load(self.path, target="0.5x", warn=False)
        for i in range(30, 60):
            loaded.observe(10 * (i + 1), entropies[i], 0.01, rewards[i])
        for name in ("step", "entropy", "coefficient", "target", "reward"):
            np.testing.assert_array_equal(loaded.column(name), whole.column(name))
        self.assertEqual([row.alarms for row in loaded], [row.alarms for row in whole])
        self.assertEqual(whole.rows[-1].alarms, ("collapse",))

    def test_diagnose_reads_it(self):
        if not ENTROL:
            self.skipTest("ENTROL does not name the command")
        entropies, rewards = falling()
        history = history_of(entropies, rewards, reference_steps=3)  # as the command takes of so short a run
        history.observe(601, math.nan)
        history.save(self.path)
        done = subprocess.run([ENTROL, "diagnose", "--json", self.path], capture_output=True, text=True, check=True)
        said = json.loads(done.stdout)
        text = subprocess.run([ENTROL, "diagnose", self.path], capture_output=True, text=True, check=True).stdout
        self.assertIn("60 rows, steps 10 to 600; entropy from entropy, reward from reward", text)
        self.assertIn("1 whose entropy is a NaN or infinite left out", text)
        self.assertIn("coefficient of the run itself, from coefficient: 0.01 to 0.01", text)
        raised = next(row.step for row in history if "collapse" in row.alarms)
        self.assertIn(f"collapse at step {raised}, below a tenth", text)
        fitted = history.forecast()
        self.assertAlmostEqual(said["fit"]["ceiling"], fitted.ceiling, 9)
        self.assertAlmostEqual(fitted.ceiling, 0.65, 6)

    def test_files_that_are_no_history(self):
        for text, pattern in (
            ('{"step": 1, "entropy": 1}\n[1]\n', ":2: expected an object"),
            ('{"step": 1}\n', ":1: .*'entropy'"),
            ("step,entropy\n", ":1: expected an object"),
        ):
            with open(self.path, "w", encoding="utf-8") as file:
                file.write(text)
            with self.assertRaisesRegex(ValueError, pattern):
                EntropyHistory.load(self.path)


class Forecasts(unittest.TestCase):
    def test_of_the_rows_with_a_reward(self):
        entropies, rewards = falling()
        history = EntropyHistory(warn=False)
        for i, (entropy, reward) in enumerate(zip(entropies, rewards)):
            history.observe(i, entropy, reward=reward if i % 2 else None)
        fitted = history.forecast([0.0, 0.3])
        direct = entrol.fit_ceiling(entropies[1::2], rewards[1::2], forecast_at=[0.0, 0.3])
        self.assertEqual((fitted.ceiling, fitted.n), (direct.ceiling, 30))
        np.testing.assert_array_equal(fitted.forecasts, direct.forecasts)
        self.assertAlmostEqual(fitted.forecasts[1, 1], 0.8 - 0.15 * math.exp(0.3), 6)

    def test_too_few(self):
        with self.assertRaises(entrol.DataError):
            history_of([1, 0.9, 0.8]).forecast()


class Pictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if importlib.util.find_spec("matplotlib") is None:
            raise unittest.SkipTest("no matplotlib")

    def test_what_is_known_is_drawn_and_written(self):
        entropies, rewards = falling()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.png")
            figure = history_of(entropies, rewards, target=0.1, explosion="none").plot(path, title="a run")
            with open(path, "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        first, second, third = figure.axes
        lines = {line.get_label(): line for line in first.get_lines()}
        np.testing.assert_allclose(lines["entropy"].get_ydata(), entropies)
        np.testing.assert_allclose(lines["target"].get_ydata(), 0.1)
        self.assertEqual((second.get_ylabel(), third.get_ylabel()), ("coefficient", "reward"))
        self.assertNotIn("matplotlib.pyplot", sys.modules)

    def test_spans_of_alarms(self):
        axes = history_of([1] * 20 + [0.05, 0.05, 0.9, 0.9, 3.0]).plot().axes[0]
        spans = [patch for patch in axes.patches if patch.get_alpha() == 0.15]
        self.assertEqual([(span.get_x(), span.get_x() + span.get_width()) for span in spans], [(210, 230), (250, 250)])
        self.assertEqual([span.get_label() for span in spans][0], "alarm of collapse and of explosion")

    def test_with_entropies_alone_and_without_any(self):
        self.assertEqual(len(EntropyHistory.plot(history_of([1.0]), None).axes), 2)
        with self.assertRaisesRegex(ValueError, "at least one observation"):
            EntropyHistory().plot()


class Trainers(unittest.TestCase):
    def test_a_trainer_of_transformers(self):
        try:
            import torch
            from transformers import Trainer, TrainingArguments
        except ImportError as error:
            raise unittest.SkipTest(str(error)) from error

        class Model(torch.nn.Linear):
            def forward(self, x, labels=None):
                return {"loss": (super().forward(x) ** 2).mean()}

        class Logging(Trainer):
            """As TRL's: metrics are put into the logs of the step. Of evaluations they begin with eval_."""

            def log(self, logs, *arguments, **keywords):
                step = self.state.global_step
                if "loss" in logs and self.entropies:
                    logs = {
                        **logs,
                        "entropy": 1 / step,
                        "entropy_coef": 0.1 * step,
                        "reward": float(step),
                        "eval_entropy": 9.0,
                    }
                super().log(logs, *arguments, **keywords)

        def train(entropies, **names):
            history = EntropyHistory(warn=False)
            data = [{"x": torch.ones(2), "labels": torch.zeros(1)} for _ in range(8)]
            with tempfile.TemporaryDirectory() as folder:
                arguments = TrainingArguments(
                    folder,
                    max_steps=3,
                    logging_steps=1,
                    report_to=[],
                    use_cpu=True,
                    save_strategy="no",
                    disable_tqdm=True,
                    per_device_train_batch_size=2,
                )
                trainer = Logging(
                    Model(2, 1), arguments, train_dataset=data, callbacks=[trainer_callback(history, **names)]
                )
                trainer.entropies = entropies
                with contextlib.redirect_stdout(None):
                    trainer.train()
            return history

        rows = train(True).rows
        self.assertEqual([(row.step, row.entropy, row.reward) for row in rows], [(1, 1, 1), (2, 0.5, 2), (3, 1 / 3, 3)])
        np.testing.assert_allclose([row.coefficient for row in rows], [0.1, 0.2, 0.3])
        self.assertEqual([row.entropy for row in train(True, entropy="eval_entropy")], [9, 9, 9])
        with self.assertWarnsRegex(UserWarning, "has not logged any 'entropy'"):
            self.assertEqual(len(train(False)), 0)

    def test_a_nan_that_trl_has_logged(self):
        """Its averages without any number are None."""
        try:
            from tiny_trl import GRPOTrainer, Run
        except unittest.SkipTest as reason:
            self.skipTest(str(reason))

        class Lost(GRPOTrainer):
            def log(self, *arguments):
                self._metrics["train"]["entropy"] = [math.nan]
                super().log(*arguments)

        class Once(Run):
            def runTest(self):
                self.history = EntropyHistory()
                trainer = self.trainer(Lost, max_steps=1)
                trainer.add_callback(trainer_callback(self.history))
                self.run_trainer(trainer)

        case, result = Once(), unittest.TestResult()
        with self.assertWarnsRegex(EntropyWarning, "entropy not finite at step 1"):
            unittest.TestSuite([case]).run(result)
        self.assertEqual((result.errors, result.failures), ([], []))
        self.assertTrue(math.isnan(case.history.rows[-1].entropy))


if __name__ == "__main__":
    unittest.main()

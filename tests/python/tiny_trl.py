"""Runs of TRL's trainers on the model of tiny.py, for tests that compare them."""

import contextlib
import os
import tempfile
import unittest
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    from transformers import logging
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

import numpy as np
import tiny
from trl import GRPOConfig, GRPOTrainer

logging.set_verbosity_error()
logging.disable_progress_bar()
tiny.datasets.disable_progress_bars()
warnings.simplefilter("ignore")
torch.set_num_threads(1)

PROMPTS = ["aa ab", "ba bb cd", "cc", "aa"] * 8
#: Losses of ten steps with Entrol's float32 sums and with torch's: relative to a loss of about 0.1, and to gradients of
#: about 1 that Adam then divides by their own size.
CLOSE = {"rtol": 1e-3, "atol": 2e-5}


def reward(completions, **_):
    """How often the letter "a" was said: it can be learnt, and says nothing about entropies."""
    return [float(text.count("a")) for text in completions]


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.holder.cleanup)
        cls.folder = tiny.save(cls.holder.name)

    def config(self, kind=GRPOConfig, **given):
        settings = {
            "output_dir": os.path.join(self.folder, "out"),
            "max_steps": 2,
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "learning_rate": 1e-3,
            "report_to": [],
            "use_cpu": True,
            "bf16": False,
            "save_strategy": "no",
            "disable_tqdm": True,
        }
        if kind is GRPOConfig:
            settings |= {"num_generations": 4, "max_completion_length": 8}
        return kind(**{**settings, **given})

    def trainer(self, kind=GRPOTrainer, extra=(), **given):
        return kind(
            self.folder,
            reward,
            args=self.config(**given),
            train_dataset=tiny.dataset("prompt", PROMPTS),
            processing_class=tiny.tokenizer(),
            **dict(extra),
        )

    def run_trainer(self, trainer, **how):
        with contextlib.redirect_stdout(None):
            trainer.train(**how)
        return [line for line in trainer.state.log_history if "loss" in line]

    def log(self, kind=GRPOTrainer, extra=(), **given):
        return self.run_trainer(self.trainer(kind, extra, **given))

    def same(self, ours, theirs, names=("loss", "grad_norm", "entropy", "reward"), **close):
        self.assertEqual(len(ours), len(theirs))
        for name in names:
            steps = [[line["step"] for line in log if name in line] for log in (ours, theirs)]
            self.assertEqual(*steps, name)  # what belongs to a generation is not in every line
            self.assertTrue(steps[0], name)
            numbers = [[line[name] for line in log if name in line] for log in (ours, theirs)]
            np.testing.assert_allclose(*numbers, **{**CLOSE, **close}, err_msg=name)

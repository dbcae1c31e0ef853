"""GRPO with a verifiable reward, and what controls the entropy meanwhile: a small transformer, a minute for each run.

The task is that of countdown.py: "3 5 7 = 22" asks for an expression of these numbers with this value. The model first
learns from 51,200 demonstrations, once for all runs, after which one of four draws is right; GRPO through TRL goes on from
there.
"""

import itertools
import os

import study  # the first: it says which package is missing
import countdown
import datasets
import torch
from transformers import LlamaForCausalLM, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig

import entrol
import entrol.trl

TARGET = 0.4  # nats a token, two thirds of what it begins with
ARMS = {
    "none": {},
    "fixed": {"config": {"entropy_coef": 0.1}},
    "fixed-low": {"config": {"entropy_coef": 0.02}},  # not planned: made when what 0.1 does had been seen
    "trl": {"config": {"use_adaptive_entropy": True, "entropy_target": TARGET}},
    "pi": {"controller": {"name": "pi", "target": TARGET, "kp": 2.0, "ki": 0.05}},
    "sac": {"controller": {"name": "sac", "target": TARGET, "initial": 0.1, "rate": 0.03}},
    "mask": {"keep": "8020"},
    "clip-cov": {"objective": {"name": "clip_cov", "covariance_share": 0.02}},
    "kl-cov": {"objective": {"name": "kl_cov", "covariance_share": 0.02}},
}
SEEDS = (1, 2, 3)
N_STEPS, N_POINTS = 400, 10  # optimizer steps, and how often the held-out problems are tried besides at the start
N_DRAWS, N_HELD_OUT = 8, 240
RATE = 2e-4


class HeldOut(TrainerCallback):
    """Tries the held-out problems N_POINTS times in a run and once before it, with random numbers of its own, others in each
    run and at each step: greedy accuracy, accuracy of draws, pass@8, and how many different right answers eight draws give."""

    def __init__(self, prompts, reward, tokenizer, length):
        self.prompts, self.reward, self.length, self.tokenizer = prompts, reward, length, tokenizer
        self.given = tokenizer(prompts, return_tensors="pt", padding=True)

    @torch.no_grad()
    def answers(self, model, n, seed, **how):
        batch = {name: part.repeat_interleave(n, 0) for name, part in self.given.items() if name != "token_type_ids"}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            ids = model.generate(**batch, max_new_tokens=self.length, **how)[:, batch["input_ids"].shape[1] :]
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        rewards = self.reward([prompt for prompt in self.prompts for _ in range(n)], texts)
        return [list(zip(texts[i : i + n], rewards[i : i + n])) for i in range(0, len(texts), n)]

    def measure(self, args, state, model):
        seed = args.seed * 1_000_000 + state.global_step
        greedy = self.answers(model, 1, seed, do_sample=False)
        drawn = self.answers(model, N_DRAWS, seed, do_sample=True, top_k=0)
        found = [{text for text, reward in group if reward == 1} for group in drawn]
        n = len(self.prompts)
        line = {"step": state.global_step, "greedy": sum(reward for [(_, reward)] in greedy) / n}
        line["drawn"] = sum(reward for group in drawn for _, reward in group) / (n * N_DRAWS)
        line["pass8"] = sum(map(bool, found)) / n
        line["different"] = sum(map(len, found)) / n
        state.log_history.append(line)

    def on_train_begin(self, args, state, control, model=None, **_):
        if state.global_step == 0:
            self.measure(args, state, model)

    def on_step_end(self, args, state, control, model=None, **_):
        if state.global_step % args.save_steps == 0:
            self.measure(args, state, model)


def learn(run, model, tokenizer, prompts, held_out, reward, n_steps, n_points, **config):
    """GRPO as the arm says; goes on from the run's last checkpoint. Gives the run's log."""
    settings = {"logging_steps": 4, **config, **run.settings.get("config", {})}
    args = GRPOConfig(
        output_dir=run.folder,
        seed=run.seed,
        max_steps=n_steps,
        save_steps=n_steps // n_points,
        save_total_limit=1,
        num_generations=8,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=n_steps // 20,
        bf16=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    with entrol.trl.patch():
        trainer = entrol.trl.GRPOTrainer(
            model,
            reward,
            args=args,
            train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
            processing_class=tokenizer,
            callbacks=[HeldOut(held_out, reward, tokenizer, args.max_completion_length)],
            **{name: run.settings.get(name) for name in ("controller", "objective", "keep")},
        )
        trainer.train(resume_from_checkpoint=get_last_checkpoint(run.folder))
    return lines(trainer.state.log_history)


def lines(history):
    """A line for each step, of what there is to show."""
    names = {"entropy_coef": "coefficient", "controller/coefficient": "coefficient"}  # the latter where there are both
    names |= {name: name for name in ("reward", "entropy", "greedy", "drawn", "pass8", "different")}
    merged = {}
    for line in history:
        shown = {to: line[name] for name, to in names.items() if name in line}
        merged.setdefault(line["step"], {"step": line["step"]}).update(shown)
    return [merged[step] for step in sorted(merged) if len(merged[step]) > 1]


def forecast(found):
    """The law R = b - a exp(H) of the first tenth of a run, and what it says of the reward in the last tenth."""
    rows = [(line["entropy"], line["reward"]) for line in found if {"entropy", "reward"} <= line.keys()]
    n = max(len(rows) // 10, 4)
    entropy, reward = (sum(column) / len(column) for column in zip(*rows[-n:]))
    fit = entrol.fit_ceiling(*zip(*rows[:n]), forecast_at=[entropy])
    said = dict(zip(("entropy", "reward", "low", "high"), fit.forecasts[0]))
    return {**said, "came": reward, "first": sum(row[1] for row in rows[:n]) / n, "a": fit.a, "ceiling": fit.ceiling}


def run(one):
    n_steps, n_held_out = (16, 20) if one.quick else (N_STEPS, N_HELD_OUT)
    found = learn(
        one,
        LlamaForCausalLM.from_pretrained(countdown.model_path(os.path.dirname(one.folder))),
        countdown.TOKENIZER,
        [problem for problem, _ in itertools.islice(countdown.problems(one.seed, held_out=False), 16 * n_steps)],
        countdown.different(n_held_out),
        countdown.right,
        n_steps,
        2 if one.quick else N_POINTS,
        learning_rate=RATE,
        per_device_train_batch_size=128,
        steps_per_generation=4,
        max_completion_length=countdown.LENGTH,
    )
    return [*found, {"step": n_steps, "forecast": forecast(found)}]


if __name__ == "__main__":
    study.main(study.Study("grpo", ARMS, SEEDS, run, countdown.demonstrate))

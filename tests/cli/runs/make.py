#!/usr/bin/env python3
"""Writes the runs beside it, simulated, in the form in which trainers write theirs: tests/cli/runs/make.py

trainer_state.json is saved by transformers' own TrainerState, with the keys of TRL 1.16's GRPOTrainer.log; metrics.jsonl has the
lines of verl's file logger (orjson, so compact and with null for NaN); progress.csv those of Stable-Baselines3's CSV logger; sac.json
the alphas of two trainers' loss under torch's Adam.
The run: entropy 0.02 + 0.9 exp(-t / 153), of which 73 % is gone by step 200, with noise of 4 %; reward
0.80 - 0.15 exp(H) with residuals e(t) = 0.7 e(t-1) + noise.
"""
import json
import math
import os
import random

FOLDER = os.path.dirname(os.path.abspath(__file__))
N = 80  # of each thirtieth step of 2,400


def run():
    random.seed(20261128)
    residual = 0.0
    for i in range(1, N + 1):
        step = 30 * i
        entropy = (0.02 + 0.9 * math.exp(-step / 153)) * (1 + 0.04 * random.gauss(0, 1))
        residual = 0.7 * residual + 0.006 * random.gauss(0, 1)
        yield step, round(entropy, 6), round(0.8 - 0.15 * math.exp(entropy) + residual, 6)


def write_trl():
    from transformers.trainer_callback import TrainerState
    history = []
    for step, entropy, reward in run():
        history.append({"loss": 0.0012, "grad_norm": 0.21 if step > 30 else math.nan, "learning_rate": 1e-6, "num_tokens": 81920.0 * step,
                        "completions/mean_length": 412.5, "completions/clipped_ratio": 0.03, "rewards/accuracy_reward/mean": reward,
                        "rewards/accuracy_reward/std": 0.4, "reward": reward, "reward_std": 0.4, "frac_reward_zero_std": 0.25,
                        "kl": 0.0004, "entropy": entropy, "clip_ratio/region_mean": 0.001, "epoch": round(step / 2400, 4), "step": step})
        if step == 1200:
            history.append({"eval_loss": 0.001, "eval_reward": 0.61, "eval_entropy": 0.03, "eval_runtime": 71.2, "epoch": 0.5, "step": step})
    history.append({"train_runtime": 8123.4, "train_loss": 0.0011, "total_flos": 0.0, "epoch": 1.0, "step": 2400})
    TrainerState(epoch=1.0, global_step=2400, max_steps=2400, num_train_epochs=1, log_history=history).save_to_json(
        os.path.join(FOLDER, "trainer_state.json"))


def write_verl():
    with open(os.path.join(FOLDER, "metrics.jsonl"), "w", encoding="utf-8") as file:
        rows = [(0, {"val-core/math/reward/mean@1": 0.31})]
        for step, entropy, reward in run():
            rows.append((step, {"training/global_step": step, "training/epoch": 0, "actor/entropy": entropy, "actor/pg_loss": -0.002,
                                "actor/ppo_kl": None, "critic/score/mean": reward, "critic/rewards/mean": reward,
                                "response_length/mean": 412.5, "perf/throughput": 1834.2}))
        for step, data in rows:
            file.write(json.dumps({"step": step, "data": data}, separators=(",", ":")) + "\n")


def write_sb3():
    """The entropy is logged as a loss, and only from the second row on."""
    with open(os.path.join(FOLDER, "progress.csv"), "w", encoding="utf-8") as file:
        file.write("rollout/ep_len_mean,rollout/ep_rew_mean,time/fps,time/total_timesteps,train/entropy_loss,train/loss\n")
        file.write("21.5,0.4,812,0,,\n")
        for step, entropy, reward in run():
            file.write(f"21.5,{reward},812,{step},{-entropy},0.03\n")


def write_sac():
    """alpha of Stable-Baselines3's and of CleanRL's sac.py, by torch's own Adam, in float64, told 60 entropies (-logp)."""
    import torch
    random.seed(7)
    entropies = [round(2 * math.exp(-i / 12) + 0.3 * random.random(), 6) for i in range(60)]
    found = {"target": 0.5, "rate": 0.01, "entropies": entropies}
    for name in ("log_alpha", "alpha"):
        log_alpha, found[name] = torch.zeros(1, dtype=torch.float64, requires_grad=True), []
        optimizer = torch.optim.Adam([log_alpha], lr=found["rate"])
        for entropy in entropies:
            log_prob = torch.tensor([-entropy], dtype=torch.float64)
            # Stable-Baselines3: -(log_ent_coef * (log_prob + target)); CleanRL: -log_alpha.exp() * (log_pi + target)
            factor = log_alpha if name == "log_alpha" else log_alpha.exp()
            loss = -(factor * (log_prob + found["target"])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found[name].append(log_alpha.exp().item())
    with open(os.path.join(FOLDER, "sac.json"), "w", encoding="utf-8") as file:
        json.dump(found, file)
        file.write("\n")


if __name__ == "__main__":
    write_sac()
    write_verl()
    write_sb3()
    write_trl()

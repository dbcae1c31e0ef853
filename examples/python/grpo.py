#!/usr/bin/env python3
"""GRPO with TRL, whose entropy a controller holds.

    python3 examples/python/grpo.py                          # a minute on a CPU: a model of 300 words, made on the spot
    python3 examples/python/grpo.py --controller none        # the same without: the entropy goes
    python3 examples/python/grpo.py --model Qwen/Qwen3-0.6B --controller pi --set target=0.4 --set kp=0.005

The reward is the share of words in the answer that begin with "a". The little model has 20 such words among its 300,
so that a policy that is always right can still have an entropy of ln 20, 3.0 nats. Without a controller it keeps 1.
Writes FOLDER/log.jsonl (one line a step), FOLDER/run.png, and TRL's checkpoints with the controller's state. Needs
trl, matplotlib and entrol.
"""

import argparse
import json
import os

import datasets
import matplotlib
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig

import entrol.trl

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

LETTERS = "abcdefghijklmno"
WORDS = [first + second for first in LETTERS for second in "abcdefghijklmnopqrst"]
SPECIAL = ["<pad>", "<end>", "<unknown>"]
#: Gains of a run of a hundred steps; pi's own are for thousands (docs/control.md has how to choose them).
SETTINGS = {"target": 2.0, "kp": 0.2, "ki": 0.02}


def little_model(folder: str) -> tuple[str, PreTrainedTokenizerFast]:
    """A language model that knows nothing yet, in a folder, where TRL loads it from a second time as the reference."""
    names = [*SPECIAL, *WORDS]
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=SPECIAL[2]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(zip(("pad_token", "eos_token", "unk_token"), SPECIAL))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, padding_side="left", **special)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder, tokenizer


def begins_right(completions: list[str], **_: object) -> list[float]:
    """The share of an answer's words that begin with "a"."""
    answers = [completion.lower().split() for completion in completions]
    return [sum(word.startswith("a") for word in words) / max(len(words), 1) for words in answers]


def train(options: argparse.Namespace) -> list[dict[str, float]]:
    """The run; a line of its log for each step."""
    if options.model is None:
        model, tokenizer = little_model(os.path.join(options.output, "model"))
        prompts, rate, length = WORDS, 3e-3, 8
    else:
        model, tokenizer = options.model, AutoTokenizer.from_pretrained(options.model, padding_side="left")
        prompts, rate, length = [f"Write a list of {n} words." for n in range(2, 66)], 1e-6, 64
    config = GRPOConfig(
        output_dir=options.output,
        max_steps=options.steps,
        per_device_train_batch_size=32,
        num_generations=8,
        max_completion_length=length,
        learning_rate=rate,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_steps=options.steps,
        report_to=[],
        bf16=False if options.model is None else None,
        disable_tqdm=True,
    )
    controller = None
    if options.controller != "none":
        controller = {"name": options.controller, **(SETTINGS if options.controller == "pi" else {}), **options.set}
    with entrol.trl.patch():  # TRL's entropies and log-probabilities by Entrol, where the model is on the CPU
        trainer = entrol.trl.GRPOTrainer(
            model,
            begins_right,
            args=config,
            train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
            processing_class=tokenizer,
            controller=controller,
            objective=options.objective,
            keep=options.keep,
        )
        trainer.train(resume_from_checkpoint=options.resume)
    return [line for line in trainer.state.log_history if "loss" in line]


def column(log: list[dict[str, float]], name: str) -> list[float]:
    """NaN where a step has no such number: TRL leaves it out, or has None."""
    return [float("nan") if line.get(name) is None else line[name] for line in log]


def draw(log: list[dict[str, float]], path: str) -> None:
    """Reward, entropy with its deciles and target, and coefficient, over the steps."""
    steps = [line["step"] for line in log]
    figure, (first, second, third) = plt.subplots(3, 1, sharex=True, figsize=(7, 7), layout="constrained")
    first.plot(steps, column(log, "reward"))
    first.set_ylabel("reward")
    second.plot(steps, column(log, "entropy"))
    second.fill_between(steps, column(log, "entropy/p10"), column(log, "entropy/p90"), alpha=0.2)
    second.plot(steps, column(log, "controller/target"), "--", color="gray")
    third.plot(steps, column(log, "controller/coefficient"))
    second.set_ylabel("entropy, nats")
    third.set_ylabel("coefficient")
    third.set_xlabel("step")
    figure.savefig(path, dpi=120)


def setting(text: str) -> tuple[str, float | str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model of the Hub or a folder; default: a little one, made on the spot")
    parser.add_argument("--controller", default="pi", help="a name of entrol.controllers(), or none (%(default)s)")
    parser.add_argument("--set", action="append", default=[], type=setting, metavar="NAME=VALUE", help="for it")
    parser.add_argument("--objective", help="a name of entrol.objectives(), instead of TRL's loss_type")
    parser.add_argument("--keep", help='the tokens to learn of: a rule as "high:20%%", or a recipe as 8020')
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--output", default="grpo", metavar="FOLDER")
    parser.add_argument("--resume", action="store_true", help="from the last checkpoint in FOLDER")
    options = parser.parse_args()
    options.set = dict(options.set)
    log = train(options)
    with open(os.path.join(options.output, "log.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in log)
    draw(log, os.path.join(options.output, "run.png"))
    last = log[-10:]
    mean = {name: sum(line[name] for line in last) / len(last) for name in ("reward", "entropy")}
    print(f"last {len(last)} steps: reward {mean['reward']:.3f}, entropy {mean['entropy']:.2f} nats")


if __name__ == "__main__":
    main()

"""The loop of grpo.py with a real language model: Gemma 3 of 270 million parameters learns single-digit arithmetic.

The model is read from its GGUF file into PyTorch. Two examples go before each question; the answer is right if it is the
number that the expression has. All but the embedding learns, which is the output layer, too. One seed, with PI and without.

    ENTROL_MODEL=gemma-3-270m-q4_k_m.gguf python3 examples/training/gemma.py     5 GB of memory
"""

import itertools
import os
import random

import study  # the first: it says which package is missing
from transformers import AutoModelForCausalLM, AutoTokenizer

import grpo

TARGET = 0.9  # nats a token; the first eight steps have 0.66 on average
ARMS = {"none": {}, "pi": {"controller": {"name": "pi", "target": TARGET, "kp": 0.2, "ki": 0.02}}}
SEEDS = (1,)
N_STEPS, N_POINTS, N_HELD_OUT = 24, 3, 60
EXAMPLES = "3 + 4 = 7\n6 * 2 = 12\n"
LENGTH = 4  # tokens of an answer: a space, at most two digits and a sign, the end of the line
RATE = 1e-6


def questions() -> tuple[list[str], list[str]]:
    """For training, and held out: a sum, difference or product of two digits each, in an order that is always the same."""
    found = [f"{EXAMPLES}{a} {sign} {b} =" for a, sign, b in itertools.product(range(10), "+-*", range(10))]
    random.Random(0).shuffle(found)
    return found[N_HELD_OUT:], found[:N_HELD_OUT]


def right(prompts: list[str], completions: list[str], **_: object) -> list[float]:
    """The reward: 1 for the number that the expression of the last line has, and nothing more on the line."""
    values = [eval(prompt.splitlines()[-1].removesuffix("=")) for prompt in prompts]
    return [float(completion.split("\n")[0].strip() == str(value)) for value, completion in zip(values, completions)]


def loaded(path: str):
    """The model and its tokenizer. An answer ends with its line: that is the end of the text here."""
    folder, file = os.path.split(os.path.abspath(path))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, padding_side="left")
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype="float32")
    read.config.__dict__.pop("quantization_config", None)  # its weights are plain numbers now, which may learn
    model = type(read)(read.config)
    model.load_state_dict(read.state_dict())
    end = tokenizer.encode("\n", add_special_tokens=False)[-1]
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model.generation_config.eos_token_id = end
    model.get_input_embeddings().requires_grad_(False)
    return model, tokenizer


def run(one: study.Run):
    model, tokenizer = loaded(os.environ["ENTROL_MODEL"])
    train, held_out = questions()
    n_steps, n_points = (4, 1) if one.quick else (N_STEPS, N_POINTS)
    return grpo.learn(
        one,
        model,
        tokenizer,
        train,
        held_out[: 4 if one.quick else None],
        right,
        n_steps,
        n_points,
        learning_rate=RATE,
        per_device_train_batch_size=32,
        steps_per_generation=1,
        max_completion_length=LENGTH,
        logging_steps=1,
    )


if __name__ == "__main__":
    study.main(study.Study("gemma", ARMS, SEEDS, run, threads=2, data=("ENTROL_MODEL",)))

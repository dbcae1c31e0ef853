"""A task with a verifiable reward and several right answers, and a small transformer that has seen some of them.

"3 5 7 = 22" asks for an expression of these numbers, each once, with + - and *, that has this value: 3 * 5 + 7, say.
"""

import itertools
import os
import random
import re

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

N_NUMBERS = 3
LENGTH = 2 * N_NUMBERS  # tokens of an answer, its end among them
N_DEMONSTRATIONS = 200  # batches of 256
WORDS = ["<pad>", "<end>", "+", "-", "*", "=", *map(str, range(1, 100))]
TOKENIZER = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>")),
    pad_token="<pad>",
    eos_token="<end>",
    padding_side="left",
)
TOKENIZER.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def problems(seed, held_out):
    """Endless problems, each with a right answer: random expressions whose value is between 1 and 99. A fifth of all
    problems, told by the problem alone, is held out."""
    generator = random.Random(seed)
    while True:
        numbers = [generator.randint(1, 9) for _ in range(N_NUMBERS)]
        answer = " ".join(f"{number} {generator.choice('+-*')}" for number in numbers)[:-2]
        value = eval(answer)
        problem = f"{' '.join(map(str, sorted(numbers)))} = {value}"
        if 0 < value < 100 and (random.Random(problem).random() < 0.2) == held_out:
            yield problem, answer


def different(n):
    """So many held-out problems, each once; there are 245 in all."""
    found = dict.fromkeys(problem for problem, _ in itertools.islice(problems(0, held_out=True), 100 * n))
    assert len(found) >= n, f"there are only {len(found)}"
    return list(found)[:n]


def right(prompts, completions, **_):
    """The reward: 1 for an expression of the problem's numbers, each once, that has its value."""
    rewards = []
    for problem, answer in zip(prompts, completions):
        numbers, value = problem.split(" = ")
        is_expression = re.fullmatch(r"\d( [-+*] \d)*", answer) is not None
        same = sorted(re.findall(r"\d", answer)) == numbers.split()
        rewards.append(float(is_expression and same and eval(answer) == int(value)))
    return rewards


def model_path(folder):
    return os.path.join(folder, "model")


def made():
    """A model of 290,000 parameters that knows nothing yet."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None, "tie_word_embeddings": True}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), max_position_embeddings=32, **sizes, **ends))


def demonstrate(folder, quick):
    """What all runs begin from: a model that has seen right answers."""
    path = model_path(folder)
    if os.path.exists(path):
        return
    torch.set_num_threads(1)
    model, n_steps = made(), 60 if quick else N_DEMONSTRATIONS
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=n_steps)
    source = problems(0, held_out=False)
    for _ in range(n_steps):
        texts = [f"{problem} {answer} <end>" for problem, answer in itertools.islice(source, 256)]
        ids = TOKENIZER(texts, return_tensors="pt").input_ids
        labels = ids.clone()
        labels[:, : N_NUMBERS + 2] = -100  # the problem is given
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.save_pretrained(path + ".part")
    os.rename(path + ".part", path)

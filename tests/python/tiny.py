"""A language model of a few hundred tokens, made on the spot for the tests of trainers: no download, and ten steps a
second."""

import string

import datasets
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

WORDS = ["<pad>", "<eos>", "<unk>"] + [a + b for a in string.ascii_lowercase[:15] for b in string.ascii_lowercase[:20]]


def tokenizer():
    """One token for each two letters, 300 of them."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def model(seed=0):
    """Its output layer is ten times the usual, so that entropies differ from token to token, and a twentieth of the
    tokens ends a text, so that lengths do."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    made = Qwen2ForCausalLM(config)
    with torch.no_grad():
        made.lm_head.weight.mul_(10)
    made.generation_config.eos_token_id = [1, *range(3, 3 + len(WORDS) // 20)]
    return made


def save(folder, seed=0):
    """Model and tokenizer in a folder, as trainers load them."""
    model(seed).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def dataset(column, values):
    """A dataset of one column."""
    return datasets.Dataset.from_dict({column: list(values)})

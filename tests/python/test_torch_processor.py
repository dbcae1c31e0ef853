"""entrol.torch.LogitsProcessor by itself, and in transformers' generate on a tiny model."""

import unittest

try:
    import torch
    from transformers import LogitsProcessorList
except ImportError as missing:
    raise unittest.SkipTest(f"{missing.name} is not installed") from None

import entrol
import numpy as np
import tiny

RULES = ("target-entropy=1.5", "min-p=0.05")


def scores_of(n=3, n_columns=50, seed=0):
    return torch.randn(n, n_columns, generator=torch.Generator().manual_seed(seed)) * 3


class Calls(unittest.TestCase):
    def test_rows_are_the_sampler_s(self):
        scores, ids = scores_of(), torch.zeros(3, 4, dtype=torch.long)
        expected = entrol.Sampler(*RULES).logprobs(scores)
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            found = entrol.torch.LogitsProcessor(*RULES)(ids, scores.to(dtype))
            self.assertEqual((found.dtype, found.shape), (dtype, scores.shape))
            if dtype != torch.bfloat16:
                np.testing.assert_array_equal(found.numpy().astype(np.float32), expected)
        self.assertEqual(entrol.torch.LogitsProcessor()(ids[:0], scores[:0]).shape, (0, 50))

    def test_each_row_is_a_text(self):
        """Entropix thinks once: the token is not kept where it has just come."""
        processor = entrol.torch.LogitsProcessor("entropix=0,high_entropy=1,low_varentropy=1,thinking=7")
        flat, ids = torch.zeros(2, 50), torch.tensor([[1, 2], [3, 4]])
        self.assertEqual((processor(ids, flat) > -torch.inf).sum(1).tolist(), [1, 1])
        ids = torch.cat([ids, torch.tensor([[7], [9]])], 1)
        self.assertEqual((processor(ids, flat) > -torch.inf).sum(1).tolist(), [50, 1])
        self.assertEqual((processor(ids, flat) > -torch.inf).sum(1).tolist(), [1, 1])  # texts that begin

    def test_what_is_refused(self):
        processor, ids = entrol.torch.LogitsProcessor("top-k=3"), torch.zeros(3, 4, dtype=torch.long)
        with self.assertRaisesRegex(
            ValueError, r"^scores: expected \(n, V\) for input_ids of \(n, length\), got \(2, 50\)"
        ):
            processor(ids, scores_of(2))
        with self.assertRaisesRegex(TypeError, "^scores: "):
            processor(ids, scores_of().long())
        with self.assertRaisesRegex(ValueError, r"^rules\[0\] = 'top-q=3'"):
            entrol.torch.LogitsProcessor("top-q=3")
        self.assertEqual(repr(processor), "LogitsProcessor('top-k=3')")


class Generate(unittest.TestCase):
    def test_tokens_are_of_what_the_rules_leave(self):
        """Each token that was drawn is one that the rules keep of the model's own logits, and scores are its ln q."""
        model, prompt = tiny.model(), torch.tensor([[20, 30, 40], [50, 60, 70]])
        torch.manual_seed(0)
        done = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_new_tokens=12,
            logits_processor=LogitsProcessorList([entrol.torch.LogitsProcessor(*RULES)]),
            return_dict_in_generate=True,
            output_scores=True,
            output_logits=True,
        )
        sampler, is_going = entrol.Sampler(*RULES), np.ones(2, bool)
        ends = set(model.generation_config.eos_token_id)
        for i, (scores, logits) in enumerate(zip(done.scores, done.logits)):
            expected = sampler.logprobs(logits)
            np.testing.assert_array_equal(scores.numpy(), expected)
            tokens = done.sequences[:, prompt.shape[1] + i].tolist()
            for row in np.flatnonzero(is_going):
                self.assertGreater(expected[row, tokens[row]], -np.inf)
            is_going &= [token not in ends for token in tokens]
        self.assertGreater(len(done.scores), 3)

    def test_greedy_is_greedy(self):
        model, prompt = tiny.model(), torch.tensor([[20, 30, 40]])
        given = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 12, "top_k": 0}
        processor = entrol.torch.LogitsProcessor("greedy")
        found = model.generate(prompt, do_sample=True, logits_processor=[processor], **given)
        self.assertTrue(torch.equal(found, model.generate(prompt, do_sample=False, **given)))


if __name__ == "__main__":
    unittest.main()

"""entrol.verl's controller over two data-parallel ranks."""

import os
import tempfile
import unittest

from rank_programs import outcomes
from test_verl import batch, torch

import entrol

#: A data-parallel rank: its share of the micro-batches, two steps; prints its coefficients and what it observed.
RANK = """
import json, sys, torch
import torch.distributed as dist
sys.argv = ["rank"]
from test_verl import batch, config, losses
import entrol.verl
dist.init_process_group("gloo", init_method="file://" + FILE, rank=RANK, world_size=2)
own = entrol.verl.ActorLoss(losses.ppo_loss, entrol.torch.Controller("pi", target=2.5))
try:
    own(config(), *batch()[1:3], dist.group.WORLD)
except ValueError as error:
    assert "controller: expected a group of 2 ranks, got 1" in str(error), error
else:
    raise AssertionError("a controller of one rank alone was taken")
actor = entrol.verl.ActorLoss(losses.ppo_loss, {"name": "pi", "target": 2.5, "kp": 0.1, "initial": 0.01})
coefficients = []
for step in range(3):
    for micro in range(1 + RANK):  # one more here than there
        _, output, data, _, _ = batch(seed=100 * step + 10 * RANK + micro)
        actor(config(), output, data, dist.group.WORLD)
    coefficients.append(actor.step()["controller/coefficient"])
print(json.dumps(coefficients))
"""


class Ranks(unittest.TestCase):
    def test_two_ranks_hold_the_same_coefficient(self):
        with tempfile.TemporaryDirectory() as folder:
            meet = os.path.join(folder, "meet")
            programs = [f"FILE, RANK = {meet!r}, {rank}\n{RANK}" for rank in range(2)]
            first, second = outcomes(programs, [{}] * 2)
        self.assertEqual(first, second)
        by_hand = entrol.Controller("pi", target=2.5, kp=0.1, initial=0.01)
        for step, coefficient in enumerate(first):
            seen = [batch(seed=100 * step + n) for n in (0, 10, 11)]
            tokens = torch.cat([entropies[mask] for _, _, _, entropies, mask in seen])
            self.assertEqual(by_hand.observe_tokens(tokens).coefficient, coefficient)


if __name__ == "__main__":
    unittest.main()

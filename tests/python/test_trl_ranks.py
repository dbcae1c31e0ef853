"""entrol.trl.GRPOTrainer over two processes, beside TRL's own over the same two."""

import socket
import unittest

import numpy as np
from rank_programs import outcomes
from tiny_trl import Run

import entrol

#: A rank's program: runs of TRL's trainer and Entrol's on its share of the batch; prints their logs.
RANK = """
import json, sys
import torch
from tiny_trl import *
import entrol
from entrol.trl import GRPOTrainer as Ours

CONTROLLER = {"name": "pi", "target": 4.7, "initial": 0.01, "kp": 0.1}
GIVEN = {"max_steps": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_iterations": 2,
         "top_entropy_quantile": 0.4, "entropy_coef": 0.01, "ddp_backend": "gloo", "beta": 0.04,
         "use_bias_correction_kl": False}
DRIVEN = {**GIVEN, "entropy_coef": 0.0}  # the controller sets it

class Rank(Run):
    def runTest(self):
        own = entrol.torch.Controller("pi", target=4.7)  # of this rank alone: each would go its own way
        with self.assertRaisesRegex(ValueError, "controller: expected a group of 2 ranks, got 1"):
            self.trainer(Ours, {"controller": own}, **DRIVEN)
        logs = {"theirs": self.log(loss_type="dapo", epsilon_high=0.28, **GIVEN)}
        logs["objective"] = self.log(Ours, {"objective": "dapo"}, **GIVEN)
        logs["sequences"] = self.log(Ours, {"objective": "grpo"}, **GIVEN)
        logs["grpo"] = self.log(loss_type="grpo", **GIVEN)
        group = torch.distributed.group.WORLD
        controller = entrol.torch.Controller(group=group, **CONTROLLER)
        trainer = self.trainer(Ours, {"controller": controller}, **DRIVEN)
        observed, step = [], trainer._steering.step
        def gathered():
            mine = torch.cat(trainer._steering._observed)
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, mine)
            observed.append(torch.cat(parts).tolist())
            return step()
        trainer._steering.step = gathered
        logs["controller"] = self.run_trainer(trainer)
        state = trainer._steering.controller.state_dict()["state"]
        print(json.dumps({"logs": logs, "state": state, "observed": observed}), file=sys.__stdout__)

unittest.main(argv=["rank"])
"""


class Ranks(unittest.TestCase):
    def test_two_ranks(self):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environments = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
        first, second = outcomes([RANK] * 2, environments)
        logs = first["logs"]
        Run.same(self, logs["objective"], logs["theirs"])
        Run.same(self, logs["sequences"], logs["grpo"])
        self.assertEqual(first["state"], second["state"])
        by_hand = entrol.Controller("pi", target=4.7, initial=0.01, kp=0.1)
        self.assertEqual(len(first["observed"]), 3)
        for values, line in zip(first["observed"], logs["controller"]):
            command = by_hand.observe_tokens(np.float32(values))
            self.assertEqual(command.coefficient, line["controller/coefficient"])
        self.assertNotEqual(command.coefficient, 0.01)


if __name__ == "__main__":
    unittest.main()

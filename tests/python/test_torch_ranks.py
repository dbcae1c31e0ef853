"""entrol.torch over ranks: real processes with torch.distributed's gloo. Masks beside TRL's own method on gathered
values, controllers and losses that do not depend on the split, and ranks that fail."""

import datetime
import inspect
import math
import os
import tempfile
import time
import types
import unittest

try:
    import torch
    import torch.distributed as dist
    import torch.multiprocessing
except ImportError as error:
    raise unittest.SkipTest(f"no torch: {error}")

import numpy as np

import entrol
from entrol.torch import Controller, group_advantage, group_context, high_entropy_mask, objective, quantile, whiten

SECONDS = 240  # that a test may take before its ranks are ended


def worker(rank, n_ranks, folder, name, seconds):
    """One rank: runs a function of this module by its name and leaves what it says, or its error, in a file."""
    torch.set_num_threads(1)
    errors = os.open(os.path.join(folder, f"errors.{rank}"), os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):  # gloo writes there, too
        os.dup2(errors, stream)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=n_ranks,
        timeout=datetime.timedelta(seconds=seconds),
    )
    said = globals()[name](rank)
    with open(os.path.join(folder, f"said.{rank}"), "w") as file:
        file.write(said or "")
    if name not in ("a_rank_dies", "a_rank_is_late"):
        dist.barrier()
    os._exit(0)  # without waiting for a group that may be broken


def run(name, n_ranks, seconds=120):
    """(exit code, what it said, its errors) of each rank. A rank that does not end is ended, and has the code None."""
    with tempfile.TemporaryDirectory(prefix="entrol-ranks-") as folder:
        context = torch.multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=worker, args=(rank, n_ranks, folder, name, seconds)) for rank in range(n_ranks)
        ]
        for process in processes:
            process.start()
        until = time.monotonic() + SECONDS
        found = []
        for rank, process in enumerate(processes):
            process.join(max(0, until - time.monotonic()))
            code = process.exitcode
            if code is None:
                process.kill()
                process.join()
            texts = []
            for kind in ("said", "errors"):
                path = os.path.join(folder, f"{kind}.{rank}")
                texts.append(open(path).read() if os.path.exists(path) else "")
            found.append((code, *texts))
        return found


# ---- What ranks do. Each draws the same numbers, and takes its own part. ----


class Accelerator:
    """What TRL's method needs of accelerate, over a group; counts the bytes that a rank puts in."""

    def __init__(self, group):
        self.group, self.n_bytes = group, 0

    def pad_across_processes(self, tensor, dim, pad_index):
        n = torch.tensor(len(tensor))
        dist.all_reduce(n, dist.ReduceOp.MAX, group=self.group)
        self.n_bytes += 8
        return torch.nn.functional.pad(tensor, (0, int(n) - len(tensor)), value=pad_index)

    def gather(self, tensor):
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(self.group))]
        dist.all_gather(parts, tensor, group=self.group)
        self.n_bytes += tensor.numel() * tensor.element_size()
        return torch.cat(parts)


def parts_of_ranks(i, generator, n_ranks):
    """(entropies, mask) of each rank: uneven lengths, sometimes a rank with nothing, ties, and padding of any kind."""
    made = []
    for rank in range(n_ranks):
        n = int(torch.randint(1, 60, (), generator=generator))
        e = torch.rand(2, n, generator=generator)
        if i % 3 == 0:
            e = (e * 4).floor() / 4
        mask = torch.rand(2, n, generator=generator) < 0.7
        if i % 4 == 1 and rank == 2:
            mask[:] = False
        if i % 4 == 2 and rank == 0:
            e, mask = e[:, :0], mask[:, :0]
        e[~mask] = (math.inf, math.nan, -1e9, 1e30)[i % 4]
        made.append((e, mask.long()))
    return made


def masks(rank):
    from trl.trainer.grpo_trainer import GRPOTrainer

    theirs = inspect.unwrap(GRPOTrainer.get_high_entropy_mask)
    generator, said = torch.Generator().manual_seed(1), []
    for members in ((0, 1, 2, 3), (1, 3)):
        group = dist.new_group(members)
        for i in range(40):
            every = [part for member, part in enumerate(parts_of_ranks(i, generator, 4)) if member in members]
            threshold = (0.0, 0.8, 1.0, float(torch.rand((), generator=generator)))[i % 4]
            if rank not in members:
                continue
            e, mask = every[members.index(rank)]
            trainer = types.SimpleNamespace(accelerator=Accelerator(group))
            expected = theirs(trainer, e, mask, threshold)
            found = high_entropy_mask(e, mask, threshold, group=group, method="installed")
            assert torch.equal(found, expected), (members, i, found, expected)
            together = torch.cat([values[valid.bool()] for values, valid in every])
            if together.numel():
                q = quantile(e, threshold, mask, group=group, method="installed")
                assert q == torch.quantile(together, threshold), (members, i)
    nothing = torch.zeros(2, 3)
    assert not high_entropy_mask(nothing, nothing, 0.5, group=dist.group.WORLD).any()
    comm = group_context(dist.group.WORLD).comm
    for n in (1 << 10, 1 << 16, 1 << 20):
        e, before, calls = torch.rand(n, generator=generator), comm.n_bytes, comm.n_calls
        accelerator = Accelerator(dist.group.WORLD)
        begin = time.perf_counter()
        expected = theirs(types.SimpleNamespace(accelerator=accelerator), e, torch.ones(n), 0.8)
        middle = time.perf_counter()
        found = high_entropy_mask(e, torch.ones(n), 0.8, group=dist.group.WORLD, method="installed")
        end = time.perf_counter()
        assert torch.equal(found, expected)
        said.append(
            f"{n:9,} tokens a rank: {comm.n_bytes - before:7,} bytes put into {comm.n_calls - calls} all-reduces, "
            f"{end - middle:.3f} s; TRL: {accelerator.n_bytes:9,} put into a gather, {3 * accelerator.n_bytes:10,} "
            f"received, {middle - begin:.3f} s"
        )
    return "\n".join(said) if rank == 0 else ""


def controllers(rank):
    """The same tokens on 1, 2 and 4 ranks: the same coefficients, to the bit."""
    groups = {members: dist.new_group(members) for members in ((0,), (0, 1), (0, 1, 2, 3))}
    for name, settings in (
        ("pi", {"target": 0.5, "kp": 0.3, "ki": 0.02}),
        ("sac", {"target": 0.6}),
        ("skywork", {"target": 0.5}),
    ):
        coefficients = {}
        for members, group in groups.items():
            if rank not in members:
                continue
            generator = torch.Generator().manual_seed(2)
            controller = Controller(name, group=group, **settings)
            coefficients[members] = []
            for step in range(12):
                e, valid = torch.rand(101, generator=generator), torch.rand(101, generator=generator) < 0.8
                ends = np.linspace(0, 101, len(members) + 1).astype(int) if step % 2 else [0] * len(members) + [101]
                mine = slice(ends[members.index(rank)], ends[members.index(rank) + 1])
                coefficients[members].append(controller.observe(e[mine], valid[mine]).hex())
            state = controller.state_dict()
            again = Controller(name, group=group, **settings)
            again.load_state_dict(state)
            assert again.coefficient == controller.coefficient
        said = [None] * 4
        dist.all_gather_object(said, coefficients)
        seen = [values for of_rank in said for values in of_rank.values()]
        assert len(seen) == 7 and all(values == seen[0] for values in seen), (name, said)
        assert len(set(seen[0])) > 2, (name, seen[0])  # it moved


def batch():
    generator = torch.Generator().manual_seed(3)
    shape = (8, 5)
    made = {"x": torch.randn(*shape, 4, generator=generator), "advantage": torch.randn(8, generator=generator)}
    made["old"] = -torch.rand(shape, generator=generator)
    made["mask"] = torch.rand(shape, generator=generator) < 0.7
    made["mask"][:, 0] = True
    return made


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.layer = torch.nn.Linear(4, 2).double()

    def forward(self, x):
        out = self.layer(x.double())
        return -torch.nn.functional.softplus(out[..., 0]), torch.nn.functional.softplus(out[..., 1])


def loss_of(model, rows, group=None, **more):
    given = {key: value[rows] for key, value in batch().items()}
    logprob, entropy = model(given["x"])
    return objective(
        "grpo",
        logprob=logprob,
        old_logprob=given["old"],
        advantage=given["advantage"],
        entropy=entropy,
        mask=given["mask"],
        entropy_coefficient=0.05,
        group=group,
        **more,
    )


def losses(rank):
    """Rows 0 to 2 on rank 0, the others on rank 1: gradients that are added up are those of one process."""
    rows, world = (slice(0, 3), slice(3, 8))[rank], dist.group.WORLD
    for aggregation in ("token_mean", "sequence_mean"):
        alone, mine = Model(), Model()
        expected = loss_of(alone, slice(None), aggregation=aggregation)
        expected.loss.backward()
        result = loss_of(mine, rows, world, aggregation=aggregation)
        assert (result.n_ranks, result.loss.item()) == (2, expected.loss.item()), (result.loss, expected.loss)
        entropy = result.diagnostics["entropy"], expected.diagnostics["entropy"]
        assert entropy[0] == entropy[1], entropy
        result.loss.backward()
        for found, want in zip(mine.parameters(), alone.parameters()):
            dist.all_reduce(found.grad)
            torch.testing.assert_close(found.grad, want.grad, rtol=1e-6, atol=1e-9)
        parallel = torch.nn.parallel.DistributedDataParallel(Model())  # averages
        result = loss_of(parallel, rows, world, aggregation=aggregation)
        (result.loss * result.n_ranks).backward()
        for found, want in zip(parallel.parameters(), alone.parameters()):
            torch.testing.assert_close(found.grad, want.grad, rtol=1e-6, atol=1e-9)
    rewards = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(whiten(rewards[rows], group=world), whiten(rewards)[rows])
    assert torch.equal(
        group_advantage(rewards[rows], scale="batch", group=world), group_advantage(rewards, scale="batch")[rows]
    )


def trouble(rank):
    """A NaN on one rank is an error on all of them (where results are of the rank's own tokens, the others are told
    that another failed), and so are ranks that want different things; the group goes on."""
    world, said = dist.group.WORLD, []
    e = torch.rand(6)
    e[2] = math.nan if rank == 1 else 0.5
    controller = Controller("pi", target=0.5, group=world)
    logprob = -torch.ones(2, 3)
    calls = [
        lambda: high_entropy_mask(e, torch.ones(6), 0.8, group=world),
        lambda: controller.observe(e),
        lambda: objective("dapo", logprob=logprob, old_logprob=logprob, advantage=e.reshape(2, 3), group=world),
        lambda: quantile(torch.rand(3), 0.5 + 0.1 * rank, group=world),
        lambda: objective(
            "dapo", logprob=logprob, old_logprob=logprob, advantage=logprob, clip_low=0.1 + 0.1 * rank, group=world
        ),
    ]
    for call in calls:
        try:
            call()
            said.append("nothing")
        except entrol.Error as error:
            said.append(type(error).__name__)
    assert controller.command.step == 0
    assert quantile(torch.full((2,), float(rank)), 1.0, group=world).item() == 1.0
    assert group_context(world) is group_context(world)
    alone = dist.new_group([0])
    if rank == 1:
        try:
            group_context(alone)
            said.append("nothing")
        except (TypeError, ValueError) as error:
            said.append("group" if "group" in str(error) else str(error))
    return " ".join(said)


def outcome(call):
    begin = time.monotonic()
    try:
        call()
        return "nothing"
    except entrol.CommunicationError as error:
        return f"CommunicationError after {time.monotonic() - begin:.1f} s: {error}"


def a_rank_dies(rank):
    quantile(torch.rand(5), 0.5, group=dist.group.WORLD)
    if rank == 1:
        os._exit(3)
    return outcome(lambda: high_entropy_mask(torch.rand(50), None, 0.8, group=dist.group.WORLD))


def a_rank_is_late(rank):
    controller = Controller("pi", target=0.5, group=dist.group.WORLD)
    if rank == 1:
        time.sleep(10)
        return ""
    return outcome(lambda: controller.observe(torch.rand(50)))


class Ranks(unittest.TestCase):
    def all_went_well(self, found):
        for rank, (code, _, errors) in enumerate(found):
            self.assertEqual(code, 0, f"rank {rank}: {errors}")

    def test_masks_are_trls_of_all_ranks(self):
        try:
            import trl  # noqa: F401
        except ImportError as error:
            self.skipTest(f"no TRL: {error}")
        found = run("masks", 4)
        self.all_went_well(found)
        print(found[0][1])

    def test_controllers_hold_the_same_coefficient_on_1_2_and_4_ranks(self):
        self.all_went_well(run("controllers", 4))

    def test_losses_over_ranks_are_one(self):
        self.all_went_well(run("losses", 2))

    def test_trouble_is_everyones(self):
        found = run("trouble", 2)
        self.all_went_well(found)
        of_others = "DataError CommunicationError CommunicationError CommunicationError CommunicationError"
        expected = "DataError DataError DataError CommunicationError CommunicationError group"
        self.assertEqual([said for _, said, _ in found], [of_others, expected])

    def test_a_rank_that_dies(self):
        found = run("a_rank_dies", 3)
        self.assertEqual([code for code, _, _ in found], [0, 3, 0], found)
        for rank in (0, 2):
            self.assertRegex(found[rank][1], "CommunicationError after")

    def test_a_rank_that_does_not_come(self):
        found = run("a_rank_is_late", 2, seconds=4)
        self.assertEqual([code for code, _, _ in found], [0, 0], found)
        self.assertRegex(found[0][1], r"CommunicationError after [4-9]\.")


if __name__ == "__main__":
    unittest.main()

"""Entrol's losses beside TRL's own code and torch's autograd; a part of bench/peers.py.

    bench/objectives.py > tests/objective_vectors.h     makes the vectors that the tests compare with

TRL's loss is a method of a trainer: it is called on an object that has what the method looks at, and whose
log-probabilities and entropies are the given ones. Its advantages are statements inside a longer method, which are taken out of
its source and run as they are. Everything is in float64, of numbers that are float32's.
"""
import ast
import collections
import contextlib
import ctypes
import inspect
import io
import statistics
import sys
import textwrap
import time
import types

SEQUENCES, LENGTH, GROUPS, GROUP = 6, 10, 3, 4
ARRAYS = ("logprob", "old_logprob", "reference_logprob", "advantage", "entropy", "old_entropy", "support_entropy", "value",
          "old_value", "target_return", "weight")

# name, Entrol's objective and settings, and what TRL's trainer has; "weighted" and "on_policy" change the inputs.
CASES = [
    ("grpo", "grpo", {}, {}),
    ("grpo, on-policy", "grpo", {}, {"on_policy": True}),
    ("grpo, two-sided clip", "grpo", {"dual_clip": 1.3}, {"delta": 1.3}),
    ("grpo, KL", "grpo", {"kl_coefficient": 0.04}, {"beta": 0.04}),
    ("grpo, importance weights", "grpo", {}, {"weighted": True}),
    ("bnpo", "grpo", {"aggregation": "token_mean"}, {"loss_type": "bnpo"}),
    ("dr_grpo", "dr_grpo", {"length": 16}, {"loss_type": "dr_grpo"}),
    ("dr_grpo, KL", "dr_grpo", {"length": 16, "kl_coefficient": 0.1}, {"loss_type": "dr_grpo", "beta": 0.1}),
    ("dapo", "dapo", {}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    ("dapo, entropy bonus", "dapo", {"entropy_coefficient": 0.01},
     {"loss_type": "dapo", "epsilon_high": 0.28, "entropy_coef": 0.01}),
    ("luspo, token ratios", "grpo", {"aggregation": "sequence_sum"}, {"loss_type": "luspo"}),
    ("cispo", "cispo", {}, {"loss_type": "cispo", "epsilon_high": 5.0}),
    ("cispo, bound 1.1", "cispo", {"ratio_high": 1.1}, {"loss_type": "cispo", "epsilon_high": 1.1}),
    ("sapo", "sapo", {}, {"loss_type": "sapo"}),
    ("gspo", "gspo", {}, {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4}),
    ("gspo, wide clip", "gspo", {"clip_low": 0.1, "clip_high": 0.1},
     {"importance_sampling_level": "sequence", "epsilon_low": 0.1, "epsilon_high": 0.1}),
    ("80/20 mask", "high_entropy", {"over": "valid", "top_by": "torch_f32_rank"},
     {"loss_type": "dapo", "epsilon_high": 0.28, "top_entropy_quantile": 0.2}),
    ("80/20 mask, entropy bonus", "grpo", {"top_share": 0.2, "top_by": "torch_f32_rank", "entropy_coefficient": 0.01},
     {"top_entropy_quantile": 0.2, "entropy_coef": 0.01}),
    ("gmpo", "gmpo", {}, {"trainer": "gmpo", "epsilon_low": 0.4, "epsilon_high": 0.4}),
    ("gmpo, tight clip, KL", "gmpo", {"clip_low": 0.1, "clip_high": 0.2, "kl_coefficient": 0.04},
     {"trainer": "gmpo", "epsilon_low": 0.1, "epsilon_high": 0.2, "beta": 0.04}),
    ("gmpo, entropy mask", "gmpo", {"top_share": 0.5, "top_by": "torch_f32_rank"},
     {"trainer": "gmpo", "epsilon_low": 0.4, "epsilon_high": 0.4, "top_entropy_quantile": 0.5}),
]


def trainers():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from trl.experimental.gmpo.gmpo_trainer import GMPOTrainer
        from trl.trainer.grpo_trainer import GRPOTrainer
        from trl.trainer.rloo_trainer import RLOOTrainer
    return {"grpo": GRPOTrainer, "gmpo": GMPOTrainer, "rloo": RLOOTrainer}


class Accelerator:
    """One process."""
    num_processes, process_index, sync_gradients, device = 1, 0, True, "cpu"

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction):
        return x

    def pad_across_processes(self, x, dim, pad_index):
        return x


def batch(generator):
    """The arrays by name, (SEQUENCES, LENGTH) each, of which a mask drops the ends."""
    import torch
    shape = (SEQUENCES, LENGTH)
    normal = lambda: torch.randn(shape, generator=generator, dtype=torch.float32)
    arrays = {"logprob": -torch.rand(shape, generator=generator) * 4 - 0.01, "entropy": torch.rand(shape, generator=generator) * 2,
              "weight": torch.rand(shape, generator=generator) + 0.5}
    arrays["old_logprob"] = arrays["logprob"] - 0.25 * normal()
    arrays["reference_logprob"] = arrays["logprob"] - 0.4 * normal()
    advantages = torch.randn(SEQUENCES, generator=generator)
    advantages[-1] = 0
    arrays["advantage"] = advantages[:, None].expand(shape).contiguous()
    lengths = torch.randint(1, LENGTH + 1, (SEQUENCES,), generator=generator)
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    return arrays, mask


def trl_loss(classes, arrays, mask, has):
    """TRL's loss, and its gradients by the log-probabilities and the entropies."""
    import torch
    leaves = [arrays[name].double().clone().requires_grad_() for name in ("logprob", "entropy")]
    stand_in = types.SimpleNamespace(
        accelerator=Accelerator(), model=types.SimpleNamespace(training=False), aux_loss_enabled=False,
        top_entropy_quantile=has.get("top_entropy_quantile", 1.0), off_policy_mask_threshold=None,
        importance_sampling_level=has.get("importance_sampling_level", "token"), beta=has.get("beta", 0.0),
        loss_type=has.get("loss_type", "grpo"), epsilon_low=has.get("epsilon_low", 0.2),
        epsilon_high=has.get("epsilon_high", 0.2), use_vllm=has.get("weighted", False),
        vllm_importance_sampling_correction=True, max_completion_length=16, current_gradient_accumulation_steps=1,
        entropy_coef=has.get("entropy_coef", 0.0), _entropy_bonus_enabled="entropy_coef" in has, use_adaptive_entropy=False,
        args=types.SimpleNamespace(delta=has.get("delta"), use_bias_correction_kl=False, sapo_temperature_pos=1.0,
                                   sapo_temperature_neg=1.05),
        _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *unused, **more: (*leaves, None))
    trainer = classes[has.get("trainer", "grpo")]
    stand_in.get_high_entropy_mask = types.MethodType(classes["grpo"].get_high_entropy_mask, stand_in)
    nothing = torch.zeros((SEQUENCES, 0), dtype=torch.long)
    inputs = {"prompt_ids": nothing, "prompt_mask": nothing, "completion_ids": torch.zeros_like(mask), "completion_mask": mask,
              "advantages": arrays["advantage"][:, 0].double(), "ref_per_token_logps": arrays["reference_logprob"].double(),
              "old_per_token_logps": None if has.get("on_policy") else arrays["old_logprob"].double(),
              "importance_sampling_ratio": arrays["weight"].double(), "num_items_in_batch": mask.sum()}
    loss = inspect.unwrap(trainer._compute_loss)(stand_in, None, inputs)
    loss.backward()
    zero = torch.zeros(mask.shape, dtype=torch.float64)
    return loss.item(), *(zero if leaf.grad is None else leaf.grad for leaf in leaves)


def statements(function, first, last):
    """The statements of a method from the one whose source begins with `first` to the one that begins with `last`."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    body = [(node, ast.get_source_segment(source, node)) for node in ast.parse(source).body[0].body]
    begin = next(i for i, (_, text) in enumerate(body) if text.startswith(first))
    end = next(i for i, (_, text) in enumerate(body) if i >= begin and text.startswith(last))
    return compile(ast.Module([node for node, _ in body[begin:end + 1]], []), function.__name__, "exec")


def trl_advantages(classes, rewards, scale):
    """TRL's advantages of GROUPS groups of GROUP rewards; scale: "group", "batch", "none", or "leave one out"."""
    import torch
    from trl.trainer.utils import nanstd
    space = {"torch": torch, "nanstd": nanstd, "num_generations": GROUP, "rewards_per_func": rewards[:, None],
             "rewards": rewards.clone(), "device": "cpu",
             "unscorable_mask": torch.zeros(len(rewards), dtype=torch.bool),
             "self": types.SimpleNamespace(multi_objective_aggregation="sum_then_normalize", scale_rewards=scale,
                                           reward_weights=torch.ones(1, dtype=rewards.dtype), normalize_advantages=False)}
    if scale == "leave one out":
        code = statements(classes["rloo"]._generate_and_score_completions, "grouped_rewards = ", "advantages = torch.nan_to_num")
    else:
        code = statements(classes["grpo"]._generate_and_score_completions, 'if self.multi_objective_aggregation',
                          "advantages = torch.nan_to_num")
    exec(code, space)
    return space["advantages"]


# ---- Entrol's side ----


class Tokens(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("n_tokens", ctypes.c_size_t)] + [(name, ctypes.c_void_p) for name in ARRAYS] + [
        ("mask", ctypes.c_void_p), ("sequence_starts", ctypes.c_void_p), ("n_sequences", ctypes.c_size_t), ("seed", ctypes.c_uint64)]


class ObjectiveRecord(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_void_p) for name in (
        "logprob", "entropy", "support_entropy", "value", "loss", "kept")]


class Setting(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_double), ("text", ctypes.c_char_p)]


class ObjectiveOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("settings", ctypes.c_void_p), ("n_settings", ctypes.c_size_t),
                ("loss_alone", ctypes.c_int)]


class Result(ctypes.Structure):
    """The beginning of entrol_objective_result, and room for the rest of none."""
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_double) for name in (
        "loss", "policy_loss", "kl_loss", "entropy_loss", "value_loss", "entropy", "covered_entropy", "kl_k1", "kl_k2", "kl_k3",
        "reference_kl", "ratio_mean", "ratio_greatest", "clip_low", "clip_high", "clip_dual", "covariance",
        "explained_variance")]


def compute(entrol, objective, settings, arrays, mask=None, starts=None, outputs=("logprob", "entropy"), loss_alone=0):
    """A function that computes an objective of float32 arrays, its result, and the outputs by name."""
    import torch
    find = entrol.library.entrol_objective_find
    find.restype = ctypes.c_void_p
    n = arrays["logprob"].numel()
    tokens = Tokens(size=ctypes.sizeof(Tokens), n_tokens=n, **{name: x.data_ptr() for name, x in arrays.items()})
    if mask is not None:
        tokens.mask = mask.data_ptr()
    if starts is not None:
        tokens.sequence_starts, tokens.n_sequences = starts.data_ptr(), starts.numel() - 1
    made = {name: torch.empty(n, dtype=torch.float32) for name in outputs}
    record = ObjectiveRecord(size=ctypes.sizeof(ObjectiveRecord), **{name: x.data_ptr() for name, x in made.items()})
    named = [Setting(k.encode(), 0 if isinstance(v, str) else v, v.encode() if isinstance(v, str) else None)
             for k, v in settings.items()]
    chosen = (Setting * max(1, len(named)))(*named)
    options = ObjectiveOptions(ctypes.sizeof(ObjectiveOptions), ctypes.cast(chosen, ctypes.c_void_p), len(named), loss_alone)
    result = Result(size=ctypes.sizeof(Result))
    row = ctypes.c_void_p(find(objective.encode()))

    def work():
        entrol.check(entrol.library.entrol_objective_compute(
            entrol.context, ctypes.byref(record), ctypes.byref(result), None, row, ctypes.byref(tokens), ctypes.byref(options)))
        return result

    work.keeps = (arrays, mask, starts, chosen)
    return work, result, made


def conformance(entrol, n_batches):
    """How far Entrol's losses and gradients are from TRL's, of the greatest one, over random batches: a line a case."""
    import torch
    classes = trainers()
    generator = torch.Generator().manual_seed(2)
    for name, objective, settings, has in CASES:
        of_loss = of_slopes = 0.0
        for _ in range(n_batches):
            arrays, mask = batch(generator)
            loss, by_logprob, by_entropy = trl_loss(classes, arrays, mask, has)
            given = {k: v for k, v in arrays.items() if (k != "weight" or has.get("weighted")) and
                     (k != "old_logprob" or not has.get("on_policy"))}
            starts = torch.arange(0, mask.numel() + 1, LENGTH)
            work, result, made = compute(entrol, objective, settings, given, mask.to(torch.uint8), starts)
            work()
            of_loss = max(of_loss, abs(result.loss - loss) / max(abs(loss), 1e-3))
            for theirs, ours in ((by_logprob, made["logprob"]), (by_entropy, made["entropy"])):
                apart = (theirs.flatten() - ours.double()).abs().max()
                of_slopes = max(of_slopes, (apart / theirs.abs().max().clamp(min=1e-12)).item())
        yield {"case": "objective", "objective": objective, "settings": settings, "peer": f"TRL, {name}", "batches": n_batches,
               "loss_differs_by": of_loss, "gradient_differs_by": of_slopes}


def ppo_inputs(n):
    import torch
    generator = torch.Generator().manual_seed(3)
    normal = lambda scale: scale * torch.randn(n, generator=generator)
    arrays = {"logprob": -torch.rand(n, generator=generator) * 5, "advantage": normal(1.0),
              "entropy": torch.rand(n, generator=generator) * 2, "value": normal(1.0), "target_return": normal(1.0)}
    arrays["old_logprob"] = arrays["logprob"] + normal(0.1)
    arrays["old_value"] = arrays["value"] + normal(0.1)
    return arrays


def torch_ppo(arrays, logs, value_clip):
    """PPO as CleanRL writes it, with its logs if wanted; forward and backward."""
    import torch
    logprob, entropy, value = leaves = [arrays[name].clone().requires_grad_() for name in ("logprob", "entropy", "value")]
    old, advantage, target, old_value = (arrays[name] for name in ("old_logprob", "advantage", "target_return", "old_value"))

    def work():
        for leaf in leaves:
            leaf.grad = None
        log_ratio = logprob - old
        ratio = log_ratio.exp()
        if logs:
            with torch.no_grad():
                seen = [(-log_ratio).mean(), ((ratio - 1) - log_ratio).mean(), ((ratio - 1.0).abs() > 0.2).float().mean()]
        policy = torch.max(-advantage * ratio, -advantage * torch.clamp(ratio, 0.8, 1.2)).mean()
        error = (value - target) ** 2
        if value_clip:
            held = old_value + torch.clamp(value - old_value, -0.2, 0.2)
            error = torch.max(error, (held - target) ** 2)
        loss = policy - 0.01 * entropy.mean() + 0.5 * error.mean()
        loss.backward()
        if logs:
            [x.item() for x in seen]
        return loss.item()

    return work, leaves


def throughput(entrol, n_threads, repeats):
    """PPO over 1,048,576 tokens beside the same loss in torch, by turns."""
    n = 1 << 20
    arrays = ppo_inputs(n)
    for name, logs, value_clip in (("ppo, clipped value, logs", True, True), ("ppo, loss and gradient alone", False, False)):
        theirs, leaves = torch_ppo(arrays, logs, value_clip)
        settings = {"value_clip": 0.2} if value_clip else {}
        ours, result, made = compute(entrol, "ppo", settings, arrays, outputs=("logprob", "entropy", "value"),
                                     loss_alone=not logs)
        times, ratios, peers = [], [], []
        for repeat in range(repeats + 2):
            start = time.perf_counter()
            loss = theirs()
            middle = time.perf_counter()
            ours()
            end = time.perf_counter()
            if repeat >= 2:
                times.append(end - middle)
                peers.append(middle - start)
                ratios.append(peers[-1] / times[-1])
        spread = lambda x: {"min": min(x), "median": statistics.median(x), "max": max(x)}
        apart = max(((leaf.grad - made[key]).abs().max() / leaf.grad.abs().max()).item()
                    for leaf, key in zip(leaves, ("logprob", "entropy", "value")))
        yield {"case": name, "dtype": "float32", "rows": n, "columns": 1, "threads": n_threads, "cpu": entrol.cpu, "seconds": spread(times),
               "nanoseconds_per_token": statistics.median(times) / n * 1e9, "peer": "torch, forward and backward",
               "peer_seconds": spread(peers), "ratio_to_peer": spread(ratios), "loss_differs_by": abs(loss - result.loss),
               "gradient_differs_by": apart}


# ---- The vectors of the tests ----


def number(x, kind):
    text = f"{float(x):.9g}"
    return (text if "." in text or "e" in text else f"{text}.0") + ("f" if kind == "float" else "")


def print_array(kind, name, values):
    lines = textwrap.wrap(", ".join(number(x, kind) for x in values), 114)
    print(f"static const {kind} {name}[] = {{", *(f"    {line}" for line in lines), "};", sep="\n")


def print_vectors():
    import torch
    import trl
    classes = trainers()
    generator = torch.Generator().manual_seed(1)
    arrays, mask = batch(generator)
    print(f"""/* Losses, gradients and advantages by TRL {trl.__version__}'s own code, in float64. Made by bench/objectives.py. */
#ifndef OBJECTIVE_VECTORS_H
#define OBJECTIVE_VECTORS_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
enum {{ VECTOR_SEQUENCES = {SEQUENCES}, VECTOR_LENGTH = {LENGTH}, VECTOR_GROUPS = {GROUPS}, VECTOR_GROUP = {GROUP} }};
""")
    for name, values in arrays.items():
        print_array("float", f"vector_{name}", values.flatten())
    print(f"static const uint8_t vector_mask[] = {{{', '.join(str(x) for x in mask.flatten().tolist())}}};\n")
    rows = []
    for i, (name, objective, settings, has) in enumerate(CASES):
        loss, by_logprob, by_entropy = trl_loss(classes, arrays, mask, has)
        print_array("double", f"vector_by_logprob_{i}", by_logprob.flatten())
        print_array("double", f"vector_by_entropy_{i}", by_entropy.flatten())
        text = " ".join(f"{k}={v}" for k, v in settings.items())
        rows.append(f'    {{"{name}", "{objective}", "{text}", {int(has.get("on_policy", False))}, {int(has.get("weighted", False))}, '
                    f"{loss:.17g}, vector_by_logprob_{i}, vector_by_entropy_{i}}},")
    print("""
/* Settings are NAME=VALUE, a space between them. */
static const struct {
    const char *name, *objective, *settings;
    int on_policy, weighted;
    double loss;
    const double *by_logprob, *by_entropy;
} vectors[] = {""", *rows, "};\n", sep="\n")
    rewards = torch.randn(GROUPS * GROUP, generator=generator)
    rewards[-GROUP:] = 0.5
    print_array("float", "vector_rewards", rewards)
    for scale in ("group", "batch", "none", "leave one out"):
        print_array("double", f"vector_advantages_{scale.replace(' ', '_')}", trl_advantages(classes, rewards.double(), scale))
    print("/* clang-format on */\n\n#endif")


if __name__ == "__main__":
    sys.exit(print_vectors())

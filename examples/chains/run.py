"""Generates by each chain of rules and measures what came out: run.py TEXTS WORK RESULTS [--quick]

scripts/chains calls this. TEXTS is the folder of unpacked packages, WORK keeps what was generated from run to run, and RESULTS gets
chains.json. Prompts are the first words of news stories, and the stories' own next words stand beside what the chains make of them.
--quick takes 4 prompts, 2 samples, 16 tokens and two settings of a chain.
"""
import concurrent.futures
import hashlib
import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "purposes"))
from texts import stories  # noqa: E402
from tool import Records, run, write_result  # noqa: E402

PROMPTS, SAMPLES, TOKENS, WORDS, OWN_WORDS = 50, 4, 32, 12, 24
# By chain: what its settings are called, and the rules. "--hold" is generate's option, not a rule.
CHAINS = {
    "greedy": {"": ["greedy"]},
    "temperature": {f"{t}": [f"temperature={t}"] for t in (0.5, 0.7, 0.85, 1.0)},
    "top-p": {f"{p}": [f"top-p={p}"] for p in (0.7, 0.85, 0.95)},
    "min-p": {f"{p}": [f"min-p={p}"] for p in (0.2, 0.1, 0.03)},
    "llama.cpp's default": {"": ["top-k=40", "top-p=0.95", "min-p=0.05", "temperature=0.8"]},
    "typical": {f"{p}": [f"typical={p}"] for p in (0.7, 0.9)},
    "top-h": {f"{a}": [f"top-h={a}"] for a in (0.2, 0.4, 0.6)},
    "p-less": {"": ["p-less"]},
    "edt": {f"{t}": [f"edt=1,theta={t}"] for t in (2,)},
    "mirostat": {f"{t}": [f"mirostat-v2={t}"] for t in (2, 3, 4)},
    "adaptive-p": {f"{p}": ["min-p=0.05", f"adaptive-p={p}"] for p in (0.7, 0.5, 0.3)},
    "target entropy": {f"{h}": ["min-p=0.02", f"target-entropy={h}"] for h in (0.5, 1, 1.5, 2)},
    "held mean": {f"{h}": ["min-p=0.02", "--hold", f"{h}"] for h in (0.5, 1.5)},
}
MEASURES = ("self_bleu", "distinct_2", "compression_ratio", "seq_rep_4", "semantic_entropy", "logprob")


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def prompts(texts, n):
    """The first words of stories, and those that came then."""
    words = [story.split() for story in stories(texts)]
    enough = [w for w in words if len(w) >= WORDS + OWN_WORDS][:n]
    return [{"id": f"story {i + 1}", "prompt": " ".join(w[:WORDS]), "completion": " " + " ".join(w[WORDS:WORDS + OWN_WORDS])}
            for i, w in enumerate(enough)]


def arguments_of(rules):
    """Of generate."""
    held = rules[rules.index("--hold"):] if "--hold" in rules else []
    return [a for rule in rules[:len(rules) - len(held)] for a in ("--rule", rule)] + held


def generated(work, path, rules, samples, tokens):
    """The trace of a chain, made where it is not there yet."""
    command = ["generate", *arguments_of(rules), "--samples", samples, "-n", tokens, "--seed", 1]
    with open(path, "rb") as file:
        key = hashlib.sha256(file.read() + json.dumps(command).encode()).hexdigest()[:16]
    trace = os.path.join(work, key + ".jsonl")
    if not os.path.exists(trace):
        model = ["-m", os.environ["ENTROL_MODEL"]] if os.environ.get("ENTROL_MODEL") else []
        run(*command, *model, "-t", 1, "-f", path, "--trace", trace, "-o", os.path.join(work, key + ".texts"))
    return trace


def measured(trace):
    """What report says of the samples of each prompt, and how the entropy of what was drawn from was held."""
    report = json.loads(run("report", "--diversity", "--json", trace))
    records = Records(trace)
    of_texts = records.mean("sampled_entropy")
    return {
        **{name: report["mean_over_prompts"][name] for name in MEASURES},
        "of_prompts": {name: [p[name] for p in report["of_prompts"]] for name in ("self_bleu", "logprob")},
        "tokens": report["units"],
        "sampled_entropy": {"mean": records["sampled_entropy"].mean(), "of_tokens": records["sampled_entropy"].std(ddof=1),
                            "of_texts": of_texts.std(ddof=1)},
        "surprise": {"mean": -records["sampled_logprob"].mean(), "of_texts": records.mean("sampled_logprob").std(ddof=1)},
    }


def own(work, lines):
    """The same of the stories' own words, one of a prompt: no measure of samples."""
    path = os.path.join(work, "own.jsonl")
    write_lines(path, lines)
    scored = os.path.join(work, "own.scored.jsonl")
    model = ["-m", os.environ["ENTROL_MODEL"]] if os.environ.get("ENTROL_MODEL") else []
    run("score", *model, "-o", scored, path)
    report = json.loads(run("report", "--diversity", "--json", "--label", "completion", scored))
    return {name: report["mean_over_prompts"][name] for name in ("logprob", "seq_rep_4")}


def main(texts, work, results, quick=False):
    os.makedirs(work, exist_ok=True)
    n, samples, tokens = (4, 2, 16) if quick else (PROMPTS, SAMPLES, TOKENS)
    lines = prompts(texts, n)
    path = os.path.join(work, "prompts.jsonl")
    write_lines(path, [{"id": line["id"], "prompt": line["prompt"]} for line in lines])
    points = [(chain, *point) for chain, settings in CHAINS.items() for point in list(settings.items())[:2 if quick else None]]

    def found(point):
        chain, setting, rules = point
        result = {"chain": chain, "setting": setting, "rules": rules, **measured(generated(work, path, rules, samples, tokens))}
        print(f"entrol: {chain} {setting}", file=sys.stderr)
        return result

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # of processes of one thread each
        found = list(pool.map(found, points))
    write_result(results, "chains", {"prompts": n, "samples": samples, "tokens": tokens, "own": own(work, lines), "chains": found})


if __name__ == "__main__":
    main(*sys.argv[1:4], quick=sys.argv[4:] == ["--quick"])

"""Writes the tables of docs/purposes.md from the results: page.py RESULTS PAGE"""
import json
import os
import sys

from texts import BROKEN, REPEATED, SOUND

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tables import fill, table  # noqa: E402

STATISTICS = ("entropy", "surprisal", "surprisal - entropy")


def percent(share):
    return "" if share is None else f"{100 * share:.1f} %"


def ranged(found):
    low, high = found["interval"]
    return f"{found['auc']:.2f} ({low:.2f} to {high:.2f})"


def made(result):
    rows = [[name.removesuffix(".scored.jsonl"), m["counts"]["documents"], f"{m['counts']['tokens']:,}"]
            for case in ("labels", "noise", "defects") for name, m in result[case]["made_with"].items()]
    with_what = next(iter(result["labels"]["made_with"].values()))
    return table(["corpus", "documents", "tokens"], rows) + (
        f"\nEntrol {with_what['entrol']}, {with_what['model_description']} (SHA-256 {with_what['model_sha256'][:8]}), "
        f"llama.cpp {with_what['llama_cpp']}, kernels {with_what['cpu']}. Texts from\n" +
        ",\n".join(f"`{name}`" for name in result["texts"]["packages"]) + ".\n")


def noise_auc(result):
    auc, sought = result["noise"]["auc"], result["noise"]["sought"]
    head = {"damaged": "all tokens of damaged words", "first": "their first tokens", "later": "their other tokens",
            "after": "the token after"}
    return table(["by"] + [f"{name} ({sought[s]})" for s, name in head.items()],
                 [[by] + [ranged(auc[s][by]) for s in head] for by in auc["damaged"]])


def noise_rules(result):
    return table(["rule", "masked", "of damaged words' tokens", "of all other tokens", "damaged words touched", "damaged, of what is masked"],
                 [[f"`{r['rule']}`", *map(percent, (r["share_out"], r["damaged_out"], r["others_out"], r["words_touched"],
                                                    r["damaged_among_out"]))] for r in result["noise"]["rules"]])


def defect_groups(result):
    return table(["kind", "documents", "entropy", "surprisal", "surprisal - entropy", "perplexity"],
                 [[g["kind"], g["documents"], *(f"{g[s]:.2f}" for s in STATISTICS), f"{g['perplexity']:.0f}"]
                  for g in sorted(result["defects"]["groups"], key=lambda g: g["surprisal"])])


def defect_pairs(result):
    pairs = {(p["broken"], p["sound"]): p for p in result["defects"]["pairs"]}
    return table(["broken", "by", *(f"against {sound}" for sound in SOUND)],
                 [[broken, by] + [f"{pairs[broken, sound][by]['auc']:.2f}" for sound in SOUND] for broken in BROKEN for by in STATISTICS])


def defect_totals(result):
    found = result["defects"]
    return table(["by", "all broken against all sound", "repeated against all sound, by low values"],
                 [[by, ranged(found["broken_against_sound"][by]), ranged(found["repeated_by_low_values"][by])] for by in STATISTICS])


def defect_worst(result):
    defects, kinds = result["defects"], [*BROKEN, REPEATED, *SOUND]
    rows = [["documents", f"`--level sample --by {w['by']} --keep high:{w['kept']}`", w["kinds"]] for w in defects["worst"]]
    rows += [["tokens", f"`{t['rule']}`", t["kinds"]] for t in defects["tokens"]]
    rows += [["tokens", "all", {g["kind"]: g["tokens"] for g in defects["groups"]}]]
    return table(["of the", "rule", *kinds, "broken, of all these"],
                 [[what, rule, *(found[k] for k in kinds), percent(sum(found[k] for k in BROKEN) / sum(found.values()))]
                  for what, rule, found in rows])


def learning_budgets(result):
    learning = result["learning"]
    shown = [f"{100 * b:.0f} %" for b in learning["shown_budgets"]]
    names = {"stories": "stories", "sound": "five kinds"}
    head = ["order"] + [f"{names[p]}: {b}" for p in names for b in shown]
    return table(head, [[o] + [percent(x) for p in names for x in learning[p]["at"]["misses"][o]]
                        for o in learning["stories"]["at"]["misses"]])


def learning_losses(result):
    learning, at = result["learning"], result["learning"]["shown_budgets"].index(0.2)
    head = ["order"] + [f"{name}: {what}" for name in ("stories", "five kinds") for what in ("loss", "excess loss")]
    return table(head, [[o] + [percent(learning[p]["at"][g][o][at]) for p in ("stories", "sound") for g in ("loss", "excess loss")]
                        for o in learning["stories"]["at"]["loss"]])


def learning_documents(result):
    rows = result["learning"]["stories"]["a_fifth_of_the_documents"]
    return table(["order", "tokens to label", "errors found"], [[o, percent(r["tokens"]), percent(r["misses"])] for o, r in rows.items()])


def learning_kinds(result):
    return table(["order", *SOUND], [[o, *kinds.values()] for o, kinds in result["learning"]["sound"]["its_kinds"].items()])


def label_rules(result):
    def two(part):
        return [percent(part["accuracy"]), f"{part['loss']:.2f}"]
    return table(["rule", "kept", "kept: labels right", "kept: loss", "dropped: labels right", "dropped: loss", "of all loss, kept"],
                 [[f"`{r['rule']}`", percent(r["kept"]), *two(r["tokens_kept"]), *two(r["tokens_dropped"]), percent(r["loss_kept"])]
                  for r in result["labels"]["rules"]])


def label_fifths(result):
    return table(["tokens by entropy", "labels right", "mean top_prob", "mean surprisal", "mean entropy"],
                 [[f"`{f['percentiles']}`", percent(f["accuracy"]), percent(f["top_prob"]), f"{f['surprisal']:.2f}", f"{f['entropy']:.2f}"]
                  for f in result["labels"]["fifths"]])


def label_risk(result):
    def row(name, r):
        bounds = "{:.3f} to {:.3f}".format(*r["interval"]) if "interval" in r else ""
        less = [r["entropy_minus_this"], *r["interval_of_difference"]] if "entropy_minus_this" in r else None
        return [name, f"{r['aurc']:.3f}", bounds, "{:+.3f} ({:+.3f} to {:+.3f})".format(*less) if less else ""]
    return table(["order", "AURC", "95 %", "entropy's minus this"], [row(*item) for item in result["labels"]["risk"].items()])


def fork_kinds(result):
    rows = [*result["forks"]["kinds"], result["forks"]["connectives"]]
    return table(["what the token is", "tokens", "of all", "of the top fifth", "of its kind in the top fifth", "mean entropy"],
                 [[r["kind"], f"{r['tokens']:,}", *(percent(r[part]) for part in ("of_all", "of_kept", "kept_of_kind")),
                   f"{r['entropy']:.2f}"] for r in rows])


def fork_summary(result):
    f = result["forks"]
    return table(["", "figure"], [
        ["threshold of the top fifth", f"{f['threshold']:.2f} nats"], ["its share of all entropy", percent(f["entropy_in_kept"])],
        ["its share of all loss", percent(f["loss_in_kept"])], ["labels right in it", percent(f["right_of_kept"])],
        ["tokens below 0.01 nats", percent(f["below_0.01"])],
        ["connectives in it, 95 % of resamples", " to ".join(percent(x) for x in f["connectives"]["interval"])],
        *([f"in it, after {r['kind']}", percent(r["kept_of_kind"])] for r in f["after"][:2])])


TABLES = (made, noise_auc, noise_rules, defect_groups, defect_pairs, defect_totals, defect_worst, learning_budgets, learning_losses,
          learning_documents, learning_kinds, label_rules, label_fifths, label_risk, fork_kinds, fork_summary)


def read(results):
    found = {}
    for name in "texts", "noise", "defects", "learning", "labels", "forks":
        with open(os.path.join(results, name + ".json"), encoding="utf-8") as file:
            found[name] = json.load(file)
    return found


if __name__ == "__main__":
    fill(sys.argv[2], TABLES, read(sys.argv[1]))

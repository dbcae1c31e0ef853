"""Draws the pictures of docs/purposes.md from the results: draw.py RESULTS IMAGES. Needs matplotlib."""
import json
import os
import sys

from texts import BROKEN, REPEATED, SOUND

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas, save  # noqa: E402

COLORS = {"entropy": BLUE, "surprisal": ORANGE, "surprisal - entropy": GREEN, "rank": PURPLE, "varentropy": GREY}
KINDS = {"news": (BLUE, "o"), "manual": (GREEN, "o"), "German": (PURPLE, "o"), "Chinese": (ORANGE, "o"), "code": (GREY, "o"),
         "shuffled": (RED, "x"), "garbage": ("black", "x"), "swapped": (RED, "+"), "misread": ("black", "+"), REPEATED: (GREY, "s")}

HEIGHT = 4.2


def noise(result):
    figure, (left, right) = canvas("all tokens of damaged words", "the area under the curve, by token: 0.5 is chance", height=HEIGHT)
    for name, color in COLORS.items():
        left.plot(result["roc"][name]["false_positives"], result["roc"][name]["true_positives"], color=color, label=name)
    left.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
    left.set(xlabel="share of the other tokens taken", ylabel="share of damaged tokens found", xlim=(0, 1), ylim=(0, 1.01))
    left.legend(fontsize=8, frameon=False, loc="lower right")
    where = {"first": "first token of\na damaged word", "later": "its other\ntokens", "after": "the token\nafter it"}
    for i, (name, color) in enumerate(COLORS.items()):
        for x, sought in enumerate(where):
            found = result["auc"][sought][name]
            right.plot([x + 0.12 * (i - 2)] * 2, found["interval"], color=color, linewidth=2)
            right.plot(x + 0.12 * (i - 2), found["auc"], "o", color=color, markersize=5)
    right.axhline(0.5, color="#888888", linewidth=1)
    right.set_xticks(range(len(where)), where.values(), fontsize=9)
    right.set(ylim=(0.4, 1), xlim=(-0.5, 2.5))
    return figure


def defects(result):
    figure, (axes,) = canvas("one mark a document: sound o, broken x and +", width=5.6, height=HEIGHT)
    for kind in (*SOUND, *BROKEN, REPEATED):
        color, mark = KINDS[kind]
        documents = [d for d in result["documents"] if d["kind"] == kind]
        axes.scatter([d["entropy"] for d in documents], [d["surprisal"] for d in documents], 28, color, mark, label=kind, alpha=0.8,
                     linewidths=1.2)
    end = max(d["entropy"] for d in result["documents"])
    axes.plot([0, end], [0, end], color="#888888", linewidth=1)
    axes.annotate("surprisal = entropy", (0.75 * end, 0.73 * end), fontsize=8, color="#666666", va="top")
    axes.set(xlabel="mean entropy (nats): how unsure", ylabel="mean surprisal (nats): how wrong", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="upper left")
    return figure


def learning(result):
    figure, panels = canvas(f"{result['stories']['documents']} stories of one kind",
                            f"{result['sound']['documents']} passages of five kinds", height=HEIGHT, sharey=True)
    shown = {"most errors first": ("black", ":"), "surprisal_mean": (ORANGE, "-"), "entropy_mean": (BLUE, "-"),
             "sum of entropy": (GREEN, "--"), "longest first": (PURPLE, "--"), "shortest first": (GREY, "--")}
    for axes, name in zip(panels, ("stories", "sound")):
        curves, budgets = result[name]["curves"], [100 * b for b in result["budgets"]]

        def gained(curve):
            return [100 * y - x for x, y in zip(budgets, curve)]
        axes.fill_between(budgets, gained(curves["random, low"]), gained(curves["random, high"]), color="#dddddd", label="random: 95 of 100")
        for order, (color, line) in shown.items():
            axes.plot(budgets, gained(curves[order]), line, color=color, label=order, linewidth=1.6)
        axes.set(xlabel="budget: % of all tokens", xlim=(0, 100))
    panels[0].set_ylabel("errors found beyond the budget's share (% points)")
    panels[0].legend(fontsize=8, frameon=False, loc="lower left", ncols=2)
    return figure


def labels(result):
    figure, (left, right) = canvas("accuracy of the labels that are kept", "five fifths by entropy: what the model says and what is", height=HEIGHT)
    for name, color in (("entropy", BLUE), ("top_prob", ORANGE), ("margin", GREEN)):
        left.plot(result["shares"], result["accuracy_of_kept"][name], color=color, label=f"surest by {name}", marker=".", markersize=4)
    left.axhline(result["accuracy"], color="#888888", linewidth=1, label="no order")
    left.set(xlabel="% of the tokens kept", ylabel="share of kept labels that are right", xlim=(0, 100), ylim=(0, 1))
    left.legend(fontsize=8, frameon=False)
    fifths = range(1, 6)
    for name, color, label in (("top_prob", ORANGE, "mean top_prob: how sure it is"),
                               ("accuracy", "black", "accuracy: how often it is right")):
        right.plot(fifths, [f[name] for f in result["fifths"][:5]], color=color, marker="o", label=label)
    right.set_xticks(fifths, ["surest", "2nd", "3rd", "4th", "least sure"])
    right.set(ylim=(0, 1))
    right.legend(fontsize=8, frameon=False)
    return figure


def forks(result):
    figure, (left, right) = canvas("what the token is", "what the token before it is", height=HEIGHT)
    for axes, rows in ((left, result["kinds"]), (right, result["after"])):
        rows = [r for r in rows[::-1] if not r["kind"].startswith("nothing")]
        axes.barh([r["kind"] for r in rows], [100 * r["kept_of_kind"] for r in rows], color=BLUE, height=0.6)
        axes.axvline(100 * result["kept"], color=ORANGE, linewidth=1.5)
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set(xlabel="% of them in the top fifth by entropy", xlim=(0, 45))
        axes.grid(axis="y", visible=False)
    left.text(100 * result["kept"], 0, "  of all tokens", color=ORANGE, fontsize=8, va="center")
    return figure


PICTURES = (noise, defects, learning, labels, forks)


def main(results, images):
    for picture in PICTURES:
        with open(os.path.join(results, picture.__name__ + ".json"), encoding="utf-8") as file:
            save(picture(json.load(file)), os.path.join(images, f"purpose-{picture.__name__}.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])

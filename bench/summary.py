"""The figures of the README from what scripts/bench measured: bench/summary.py RESULTS.jsonl prints a table in Markdown."""
import json
import sys


def spread(values):
    return f"{values['median']:.2g} ({values['min']:.2g} to {values['max']:.2g})" if values["max"] < 10 else \
        f"{values['median']:.0f} ({values['min']:.0f} to {values['max']:.0f})"


def main(path):
    with open(path, encoding="utf-8") as file:
        machine, *results = map(json.loads, file)
    print(f"{machine['processor']}, {machine['processors']} processors, {machine['compiler']}, commit {machine['commit']}: "
          f"`{machine['command']}`, {machine['date']}\n")
    print("| case | threads | beside | ratio: median (least to greatest) |\n|---|---|---|---|")
    for r in results:
        ratio = "ratio_to_limit" if "ratio_to_limit" in r else "ratio_to_peer" if "ratio_to_peer" in r else None
        if ratio and not (ratio == "ratio_to_limit" and r["rows"] == 1):
            beside = f"{r['limit']}, a share" if ratio == "ratio_to_limit" else f"{r['peer']}, times faster"
            print(f"| {r['case']}, {r['dtype']}, {r['rows']:,} x {r['columns']:,} | {r['threads']} | {beside} | {spread(r[ratio])} |")


if __name__ == "__main__":
    main(sys.argv[1])

"""Makes the corpora, scores them and runs the five cases: run.py TEXTS WORK RESULTS [--quick]

scripts/cases calls this. TEXTS is the folder of unpacked packages, WORK keeps corpora and records from run to run, and
RESULTS gets one JSON file a case. --quick takes a tenth of the text.
"""
import sys

import defects
import forks
import labels
import learning
import noise
import texts
import tool

STORIES, EACH = 44, 16  # about 30,000 tokens in all


def main(folder, work, results, quick=False):
    texts.make(folder, work, *((4, 2) if quick else (STORIES, EACH)))
    tool.write_result(results, "texts", {"packages": texts.packages(folder)})
    for case in noise, defects, learning, labels, forks:
        print(f"entrol: the case of {case.__doc__.split(':')[0].lower()}", file=sys.stderr)
        case.main(work, results)


if __name__ == "__main__":
    main(*sys.argv[1:4], quick=sys.argv[4:] == ["--quick"])

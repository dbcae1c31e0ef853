#!/usr/bin/env bash
# llama-perplexity beside Entrol on the same text, in turn: perplexities, seconds, scored tokens a second.
#
#   bench/perplexity.sh LLAMA_BIN TEXT MODEL [THREADS [CONTEXT [BATCH [ROUNDS]]]]
#
# LLAMA_BIN is the folder of llama-perplexity (or the program), built from the llama.cpp that Entrol is linked with; - builds
# one from that source into the cache (minutes, once). MODEL may be -: the default model. THREADS is 2, CONTEXT 512, BATCH
# CONTEXT, ROUNDS 3 by default. BATCH is -b and -ub of all three. The command is build/entrol, or $ENTROL. Each program runs
# ROUNDS times, by turns, so that whatever else the machine does falls on all alike; the table has the median and the least
# seconds of each.
#
# Scored tokens: llama-perplexity and --compat count the second half of each chunk; plain score counts every token. Its
# text is cut into documents no longer than the context, since the comparison is at the same context.
set -eu

if [ $# -lt 3 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
. "$(dirname "$0")/../scripts/setup.sh"
if [ "$1" = - ]; then
    setup_packages build
    setup_llama_perplexity
    set -- "$LLAMA_PERPLEXITY" "${@:2}"
fi
if [ "$3" = - ]; then
    setup_model
    set -- "$1" "$2" "$ENTROL_MODEL" "${@:4}"
fi
peer=$1 text=$2 model=$3 threads=${4:-2} context=${5:-512} batch=${6:-${5:-512}} rounds=${7:-3}
[ -d "$peer" ] && peer=$peer/llama-perplexity
entrol=${ENTROL:-$(dirname "$0")/../build/entrol}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# seconds NAME COMMAND...: appends the seconds to NAME.seconds; what the command says goes to NAME.log.
seconds() {
    name=$1
    shift
    start=$(date +%s.%N)
    "$@" >"$work/$name.out" 2>"$work/$name.log" || {
        cat "$work/$name.log" >&2
        exit 1
    }
    echo "$start $(date +%s.%N)" | awk '{ print $2 - $1 }' >>"$work/$name.seconds"
}

# The text as documents that fit the context: words and characters have more than three bytes a token.
split_text() {
    python3 - "$text" "$context" >"$work/documents.jsonl" <<'PYTHON'
import json, sys
text, size = open(sys.argv[1], encoding="utf-8").read(), 3 * int(sys.argv[2])
while text:
    cut = text.rfind(" ", 1, size) if len(text) > size else len(text)
    cut = cut if cut > 0 else size
    print(json.dumps({"text": text[:cut]}))
    text = text[cut:]
PYTHON
}

split_text
common="-m $model -t $threads -c $context -b $batch -ub $batch"
for ((round = 1; round <= rounds; round++)); do
    # shellcheck disable=SC2086 # flags, not a file name
    seconds peer "$peer" -f "$text" $common
    # shellcheck disable=SC2086
    seconds compat "$entrol" score --compat llama-perplexity --verbose $common "$text"
    # shellcheck disable=SC2086
    seconds plain "$entrol" score --verbose $common "$work/documents.jsonl"
done

python3 - "$work" "$context" <<'PYTHON'
import json, re, statistics, sys
work, context = sys.argv[1], int(sys.argv[2])


def log(name):
    return open(f"{work}/{name}.log").read() + (open(f"{work}/{name}.out").read() if name == "peer" else "")


def estimate(name):
    found = re.search(r"Final estimate: PPL = (\S+ \+/- \S+)", log(name))
    return found.group(1) if found else "none"


def records(name):
    return sum(len(json.loads(line)["entropy"]) for line in open(f"{work}/{name}.out"))


times = {name: [float(line) for line in open(f"{work}/{name}.seconds")] for name in ("peer", "compat", "plain")}
chunks = int(re.search(r"over (\d+) chunks", log("peer")).group(1))
scored = {"peer": chunks * (context - 1 - context // 2), "compat": records("compat"), "plain": records("plain")}
names = {"peer": "llama-perplexity", "compat": "entrol --compat", "plain": "entrol score"}
perplexity = {"peer": estimate("peer"), "compat": estimate("compat"), "plain": ""}
rate = {name: scored[name] / statistics.median(times[name]) for name in times}
print(f"{'':18}{'perplexity':>24}{'scored':>8}{'median s':>10}{'least s':>9}{'scored/s':>10}{'ratio':>7}")
for name in times:
    print(f"{names[name]:18}{perplexity[name]:>24}{scored[name]:8}{statistics.median(times[name]):10.2f}"
          f"{min(times[name]):9.2f}{rate[name]:10.1f}{rate[name] / rate['peer']:7.2f}")
for name in ("compat", "plain"):
    print(f"{names[name]}: " + " ".join(re.findall(r"^time +(.*)$", log(name), re.M)))
if perplexity["peer"] != perplexity["compat"]:
    sys.exit("the perplexities differ")
PYTHON

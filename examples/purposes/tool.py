"""What the cases share: calling the command, and reading what it wrote."""
import json
import os
import re
import subprocess

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMAND = os.environ.get("ENTROL", os.path.join(ROOT, "build", "entrol"))
SHOWN = ("entrol", "model_description", "model_sha256", "llama_cpp", "cpu", "counts")  # of a manifest


class Records:
    """A scored file: the fields of each document, and each column as one array over the tokens of all documents."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.documents = [json.loads(line) for line in file]
        self.path = path
        self.n_tokens = np.array([len(d["entropy"]) for d in self.documents])
        self.document = np.repeat(np.arange(len(self.documents)), self.n_tokens)  # of each token

    def __getitem__(self, column):
        if column == "surprisal":
            return -self["logprob"]
        if column == "surprisal - entropy":
            return self["surprisal"] - self["entropy"]
        return np.concatenate([np.array(d[column], float) for d in self.documents])

    def mean(self, column):
        """Of each document."""
        return np.bincount(self.document, self[column]) / self.n_tokens

    def fields(self, name):
        return np.array([d.get(name) for d in self.documents])

    def manifest(self):
        with open(self.path + ".manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        return {name: manifest[name] for name in SHOWN}


def run(*arguments):
    """What `entrol` prints; where it fails, what it says of that."""
    done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return done.stdout.decode()


def score(corpus):
    """The records of CORPUS.jsonl, in CORPUS.scored.jsonl: scored once, since --resume knows what is done."""
    path = corpus.removesuffix(".jsonl") + ".scored.jsonl"
    model = ["-m", os.environ["ENTROL_MODEL"]] if os.environ.get("ENTROL_MODEL") else []
    run("score", *model, "--columns", "all", "--resume", "-o", path, corpus)
    return Records(path)


def kept(records, *rule):
    """True for each token that `entrol select RULE` keeps."""
    lines = run("select", *rule, records.path).splitlines()
    return np.concatenate([np.array(json.loads(line)["keep"], bool) for line in lines])


def chosen(records, *rule):
    """The numbers of the documents that `entrol select --level sample RULE` keeps."""
    lines = run("select", "--level", "sample", "--emit", "samples", *rule, records.path).splitlines()
    number = {d["id"]: i for i, d in enumerate(records.documents)}
    return [number[json.loads(line)["id"]] for line in lines]


def write_result(folder, name, result, *scored):
    """FOLDER/NAME.json: what the table and the picture are made of, and with which program and model."""
    os.makedirs(folder, exist_ok=True)
    result = {"case": name, **({"made_with": {os.path.basename(r.path): r.manifest() for r in scored}} if scored else {}), **result}
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as file:
        text = json.dumps(rounded(result), indent=1, ensure_ascii=False)
        file.write(re.sub(r"\[[-\d.,\s]+\]", lambda numbers: "[" + " ".join(numbers.group()[1:-1].split()) + "]", text) + "\n")


def rounded(value):
    """Four digits are more than a corpus of this size supports."""
    if isinstance(value, dict):
        return {name: rounded(v) for name, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(v) for v in value]
    return value if isinstance(value, (str, bool, int)) or value is None else round(float(value), 4)

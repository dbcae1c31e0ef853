"""From texts to masks for trainers: what a trainer reads is what the model read, start token, prompt and turns included."""
import json
import os
import subprocess
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
MODEL = os.environ.get("ENTROL_MODEL", "")


@unittest.skipUnless(MODEL, "needs ENTROL_MODEL")
class Training(unittest.TestCase):
    def entrol(self, *arguments, stdin):
        done = subprocess.run([ENTROL, *arguments], input=stdin, capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def score(self, *documents, flags=()):
        return self.entrol("score", "-m", MODEL, *flags, stdin=b"".join(json.dumps(d).encode() + b"\n" for d in documents))

    def emit(self, form, records, *flags):
        return self.entrol("select", "--keep=0..", "--emit", form, *flags,
                           stdin=b"".join(json.dumps(r).encode() + b"\n" for r in records))

    def test_a_completion_is_learnt_after_its_prompt(self):
        prompt, completion = "The capital of France is", " Paris, and that of Italy is Rome."
        [whole, part] = self.score({"text": prompt + completion}, {"prompt": prompt, "completion": completion})
        [[row, bos]] = whole["context_ids"]
        self.assertEqual((row, len(bos)), (0, 1))
        n_prompt = len(whole["token_id"]) - len(part["token_id"])
        everything = bos + whole["token_id"]
        self.assertEqual(part["context_ids"], [[0, everything[:1 + n_prompt]]])
        labels = self.emit("labels", [whole, part])
        self.assertEqual([line["input_ids"] for line in labels], [everything, everything])
        self.assertEqual(labels[0]["labels"], [-100] + whole["token_id"])
        self.assertEqual(labels[1]["labels"], [-100] * (1 + n_prompt) + part["token_id"])

    def test_a_conversation_is_read_whole_whoever_is_learnt_from(self):
        messages = [{"role": "user", "content": "Name a colour."}, {"role": "assistant", "content": "Blue."},
                    {"role": "user", "content": "And a fruit."}, {"role": "assistant", "content": "A ripe pear."}]
        inputs = []
        for role in ("user", "assistant", "all"):
            records = self.score({"messages": messages}, flags=("--score-role", role, "--chat-template", "gemma"))
            [line] = self.emit("trl", records)
            inputs.append(line["input_ids"])
            learnt = [i for i, mask in zip(line["input_ids"], line["assistant_masks"]) if mask]
            self.assertEqual(learnt, records[0]["token_id"])
        self.assertEqual(inputs[0], inputs[1])
        self.assertEqual(inputs[0], inputs[2])

    def test_only_beside_ids(self):
        text = {"text": "One two."}
        for flags in (("--columns", "entropy"), ("--level", "sample")):
            [record] = self.score(text, flags=flags)
            self.assertNotIn("context_ids", record)


if __name__ == "__main__":
    unittest.main()

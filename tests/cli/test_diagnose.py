"""entrol diagnose: the three forms of a log give one diagnosis, against the run's own figures; bad logs are named."""
import json
import math
import os
import random
import subprocess
import tempfile
import unittest

ENTROL = os.environ.get("ENTROL", "build/entrol")
RUNS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runs")


def run(*arguments, data=None):
    """(exit code, standard output, standard error) of entrol diagnose."""
    done = subprocess.run([ENTROL, "diagnose", *arguments], input=data, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lines(n=200, first=1.0, floor=0.02, a=0.15, b=0.8, seed=5, names=("step", "entropy", "reward")):
    """JSON Lines of a run that follows the law, and its entropies and rewards."""
    random.seed(seed)
    entropies = [floor + first * math.exp(-t / (n / 6)) for t in range(n)]
    rewards = [b - a * math.exp(h) + 0.005 * random.gauss(0, 1) for h in entropies]
    text = "".join(json.dumps(dict(zip(names, (t + 1, h, r)))) + "\n" for t, (h, r) in enumerate(zip(entropies, rewards)))
    return text.encode(), entropies, rewards


def diagnose(data, *arguments):
    code, out, err = run("-", "--json", *arguments, data=data)
    assert (code, err) == (0, ""), err
    return json.loads(out)


class Formats(unittest.TestCase):
    """What TRL, verl and Stable-Baselines3 write of one run (tests/cli/runs/make.py)."""

    def test_one_run_in_three_forms(self):
        found = {}
        for name, entropy, reward in (("trainer_state.json", "entropy", "reward"), ("metrics.jsonl", "actor/entropy", "critic/rewards/mean"),
                                      ("progress.csv", "train/entropy_loss", "rollout/ep_rew_mean")):
            code, out, err = run("--json", os.path.join(RUNS, name))
            self.assertEqual((code, err), (0, ""))
            found[name] = json.loads(out)
            self.assertEqual((found[name].pop("entropy_from"), found[name].pop("reward_from")), (entropy, reward))
            self.assertEqual(os.path.basename(found[name].pop("file")), name)
            self.assertEqual(found[name].pop("rows_without_entropy"), int(name == "progress.csv"))  # its first row
        self.assertEqual(found["trainer_state.json"], found["metrics.jsonl"])
        self.assertEqual(found["progress.csv"], found["metrics.jsonl"])

    def test_its_figures(self):
        """Of the run's own rows, worked out here."""
        rows = []
        with open(os.path.join(RUNS, "metrics.jsonl"), encoding="utf-8") as file:
            for row in map(json.loads, file):
                if "actor/entropy" in row["data"]:
                    rows.append((row["step"], row["data"]["actor/entropy"]))
        found = json.loads(run("--json", os.path.join(RUNS, "metrics.jsonl"))[1])
        first = sum(h for _, h in rows[:3]) / 3
        last = sum(h for _, h in rows[-3:]) / 3
        self.assertEqual((found["steps"], found["mean_of_steps"]), (80, 3))
        self.assertAlmostEqual(found["entropy_first"], first, 12)
        self.assertAlmostEqual(found["entropy_last"], last, 12)
        self.assertAlmostEqual(found["gone"], 1 - last / first, 12)
        self.assertEqual(found["early_step"], 180)
        pairs = [rows[0][1]] + [(before + h) / 2 for (_, before), (_, h) in zip(rows, rows[1:])]  # half of three rows is two
        self.assertAlmostEqual(found["early_gone"], 1 - pairs[5] / first, 12)
        self.assertEqual(found["half_step"], next(step for (step, _), h in zip(rows, pairs) if h <= first / 2))
        self.assertEqual(found["collapse_step"], next(step for step, h in rows if h < first / 10))
        self.assertTrue(found["collapsed_at_the_end"])
        # The run was made with a ceiling of 0.65, a = 0.15 and a correlation of 0.7.
        self.assertLess(found["fit"]["low"], 0.65)
        self.assertGreater(found["fit"]["high"], 0.65)
        self.assertAlmostEqual(found["fit"]["ceiling"], 0.65, delta=0.01)
        self.assertAlmostEqual(found["fit"]["autocorrelation"], 0.7, delta=0.25)

    def test_a_log_history_alone_and_on_one_line(self):
        with open(os.path.join(RUNS, "trainer_state.json"), encoding="utf-8") as file:
            state = json.load(file)
        whole = json.loads(run("--json", os.path.join(RUNS, "trainer_state.json"))[1])
        for text in (json.dumps(state), json.dumps(state["log_history"]), json.dumps(state["log_history"], indent=1), "\n\n" + json.dumps(state)):
            found = diagnose(text.encode())
            found["file"] = whole["file"]
            self.assertEqual(found, whole)

    def test_packed(self):
        import gzip
        data = lines()[0]
        self.assertEqual(diagnose(gzip.compress(data)), diagnose(data))

    def test_csv_of_all_kinds(self):
        _, entropies, rewards = lines(50)
        rows = list(zip(range(1, 51), entropies, rewards))
        plain = diagnose(("step,entropy,reward\n" + "".join(f"{t},{h!r},{r!r}\n" for t, h, r in rows)).encode())
        for text in ("step\tentropy\treward\n" + "".join(f"{t}\t{h!r}\t{r!r}\n" for t, h, r in rows),
                     '"step","entropy","note, ""quoted""\nand long","reward"\r\n' + "".join(f'{t},"{h!r}","a, b\nc",{r!r}\r\n' for t, h, r in rows),
                     "\ufeffstep, entropy, reward\n" + "".join(f"{t}, {h!r}, {r!r}\n\n" for t, h, r in rows)):
            self.assertEqual(diagnose(text.encode()), plain)

    def test_rewards_of_other_rows(self):
        """CleanRL logs an episode where it ends, and an entropy where a batch does."""
        rows = ["global_step,losses/entropy,charts/episodic_return\n"]
        entropies, rewards = [], []
        random.seed(8)
        for t in range(60):
            entropies.append(0.1 + math.exp(-t / 10))
            returns = [2 - math.exp(entropies[-1]) + 0.1 * random.gauss(0, 1) for _ in range(random.randrange(1, 4))]
            rewards.append(sum(returns) / len(returns))
            rows += [f"{100 * t + i},,{value!r}\n" for i, value in enumerate(returns)] + [f"{100 * t + 99},{entropies[-1]!r},nan\n"]
        found = diagnose("".join(rows).encode())
        plain = diagnose(("global_step,entropy,reward\n" + "".join(f"{100 * t + 99},{h!r},{r!r}\n"
                                                                  for t, (h, r) in enumerate(zip(entropies, rewards)))).encode())
        self.assertEqual(found["rows_with_gathered_rewards"], 60)
        for name, value in plain["fit"].items():
            self.assertAlmostEqual(found["fit"][name], value, 12)
        self.assertIn("; 60 rows have the mean of the rewards logged since the row before\n", run("-", data="".join(rows).encode())[1])

    def test_a_named_column_is_what_it_is_unnamed(self):
        path = os.path.join(RUNS, "progress.csv")
        self.assertEqual(run("--json", path, "--entropy", "train/entropy_loss")[1], run("--json", path)[1])

    def test_words_for_no_number(self):
        found = diagnose(b"Step,entropy,reward\n5,1,NaN\n7,0.5,Infinity\n8,NAN,n/a\n9,0.25,-inf\n")
        self.assertEqual((found["steps"], found["early_step"], found["reward_last"], found["half_step"]), (3, 5, None, 7))

    def test_missing_values_are_left_out(self):
        data, _, _ = lines()
        with_holes = b'{"step": 0, "entropy": NaN, "reward": 0.1}\n' + data + b'{"step": 201, "entropy": null, "reward": -Infinity}\n\n{"step": 202, "eval": "NaN"}\n'
        found, plain = diagnose(with_holes), diagnose(data)
        self.assertEqual((found.pop("rows_without_entropy"), found.pop("rows_with_nan_entropy")), (0, 1))
        self.assertEqual((plain.pop("rows_without_entropy"), plain.pop("rows_with_nan_entropy")), (0, 0))
        self.assertEqual(found, plain)


    def test_a_nan_is_no_missing_value(self):
        data = b"entropy,reward\n1,1\nnan,2\n,3\n-inf,4\nNULL,\n0.5,5\n"
        found = diagnose(data)
        self.assertEqual((found["steps"], found["rows_with_nan_entropy"], found["rows_without_entropy"]), (2, 2, 1))
        self.assertIn("; 2 whose entropy is a NaN or infinite left out\n", run("-", data=data)[1])
        data = b'{"entropy": 1}\n{"entropy": NaN}\n{"entropy": -Infinity, "note": "\\"NaN"}\n{"entropy": null}\n{"entropy": "NaN"}\n{"step": 5}\n'
        found = diagnose(data)
        self.assertEqual((found["steps"], found["rows_with_nan_entropy"]), (1, 3))

    def test_numbers_within_objects(self):
        _, entropies, rewards = lines()
        plain = diagnose(lines()[0])
        for outer in ("{}", '{{"data": {}, "x": 1}}'):
            rows = [json.dumps({"train": {"policy": {"h": h}, "r/m": r}}) for h, r in zip(entropies, rewards)]
            data = "".join(outer.format(row) + "\n" for row in rows).encode()
            for joint in "/.":
                found = diagnose(data, "--entropy", joint.join(["train", "policy", "h"]), "--reward", "train" + joint + "r/m")
                self.assertEqual((found["fit"], found["gone"]), (plain["fit"], plain["gone"]))
        self.assertEqual(diagnose(b'{"actor": {"entropy": 1}}\n')["entropy_from"], "actor/entropy")
        self.assertEqual(diagnose(b'{"actor": {"entropy": 1}, "actor/entropy": 2}\n')["entropy_last"], 2)


class Findings(unittest.TestCase):
    def test_the_law_is_found(self):
        for a, b in ((0.15, 0.8), (2, 30)):
            fit = diagnose(lines(400, a=a, b=b)[0])["fit"]
            self.assertAlmostEqual(fit["a"], a, delta=0.01)
            self.assertAlmostEqual(fit["ceiling"], b - a, delta=0.01)
            self.assertTrue(fit["low"] < b - a < fit["high"])

    def test_confidence(self):
        data = lines()[0]
        wide, narrow = (diagnose(data, "--confidence", c)["fit"] for c in ("0.99", "0.5"))
        self.assertTrue(wide["low"] < narrow["low"] < narrow["ceiling"] < narrow["high"] < wide["high"])

    def test_no_ceiling_where_the_reward_falls(self):
        fit = diagnose(lines(a=-0.15)[0])["fit"]
        self.assertLess(fit["a"], 0)
        self.assertIsNone(fit["ceiling"])
        self.assertIn("the law gives no ceiling", run("-", data=lines(a=-0.15)[0])[1])

    def test_no_ceiling_where_entropies_are_below_0(self):
        """Of a continuous policy: H = 0 is nothing special. The law fits well here."""
        for shift, stands in ((-0.5, False), (0, True)):
            _, entropies, _ = lines()
            data = "".join(["entropy,reward\n"] + [f"{h + shift!r},{1 - math.exp(h + shift) + 0.001 * (-1) ** i!r}\n" for i, h in enumerate(entropies)]).encode()
            fit, out = diagnose(data)["fit"], run("-", data=data)[1]
            self.assertGreater(fit["r_squared"], 0.99)
            self.assertEqual((fit["ceiling"] is not None, fit["standing"]), (stands, "stands" if stands else "entropies below 0"))
            self.assertEqual("none is spent at H = 0, so there is no ceiling\n" in out, not stands)
            self.assertEqual("when the entropy is spent" in out, stands)

    def test_a_law_that_does_not_describe_the_run(self):
        random.seed(4)
        entropies = [3 - 0.01 * t for t in range(100)]
        noise = [random.gauss(0, 1) - 0.05 * math.exp(h) for h in entropies]  # little to explain
        random.seed(5)
        walk, wander = 0, []  # residuals as alike as can be
        for h in entropies:
            walk += random.gauss(0, 0.1)
            wander.append(walk - 0.05 * math.exp(h))
        for rewards, explains in ((noise, False), (wander, True)):
            data = "".join(["entropy,reward\n"] + [f"{h!r},{r!r}\n" for h, r in zip(entropies, rewards)]).encode()
            fit, out = diagnose(data)["fit"], run("-", data=data)[1]
            if fit["a"] <= 0:
                self.fail("a is not above 0: the data does not test this")
            self.assertEqual(fit["r_squared"] >= 0.1, explains)
            self.assertIn("the law does not describe this run: " + ("its ceiling's interval is wider than" if explains else "it explains less"), out)
            self.assertEqual(fit["high"] - fit["low"] > max(rewards) - min(rewards), explains)
            self.assertEqual(fit["standing"], "not described")
            self.assertIsNotNone(fit["ceiling"])
            self.assertNotIn("when the entropy is spent", out)
        self.assertEqual(diagnose(lines()[0])["fit"]["standing"], "stands")
        self.assertEqual(diagnose(lines(a=-0.15)[0])["fit"]["standing"], "not rising")

    def test_a_share_of_the_greatest_entropy(self):
        data = lines()[0]
        for flags in (["--actions", "9"], ["--max-entropy", repr(math.log(9))]):
            found = diagnose(data, "--target", "0.25max", *flags)["open_loop"]
            self.assertEqual({each["target"] for each in found}, {0.25 * math.log(9)})
        self.assertEqual(found, diagnose(data, "--target", repr(0.25 * math.log(9)))["open_loop"])

    def test_a_box_that_is_none(self):
        data = lines()[0]
        self.assertEqual([each["controller"] for each in diagnose(data, "--target", "0.7x")["open_loop"] if each["target"] is None], ["box"])
        self.assertIn("its high end, 0.6x, is not above the target\n", run("-", "--target", "0.7x", data=data)[1])

    def test_no_collapse(self):
        found = diagnose(lines(first=0.3, floor=0.7)[0])
        self.assertIsNone(found["collapse_step"])
        self.assertIsNone(found["half_step"])
        self.assertIn("no collapse", run("-", data=lines(first=0.3, floor=0.7)[0])[1])

    def test_what_is_gone_is_said_where_it_means_something(self):
        """No share below 0, and no twelfth of a few rows."""
        printed = lambda values: run("-", data="".join(["entropy\n"] + [f"{h!r}\n" for h in values]).encode())[1]
        rising = printed([1 + i / 100 for i in range(48)])
        self.assertIn("  it rose by 45 %\n", rising)
        self.assertIn("  none of it is gone\n", printed([1.0] * 48))
        for values in ([1 + i / 100 for i in range(48)], [1.0] * 48, [1 - i / 48 for i in range(23)]):
            self.assertNotIn("-", printed(values).split("nats (means of")[1].split("collapse")[0])
            self.assertNotIn("published", printed(values))
        self.assertIn("  51 % of it is gone\n", printed([1 - i / 40 for i in range(23)]))
        self.assertIn("% by step 4, a twelfth of the run (published: 73 %", printed([math.exp(-i) for i in range(48)]))
        late = printed([1.0] * 12 + [1 - i / 48 for i in range(36)])  # none by then
        self.assertIn("% of it is gone\n", late)

    def test_no_reward(self):
        code, out, _ = run("-", data=b"entropy\n1\n0.5\n0.2\n")
        self.assertEqual(code, 0)
        self.assertIn("reward     none is known: --reward names its column", out)
        self.assertIn("3 rows, steps 1 to 3", out)
        self.assertIsNone(diagnose(b"entropy\n1\n0.5\n")["fit"])

    def test_entropies_below_0(self):
        code, out, _ = run("-", data=b"entropy,reward\n" + b"".join(b"%f,1\n" % (-i / 10) for i in range(1, 30)))
        self.assertEqual(code, 0)
        self.assertIn("shares of it mean nothing", out)
        self.assertEqual(out.count("of an entropy below 0 there is no share"), 7)
        # The box has a second end, which is a share.
        self.assertEqual(run("-", "--target", "-3", data=b"entropy\n-1\n-2\n")[1].count("of an entropy below 0 there is no share"), 1)

    def test_entropies_of_whole_sequences(self):
        self.assertIn("no fit of R = b - a exp(H): an entropy of 350 nats or more",
                      run("-", data=b"entropy,reward\n" + b"".join(b"%d,1\n" % (400 - i) for i in range(30)))[1])

    def test_columns_by_name(self):
        data = lines(names=("n", "h", "r"))[0]
        found = diagnose(data, "--entropy", "h", "--reward", "r", "--step", "n")
        self.assertEqual((found["entropy_from"], found["reward_from"]), ("h", "r"))
        self.assertEqual(found["fit"], diagnose(lines()[0])["fit"])

    def test_the_controllers_are_those_of_control(self):
        """What is said of each is what `entrol control` answers to the same entropies."""
        data, entropies, _ = lines(900)
        found = diagnose(data)
        self.assertEqual(found["mean_of_steps"], 20)
        for each in found["open_loop"]:
            done = subprocess.run([ENTROL, "control", each["controller"], "--begin"], input="".join(f"{h!r}\n" for h in entropies),
                                  capture_output=True, text=True)
            answers = [float(line) for line in done.stdout.split()]
            self.assertEqual((each["last"], each["least"], each["greatest"]), (answers[-1], min(answers), max(answers)), each["controller"])
            self.assertEqual(each["from_step"], next(i for i, x in enumerate(answers) if x != answers[0]))
        self.assertEqual(len(found["open_loop"]), 7)

    def test_several_files(self):
        path = os.path.join(RUNS, "metrics.jsonl")
        code, out, _ = run(path, path)
        self.assertEqual((code, out.count("80 rows, steps 30 to 2400")), (0, 2))
        self.assertEqual(len(run("--json", path, path)[1].splitlines()), 2)


class Noticed(unittest.TestCase):
    """What is wrong with a log that is diagnosed all the same, or odd about it."""

    def test_means_of_a_short_run(self):
        """Of three rows, so that one noisy row is not all there is; but the start and the end stay apart."""
        for n, rows in ((1, 1), (2, 1), (3, 1), (5, 2), (6, 3), (79, 3), (119, 3), (160, 4), (2000, 20)):
            values = [2 - i / n for i in range(n)]
            found = diagnose("".join(["entropy\n"] + [f"{h!r}\n" for h in values]).encode())
            self.assertEqual(found["mean_of_steps"], rows, n)
            self.assertAlmostEqual(found["entropy_first"], sum(values[:rows]) / rows, 12)
            self.assertAlmostEqual(found["entropy_last"], sum(values[-rows:]) / rows, 12)

    def test_steps_that_were_logged_twice(self):
        """A restart from the checkpoint of step 39."""
        steps = [*range(50), *range(40, 80)]
        data = "".join(["step,entropy\n"] + [f"{step},{2 - i / 100!r}\n" for i, step in enumerate(steps)]).encode()
        code, out, err = run("-", data=data)
        self.assertEqual((code, err), (0, "entrol: standard input:52: the step is 40 after 49, as where a run was begun again: the rows "
                                          "are taken in the order of the file, all of them (1 such place)\n"))
        self.assertIn("90 rows, steps 0 to 79", out)
        code, out, err = run("-", "--json", data=data)
        self.assertEqual(json.loads(out)["rows_not_ascending"], 1)
        self.assertIn("(2 such places)", run("-", data=b"step,entropy\n1,1\n1,0.9\n2,0.8\n2,0.7\n")[2])
        self.assertEqual(diagnose(lines()[0])["rows_not_ascending"], 0)

    def test_a_last_line_that_a_kill_cut(self):
        data, _, _ = lines()
        plain = diagnose(data)
        for cut in (b"{", b'{"step": 201, "entro', b'{"step": 201, "entropy": 0.01, "reward": 0.7', b'{"step": "\xc3'):
            code, out, err = run("-", "--json", data=data + cut)
            self.assertEqual((code, err), (0, "entrol: standard input:201: the last line is cut off and left out\n"))
            self.assertEqual(json.loads(out), plain)
        for bad in (data + b'{"step": 201, "entro\n', b'{"step": 201, "entro', b'{"entropy": 1,\n' + data):
            code, out, err = run("-", data=bad)
            self.assertEqual((code, out), (2, ""))
            self.assertIn("broken JSON", err)
        whole = data + b'{"step": 201, "entropy": 0.01, "reward": 0.7}'
        self.assertEqual(diagnose(whole), diagnose(whole + b"\n"))

    def test_rewards_that_do_not_differ(self):
        for reward in ("0", "0.1", "-3"):
            data = "".join(["entropy,reward\n"] + [f"{1 / (i + 1)!r},{reward}\n" for i in range(50)]).encode()
            self.assertIn("  the rewards do not differ: no law to fit\n", run("-", data=data)[1])
            self.assertIsNone(diagnose(data)["fit"])
        self.assertIsNotNone(diagnose(b"entropy,reward\n1,0\n0.9,0\n0.8,0\n0.7,1e-30\n")["fit"])

    def test_whole_steps_are_printed_whole(self):
        data = "".join(["global_step,entropy\n"] + [f"{86020 + 100000 * i},{1 / (i + 1)!r}\n" for i in range(60)]).encode()
        code, out, _ = run("-", data=data)
        self.assertEqual(code, 0)
        self.assertRegex(out, r"\n  pi +entropy coefficient +[0-9.]+ +\d+86020 ")
        self.assertNotIn("e+0", out)
        code, out, _ = run("-", "--json", data=data)
        self.assertRegex(out, r'"half_step": \d+,')
        data = "".join(["step,entropy\n"] + [f"{2**52 + i},{2 - i / 10!r}\n" for i in range(20)]).encode()
        self.assertIn(f"20 rows, steps {2**52} to {2**52 + 19};", run("-", data=data)[1])
        self.assertIn("2 rows, steps 0.25 to 0.5;", run("-", data=b"step,entropy\n0.25,1\n0.5,0.5\n")[1])

    def test_open_loop_is_said_as_it_is(self):
        out = run("-", data=lines()[0])[1]
        self.assertIn("open loop: as if they had not acted on this run", out)
        self.assertNotIn("had none of them", out)

    def test_the_coefficient_of_the_run_itself(self):
        for name in ("coefficient", "entropy_coef", "ent_coef", "train/ent_coef", "actor/entropy_coeff"):
            data = f"entropy,{name}\n1,0.01\n0.9,0.03\n0.8,\n0.7,0.002\n0.6,0.02\n0.5,\n".encode()
            self.assertIn(f"\ncoefficient of the run itself, from {name}: 0.002 to 0.03, at the end 0.02\n", run("-", data=data)[1])
        found = diagnose(data)
        self.assertEqual([found["coefficient_" + of] for of in ("from", "least", "greatest", "last")], ["actor/entropy_coeff", 0.002, 0.03, 0.02])
        self.assertEqual(diagnose(b"entropy,c\n1,5\n", "--coefficient", "c")["coefficient_last"], 5)
        code, out, err = run("-", data=b"entropy,ent_coef\n1,auto\n")  # Stable-Baselines3's word
        self.assertEqual((code, err), (0, ""))
        self.assertNotIn("of the run itself", out)
        self.assertIsNone(diagnose(lines()[0])["coefficient_from"])

    def test_lines_that_end_as_on_windows(self):
        data, _, _ = lines()
        self.assertEqual(diagnose(data.replace(b"\n", b"\r\n")), diagnose(data))


class Refused(unittest.TestCase):
    def refuse(self, message, data, *arguments):
        code, out, err = run("-", *arguments, data=data)
        self.assertEqual((code, out), (2, ""))
        self.assertIn(message, err)
        self.assertEqual(err.count("\n"), 1, err)

    def test_refused(self):
        self.refuse("standard input: expected the log of a run, found nothing", b"")
        self.refuse("standard input: expected the log of a run, found nothing", b" \n\n")
        self.refuse("expected an entropy in one of entropy, actor/entropy, ", b"step,reward\n1,2\n")
        self.refuse("expected an entropy in one of", b'{"step": 1}\n')
        self.refuse("--entropy h: no row has a value of this name", b"entropy\n1\n", "--entropy", "h")
        self.refuse("--reward h: no row has a value of this name", b"entropy\n1\n", "--reward", "h")
        self.refuse('standard input:3: expected a number as entropy, found "high"\n', b"step,entropy\n1,0.5\n2,high\n")
        self.refuse("standard input:3: expected a number of less than 4.6e+18 in size as entropy", b"entropy\n1\n-1e19\n")
        self.refuse("standard input:1: expected a number of less than 1e+150 in size as reward", b'{"entropy": 1, "reward": -1e308}\n')
        self.refuse('standard input:2: expected a number as entropy, found "x"\n', b'{"entropy": 1}\n{"entropy": "x"}\n')
        self.refuse("standard input:2: broken JSON", b'{"entropy": 1}\n{"entropy": }\n')
        self.refuse("standard input:2: expected a JSON object, found a number", b'{"entropy": 1}\n7\n')
        self.refuse("standard input:3: expected 2 cells, as the header has, found 3", b"step,entropy\n1,1\n1,2,3\n")
        self.refuse("standard input:2: a quote that is not closed", b'entropy\n"1\n2\n')
        self.refuse('expected a "log_history"', b'{\n "entropy": 1\n}\n')
        self.refuse("expected objects in log_history, found a number as entry 2", b'{"log_history": [{"entropy": 1}, 2]}\n')
        self.refuse("expected an entropy in one of", b"step,entropy\n1,\n")
        self.refuse("found none; --entropy names another column, the first row has step, loss/policy\n", b"step,loss/policy\n1,2\n")
        self.refuse("the first row has step, loss, lr\n", b'{"step": 1, "data": {"loss": 2, "lr": 3}}\n')
        self.refuse("--entropy h: no row has a value of this name; the columns of the first: step, entropy\n", b"step,entropy\n1,2\n",
                    "--entropy", "h")
        self.refuse("a80, a81, ...\n", (",".join(f"a{i}" for i in range(1000)) + "\n" + "1," * 999 + "1\n").encode())
        self.refuse('--entropy entrpy: no row has a value of this name; did you mean "entropy"? the columns of the first: step, entropy\n',
                    b"step,entropy\n1,2\n", "--entropy", "entrpy")
        self.refuse('--reward policy/rewad: no row has a value of this name; did you mean "policy/reward"? the columns of the first: '
                    'entropy, policy/reward\n', b'{"entropy": 1, "data": {"policy": {"reward": 2}}}\n', "--reward", "policy/rewad")
        for row in (b"1;0.5;1\n", b"1;0,5;1,0\n"):
            self.refuse('standard input:1: expected columns parted by commas or tabs, found "step;entropy;reward"\n',
                        b"step;entropy;reward\n" + row)
        self.refuse('standard input:2: expected the end of a cell, found "\\x00"\n', b"entropy\n0.5\x00\n")
        self.refuse('standard input:2: expected the end of a cell, found "\\x00"\n', b'entropy\n"0.5\x00"\n')
        self.refuse('standard input:2: expected a number as entropy, found "0.5\\x01"\n', b"entropy\n0.5\x01\n")
        self.refuse('standard input:2: expected a number as entropy, found "\\xef\\xbb\\xbf1"\n', b"entropy\n\xef\xbb\xbf1\n")
        self.refuse('--target: expected nats as 0.3, a share of the greatest entropy as 0.7max (with --actions or --max-entropy), or a share '
                    'of the first observations as 0.4x, found "0.7max"', b"entropy\n1\n", "--target", "0.7max")
        self.refuse('--target: expected at most the greatest entropy, 1.099 nats, found "2"', b"entropy\n1\n", "--target", "2", "--actions", "3")
        self.refuse("--max-entropy: expected ln of --actions, which is 1.09861, found 2; give one of them", b"entropy\n1\n", "--actions", "3",
                    "--max-entropy", "2")
        self.refuse("--confidence: expected a number from 0.5", b"entropy\n1\n", "--confidence", "2")
        code, out, err = run()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("expected FILE", err)
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run(folder)[0], 2)


if __name__ == "__main__":
    unittest.main()

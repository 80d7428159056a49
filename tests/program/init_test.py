"""`loraxs init` for every kind of model and data: what it writes passes `train --dry-run`. Arguments: PROGRAM ORACLES."""

import gzip
import json
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support.tiny_run import make_model, run

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
METHODS = ["lora_xs", "lora_sb", "lora", "pissa", "full", "vera", "adalora", "tied_lora", "tiny_lora"]
DECODER, GGUF = ORACLES / "generation", min(Path("models/smollm2").glob("*.gguf"))


def words(generator: random.Random) -> str:
    return " ".join(generator.choice(["abc", "xyz", "hello", "kq"]) for _ in range(generator.randrange(2, 9)))


def make_tables(folder: Path) -> None:
    """The same 60 rows as .csv, .tsv and .jsonl: one text or two, with classes or scores."""
    generator = random.Random(5)
    rows = [(k, words(generator), words(generator), generator.choice(["no", "yes"]), round(generator.random() * 5, 2)) for k in range(60)]  # fmt: skip
    columns = ["id", "sentence1", "sentence2", "label", "score"]
    for name, kept in (("one", [0, 1, 3]), ("two", [0, 1, 2, 3]), ("scores", [0, 1, 2, 4])):
        header = [columns[c] if name != "one" or c != 1 else "text" for c in kept]
        for ending, mark in (("csv", ","), ("tsv", "\t")):
            lines = [mark.join(str(row[c]) for c in kept) for row in rows]
            (folder / f"{name}.{ending}").write_text("\n".join([mark.join(header), *lines]) + "\n")
        objects = [dict(zip(header, (row[c] for c in kept), strict=True)) for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in objects))


def make_records(folder: Path) -> None:
    generator = random.Random(6)
    said = [(words(generator), words(generator)) for _ in range(40)]
    shapes = {
        "chat": [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in said],
        "sharegpt": [{"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]} for q, a in said],
        "instructions": [{"instruction": q, "input": "", "output": a} for q, a in said],
        "gsm8k": [{"question": q, "answer": f"{a}\n#### 3"} for q, a in said],
        "math": [{"problem": q, "solution": f"{a} \\boxed{{3}}"} for q, a in said],
        "metamath": [{"query": q, "response": f"{a} The answer is: 3"} for q, a in said],
        "text": [{"text": f"{q} {a}"} for q, a in said],
    }
    for name, rows in shapes.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{name}.json").write_text(json.dumps(rows))
    (folder / "plain.txt").write_text("".join(f"{q} {a}\n" for q, a in said * 5))
    (folder / "plain.txt.gz").write_bytes(gzip.compress((folder / "plain.txt").read_bytes()))


class InitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        make_model(ORACLES, cls.folder / "encoder")
        make_tables(cls.folder)
        make_records(cls.folder)
        cls.number = 0

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def started(self, model: Path, *more: str) -> tuple[Path, dict]:
        """The recipe, which a dry run accepts, and what init found."""
        InitTest.number += 1
        recipe = self.folder / f"recipe-{InitTest.number}.yaml"
        done = run([PROGRAM, "init", str(recipe), "--model", str(model), "--json", *more])
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        planned = run([PROGRAM, "train", str(recipe), "--dry-run", "--json"])
        self.assertEqual(planned.returncode, 0, f"{more}: {planned.stderr}")
        plan = json.loads(planned.stdout)
        self.assertEqual(plan, found["plan"])
        self.assertGreater(plan["trained_parameters"], 0)
        self.assertGreater(plan["total_steps"], 0)
        return recipe, found

    def refused(self, *more: str, parts: tuple[str, ...], model: Path | None = None) -> None:
        recipe = self.folder / "refused.yaml"
        done = run([PROGRAM, "init", str(recipe), "--model", str(model or self.folder / "encoder"), *more])
        self.assertEqual((done.returncode, done.stdout), (2, ""), more)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)
        self.assertFalse(recipe.exists(), more)

    def test_tables_for_an_encoder(self) -> None:
        for ending in ("csv", "tsv", "jsonl"):
            for name, task, metric in (("one", "classification", "accuracy"), ("two", "classification", "accuracy"), ("scores", "regression", "pearson")):  # fmt: skip
                with self.subTest(f"{name}.{ending}"):
                    _, found = self.started(self.folder / "encoder", "--train", str(self.folder / f"{name}.{ending}"))
                    self.assertEqual((found["task"]["name"], found["metric"]), (task, metric))
                    self.assertEqual("text_pair" in found["task"], name != "one")
                    self.assertEqual(found["data"]["records"], 60)
                    if task == "classification":
                        self.assertEqual(sum(found["labels"].values()), 60)
                    self.assertEqual(found["tokens"]["measured"], 48)  # a fifth is held out
                    self.assertEqual(found["max_length"] % 32, 0)

    def test_its_last_line_can_be_pasted(self) -> None:
        recipe = self.folder / "my recipe.yaml"
        done = run([PROGRAM, "init", str(recipe), "--model", str(self.folder / "encoder"), "--train", str(self.folder / "one.csv")])  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        command = done.stdout.strip().split("then run: ")[1]
        planned = subprocess.run(["bash", "-c", command + " --dry-run"], capture_output=True, text=True, check=False)
        self.assertEqual(planned.returncode, 0, planned.stderr)
        task = f"{{name: classification, label: label, metric: accuracy, text: text, train: {self.folder / 'one.csv'}, validation: 0.2}}"
        self.assertIn(f"task: {task}\n", done.stdout)
        self.assertIn(f"\ntask: {task} #", recipe.read_text())
        self.assertNotIn("chat template", done.stdout)  # of an encoder

    def test_every_method_on_every_kind_of_model(self) -> None:
        for method in METHODS:
            on_gguf = [(GGUF, "plain.txt")] if method in ("lora_xs", "full") else []
            for model, data in [(self.folder / "encoder", "one.csv"), (DECODER, "chat.jsonl"), *on_gguf]:
                with self.subTest(f"{method} {data}"):
                    _, found = self.started(model, "--train", str(self.folder / data), "--method", method)
                    self.assertEqual(found["plan"]["method"], method)

    def test_records_and_texts_for_decoders(self) -> None:
        names = [f"{name}.{ending}" for name in ("chat", "sharegpt", "instructions", "gsm8k", "math", "metamath", "text") for ending in ("jsonl", "json")]  # fmt: skip
        for model, files in ((DECODER, [*names, "plain.txt", "plain.txt.gz"]), (GGUF, ["chat.jsonl", "instructions.json", "plain.txt"])):  # fmt: skip
            for name in files:
                with self.subTest(f"{model.name} {name}"):
                    _, found = self.started(model, "--train", str(self.folder / name))
                    task = {"sharegpt": "chat", "plain": "text"}.get(name.split(".")[0], name.split(".")[0])
                    self.assertEqual(found["task"]["name"], task)
                    self.assertLessEqual(found["max_length"], found["model"]["max_positions"])
                    self.assertEqual(found["task"].get("prompt"), "chat" if task == "instructions" else None)

    def test_a_budget_does_not_clash_with_what_init_wrote(self) -> None:
        recipe, found = self.started(self.folder / "encoder", "--train", str(self.folder / "one.csv"))
        for budget in (100, 300):
            planned = run([PROGRAM, "train", str(recipe), "--dry-run", "--json", "--set", f"method.budget={budget}"])
            self.assertEqual(planned.returncode, 0, planned.stderr)
            self.assertLessEqual(json.loads(planned.stdout)["trained_parameters"], budget)
        edited = self.folder / "edited.yaml"
        edited.write_text(recipe.read_text().replace("budget: 0", "budget: 300"))
        self.assertEqual(run([PROGRAM, "train", str(edited), "--dry-run"]).returncode, 0)
        self.assertEqual(found["plan"]["rank"], 16)

    def test_what_is_found_is_told(self) -> None:
        recipe = self.folder / "told.yaml"
        data = self.folder / "rare.csv"
        rows = [f"message {k} of this kind,{'rare' if k % 10 == 0 else 'usual'},u{k}" for k in range(50)]
        data.write_text("note,kind of it,user\n" + "\n".join(rows) + "\n")
        done = run([PROGRAM, "init", str(recipe), "--model", str(self.folder / "encoder"), "--train", str(data)])
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in ("bert encoder, 3 layers", "50 records of columns note, kind of it, user", 'label: "kind of it"', "text: note", "rare 5, usual 45", "matthews", "loraxs train"):  # fmt: skip
            self.assertIn(part, done.stdout)

    def test_mistakes(self) -> None:
        folder = self.folder
        (folder / "unclear.csv").write_text("a,b\n" + "one two,three four\n" * 9)
        (folder / "ids.csv").write_text("text,label\n" + "".join(f"a b,l{k}\n" for k in range(50)))
        (folder / "keys.jsonl").write_text('{"a": 1, "b": 2}\n')
        for more, model, parts in (
            (["--train", "absent.csv"], None, ("absent.csv",)),
            (["--train", str(folder / "one.csv"), "--text", "no"], None, ("one.csv", "no", "id, text, label")),
            (["--train", str(folder / "unclear.csv")], None, ("a, b", "--label")),
            (["--train", str(folder / "ids.csv")], None, ("50 different ones", "--label")),
            (["--task", "chat", "--train", str(folder / "chat.jsonl")], None, ("--task chat", "labels or scores")),
            (["--task", "nosuch"], None, ("nosuch", "qnli")),
            (["--data", "nowhere"], None, ("nowhere",)),
            (["--task", "cola"], None, ("data/cola", "--data")),
            (["--method", "nosuch", "--train", str(folder / "one.csv")], None, ("nosuch", "lora_xs")),
            ([], DECODER, ("--train",)),
            (["--train", str(folder / "one.csv")], DECODER, ("one.csv", "encoders")),
            (["--train", str(folder / "keys.jsonl")], DECODER, ("a, b", "--task")),
            (["--train", "absent.jsonl"], DECODER, ("absent.jsonl",)),
            (["--task", "chat", "--train", str(folder / "plain.txt")], DECODER, ("plain.txt:1",)),
            (["--task", "classification", "--train", str(folder / "one.csv")], DECODER, ("classification",)),
            (["--train", str(folder / "chat.jsonl"), "--text", "x"], DECODER, ("--text",)),
            (["--train", str(folder / "chat.jsonl")], folder / "no-model", ("no-model",)),
        ):  # fmt: skip
            with self.subTest(more):
                self.refused(*more, parts=parts, model=model)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

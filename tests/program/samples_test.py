"""Training of language models as one watches it: held-out records, samples, the report. Arguments: PROGRAM, the folder that make_generation.py wrote."""

import json
import re
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from pathlib import Path

from support.tiny_run import run

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
TURNS = [{"role": "system", "content": "be short"}, {"role": "user", "content": "import torch"}]


class SamplesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        chats = [
            {
                "messages": [
                    {"role": "user", "content": f"say {n}"},
                    {"role": "assistant", "content": f"def f{n}(): pass"},
                ]
            }
            for n in range(20)
        ]
        (cls.folder / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
        (cls.folder / "other.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats[:2]))
        (cls.folder / "records.json").write_text(json.dumps([{"instruction": f"say {n}", "output": f"{n} {n}"} for n in range(20)]))  # fmt: skip
        (cls.folder / "texts.jsonl").write_text("".join(json.dumps({"text": f"def f{n}(x): return {n}"}) + "\n" for n in range(20)))  # fmt: skip
        (cls.folder / "text.txt").write_text("\n".join(f"def f{n}(x): return {n}" for n in range(40)) + "\n")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def command(self, name: str, task: dict, *more: str, **train: object) -> list[str]:
        recipe = self.folder / f"{name}.yaml"
        settings = {
            "epochs": 2,
            "batch_size": 4,
            "max_length": 64,
            "learning_rate": 1e-2,
            "log_every": 1,
            "precision": "float32",
        } | train
        recipe.write_text(json.dumps({
            "model": str(MODEL), "method": {"rank": 4, "init_std": 0.1}, "task": task, "train": settings, "threads": 1,
            "output": str(self.folder / name)}))  # fmt: skip
        return [PROGRAM, "train", str(recipe), "--cache", str(self.folder / "cache"), "--json", *more]

    def train(self, name: str, task: dict, *more: str, **train: object) -> dict:
        done = run(self.command(name, task, *more, **train))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def events(self, name: str, kind: str) -> list[dict]:
        lines = (self.folder / name / "metrics.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def refused(self, command: list[str], *parts: str) -> None:
        done = run(command)
        self.assertEqual(done.returncode, 2, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr.splitlines()[-1])

    def test_a_part_of_the_records_is_held_out(self) -> None:
        for name, task in (
            ("chat", {"name": "chat", "train": str(self.folder / "chats.jsonl")}),
            ("instructions", {"name": "instructions", "train": str(self.folder / "records.json")}),
            ("text", {"name": "text", "train": str(self.folder / "texts.jsonl")}),
            ("one", {"name": "text", "train": str(self.folder / "text.txt")}),
        ):
            with self.subTest(name):
                planned = json.loads(
                    run([*self.command(name, task | {"validation": 0.1}, max_length=256), "--dry-run"]).stdout
                )
                done = self.train(name, task | {"validation": 0.1}, max_length=256)
                if task["name"] != "text":
                    self.assertEqual((planned["train_examples"], planned["validation_examples"]), (18, 2))
                losses = [event["validation_loss"] for event in self.events(name, "evaluation")]
                self.assertEqual(len(losses), 2)
                self.assertEqual(done["value"], min(losses))
                self.refused(self.command("x", task | {"validation": 1}), "task.validation", "below 1")
                if name != "one":  # of 20 records none would be left
                    self.refused(self.command("x", task | {"validation": 0.99}), "task.validation", "leaves some")
                self.refused(self.command("x", task | {"validation": [1]}), "task.validation")

    def test_samples_are_what_generate_gives(self) -> None:
        task = {"name": "chat", "train": str(self.folder / "chats.jsonl"), "validation": 0.1}
        samples = ["say 3", TURNS]
        done = self.train("sampled", task, samples=samples, sample_tokens=12, seeds=[0, 1])
        plain = self.train("plain", task, seeds=[0, 1])
        self.assertEqual(done["value"], plain["value"])
        for seed in (0, 1):  # samples change nothing
            paths = [self.folder / run_name / f"seed-{seed}/last.safetensors" for run_name in ("sampled", "plain")]
            self.assertEqual(paths[0].read_bytes(), paths[1].read_bytes())
        found = self.events("sampled", "sample")
        self.assertEqual(len(found), 2 * 2 * 2)  # epochs, jobs, prompts
        self.assertEqual({event["epoch"] for event in found}, {1, 2})
        last = [event for event in found if event["epoch"] == 2 and event["job"] == "seed-1"]
        for event, options in zip(
            last, (["--prompt", "say 3"], ["--prompt", "import torch", "--system", "be short"]), strict=True
        ):
            answer = run([PROGRAM, "generate", "--model", str(MODEL), "--adapter", str(self.folder / "sampled/seed-1/last.safetensors"), "--chat",
                          *options, "-n", "12", "--precision", "float32", "--json", "-t", "1", "--cache", str(self.folder / "cache")])  # fmt: skip
            self.assertEqual(event["text"], json.loads(answer.stdout)["text"])
        self.assertNotEqual(found[0]["text"], last[0]["text"])  # it learns
        report = (self.folder / "sampled/report.html").read_text()
        self.assertIn("<h2>Samples</h2>", report)
        self.assertIn("say 3", report)
        self.assertIn("user: import torch", report)
        texts = {"name": "text", "train": str(self.folder / "text.txt")}
        self.train("continued", texts, samples=["def f"], sample_tokens=6)
        answer = run([PROGRAM, "generate", "--model", str(MODEL), "--adapter", str(self.folder / "continued/seed-0/last.safetensors"), "--prompt", "def f",
                      "-n", "6", "--precision", "float32", "--json", "-t", "1", "--cache", str(self.folder / "cache")])  # fmt: skip
        self.assertEqual(self.events("continued", "sample")[-1]["text"], json.loads(answer.stdout)["text"])

    def test_samples_survive_a_resume(self) -> None:
        task = {"name": "chat", "train": str(self.folder / "chats.jsonl")}
        settings = {"samples": ["say 1"], "sample_tokens": 4, "checkpoint_seconds": 0}
        self.train("whole", task, **settings)
        command = self.command("whole", task, **settings)
        whole = (self.folder / "whole/metrics.jsonl").read_bytes()
        newest = max((self.folder / "whole/checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
        for path in newest.iterdir():
            path.unlink()
        newest.rmdir()
        self.assertEqual(run([*command, "--resume"]).returncode, 0)
        self.assertEqual((self.folder / "whole/metrics.jsonl").read_bytes(), whole)

    def test_bad_samples(self) -> None:
        task = {"name": "chat", "train": str(self.folder / "chats.jsonl")}
        for samples, parts in (
            ("say", ["train.samples", "a list"]),
            ([3], ["train.samples[0]", "messages"]),
            (["ok", []], ["train.samples[1]"]),
            (["ok", ["user"]], ["train.samples[1]"]),
            ([""], []),
        ):
            with self.subTest(str(samples)):
                command = self.command("bad", task, samples=samples)
                if parts:
                    self.refused(command, *parts)
                    self.assertFalse((self.folder / "bad").exists())
        self.refused(self.command("bad", task, samples=["say " * 400]), "train.samples[0]")

    def test_reports_speak_of_their_method(self) -> None:
        task = {"name": "chat", "train": str(self.folder / "chats.jsonl"), "validation": 0.2}
        for name, method, words, never in (
            ("xs", "{name: lora_xs, rank: 4}", ["R between frozen singular vectors", "LoRA of the same rank"], []),
            ("lora", "{name: lora, rank: 4}", ["a and b trained"], ["only R", "LoRA of the same rank", "<td>basis</td>"]),
            ("full", "{name: full, targets: [q_proj]}", ["the projections&#39; own weights", "the projections' own weights"], ["only R", "LoRA of the same rank", "<td>basis</td>"]),
        ):  # fmt: skip
            with self.subTest(name):
                self.train(f"r-{name}", task, "--set", f"method={method}", seeds=[0, 1], learning_rate=[1e-3, 1e-2])
                page = (self.folder / f"r-{name}/report.html").read_text()
                text = page.split("<h2>Recipe")[0]
                self.assertTrue(any(word in text for word in words), words)
                for word in never:
                    self.assertNotIn(word, text)
                self.assertEqual(len(re.findall("<svg", page)), 1)  # training and validation in one chart
                self.assertIn(">validation, lr-0.001-head-0.005-seed-0<", page)
                self.assertIn(">training, lr-0.001-head-0.005-seed-0<", page)
                self.assertIn("Settings and seeds", page)
                self.assertEqual(text.count('<tr class="best">'), 1)
                self.check_inside(page)

    def check_inside(self, page: str) -> None:
        """Every text of a chart ends inside it."""

        class Charts(HTMLParser):
            box, place, found = None, None, 0

            def handle_starttag(self, tag: str, attributes: list) -> None:
                values = dict(attributes)
                if tag == "svg":
                    self.box = [float(n) for n in values["viewbox"].split()]
                self.place = (
                    (float(values["x"]), float(values["y"]), values.get("text-anchor", "start"))
                    if tag == "text"
                    else None
                )

            def handle_data(self, data: str) -> None:
                if self.place is None:
                    return
                x, y, anchor = self.place
                width = 6.8 * len(data)
                start = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
                assert start >= 0 and start + width <= self.box[2], data
                assert y <= self.box[3], data
                self.found += 1

        charts = Charts()
        charts.feed(page)
        self.assertGreater(charts.found, 10)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

"""The GLUE protocol as a user runs it: selection, starts from an adapter, budgets, tables. Arguments: PROGRAM ORACLES."""

import json
import shutil
import statistics
import sys
import unittest
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from support.tiny_run import TinyRunTest, run, train_command

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])


def row(path: Path) -> np.ndarray:
    return load_file(path)["row"]


class ProtocolTest(TinyRunTest):
    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.start = cls.train("start", "train.seeds=[0]")
        cls.start_file = cls.folder / "start/seed-0/best.safetensors"

    @classmethod
    def command(cls, name: str, *settings: str) -> list[str]:
        return train_command(PROGRAM, cls.folder, name, *(part for s in settings for part in ("--set", s)))

    @classmethod
    def train(cls, name: str, *settings: str) -> dict:
        return cls.trained(PROGRAM, name, *(part for s in settings for part in ("--set", s)))

    def evaluations(self, name: str, job: str) -> list[dict]:
        lines = (self.folder / name / "metrics.jsonl").read_text().splitlines()
        return [e for e in map(json.loads, lines) if e["event"] == "evaluation" and e["job"] == job]

    def test_best_epoch_median_over_seeds_best_setting(self) -> None:
        done = self.train("grid", "train.learning_rate=[1e-3,3e-2]", "train.seeds=[0,1,2]", "train.epochs=3")
        result = json.loads((self.folder / "grid/result.json").read_text())
        self.assertEqual(result | {"peak_memory_bytes": done["peak_memory_bytes"]}, done)
        medians = []
        for setting in done["settings"]:
            values = []
            for seed in setting["seeds"]:
                job = f"lr-{setting['learning_rate']:g}-head-0.005-seed-{seed['seed']}"
                scores = [e["accuracy"] for e in self.evaluations("grid", job)]
                self.assertEqual(len(scores), 3)
                self.assertEqual(seed["value"], max(scores))
                self.assertEqual(seed["best_epoch"], 1 + scores.index(max(scores)))
                values.append(seed["value"])
            self.assertAlmostEqual(setting["value"], statistics.median(values))
            self.assertAlmostEqual(setting["standard_deviation"], statistics.stdev(values))
            medians.append(setting["value"])
        self.assertEqual(done["value"], max(medians))
        self.assertEqual(done["learning_rate"], done["settings"][medians.index(max(medians))]["learning_rate"])

    def test_split_chooses_on_training_data_and_reports_validation(self) -> None:
        settings = ["train.selection=split", "train.selection_fraction=0.25", "train.epochs=4", "train.seeds=[0]"]
        done = self.train("split", *settings)
        events = self.evaluations("split", "seed-0")
        chosen = max(events, key=lambda e: e["accuracy"])  # the first of equals
        seed = done["seeds"][0]
        self.assertEqual(seed["best_epoch"], chosen["epoch"])
        self.assertEqual(done["selection_value"], chosen["accuracy"])
        self.assertEqual(done["value"], chosen["validation"])
        self.assertEqual(seed["best_validation"], max(e["validation"] for e in events))
        self.assertAlmostEqual((done["selection_value"] * 24) % 1, 0, places=6)  # 24 of 96 were held out
        self.assertEqual(done["steps"], 4 * -(-72 // 16))
        command = [PROGRAM, "eval", "--model", str(self.folder / "model"), "--adapter", str(self.folder / "split/seed-0/best.safetensors"), "--cache", str(self.folder / "cache"), "--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]  # fmt: skip
        self.assertAlmostEqual(json.loads(run(command).stdout)["value"], done["value"], places=6)
        self.refused(self.command("x", "train.selection=split", "train.selection_fraction=1"), "selection_fraction")
        self.assertFalse((self.folder / "x").exists())

    def test_patience_and_budget_of_tokens_leave_a_job_what_it_is_alone(self) -> None:
        settings = ["train.eval_every=2", "train.patience=2", "train.epochs=5", "train.tokens_per_batch=64"]
        self.train("bank", *settings, "train.seeds=[0,1,2,3]")
        ends = set()
        for seed in range(4):
            self.train(f"alone-{seed}", *settings, f"train.seeds=[{seed}]")
            for kind in ("best", "last"):
                file = f"seed-{seed}/{kind}.safetensors"
                bank, alone = self.folder / "bank" / file, self.folder / f"alone-{seed}" / file
                self.assertEqual(bank.read_bytes(), alone.read_bytes(), f"{file} differs")
            events = self.evaluations("bank", f"seed-{seed}")
            self.assertEqual(events, self.evaluations(f"alone-{seed}", f"seed-{seed}"))
            self.assertEqual([e["step"] % 2 for e in events], [0] * len(events))
            best = max(range(len(events)), key=lambda i: (events[i]["accuracy"], -i))
            self.assertIn(len(events) - 1 - best, (2, 15 - 1 - best))  # two stale ones end it, or the steps do
            ends.add(events[-1]["step"])
        self.assertGreater(len(ends), 1, "all jobs ended at one step: the test shows nothing")

    def test_start_from_an_adapter(self) -> None:
        still = ["train.learning_rate=0", "train.head_learning_rate=0", "train.epochs=1", "train.seeds=[1]"]
        start, head = row(self.start_file), self.start["head_parameters"]
        for carried in ("fresh", "carry"):
            done = self.train(carried, *still, f"train.init_adapter={self.start_file}", f"train.init_head={carried}")
            found = row(self.folder / carried / "seed-1/last.safetensors")
            np.testing.assert_array_equal(found[:-head], start[:-head])
            self.assertEqual(np.array_equal(found[-head:], start[-head:]), carried == "carry")
            self.assertEqual(done["start"]["head"], "carried" if carried == "carry" else "fresh")
            first = json.loads((self.folder / carried / "metrics.jsonl").read_text().splitlines()[0])
            self.assertEqual((first["event"], first["from"]["task"]), ("start", "classification"))
        scratch = self.train("scratch", *still)
        self.assertIsNone(scratch["start"])
        self.assertFalse(np.array_equal(row(self.folder / "scratch/seed-1/last.safetensors")[:-head], start[:-head]))
        moved = self.train("moved", "train.seeds=[1]", f"train.init_adapter={self.start_file}")
        self.assertEqual(moved["start"]["sites"], 12)

    def test_starts_that_do_not_fit(self) -> None:
        start = f"train.init_adapter={self.start_file}"
        damaged = self.folder / "damaged.safetensors"
        damaged.write_bytes(self.start_file.read_bytes()[:-1])
        other = self.folder / "other"
        shutil.copytree(ORACLES / "tiny_all_linear", other)
        shutil.copy(self.folder / "model/vocab.txt", other)
        labels = self.folder / "three.csv"
        labels.write_text((self.folder / "train.csv").read_text() + "abc,maybe\n")
        three = [f"task={{name: classification, train: {labels}}}", "train.init_head=carry"]
        for settings, *parts in (
            (["method.rank=2", start], "init_adapter", "rank 2", "rank 4"),
            (["method.targets=[query]", start], "init_adapter", "sites"),
            (["method.alpha=8", start], "alpha 8", "alpha 16"),
            (["method.basis.sigma=false", start], "basis"),
            ([f"model={other}", start], "base_id"),
            ([*three, start], "init_head", "3 outputs", "2 outputs"),
            (["train.init_head=carry"], "init_adapter"),
            ([f"train.init_adapter={damaged}"], "damaged.safetensors"),
            (["train.init_adapter=/nowhere.safetensors"], "/nowhere.safetensors"),
        ):
            with self.subTest(parts):
                self.refused(self.command("unfit", *settings), *parts)
                self.assertFalse((self.folder / "unfit").exists())

    def test_budget(self) -> None:
        def choice(budget: int, *more: str) -> tuple[int, int, int]:
            command = self.command("x", f"method={{budget: {budget}}}", *more)
            found = json.loads(run([*command, "--dry-run"]).stdout)
            return found["rank"], found["sites"], found["trained_parameters"]

        # 3 layers: 18 sites in all, the paper's 12, 6 of query and value, 3 of query. From rank r on a site takes 2 r + 1 more.
        self.assertEqual(choice(18 * 16), (4, 18, 288))
        self.assertEqual(choice(18 * 16 + 9), (5, 18, 288 + 9))
        self.assertEqual(choice(18 * 16 - 1), (5, 12, 192 + 10 * 9))
        self.assertEqual(choice(12 * 16 - 1), (6, 6, 150 + 3 * 11))
        self.assertEqual(choice(6 * 16 - 1), (6, 3, 75 + 11))
        self.assertEqual(choice(3 * 16 - 1), (4, 3, 27 + 2 * 7))  # no set allows 4: the largest rank
        self.assertEqual(choice(18), (3, 3, 12 + 5))
        self.assertEqual(choice(18 * 25, "method.layers=[1]"), (9, 6, 384 + 3 * 17))
        self.assertEqual(choice(5000), (17, 18, 18 * 256 + 11 * 33))  # 4,971
        done = self.train("budget", "method={budget: 200}", "train.seeds=[0]", "train.epochs=1")
        self.assertEqual((done["trained_parameters"], done["rank"]), (192, 4))
        done = self.train("budget-rest", "method={budget: 210}", "train.seeds=[0]", "train.epochs=1")
        self.assertEqual((done["trained_parameters"], done["rank"]), (210, None))
        recipe = (self.folder / "budget-rest/recipe.yaml").read_text()
        self.assertRegex(recipe, r'rank_pattern: .*\bsite:layers\.0\.query"?: 5\b')
        self.assertRegex(recipe, r'rank_pattern: .*\bsite:layers\.0\.value"?: 5\b')
        for method, numbers in (
            ("lora", 3 * 5 * 64),
            ("pissa", 3 * 5 * 64),
            ("vera", 12 * 32 + 12 * 64),
            ("tied_lora", 1000),
        ):
            with self.subTest(method):
                found = json.loads(run([*self.command("x", f"method={{name: {method}, budget: {numbers}}}"), "--dry-run"]).stdout)  # fmt: skip
                self.assertLessEqual(found["trained_parameters"], numbers)
                self.assertGreater(found["trained_parameters"], numbers * 0.75)
        self.refused(self.command("x", "method={name: tiny_lora, budget: 200}"), "method.budget", "tiny_lora")
        self.refused(self.command("x", "method.budget=200"), "method.budget", "method.rank")
        self.refused(self.command("x", "method={budget: 200, targets: paper}"), "method.targets")
        self.refused(self.command("x", "method={budget: 1}"), "method.budget", "at least 3")

    def test_table(self) -> None:
        def result(name: str, **values: object) -> str:
            folder = self.folder / "results" / name
            folder.mkdir(parents=True)
            filled = {
                "model": "m",
                "method": "lora_xs",
                "rank": 16,
                "trained_parameters": 24576,
                "standard_deviation": None,
            }
            (folder / "result.json").write_text(json.dumps(filled | values))
            return str(folder)

        runs = [
            result("a", task="cola", value=0.6696, standard_deviation=0.0123),
            result("b", task="sst2", value=0.95871),
            result("c", task="cola", value=0.6052, standard_deviation=0.0154, rank=4, trained_parameters=1536),
        ]
        lines = run([PROGRAM, "table", *runs]).stdout.splitlines()
        self.assertEqual(lines[0], "| model | method | params | rank | SST-2 | CoLA | avg |")
        self.assertEqual(lines[2], "| m | lora_xs | 24.6K | 16 | 95.87 | 66.96 ± 1.23 | 81.42 |")
        self.assertEqual(lines[3], "| m | lora_xs | 1.5K | 4 |  | 60.52 ± 1.54 |  |")
        lines = run([PROGRAM, "table", *runs, "--format", "csv"]).stdout.splitlines()
        self.assertEqual(lines[0], "model,method,params,rank,SST-2,SST-2 std,CoLA,CoLA std,avg")
        self.assertEqual(lines[1], "m,lora_xs,24576,16,95.87,,66.96,1.23,81.42")
        own = run([PROGRAM, "table", str(self.folder / "start")])
        self.assertIn(f"{100 * self.start['value']:.2f}", own.stdout.splitlines()[2])
        twice = [*runs, result("d", task="cola", value=0.5)]
        self.refused([PROGRAM, "table", *twice], "cola", "results/a", "--by-run")
        lines = run([PROGRAM, "table", *twice, "--by-run", "--format", "csv"]).stdout.splitlines()
        self.assertEqual(lines[0], "run,model,method,params,rank,SST-2,SST-2 std,CoLA,CoLA std,avg")
        self.assertIn(f"{runs[0]},m,lora_xs,24576,16,,,66.96,1.23,", lines)
        self.assertIn(f"{twice[3]},m,lora_xs,24576,16,,,50.00,,", lines)
        self.assertEqual(len(lines), 1 + len(twice))
        self.refused([PROGRAM, "table", str(self.folder / "model")], "result.json")
        self.refused([PROGRAM, "table", result("e", task="cola", value=None)], "value")

    def test_dry_run_without_data(self) -> None:
        alone = self.folder / "config-alone"
        alone.mkdir(exist_ok=True)
        shutil.copy(self.folder / "model/config.json", alone)
        absent = "task={name: classification, train: absent.csv, labels: [a, b, c]}"
        found = json.loads(run([*self.command("x", f"model={alone}", absent), "--dry-run"]).stdout)
        self.assertEqual((found["weights"], found["data"], found["train_examples"]), ("absent", "files absent", 0))
        self.refused([*self.command("x", "task={name: classification, train: absent.csv}"), "--dry-run"], "labels")
        full = json.loads(run([*self.command("x"), "--dry-run"]).stdout)
        self.assertEqual((full["weights"], full["train_examples"], full["total_steps"]), ("present", 96, 12))
        header = full["adapter_bytes_at_most"] - 4 * (full["trained_parameters"] + full["head_parameters"])
        self.assertTrue(2048 < header < 4096, header)
        self.assertFalse((self.folder / "x").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

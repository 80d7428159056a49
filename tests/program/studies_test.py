"""Studies as a user runs them, each in its quick form. Arguments: PROGRAM ORACLES."""

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support.tiny_run import make_data, make_model, make_recipe, run

PROGRAM, ORACLES = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
ENCODER = ["glue", "parameters", "init", "vectors", "sigma", "importance", "delta", "budget", "seed", "size", "basis", "spend"]  # fmt: skip


class StudiesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        make_model(ORACLES, cls.folder / "model")
        make_data(cls.folder)
        recipe = make_recipe(cls.folder)
        recipe["train"] |= {
            "selection": "split",
            "selection_fraction": 0.25,
            "seeds": [0, 1, 2],
            "learning_rate": [0.001, 0.01],
        }
        cls.recipe = cls.folder / "recipe.json"
        cls.recipe.write_text(json.dumps(recipe))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()

    def study(self, name: str, *more: str, folder: str = "runs", recipes: tuple = ()) -> list[str]:
        names = [str(r) for r in (recipes or (self.recipe,))]
        places = ["--folder", str(self.folder / folder), "--cache", str(self.folder / "cache")]
        return [str(PROGRAM), "study", name, *names, *places, *more]

    def rows(self, name: str, folder: str = "runs/quick") -> list[dict]:
        with (self.folder / folder / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))

    def succeeds(self, command: list[str]) -> str:
        done = run(command)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return done.stdout

    def refused(self, command: list[str], *parts: str) -> None:
        done = run(command)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_every_encoder_study_runs_quickly(self) -> None:
        for name in ENCODER:
            with self.subTest(name):
                page = self.folder / f"{name}.html"
                text = self.succeeds(self.study(name, "--quick", "--report", str(page)))
                rows = self.rows(name)
                self.assertGreater(len(rows), 1)
                answer = json.loads((self.folder / f"runs/quick/{name}.json").read_text())["answer"]
                self.assertIn(answer, text)
                self.assertTrue(answer)
                self.assertIn("<table>", page.read_text())
        scores = {row["method"]: row for row in self.rows("glue") if row["task"] == "classification"}
        self.assertEqual(scores["LoRA-XS r = 4"]["seeds"], "3")
        self.assertEqual(int(scores["head alone"]["parameters"]), 0)
        all_of_it = [row for row in self.rows("importance") if row["part"] == "all"]
        self.assertTrue(all(float(row["difference to all"]) == 0 for row in all_of_it))
        self.assertEqual(len({row["mean"] for row in all_of_it}), 1)  # the unchanged score, whatever the module

    def test_storage_is_exact(self) -> None:
        self.succeeds([str(PROGRAM), "study", "storage", "--quick", "--folder", str(self.folder / "storage")])
        xs, lora = self.rows("storage", "storage/quick")
        self.assertEqual(xs["bytes of numbers"], "98304")
        self.assertEqual(lora["bytes of numbers"], "150994944")
        self.assertGreaterEqual(int(xs["bytes of a file"]), 98304)
        self.assertLess(int(xs["bytes of a file"]), 98304 + 512)
        self.assertFalse([p for p in (self.folder / "storage/quick").iterdir() if p.is_dir()])

    def test_speed_measures_each_method(self) -> None:
        self.succeeds(self.study("speed", "--quick"))
        self.assertGreater(min(float(row["seconds for 1,000 sentences"]) for row in self.rows("speed")), 0)
        peaks = [float(row["peak memory, MB"]) for row in self.rows("speed")]
        self.assertGreater(min(peaks), 50)
        self.assertGreater(len(set(peaks)), 2)  # each training's own, not the largest so far

    def test_a_stopped_study_goes_on_to_the_same_csv(self) -> None:
        self.succeeds(self.study("vectors", folder="whole"))
        wanted = (self.folder / "whole/vectors.csv").read_bytes()
        kills = 0
        for attempt in range(12):
            process = subprocess.Popen(
                self.study("vectors", folder="killed"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            try:
                process.wait(timeout=0.4 + 0.15 * attempt)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT if attempt % 3 == 2 else signal.SIGKILL)
                kills += 1
            process.communicate()
            if process.returncode == 0:
                break
        self.succeeds(self.study("vectors", folder="killed"))
        self.assertGreater(kills, 0)
        self.assertEqual((self.folder / "killed/vectors.csv").read_bytes(), wanted)

    def test_runs_of_other_settings_are_left_alone(self) -> None:
        other = json.loads(self.recipe.read_text())
        other["train"]["batch_size"] = 8
        (self.folder / "other.json").write_text(json.dumps(other))
        first = self.study("sigma", "--quick", folder="shared")
        self.succeeds(first)
        before = {p: p.stat().st_mtime_ns for p in (self.folder / "shared").rglob("*.safetensors")}
        changed = [str(self.folder / "other.json") if part == str(self.recipe) else part for part in first]
        done = run(changed)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(before, {p: p.stat().st_mtime_ns for p in before})
        self.assertIn("runs_there=", done.stderr)

    def speakers(self) -> Path:
        """A recipe of a play's speakers on a tiny language model."""
        words = ["good", "my", "lord", "night", "sweet", "war", "king", "love", "crown", "sword", "away", "tomorrow"]
        generator = random.Random(5)
        blocks = [f"SPEAKER {s}:\n{' '.join(generator.choices(words, k=8))}." for _ in range(12) for s in range(12)]
        play = self.folder / "play.txt"
        play.write_text("\n\n".join(blocks) + "\n")
        recipe = make_recipe(self.folder)
        recipe |= {"model": str(ORACLES / "generation"), "head": "none", "task": {"name": "text", "train": str(play)}}
        path = self.folder / "speakers.json"
        path.write_text(json.dumps(recipe))
        return path

    def labelled_texts(self) -> Path:
        """A recipe whose texts rules of the study say something of: questions, numbers, names."""
        generator = random.Random(6)
        for name, rows in (("texts.csv", 24), ("others.csv", 12)):
            lines = ["text,label"]
            for i in range(rows):
                words = " ".join(generator.choices(["abc", "xyz", "hello", "kq"], k=4))
                lines.append(f"{words}{' 7' if i % 3 == 0 else ''}{'?' if i % 2 else ''},{'yes' if i % 2 else 'no'}")
            (self.folder / name).write_text("\n".join(lines) + "\n")
        recipe = make_recipe(self.folder)
        recipe["task"] |= {"train": str(self.folder / "texts.csv"), "validation": str(self.folder / "others.csv")}
        path = self.folder / "labelled.json"
        path.write_text(json.dumps(recipe))
        return path

    def without_seconds(self, folder: str) -> list[dict]:
        rows = self.rows("personal", folder)
        for row in rows:
            row.pop("seconds per user")
        return rows

    def test_personal_adapters_are_compared_user_by_user(self) -> None:
        recipes = (self.labelled_texts(), self.speakers())
        text = self.succeeds(self.study("personal", "--quick", folder="personal", recipes=recipes))
        self.assertIn("personal less shared", text)
        rows = self.without_seconds("personal/quick")
        named = {(row["task"], row["adapter"], row["examples"]): row for row in rows}
        self.assertEqual(len(named), 2 * 4 * 3)
        for task, baseline in (("labelled", "head alone"), ("speakers", "base")):
            for adapter in ("personal", "personal from the mean", "shared", baseline):
                sizes = [named[task, adapter, size] for size in ("2", "4", "all")]
                self.assertEqual([row["users"] for row in sizes], ["4", "4", "8"])
                means = [float(row["mean"]) for row in sizes]
                self.assertAlmostEqual((means[0] + means[1]) / 2, means[2], places=6)
        personal, shared = named["labelled", "personal", "all"], named["labelled", "shared", "all"]
        self.assertAlmostEqual(float(shared["bytes per user"]) * 8 / float(personal["bytes per user"]), 1, delta=0.1)
        self.assertEqual(float(named["speakers", "base", "all"]["bytes per user"]), 0)
        self.assertNotEqual(named["speakers", "base", "all"]["mean"], named["speakers", "personal", "all"]["mean"])
        # Asked again nothing is trained, and the table is the same.
        runs = {p: p.stat().st_mtime_ns for p in (self.folder / "personal").rglob("*.safetensors")}
        self.succeeds(self.study("personal", "--quick", folder="personal", recipes=recipes))
        self.assertEqual(runs, {p: p.stat().st_mtime_ns for p in (self.folder / "personal").rglob("*.safetensors")})
        self.assertEqual(self.without_seconds("personal/quick"), rows)
        # Killed at many moments it ends with the same scores.
        command = self.study("personal", "--quick", folder="personal-killed", recipes=recipes)
        for attempt in range(12):
            try:
                if (
                    subprocess.run(command, capture_output=True, check=False, timeout=0.3 + 0.2 * attempt).returncode
                    == 0
                ):
                    break
            except subprocess.TimeoutExpired:
                continue
        self.succeeds(command)
        self.assertEqual(self.without_seconds("personal-killed/quick"), rows)

    def test_what_cannot_be_asked_is_refused(self) -> None:
        self.refused(self.study("vektors"), "found vektors", "did you mean vectors?")
        self.refused(self.study("instruct"), "expected a task for that, found classification")
        self.refused(self.study("combine"), "expected two recipes")
        self.refused([str(PROGRAM), "study", "energy"], "--model: expected one")
        self.refused(self.study("vectors", "--report", str(self.recipe)), "--report")
        path = self.folder / "absent.json"
        absent = json.loads(self.recipe.read_text())
        absent["task"] = {"name": "qnli", "data": "data/nowhere"}
        path.write_text(json.dumps(absent))
        self.refused(
            self.study("vectors", recipes=(path,)), "expected data/nowhere, found nothing there", "LORAXS_DATA"
        )

    def test_the_help_names_every_study(self) -> None:
        known = run([str(PROGRAM), "study", "nothing"]).stderr.split("one of ")[1].split(", found")[0].split(", ")
        listed = self.succeeds([str(PROGRAM), "study", "--help"]).split(", or all;")[0].split()
        self.assertEqual([word.rstrip(",") for word in listed[-len(known) :]], known)

    def test_data_come_from_the_folder_that_the_environment_names(self) -> None:
        elsewhere = self.folder / "elsewhere/own"
        elsewhere.mkdir(parents=True)
        for name in ("train.csv", "validation.csv"):
            shutil.copy(self.folder / name, elsewhere)
        recipe = json.loads(self.recipe.read_text())
        recipe["task"] |= {"train": "data/own/train.csv", "validation": "data/own/validation.csv"}
        path = self.folder / "moved.json"
        path.write_text(json.dumps(recipe))
        done = run(self.study("vectors", "--quick", recipes=(path,)), LORAXS_DATA=str(self.folder / "elsewhere"))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_estimate_starts_nothing(self) -> None:
        text = self.succeeds(self.study("vectors", "--estimate", folder="estimated"))
        self.assertIn("vectors: ", text)
        self.assertFalse(list((self.folder / "estimated").glob("*/metrics.jsonl")))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

"""What commands that write may be pointed at, and what they then leave alone; runs that diverge. Arguments: PROGRAM ORACLES."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support.tiny_run import TinyRunTest, make_recipe, results_of, run, train_command

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])


def tree_of(folder: Path) -> dict[str, object]:
    """Every entry below: bytes, or where it leads."""
    tree: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            tree[name] = os.readlink(path)
        else:
            tree[name] = path.read_bytes() if path.is_file() else "folder"
    return tree


class OutputsTest(TinyRunTest):
    oracles = ORACLES

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.trained(PROGRAM, "whole")
        cls.mine = cls.folder / "mine"
        cls.mine.mkdir()
        for seed, name in enumerate("ab"):
            shutil.copy(cls.folder / f"whole/seed-{seed}/best.safetensors", cls.mine / f"{name}.safetensors")
        (cls.mine / "empty").mkdir()
        (cls.mine / "link").symlink_to("b.safetensors")
        (cls.mine / "loose-link").symlink_to("nowhere")
        cls.adapter = str(cls.mine / "a.safetensors")
        exported = cls.command(
            "export", "--adapter", cls.adapter, "--format", "peft", "--out", str(cls.folder / "lora")
        )
        assert run(exported).returncode == 0
        merged = run(cls.command("merge", "--adapter", cls.adapter, "--out", str(cls.folder / "merged")))
        assert merged.returncode == 0, merged.stderr

    @classmethod
    def command(cls, name: str, *more: str) -> list[str]:
        return [PROGRAM, name, "--model", str(cls.folder / "model"), "--cache", str(cls.folder / "cache"), *more]

    def test_nothing_that_is_there_is_written_over(self) -> None:
        """An input of the command, any other file or folder, and links, whether they lead anywhere or not."""
        a, b = self.adapter, str(self.mine / "b.safetensors")
        on = ["--adapter", a]
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv")]
        writers = [
            self.command("merge", *on, "--out"),
            self.command("unmerge", *on, "--merged", str(self.folder / "merged"), "--out"),
            *(
                self.command("export", *on, "--format", kind, "--out")
                for kind in ("peft", "reference", "loraxs", "gguf")
            ),
            self.command("import", "--from", str(self.folder / "lora"), "--out"),
            self.command("import", "--in", str(self.folder), "--out"),
            self.command("combine", f"0.5*{a} + 0.5*{b}", "--out"),
            self.command("basis", "--rank", "2", "--out"),
            self.command("sweep", "--from", a, "--to", b, *data, "--report"),
            self.command("study", "energy", *data, "--report"),
            [PROGRAM, "init"],
        ]
        before = tree_of(self.folder)
        for writer in writers:
            for there in (
                a,
                str(self.folder / "model"),
                *(str(self.mine / name) for name in ("empty", "link", "loose-link")),
            ):
                with self.subTest(f"{writer[1]} {writer[-1]} {there}"):
                    self.refused([*writer, there], there, "expected nothing there", "choose another")
        self.assertEqual(tree_of(self.folder), before)
        for inside in ("model/out", "mine/../model/out", "model"):
            for writer in writers[:2]:
                self.refused([*writer, str(self.folder / inside)], "model")
        self.refused([*writers[1], str(self.folder / "merged/out")], "expected a place outside")
        self.assertEqual(tree_of(self.folder), before)

    def test_a_folder_that_is_no_run_is_left_alone(self) -> None:
        project = self.folder / "project"
        for name in (
            ".git/config",
            ".ssh/id",
            ".hidden",
            "thesis.txt",
            "checkpoints/step-9/state.json",
            "metrics.jsonl",
        ):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(name)
        recipe = make_recipe(self.folder) | {"output": "."}
        (project / "recipe.yaml").write_text(json.dumps(recipe))
        before = tree_of(project)
        for more in ([], ["--resume"]):
            done = subprocess.run([PROGRAM, "train", "recipe.yaml", *more], cwd=project, capture_output=True, text=True, check=False)  # fmt: skip
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("choose another output", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            for output in (project, project / ".git", self.folder / "model", self.folder, project / "thesis.txt"):
                self.refused([*train_command(PROGRAM, self.folder, "x", *more), "--set", f"output={output}"], "choose another output")  # fmt: skip
        self.assertEqual(tree_of(project), before)
        (self.folder / "fresh").mkdir()
        self.trained(PROGRAM, "fresh")
        self.assertEqual(results_of(self.folder / "fresh"), results_of(self.folder / "whole"))

    def test_a_resumed_run_keeps_what_else_is_in_it(self) -> None:
        shutil.copytree(self.folder / "whole", self.folder / "kept")
        kept = self.folder / "kept"
        newest = max((kept / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("step-")))
        shutil.rmtree(newest)
        others = (".git/config", ".notes", "notes.txt", "checkpoints/.keep", "checkpoints/step-1-mine/state.json", "seed-0/.keep")  # fmt: skip
        for name in others:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / name).write_text(name)
        os.link(kept / "metrics.jsonl", self.folder / "snapshot")
        snapshot = (self.folder / "snapshot").read_bytes()
        (kept / "report.html").unlink()
        (kept / "report.html").symlink_to("notes.txt")
        self.trained(PROGRAM, "kept", "--resume")
        self.assertEqual(results_of(kept), results_of(self.folder / "whole"))
        for name in others:
            self.assertEqual((kept / name).read_text(), name)
        self.assertEqual((self.folder / "snapshot").read_bytes(), snapshot)

    def test_one_process_trains_a_run(self) -> None:
        slow = ["--set", "train.epochs=200"]
        command = train_command(PROGRAM, self.folder, "held", *slow)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not list((self.folder / "held").glob("checkpoints/step-*")):
                self.assertIsNone(process.poll(), "the run ended before a second one was tried")
                time.sleep(0.01)
            self.refused([*command, "--resume"], "held", "another process")
            self.refused(command, "--resume")
            process.send_signal(signal.SIGKILL)
        with subprocess.Popen(
            [*command, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)  # a killed process holds nothing
            message = process.communicate()[1]
        self.assertIn(process.returncode, (130, 0, -signal.SIGINT), message)

    def test_a_merged_folder_with_more_in_it_is_refused(self) -> None:
        full = ["--set", "method={name: full}", "--set", "train.seeds=[0]", "--set", "train.epochs=1"]
        self.trained(PROGRAM, "full", *full)
        merged = self.folder / "full/seed-0/merged"
        before = tree_of(merged)
        again = train_command(PROGRAM, self.folder, "full", *full, "--resume")
        self.assertEqual(run(again).returncode, 0)
        self.assertEqual(tree_of(merged), before)
        (merged / "notes.txt").write_text("mine")
        self.refused(again, "merged", "notes.txt")
        self.assertEqual(tree_of(merged), before | {"notes.txt": b"mine"})
        shutil.move(merged, self.folder / "moved")
        merged.symlink_to(self.folder / "moved")
        self.refused(again, "merged", "found a link")
        self.assertEqual(tree_of(self.folder / "moved"), before | {"notes.txt": b"mine"})


HEAD = "0.01"  # learning rate of the head, beside two of R


class DivergenceTest(TinyRunTest):
    oracles = ORACLES

    def events(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]

    def adapters(self, name: str, rate: str) -> dict[str, bytes]:
        return {
            f"{seed}/{kind}": (
                self.folder / name / f"lr-{rate}-head-{HEAD}-seed-{seed}/{kind}.safetensors"
            ).read_bytes()
            for seed in (0, 1)
            for kind in ("best", "last")
        }

    def settings(self, rate: str, *more: str) -> list[str]:
        return [part for setting in (f"train.learning_rate=[1e-3, {rate}]", f"train.head_learning_rate={HEAD}", *more) for part in ("--set", setting)]  # fmt: skip

    def test_a_job_ends_alone(self) -> None:
        beside = train_command(PROGRAM, self.folder, "beside", *self.settings("1e+30"))
        done = run(beside)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("loraxs: warning: job lr-1e+30"), 2, done.stderr)
        self.trained(PROGRAM, "apart", *self.settings("2e-3"))
        self.assertEqual(self.adapters("beside", "0.001"), self.adapters("apart", "0.001"))
        ended = [event for event in self.events("beside") if event["event"] == "ended"]
        self.assertEqual(sorted(event["job"][-1] for event in ended), ["0", "1"])
        for event in ended:
            self.assertIn("expected a finite loss", event["reason"])
        for event in self.events("beside"):
            if event["event"] == "step" and event["step"] > max(event["step"] for event in ended):
                self.assertEqual(len(event["loss"]), 2)
        result = json.loads((self.folder / "beside/result.json").read_text())
        self.assertEqual(result["learning_rate"], 0.001)
        self.assertIsNone(result["settings"][1]["value"])
        for seed in result["settings"][1]["seeds"]:
            self.assertIn("finite", seed["ended"]["reason"])
        self.assertNotIn("ended", result["settings"][0]["seeds"][0])
        self.assertFalse(list((self.folder / "beside").glob("lr-1e+30*/*.safetensors")))
        # Resumed from before and after the end of those jobs: the same bytes.
        metrics = (self.folder / "beside/metrics.jsonl").read_bytes()
        adapters = self.adapters("beside", "0.001")
        interrupted = train_command(PROGRAM, self.folder, "stopped", *self.settings("1e+30"))
        for delay in (0.3, 0.5, 0.7):
            with subprocess.Popen(interrupted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(delay)
                process.kill()
            resumed = run([*interrupted, "--resume"])
            self.assertEqual(resumed.returncode, 0, resumed.stderr)
            self.assertEqual((self.folder / "stopped/metrics.jsonl").read_bytes(), metrics)
            self.assertEqual(self.adapters("stopped", "0.001"), adapters)
            shutil.rmtree(self.folder / "stopped")

    def test_a_run_all_of_whose_jobs_end_is_an_error(self) -> None:
        command = train_command(PROGRAM, self.folder, "all", "--set", "train.learning_rate=1e30")
        for more in ([], ["--resume"]):
            done = run([*command, *more])
            self.assertEqual(done.returncode, 2, done.stderr)
            last = done.stderr.splitlines()[-1]
            for part in ("expected a finite loss", "train.learning_rate", "all 2 jobs have ended so"):
                self.assertIn(part, last)

    def test_a_last_step_that_breaks_the_row_is_an_error(self) -> None:
        """The one step leaves finite numbers of 1e30, with which nothing can be computed: no score, no adapter."""
        settings = ["train.learning_rate=1e30", "train.max_steps=1", "train.warmup_ratio=0", "train.seeds=[0]"]
        for name, more in (
            ("scored", []),
            ("unscored", [f"task={{name: classification, train: {self.folder / 'train.csv'}}}"]),
        ):
            with self.subTest(name):
                sets = [part for setting in (*settings, *more) for part in ("--set", setting)]
                command = train_command(PROGRAM, self.folder, f"last-{name}", *sets)
                for again in ([], ["--resume"]):
                    done = run([*command, *again])
                    self.assertEqual(done.returncode, 2, done.stderr)
                    for part in ("step 1", "last row", "train.learning_rate"):
                        self.assertIn(part, done.stderr.splitlines()[-1])
                self.assertFalse(list((self.folder / f"last-{name}").rglob("seed-*/*.safetensors")))

    def test_what_a_job_had_chosen_before_it_ended_is_kept(self) -> None:
        more = ("train.eval_every=1", "train.warmup_steps=4", "train.seeds=[0]")
        self.trained(PROGRAM, "chosen", *self.settings("1e+30", *more))
        folder = self.folder / f"chosen/lr-1e+30-head-{HEAD}-seed-0"
        self.assertEqual([path.name for path in folder.iterdir()], ["best.safetensors"])
        result = json.loads((self.folder / "chosen/result.json").read_text())
        seed = result["settings"][1]["seeds"][0]
        self.assertIsNotNone(seed["value"])
        self.assertGreater(seed["ended"]["step"], seed["best_step"])
        scored = run([PROGRAM, "eval", "--model", str(self.folder / "model"), "--cache", str(self.folder / "cache"), "--adapter", str(folder / "best.safetensors"), "--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"])  # fmt: skip
        self.assertAlmostEqual(json.loads(scored.stdout)["value"], seed["value"], places=6)

    def test_neighbouring_rates_have_folders_of_their_own(self) -> None:
        more = ("train.seeds=[0]", "train.max_steps=2")
        self.trained(PROGRAM, "near", *self.settings("0.0010000001", *more))
        names = sorted(path.name for path in (self.folder / "near").glob("lr-*"))
        self.assertEqual(names, [f"lr-{rate}-head-{HEAD}-seed-0" for rate in ("0.001", "0.0010000001")])
        twice = train_command(PROGRAM, self.folder, "twice", *self.settings("1e-3", *more))
        self.refused(twice, "lr-0.001", "twice")
        self.refused(train_command(PROGRAM, self.folder, "twice", "--set", "train.seeds=[0,1,0]"), "seed-0 twice")
        self.assertFalse((self.folder / "twice").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

"""The program as a user meets it: what works end to end, and what each mistake is told. Arguments: PROGRAM ORACLES."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support.tiny_run import TrainedRunTest, results_of, run, train_command

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])


class ProgramTest(TrainedRunTest):
    oracles, program = ORACLES, PROGRAM

    def refused_recipe(self, setting: str, *parts: str) -> None:
        left = self.folder / "refused"
        shutil.rmtree(left, ignore_errors=True)
        self.refused(train_command(PROGRAM, self.folder, "refused", "--set", setting), *parts)
        self.assertFalse(left.exists(), f"{setting} left a run folder")


class MistakeTest(ProgramTest):
    def test_recipes(self) -> None:
        for setting, *parts in (
            ("train.learning_rat=1", "train.learning_rat", "learning_rate"),
            ("method.r=4", "method.r", "rank"),
            ("method.lora_alpha=4", "alpha"),
            ("method.rank=0", "method.rank", "found 0"),
            ("method.rank=999", "rank", "999"),
            ("method.targets=[qury]", "qury", "query"),
            ("method.layers=[99]", "method.layers", "99"),
            ("train.batch_size=abc", "train.batch_size", "abc"),
            ("train.seeds=[-1]", "train.seeds", "-1"),
            ("train.warmup_ratio=2", "train.warmup_ratio"),
            ("train.memory_gb=1e300", "train.memory_gb: expected at most 1000000, found 1e+300"),
            ("threads=1025", "threads: expected at most 1024, found 1025"),
            ("head=none_such", "head", "full"),
            ("task.name=qnly", "task.name", "qnli"),
            ("task.text=sentence", "train.csv", "sentence", "text"),
            ("model=/nowhere", "/nowhere"),
        ):
            with self.subTest(setting):
                self.refused_recipe(setting, *parts)
        self.refused([PROGRAM, "train", str(self.folder / "absent.yaml")], "absent.yaml")
        self.refused([PROGRAM, "trian"], "train")

    def test_data_files(self) -> None:
        for name, content, *parts in (
            ("columns.csv", "text,label\nab,yes\nab,yes,more\ncd,no\n", "columns.csv:3", "2", "3"),
            ("empty.csv", "text,label\nab,yes\n,no\n", "empty.csv:3"),
            ("quotes.csv", 'text,label\nab,yes\n"cd,no\n', "quotes.csv", "quote"),
            ("broken.jsonl", '{"text": "ab", "label": "yes"}\n{"text": \n', "broken.jsonl:2"),
            ("none.csv", "", "none.csv"),
            ("one.csv", "text,label\nab,yes\ncd,yes\n", "labels"),
            ("absent.csv", None, "absent.csv"),
        ):
            with self.subTest(name):
                path = self.folder / name
                if content is not None:
                    path.write_text(content)
                self.refused_recipe(f"task.train={path}", *parts)
        path = self.folder / "labels.csv"
        path.write_text("text,label\nab,yes\ncd,maybe\n")
        self.refused_recipe(f"task.validation={path}", "labels.csv:3", "maybe")
        numbers = self.folder / "numbers.csv"
        numbers.write_text("text,label\nab,1.5\ncd,high\n")
        self.refused_recipe(f"task={{name: regression, train: {numbers}}}", "numbers.csv:3", "high")

    def test_gguf(self) -> None:
        """A GGUF file is shown, counted and given a basis; a damaged one is refused and leaves nothing."""
        path = ORACLES / "gguf/mixed.gguf"
        shown = run([PROGRAM, "show", str(path), "--json"])
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual(json.loads(shown.stdout)["tensors"]["blk.0.attn_q.weight"].split()[1], "[128,")
        listed = run([PROGRAM, "params", str(path), "--list"])
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertEqual(len(listed.stdout.splitlines()), 3 * 7)
        out = self.folder / "gguf-basis.safetensors"
        basis = [PROGRAM, "basis", "--rank", "2", "--out", str(out), "--cache", str(self.folder / "cache")]
        done = run([*basis, "--model", str(path), "--json"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["sites"], 3 * 7)
        out.unlink()
        short = self.folder / "short.gguf"
        short.write_bytes(path.read_bytes()[:-1000])
        self.refused([*basis, "--model", str(short)], "short.gguf", "truncated")
        self.refused([PROGRAM, "show", str(short)], "short.gguf", "truncated")
        self.refused([PROGRAM, "params", str(ORACLES / "gguf/blocks.gguf")], "general.architecture", "llama", "test")
        self.assertFalse(out.exists())

    def test_adapters(self) -> None:
        damaged = self.folder / "damaged.safetensors"
        damaged.write_bytes(Path(self.adapter).read_bytes()[:-1])
        command = [PROGRAM, "predict", "--model", str(self.folder / "model"), "--adapter", str(damaged)]
        self.refused(command, "damaged.safetensors")
        self.refused([*command[:-1], str(self.folder / "absent.safetensors")], "absent.safetensors")
        existing = self.folder / "existing"
        existing.mkdir()
        (existing / "keep").write_text("mine")
        self.refused(self.on_model("merge", "--out", str(existing)), "existing")
        self.refused(self.on_model("export", "--format", "peft", "--out", str(existing)), "existing")
        self.assertEqual([p.name for p in existing.iterdir()], ["keep"])

    def test_outputs(self) -> None:
        self.refused(train_command(PROGRAM, self.folder, "whole"), "whole", "--resume")
        self.refused([*train_command(PROGRAM, self.folder, "x"), "--set", "output=/proc/run"], "/proc/run")
        if os.geteuid() != 0:  # root writes anywhere
            locked = self.folder / "locked"
            locked.mkdir(mode=0o500)
            self.refused([*train_command(PROGRAM, self.folder, "x"), "--set", f"output={locked}/run"], "locked")


class InterruptionTest(ProgramTest):
    def test_full_disk_and_resume(self) -> None:
        """A file-size limit stands in for a full disk: the write fails with an error, not a signal."""

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

        command = train_command(PROGRAM, self.folder, "full")
        result = subprocess.run(
            command, preexec_fn=limit, restore_signals=False, capture_output=True, text=True, check=False
        )
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        self.assertIn("full", result.stderr)
        resumed = run([*command, "--resume"])
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertEqual(results_of(self.folder / "full"), results_of(self.folder / "whole"))

    def test_ctrl_c_saves(self) -> None:
        slow = ["--set", "train.epochs=60"]
        whole = train_command(PROGRAM, self.folder, "long", *slow)
        self.assertEqual(run(whole).returncode, 0)
        command = train_command(PROGRAM, self.folder, "stopped", *slow)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while not list((self.folder / "stopped").glob("checkpoints/step-*")):
                self.assertIsNone(process.poll(), "the run ended before it could be interrupted")
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, message = process.communicate()
        self.assertEqual(process.returncode, 130, message)
        self.assertIn("--resume", message)
        self.assertEqual(run([*command, "--resume"]).returncode, 0)
        self.assertEqual(results_of(self.folder / "stopped"), results_of(self.folder / "long"))


class CommandTest(ProgramTest):
    def test_done_line(self) -> None:
        for key in ("metric", "value", "best_epoch", "trained_parameters", "adapter_bytes", "sentences_per_second", "tokens_per_second", "peak_memory_bytes", "seeds", "settings"):  # fmt: skip
            self.assertIn(key, self.done)
        self.assertEqual([seed["seed"] for seed in self.done["seeds"]], [0, 1])
        self.assertEqual(self.done["adapter_bytes"], Path(self.adapter).stat().st_size)

    def test_eval_repeats_the_best_epochs_score(self) -> None:
        data = str(self.folder / "validation.csv")
        result = run(self.on_model("eval", "--task", "classification", "--data", data, "--json"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertAlmostEqual(json.loads(result.stdout)["value"], self.done["seeds"][0]["value"], places=6)

    def test_predict_reads_all_forms(self) -> None:
        texts = self.folder / "texts.txt"
        texts.write_text('abc xyz\nhello\tkq\n{"text": "xyz"}\n')
        result = run(self.on_model("predict", "--input", str(texts), "--json"))
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertEqual(max(line["scores"], key=line["scores"].get), line["label"])
            self.assertAlmostEqual(sum(line["scores"].values()), 1, places=5)

    def test_tables_of_every_kind_are_read_alike(self) -> None:
        rows = [{"ticket": "T1", "message": "abc xyz"}, {"ticket": "T2", "message": "hello kq"}]
        files = {
            "t.csv": "ticket,message\nT1,abc xyz\nT2,hello kq\n",
            "t.tsv": "ticket\tmessage\nT1\tabc xyz\nT2\thello kq\n",
            "t.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
            "t.json": json.dumps(rows),
        }
        found = []
        for name, text in files.items():
            path = self.folder / name
            path.write_text(text)
            command = self.on_model("predict", "--input", str(path), "--json")
            self.refused(command, name, "ticket, message", "--text")
            result = run([*command, "--text", "message"])
            self.assertEqual(result.returncode, 0, result.stderr)
            found.append([json.loads(line) for line in result.stdout.splitlines()])
            self.assertEqual([line["ticket"] for line in found[-1]], ["T1", "T2"])
        self.assertEqual(found, [found[0]] * len(files))
        path = self.folder / "id.jsonl"
        path.write_text('{"id": "abc", "text": "xyz", "label": "no"}\n')
        one = json.loads(run(self.on_model("predict", "--input", str(path), "--json")).stdout)
        path.write_text('{"text": "xyz"}\n')
        self.assertEqual(
            one, {"id": "abc"} | json.loads(run(self.on_model("predict", "--input", str(path), "--json")).stdout)
        )
        rows = (self.folder / "validation.csv").read_text().replace("text,label", "message,team")
        (self.folder / "own.csv").write_text(rows)
        own = ["--data", str(self.folder / "own.csv"), "--text", "message", "--label", "team", "--json"]
        self.assertEqual(
            json.loads(run(self.on_model("eval", "--task", "classification", *own)).stdout)["examples"], 40
        )

    def test_own_csv_from_rows_to_labels(self) -> None:
        """docs/own-data.md on a tiny model: columns of any name, a held-out part, labels for a table of new texts."""
        own = self.folder / "own"
        own.mkdir()
        rows = (self.folder / "train.csv").read_text().splitlines()[1:]
        (own / "mine.csv").write_text(
            "id,message,team\n" + "\n".join(f"{i},{row}" for i, row in enumerate(rows)) + "\n"
        )
        (own / "new.csv").write_text('id,message\n7,"abc xyz"\n8,hello kq\n')
        recipe, output = own / "recipe.yaml", own / "run"
        columns = ["--train", str(own / "mine.csv"), "--text", "message", "--label", "team"]
        written = run([PROGRAM, "init", str(recipe), "--model", str(self.folder / "model"), *columns])
        self.assertEqual(written.returncode, 0, written.stderr)
        self.refused([PROGRAM, "init", str(own / "x.yaml"), "--task", "qnli", *columns], "--train", "qnli")
        settings = [
            part for key in (f"output={output}", "method.rank=4", "train.max_length=32") for part in ("--set", key)
        ]
        trained = run([PROGRAM, "train", str(recipe), *settings, "-q", "--json", "--cache", str(self.folder / "cache")])
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.assertIsNotNone(json.loads(trained.stdout.splitlines()[-1])["value"])  # scored on the held-out rows
        command = self.on_model("predict", "--input", str(own / "new.csv"), "--text", "message")
        command[command.index("--adapter") + 1] = str(output / "seed-0/best.safetensors")
        predicted = run(command)
        self.assertEqual(predicted.returncode, 0, predicted.stderr)
        self.assertEqual(len(predicted.stdout.splitlines()), 2)
        self.refused([*command[:-1], "text"], "new.csv", "text", "message")

    def test_merge_and_back(self) -> None:
        merged, back = self.folder / "merged", self.folder / "back"
        self.assertEqual(run(self.on_model("merge", "--out", str(merged))).returncode, 0)
        result = run(self.on_model("unmerge", "--merged", str(merged), "--out", str(back)))
        self.assertEqual(result.returncode, 0, result.stderr)
        original = (self.folder / "model/model.safetensors").read_bytes()
        self.assertNotEqual((merged / "model.safetensors").read_bytes(), original)
        self.assertEqual((back / "model.safetensors").read_bytes(), original)

    def test_ranks_of_their_own(self) -> None:
        pattern = ["--set", "method.rank_pattern={query: 2, site:layers.1.value: 8}", "--set", "train.seeds=[0]"]
        trained = run(train_command(PROGRAM, self.folder, "ranks", *pattern))
        self.assertEqual(trained.returncode, 0, trained.stderr)
        adapter = str(self.folder / "ranks/seed-0/best.safetensors")
        command = self.on_model("eval", "--task", "classification", "--data", str(self.folder / "validation.csv"), "--json")  # fmt: skip
        command[command.index("--adapter") + 1] = adapter
        result = run(command)
        self.assertEqual(result.returncode, 0, result.stderr)
        expected = json.loads(trained.stdout.splitlines()[-1])["value"]
        self.assertAlmostEqual(json.loads(result.stdout)["value"], expected, places=6)

    def test_a_cache_that_cannot_be_written_costs_time_alone(self) -> None:
        closed = self.folder / "train.csv/cache"
        command = train_command(PROGRAM, self.folder, "uncached")
        command[command.index("--cache") + 1] = str(closed)
        command.remove("-q")
        trained = run(command)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.assertIn(f"{closed}: cannot create: Not a directory", trained.stderr)
        self.assertEqual(
            (self.folder / "uncached/seed-0/best.safetensors").read_bytes(), Path(self.adapter).read_bytes()
        )
        self.refused(
            [PROGRAM, "basis", "--model", str(self.folder / "model"), "--rank", "2", "--cache", str(closed), "-q"],
            "--out",
        )

    def test_help_is_fast(self) -> None:
        def seconds() -> float:
            begin = time.perf_counter()
            subprocess.run([PROGRAM, "--help"], check=True, capture_output=True)
            return time.perf_counter() - begin

        self.assertLess(min(seconds() for _ in range(20)), 0.02)

    def test_recipe_document_is_what_init_writes(self) -> None:
        path = self.folder / "written.yaml"
        self.assertEqual(run([PROGRAM, "init", str(path)]).returncode, 0)
        self.assertIn(path.read_text().strip(), Path("docs/recipe.md").read_text())


del ProgramTest  # the shared part is no case of its own
if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

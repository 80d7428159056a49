"""What commands say and do beside their results: lines to paste, help, caches, show, table. Arguments: PROGRAM ORACLES."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support.tiny_run import TrainedRunTest, make_model, results_of, run, train_command

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])


class CommandsTest(TrainedRunTest):
    oracles, program = ORACLES, PROGRAM

    def result_of(self, command: list[str]) -> dict:
        done = run(command)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class NumbersTest(unittest.TestCase):
    def refused(self, words: list[str], said: str) -> None:
        done = run([PROGRAM, *words])
        self.assertEqual((done.returncode, done.stdout), (2, ""), words)
        self.assertRegex(done.stderr, f"^loraxs: {said}\n$")

    def commands(self) -> list[str]:
        return re.findall(r"^  (\w+) ", run([PROGRAM, "--help"]).stdout.split("Subcommands:")[1], re.MULTILINE)

    def options_of_every_command(self) -> list[tuple[str, str, str]]:
        """Command, option and kind of every number."""
        pattern = re.compile(r"^  (?:-\w,)?(--[\w-]+) (UINT|INT|FLOAT)", re.MULTILINE)
        helps = {name: run([PROGRAM, name, "--help"]).stdout for name in self.commands()}
        return [(name, *found) for name, text in helps.items() for found in pattern.findall(text)]

    def test_every_option_refuses_what_is_no_number_of_its_kind(self) -> None:
        wrong = {
            "UINT": {
                "-1": "whole number of at least 0",
                "18446744073709551616": "whole number of at most 1844674407370",
            },
            "INT": {"1.5": "whole number", "9223372036854775808": "(whole )?number", "010": "whole number"},
            "FLOAT": {"nan": "(finite )?number", "1e999": "(finite )?number"},
        }
        found = set()
        for name, option, kind in self.options_of_every_command():
            found.add(kind)
            for value, said in wrong[kind].items():
                with self.subTest(command=name, option=option, value=value):
                    self.refused([name, option, value], f"{option}: expected a {said}.*, found {re.escape(value)}")
        self.assertEqual(found, set(wrong))

    def test_counts_have_an_end(self) -> None:
        """A count that fits its type and no memory is refused before anything multiplies it. Keys' quotas are bounds."""
        largest = str((1 << 63) - 1)
        counts = [(name, option) for name, option, kind in self.options_of_every_command() if kind == "INT" and name != "key"]  # fmt: skip
        self.assertGreater(len(counts), len(self.commands()))
        for name, option in counts:
            with self.subTest(command=name, option=option):
                self.refused(
                    [name, option, largest], f"{option}: expected a whole number from .* to .*, found {largest}"
                )
        for name in ("generate", "serve"):
            self.refused(
                [name, "--memory-gb", "1e300"], "--memory-gb: expected a number from 0 to 1000000, found 1e300"
            )

    def test_counts_are_not_negative(self) -> None:
        for name, option, value in (
            ("generate", "--logprobs", "-1"),
            ("basis", "--rank", "-1"),
            ("params", "--rank", "4,-1"),
            ("params", "--labels", "-1"),
            ("sweep", "--points", "-1"),
        ):
            self.refused([name, option, value], f"{option}: expected a whole number from [01] to \\d+, found -1")


class ResumeTest(CommandsTest):
    def interrupted(self, command: list[str], output: Path) -> str:
        """The message after Ctrl-C, pressed when there is something to go on from."""
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while not list(output.glob("checkpoints/step-*")):
                self.assertIsNone(process.poll(), "the run ended before it could be interrupted")
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, message = process.communicate()
        self.assertEqual(process.returncode, 130, message)
        return message

    def test_the_line_after_ctrl_c_continues_this_run(self) -> None:
        settings = ["--set", "train.epochs=60", "--set", "train.seeds=[0, 1]"]
        self.assertEqual(run(train_command(PROGRAM, self.folder, "long", *settings)).returncode, 0)
        output = self.folder / "it's a $run; \\n"
        command = train_command(PROGRAM, self.folder, output.name, *settings)
        line = self.interrupted(command, output).strip().split("continue with: ")[1]
        again = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(results_of(output), results_of(self.folder / "long"))
        self.assertFalse(Path("unused").exists(), "the recipe's own output was written")
        # Where nothing needs quotes, it is what was typed, with --resume.
        command = train_command(PROGRAM, self.folder, "twice", *settings)
        line = self.interrupted(command, self.folder / "twice").strip().split("continue with: ")[1]
        self.assertEqual(shlex.split(line), [*command[:2], "--resume", *command[2:]])

    def test_a_changed_recipe_is_told_key_by_key(self) -> None:
        resumed = train_command(PROGRAM, self.folder, "whole", "--resume")
        self.refused(
            [*resumed, "--set", "train.epochs=5", "--set", "method.alpha=8"],
            "method.alpha 16.0, train.epochs 2, found 8.0, 5",
            "train.init_adapter=",
            "whole/seed-0/best.safetensors",
        )
        self.refused([*resumed, "--set", "train.seeds=[0]"], "train.seeds [0,1], found [0]")
        self.assertEqual(run([*resumed, "--set", "train.checkpoint_seconds=9"]).returncode, 0)  # decides no number


class MessageTest(CommandsTest):
    def test_quiet_keeps_errors_alone(self) -> None:
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv")]
        drift = {"LORAXS_ISA": "avx2" if os.environ.get("LORAXS_ISA") == "plain" else "plain"}  # not the training's
        loud = run(self.on_model("eval", *data), **drift)
        self.assertIn("warning: ", loud.stderr)
        quiet = run(self.on_model("eval", "-q", *data), **drift)
        self.assertEqual((quiet.returncode, quiet.stderr), (0, ""))
        self.refused(self.on_model("eval", "-q", "--task", "nosuch", "--data", "x"), "nosuch")

    def test_a_device_that_is_not_there(self) -> None:
        devices = self.result_of([PROGRAM, "doctor", "--json"])["devices"]
        self.assertEqual(devices[0], "cpu")
        missing, expected = "cuda:63", f"expected one of auto, {', '.join(devices)}, found cuda:63"
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        self.refused(self.on_model("eval", "--device", missing, *data), f"--device: {expected}")
        here = self.result_of(self.on_model("eval", "--device", "cpu", *data))
        self.assertEqual(here, self.result_of(self.on_model("eval", *data)))
        self.refused(train_command(PROGRAM, self.folder, "there", "--set", f"device={missing}"), f"device: {expected}")
        self.assertFalse((self.folder / "there").exists())

    def test_nothing_that_was_said_is_passed_over(self) -> None:
        table = self.folder / "odd.csv"
        table.write_text("words,team \nabc,yes\nxyz,no\n")
        data = ["--task", "classification", "--data", str(table)]
        answers = self.folder / "answers.jsonl"
        unread = (("--by", "loss"), ("--temperature", "1"), ("--stop", "x"), ("--top-p", "-1"), ("--seed", "7"), ("--batch", "2"))  # fmt: skip
        for words in (["--answers", str(answers)], *map(list, unread)):
            self.refused(self.on_model("eval", *data, *words), words[0], "classification", "predict --json")
        self.assertFalse(answers.exists())
        self.refused(self.on_model("eval", *data, "--label", "team "), 'the columns words, "team "; say it with --text')
        self.refused(self.on_model("eval", *data, "--text", "words", "--label", "team"), 'did you mean "team "?')
        recipe = train_command(PROGRAM, self.folder, "unmade")
        self.refused([*recipe, "--set", "epochs=3"], "epochs: unknown key; here it is called train.epochs")
        self.refused([*recipe, "--set", "train.rank=3"], "train.rank: unknown key; here it is called method.rank")
        self.refused(train_command(PROGRAM, self.folder, "whole"), "--resume", "--set output=")
        folders = {"whole": "of a run; loraxs show", "model": "found a folder"}
        for name, hint in folders.items():
            self.refused(
                self.on_model("predict", adapter=str(self.folder / name)), name, "expected an adapter file", hint
            )

    def test_the_best_of_a_grid_is_named(self) -> None:
        grid = ["--set", "train.learning_rate=[1e-9, 2e-2]", "--set", "train.head_learning_rate=[1e-9, 2e-2]"]
        done = self.trained(PROGRAM, "grid", *grid, "--set", "train.epochs=4")
        scores = {}
        for setting in done["settings"]:
            for seed in setting["seeds"]:
                name = f"lr-{setting['learning_rate']:g}-head-{setting['head_learning_rate']:g}-seed-{seed['seed']}"
                scores[name] = (setting["selection_value"], seed["value"])
        best = max(scores.values())
        self.assertGreater(best, min(scores.values()))
        names = {name.replace("1e-09", "1e-9") for name, score in scores.items() if score == best}
        chosen = Path(done["adapter"])
        self.assertIn(str(chosen.parent).replace("1e-09", "1e-9"), names)
        self.assertTrue((self.folder / "grid" / chosen).exists())
        self.assertNotEqual(chosen.parent.name, min(path.name for path in (self.folder / "grid").glob("lr-*")))
        words = [word for word in train_command(PROGRAM, self.folder, "grid", "--resume", *grid, "--set", "train.epochs=4") if word != "--json"]  # fmt: skip
        shown = run(words)
        self.assertIn(f"(report.html, {chosen})\n", shown.stdout, shown.stderr)
        self.assertRegex(shown.stdout, rf"\naccuracy: {done['value']:.4f} ± \d\.\d{{4}} \(median of 2 seeds, best epoch\)\n")  # fmt: skip

    def test_another_base(self) -> None:
        """The error names the option; it is obeyed where the basis is the same, and not where it is another."""
        from safetensors.torch import load_file, save_file

        for name, tensor in (("near", "embeddings.LayerNorm.weight"), ("far", "encoder.layer.0.attention.self.query.weight")):  # fmt: skip
            shutil.copytree(self.folder / "model", self.folder / name)
            path = self.folder / name / "model.safetensors"
            weights = load_file(path)
            key = next(key for key in weights if key.endswith(tensor))
            weights[key] = weights[key].flip(0).contiguous() * 1.5
            save_file(weights, path)
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        self.refused(self.on_model("eval", *data, model="near"), "base_id", "--accept-base")
        self.result_of(self.on_model("eval", "--accept-base", *data, model="near"))
        self.refused(self.on_model("eval", "--accept-base", *data, model="far"), "fingerprint")

    def test_a_sum_of_adapters_everywhere(self) -> None:
        other = str(self.folder / "whole/seed-0/last.safetensors")
        expression, written = f"0.5*{self.adapter} + 0.5*{other}", str(self.folder / "sum.safetensors")
        combined = [PROGRAM, "combine", expression, "--model", str(self.folder / "model"), "--out", written]
        self.assertEqual(run([*combined, "--cache", str(self.folder / "cache")]).returncode, 0)
        texts = self.folder / "texts.txt"
        texts.write_text("abc xyz\nhello\tkq\nkq kq abc\n")
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        for command, *more in (("eval", *data), ("predict", "--input", str(texts), "--json")):
            found = [run(self.on_model(command, *more, adapter=name)) for name in (expression, written, other)]
            self.assertEqual(found[0].returncode, 0, found[0].stderr)
            numbers = [re.sub(r'"adapter":"[^"]*",?', "", done.stdout) for done in found]
            self.assertEqual(numbers[0], numbers[1])
            if command == "predict":
                self.assertNotEqual(numbers[0], numbers[2], "the sum is one of its parts")
        for command, *more in (("merge",), ("export", "--format", "peft"), ("export", "--format", "loraxs")):
            outputs = []
            for k, name in enumerate((expression, written)):
                out = self.folder / f"{command}-{more[-1] if more else ''}-{k}"
                done = run(self.on_model(command, *more, "--out", str(out), adapter=name))
                self.assertEqual(done.returncode, 0, done.stderr)
                files = sorted(out.rglob("*.safetensors")) if out.is_dir() else [out]
                outputs.append([path.read_bytes() for path in files])
            self.assertEqual(outputs[0], outputs[1], command)
        self.refused(
            self.on_model("predict", adapter=f"0.5*{self.adapter} + nowhere.safetensors"), "nowhere.safetensors"
        )

    def test_cache(self) -> None:
        cache = self.folder / "cache"
        (cache / "basis-mine.safetensors").write_text("mine")
        (cache / "base-0123456789abcdef0123456789abcdef.id").symlink_to(self.adapter)
        listed = [json.loads(line) for line in run([PROGRAM, "cache", "list", "--cache", str(cache), "--json"]).stdout.splitlines()]  # fmt: skip
        self.assertEqual({entry["kind"] for entry in listed}, {"basis", "base id"})
        for entry in listed:
            self.assertEqual(entry["bytes"], Path(entry["path"]).stat().st_size)
        self.assertIn("rank 4", " ".join(entry["what"] for entry in listed))
        shown = run([PROGRAM, "cache", "list", "--cache", str(cache)]).stdout
        self.assertIn(f"{len(listed)} files", shown)
        ids = sum(entry["kind"] == "base id" for entry in listed)
        self.assertEqual(len(shown.splitlines()), 2 + len(listed) - ids + 1 + 1, shown)  # one row for all ids
        self.assertIn(f"| base-….id, {ids} file", shown)
        cleared = json.loads(run([PROGRAM, "cache", "clear", "--cache", str(cache), "--json"]).stdout)
        self.assertEqual((cleared["removed"], cleared["bytes"]), (len(listed), sum(e["bytes"] for e in listed)))
        self.assertEqual(sorted(path.name for path in cache.iterdir()), ["base-0123456789abcdef0123456789abcdef.id", "basis-mine.safetensors"])  # fmt: skip
        self.assertTrue(Path(self.adapter).exists())
        nothing = run([PROGRAM, "cache", "list", "--cache", str(self.folder / "nowhere")])
        self.assertEqual((nothing.returncode, (self.folder / "nowhere").exists()), (0, False), nothing.stderr)


class HelpTest(CommandsTest):
    def test_options_that_take_a_reference_say_so(self) -> None:
        for name, option, said in (
            ("predict", "--adapter", "URL#tenant/name[@version]"),
            ("generate", "--adapter", "URL#tenant/name[@version]"),
            ("nearest", "--adapter", "URL#tenant/name[@version]"),
            ("nearest", "--in", "URL#tenant/ or URL#tenant/begin*"),
        ):
            help_of = run([PROGRAM, name, "--help"]).stdout
            self.assertIn(said, re.search(rf"^  {option} .*(\n {{10,}}.*)*", help_of, re.MULTILINE)[0])

    def test_every_help_ends_with_an_example_that_works(self) -> None:
        """In a folder like the repository, with tiny models: one after the other, in the order of --help."""
        place = self.folder / "place"
        (place / "models/smollm2").mkdir(parents=True)
        make_model(ORACLES, place / "models/minilm")
        os.symlink(
            min(Path("models/smollm2").glob("*.gguf")).absolute(),
            place / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        )
        shutil.copytree("examples", place / "examples")
        program = str(Path(PROGRAM).absolute())
        names = re.findall(r"^  (\w+) ", run([program, "--help"]).stdout.split("Subcommands:")[1], re.MULTILINE)
        self.assertEqual((names[:2], "doctor" in names), (["init", "train"], True))
        environment = {"XDG_CACHE_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}
        for name in names:
            with self.subTest(name):
                example = run([program, name, "--help"]).stdout.rstrip().splitlines()[-1].strip()
                self.assertTrue(example.startswith(f"loraxs {name}"), example)
                done = subprocess.run([program, *shlex.split(example)[1:]], cwd=place, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # fmt: skip
                self.assertEqual(done.returncode, 0, f"{example}\n{done.stderr}")


class ShowTest(CommandsTest):
    def shown(self, path: str, *facts: str) -> dict:
        """The JSON of `show`; the same for people has the facts, and is no JSON."""
        for_people = run([PROGRAM, "show", path, "--cache", str(self.folder / "cache")])
        self.assertEqual(for_people.returncode, 0, for_people.stderr)
        for fact in facts:
            self.assertIn(fact, for_people.stdout)
        self.assertFalse(for_people.stdout.startswith("{"))
        return self.result_of([PROGRAM, "show", path, "--json", "--cache", str(self.folder / "cache")])

    def test_everything_says_what_it_is(self) -> None:
        model = str(self.folder / "model")
        layers = json.loads((self.folder / "model/config.json").read_text())["num_hidden_layers"]
        adapter = self.shown(
            self.adapter, "adapter, lora_xs, rank 4", "no, yes", model, "accuracy", f" of {layers} layers"
        )
        self.assertEqual((adapter["kind"], adapter["rank"], adapter["task"]), ("adapter", 4, "classification"))
        self.assertEqual(adapter["model"], model)
        whole = self.shown(str(self.folder / "whole"), "finished run", "accuracy", "seed-0/best.safetensors", model)
        self.assertEqual((whole["kind"], whole["value"], whole["finished"]), ("run", self.done["value"], True))
        self.assertEqual(len(whole["adapters"]), 2)
        base = self.shown(model, "bert, encoder", "base id")
        self.assertEqual((base["kind"], base["base_id"]), ("model", adapter["base_id"]))
        peft, basis = str(self.folder / "as-peft"), str(self.folder / "basis.safetensors")
        self.assertEqual(run(self.on_model("export", "--format", "peft", "--out", peft)).returncode, 0)
        self.assertEqual(self.shown(peft, "PEFT adapter", "import --model")["kind"], "peft")
        self.assertEqual(run([PROGRAM, "basis", "--model", model, "--rank", "4", "--out", basis, "--cache", str(self.folder / "cache")]).returncode, 0)  # fmt: skip
        self.assertEqual(self.shown(basis, "basis of 12 projections, rank 4")["kind"], "basis")
        self.assertEqual(self.shown(str(ORACLES / "gguf/mixed.gguf"), "llama", "Q8_0")["kind"], "gguf")
        self.assertEqual(len(self.shown(str(self.folder / "whole/seed-0"), "folder of 2 adapters")["adapters"]), 2)
        merged = str(self.folder / "merged")
        self.assertEqual(run(self.on_model("merge", "--out", merged)).returncode, 0)
        self.assertEqual(self.shown(merged, "no, yes")["labels"], ["no", "yes"])
        self.refused([PROGRAM, "show", str(self.folder / "nothing")], "nothing", "found none")
        self.refused([PROGRAM, "show", "docs"], "expected the folder of a run, a model")
        self.refused([PROGRAM, "show", "README.md"], "README.md: expected a safetensors file, found another kind")


class TableTest(CommandsTest):
    def rows(self, *paths: object) -> list[dict]:
        done = run([PROGRAM, "table", "--json", *map(str, paths)])
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_runs_evaluations_and_variants(self) -> None:
        runs = self.folder / "runs"
        runs.mkdir()
        for name, rate in (("runs/slow", "1e-4"), ("runs/fast", "1e-2")):
            self.trained(PROGRAM, name, "--set", f"train.learning_rate={rate}", "--set", "train.seeds=[0]")
        rows = self.rows(runs)
        self.assertEqual({str(row["variant"]) for row in rows}, {"{'train.learning_rate': '[0.0001]'}", "{'train.learning_rate': '[0.01]'}"})  # fmt: skip
        for row in rows:
            (score,) = row["scores"]
            self.assertEqual((row["method"], row["rank"], score["task"], row["average"]), ("lora_xs", "4", "classification", score["value"]))  # fmt: skip
        lines = run([PROGRAM, "table", str(runs)]).stdout.splitlines()
        self.assertEqual(lines[0], "| model | method | params | rank | variant | classification | avg |")
        self.assertIn("learning_rate=[0.01]", lines[2] + lines[3])
        self.assertIn("variant", run([PROGRAM, "table", str(runs), "--format", "csv"]).stdout.splitlines()[0])
        # An evaluation beside the runs: what the adapter is comes from its file.
        saved = self.folder / "eval.json"
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        saved.write_text(run(self.on_model("eval", *data)).stdout)
        (row,) = self.rows(saved)
        self.assertEqual((row["method"], row["rank"], row["scores"][0]["metric"]), ("lora_xs", "4", "accuracy"))
        # Two of the same, of which nothing tells which is which, are refused; so is what is none of these files.
        shutil.copytree(runs / "fast", self.folder / "copy")
        self.refused([PROGRAM, "table", str(runs / "fast"), str(self.folder / "copy")], "same settings", "--by-run")
        self.refused([PROGRAM, "table", str(self.folder / "recipe.yaml")], "recipe.yaml")


del CommandsTest
if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

"""Every method through the program: dry run, training, resume, eval, predict, merge, export. Arguments: PROGRAM ORACLES."""

import csv
import json
import shutil
import sys
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file
from support.tiny_run import TinyRunTest, make_recipe, results_of, run, train_command
from transformers import AutoModel, BertTokenizerFast

PROGRAM, ORACLES = sys.argv[1], Path(sys.argv[2])
RANK, SITES = 4, 12  # three layers of query, value, attention output [32, 32] and MLP output [64 -> 32]
METHODS = {
    "lora_xs from zero": ({"name": "lora_xs", "init_std": 0}, SITES * 16),
    "lora_xs, random basis": (
        {"name": "lora_xs", "init_std": 0.3, "basis": {"variant": "random", "seed": 5}},
        SITES * 16,
    ),
    "lora_xs, basis of a random matrix": ({"name": "lora_xs", "basis": {"variant": "svd_of_random"}}, SITES * 16),
    "lora_xs, bottom": ({"name": "lora_xs", "init_std": 0.3, "basis": {"vectors": "bottom"}}, SITES * 16),
    "lora_xs, basis of its inputs": ({"name": "lora_xs", "basis": {"variant": "inputs"}}, SITES * 16),
    "lora_xs, a rank per module of the inputs": (
        {"name": "lora_xs", "rank_pattern": {"query": 2}, "basis": {"variant": "inputs", "sigma": False}},
        9 * 16 + 3 * 4,
    ),
    "lora_xs, a rank per module": ({"name": "lora_xs", "rank_pattern": {"query": 2}}, 9 * 16 + 3 * 4),
    "lora_xs, dropout": ({"name": "lora_xs", "init_std": 0.3, "dropout": 0.2}, SITES * 16),
    "lora, dropout": ({"name": "lora", "dropout": 0.3}, 9 * RANK * 64 + 3 * RANK * 96),
    "lora": ({"name": "lora"}, 9 * RANK * 64 + 3 * RANK * 96),
    "rslora": (
        {"name": "lora", "rslora": True, "rank_pattern": {"query": 2}},
        6 * RANK * 64 + 3 * 2 * 64 + 3 * RANK * 96,
    ),
    "lora from the SVD": ({"name": "lora", "init": "svd"}, 9 * RANK * 64 + 3 * RANK * 96),
    "pissa": ({"name": "pissa"}, 9 * RANK * 64 + 3 * RANK * 96),
    "vera": ({"name": "vera"}, SITES * (32 + RANK)),
    "adalora": (
        {"name": "adalora", "adalora": {"target_rank": 2, "initial_steps": 3, "final_steps": 4}},
        9 * RANK * 65 + 3 * RANK * 97,
    ),
    "tied_lora": ({"name": "tied_lora"}, 3 * RANK * 64 + RANK * 96 + SITES * (32 + RANK)),
    "tiny_lora": ({"name": "tiny_lora", "vectors": 8}, SITES * 8),
    "tiny_lora, tied": ({"name": "tiny_lora", "vectors": 8, "tied": True}, 8),
    "full": ({"name": "full"}, 9 * 33 * 32 + 3 * 65 * 32),
}
BASIS_FREE = {"lora", "lora, dropout", "rslora", "lora from the SVD", "adalora", "tied_lora", "full"}


class MethodsTest(TinyRunTest):
    oracles = ORACLES

    def command(self, name: str, method: dict, *more: str) -> list[str]:
        command = train_command(PROGRAM, self.folder, name.replace(" ", "-").replace(",", ""), *more)
        recipe = make_recipe(self.folder)
        recipe["method"] = ({} if method["name"] == "full" else {"rank": RANK}) | method
        recipe["train"] |= {"learning_rate": 1e-2, "head_learning_rate": 1e-2, "checkpoint_seconds": 1000}
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(recipe))
        command[2] = str(path)
        return command

    def json_of(self, command: list[str]) -> dict:
        result = run(command)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout.splitlines()[-1])

    def test_every_method(self) -> None:
        for name, (method, numbers) in METHODS.items():
            with self.subTest(name):
                command = self.command(name, method)
                output = Path(next(a for a in command if a.startswith("output="))[7:])
                planned = self.json_of([*command, "--dry-run"])
                done = self.json_of(command)
                self.assertEqual((planned["trained_parameters"], done["trained_parameters"]), (numbers, numbers))
                self.assertEqual(planned["basis_bytes"] == 0, name in BASIS_FREE - {"lora from the SVD"})
                adapter = output / "seed-0/best.safetensors"
                self.assertLessEqual(adapter.stat().st_size, planned["adapter_bytes_at_most"])
                self.resume(command, output)
                on_model = [
                    "--model",
                    str(self.folder / "model"),
                    "--adapter",
                    str(adapter),
                    "--cache",
                    str(self.folder / "cache"),
                ]
                data = str(self.folder / "validation.csv")
                scored = self.json_of(
                    [PROGRAM, "eval", *on_model, "--task", "classification", "--data", data, "--json"]
                )
                self.assertAlmostEqual(scored["value"], done["seeds"][0]["value"], places=6)
                self.assertGreater(done["value"], 0.6)  # it learns
                texts = self.folder / "texts.txt"
                texts.write_text("abc xyz\nhello kq\n")
                predicted = run([PROGRAM, "predict", *on_model, "--input", str(texts), "--json"])
                self.assertEqual(len(predicted.stdout.splitlines()), 2, predicted.stderr)
                merged = self.json_of([PROGRAM, "merge", *on_model, "--out", f"{output}-merged", "--json"])
                self.assertLessEqual(merged["merged_against_adapted"], 1e-5)
                self.assertGreater(merged["adapter_effect"], 1e-4)  # control: the adapter does something
                exported = run([PROGRAM, "export", *on_model, "--format", "peft", "--out", f"{output}-peft"])
                if method["name"] == "full":
                    self.assertEqual(exported.returncode, 2)
                    self.assertIn("loraxs merge", exported.stderr)
                    whole = (output / "seed-0/merged/model.safetensors").read_bytes()
                    self.assertEqual(whole, Path(f"{output}-merged/model.safetensors").read_bytes())
                else:
                    self.assertEqual(exported.returncode, 0, exported.stderr)

    def resume(self, command: list[str], output: Path) -> None:
        """From the last checkpoint but one, the same bytes come out."""
        expected = results_of(output)
        newest = max((output / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
        shutil.rmtree(newest)
        for path in output.glob("seed-*"):
            shutil.rmtree(path)
        result = run([*command, "--resume"])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(results_of(output), expected)

    def test_dropout_of_a_job_is_its_own(self) -> None:
        """The same bytes alone as beside another job; probability 0 is no dropout, and another one is another run."""

        def adapter(name: str, method: dict, seeds: str) -> bytes:
            command = self.command(name, {"name": "lora_xs", "init_std": 0.3} | method, "--set", f"train.seeds={seeds}")
            self.json_of(command)
            return (self.folder / name / "seed-1/last.safetensors").read_bytes()

        beside = adapter("beside", {"dropout": 0.3}, "[0, 1]")
        self.assertEqual(beside, adapter("alone", {"dropout": 0.3}, "[1]"))
        none = adapter("none", {}, "[1]")
        self.assertEqual(none, adapter("zero", {"dropout": 0}, "[1]"))
        self.assertNotEqual(none, beside)
        self.assertNotEqual(beside, adapter("other", {"dropout": 0.31}, "[1]"))

    def test_bad_input_is_one_sentence(self) -> None:
        for method, words in (
            ({"name": "lora_xs", "dropout": 1}, ["method.dropout", "below 1"]),
            ({"name": "lora_xs", "dropout": -0.1}, ["method.dropout"]),
            ({"name": "full", "dropout": 0.1}, ["method.dropout", "no such key for full"]),
            ({"name": "lora_xs", "lora_dropout": 0.1}, ["dropout"]),
            ({"name": "lora", "rank": 0}, ["method.rank"]),
            ({"name": "pissa", "rank": 33}, ["method.rank", "1 to 32"]),
            ({"name": "lorra"}, ["did you mean lora?"]),
            ({"name": "lora", "init": "svd", "basis": {"variant": "inputs"}}, ["basis.variant", "lora", "inputs"]),
            ({"name": "lora_xs", "basis": {"variant": "inputs", "vectors": "bottom"}}, ["basis.vectors", "bottom"]),
            ({"name": "full", "rank": 8}, ["method.rank", "no such key for full"]),
            ({"name": "lora", "d_initial": 1}, ["method.d_initial", "vera"]),
            ({"name": "vera", "rank_pattern": {"query": 2}}, ["method.rank_pattern"]),
            ({"name": "adalora", "adalora": {"target_rank": 8}}, ["target_rank"]),
            ({"name": "lora", "budget": 100}, ["method.budget"]),
        ):
            with self.subTest(str(method)):
                self.refused(self.command("bad", method), *words)
                self.assertFalse((self.folder / "bad").exists())

    def test_lora_sb_brings_its_basis(self) -> None:
        one = ["--set", "train.seeds=[0]"]
        self.refused(self.command("sb", {"name": "lora_sb"}), "train.seeds", "one seed")
        self.assertFalse((self.folder / "sb").exists())
        self.refused(self.command("sb", {"name": "lora_sb", "basis": {"seed": 1}}), "method.basis", "lora_sb")
        command = self.command("sb", {"name": "lora_sb", "gradient_examples": 24}, *one)
        planned = self.json_of([*command, "--dry-run"])
        self.assertGreaterEqual(planned["memory_bytes_estimate"], planned["memory_bytes_gradient_pass"])
        self.assertGreater(planned["memory_bytes_gradient_pass"], 2 * 4 * 32 * (9 * 32 + 3 * 64))
        done = self.json_of(command)
        self.assertEqual(done["trained_parameters"], SITES * 16)
        self.assertGreater(done["value"], 0.6)
        output = self.folder / "sb"
        bases, adapter = list(output.glob("*.basis.safetensors")), output / "seed-0/best.safetensors"
        self.assertEqual(len(bases), 1)
        files = ("metrics.jsonl", "start.safetensors", "seed-0/best.safetensors", "seed-0/last.safetensors")
        bytes_of = {name: (output / name).read_bytes() for name in files}
        shutil.rmtree(output / "seed-0")
        checkpoints = sorted((output / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
        for kept in (len(checkpoints) - 1, 0):  # from the last but one, and from the start alone
            for path in checkpoints[kept:]:
                shutil.rmtree(path, ignore_errors=True)
            self.json_of([*command, "--resume"])
            self.assertEqual({name: (output / name).read_bytes() for name in files}, bytes_of)
        on_model = ["--model", str(self.folder / "model"), "--cache", str(self.folder / "cache")]
        data = ["--task", "classification", "--data", str(self.folder / "validation.csv"), "--json"]
        scored = self.json_of([PROGRAM, "eval", *on_model, "--adapter", str(adapter), *data])
        self.assertAlmostEqual(scored["value"], done["value"], places=6)
        merged = self.json_of([PROGRAM, "merge", *on_model, "--adapter", str(adapter), "--out", f"{output}-m", "--json"])  # fmt: skip
        self.assertLessEqual(merged["merged_against_adapted"], 1e-5)
        self.assertGreater(merged["adapter_effect"], 1e-4)
        further = self.command("further", {"name": "lora_sb"}, *one, "--set", f"train.init_adapter={adapter}")
        self.assertEqual(self.json_of([*further, "--dry-run"])["memory_bytes_gradient_pass"], 0)
        self.json_of(further)
        self.assertEqual([path.name for path in (self.folder / "further").glob("*.basis.safetensors")], [bases[0].name])
        bases[0].unlink()
        self.refused([PROGRAM, "eval", *on_model, "--adapter", str(adapter), *data], "--basis FILE", "gradient")

    def test_the_basis_of_inputs_is_best_on_the_texts(self) -> None:
        """Its share of what the projections give on the training texts, as transformers computes them."""
        self.json_of(self.command("texts", {"name": "lora_xs", "basis": {"variant": "inputs"}}))
        kept = load_file(next((self.folder / "texts").glob("*.basis.safetensors")))
        model = AutoModel.from_pretrained(self.folder / "model").double().eval()
        tokenizer = BertTokenizerFast(str(self.folder / "model/vocab.txt"))
        weights, inputs = {}, {}

        def look(name: str, layer: torch.nn.Linear, first: bool) -> None:
            """`first`: of the last layer only the first token asks."""
            weights[name], inputs[name] = layer.weight.detach(), []
            layer.register_forward_pre_hook(lambda _, given: inputs[name].append(given[0][0, : 1 if first else None]))

        for number, layer in enumerate(model.encoder.layer):
            last = number == 2
            look(f"layers.{number}.query", layer.attention.self.query, last)
            look(f"layers.{number}.value", layer.attention.self.value, False)
            look(f"layers.{number}.attention_output", layer.attention.output.dense, last)
            look(f"layers.{number}.mlp_output", layer.output.dense, last)
        with torch.no_grad(), (self.folder / "train.csv").open() as file:
            for line in csv.DictReader(file):
                model(**tokenizer(line["text"], truncation=True, max_length=32, return_tensors="pt"))
        self.assertEqual(set(kept), {f"{name}.{part}" for name in weights for part in "ab"})
        for name, weight in weights.items():
            with self.subTest(name):
                x = torch.cat(inputs[name])
                seen = x.T @ x / len(x)
                seen += 1e-3 * seen.trace() / len(seen) * torch.eye(len(seen), dtype=seen.dtype)
                outputs = weight @ seen @ weight.T
                most = torch.linalg.eigvalsh(outputs)[-RANK:].sum()
                b = kept[f"{name}.b"].double()
                torch.testing.assert_close((b.T @ outputs @ b).trace(), most, rtol=1e-5, atol=0)
                torch.testing.assert_close(kept[f"{name}.a"].double(), b.T @ weight, rtol=1e-5, atol=1e-6)
                of_weight = torch.linalg.svd(weight)[0][:, :RANK]
                self.assertLess((of_weight.T @ outputs @ of_weight).trace(), 0.99 * most)  # control

    def test_a_residual_base_is_not_kept_as_stored(self) -> None:
        self.refused(self.command("tight", {"name": "pissa"}, "--memory", "tight"), "train.memory", "pissa", "tight")
        self.assertFalse((self.folder / "tight").exists())

    def test_combine_wants_rows_that_add(self) -> None:
        command = self.command("two", {"name": "vera"})
        self.json_of(command)
        a, b = (self.folder / f"two/seed-{s}/best.safetensors" for s in (0, 1))
        model = ["--model", str(self.folder / "model"), "--out", str(self.folder / "c")]
        self.refused([PROGRAM, "combine", f"0.5*{a} + 0.5*{b}", *model], "lora_xs or lora")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

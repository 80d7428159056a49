"""Every recipe in the repository: written by its script, and it parses and dry-runs on a config.json alone. Argument: PROGRAM."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv[1]
SITES = {
    "roberta-large": 96,
    "minilm": 24,
    "smollm2": 210,
    "mistral-7b": 224,
    "gemma-7b": 196,
    "llama2-7b": 224,
    "llama3-8b": 224,
}
# train_examples, steps_per_epoch, total_steps, warmup_steps
STEPS = {"metamath": (100000, 782, 1564, 31), "commonsense": (170300, 2661, 7983, 100)}

DECODERS = {  # task, rank
    "smollm2-commonsense": ("commonsense", 32),
    "smollm2-gsm8k": ("gsm8k", 64),
    "smollm2-metamath": ("metamath", 64),
    "smollm2-persona": ("chat", 32),
}


class RecipesTest(unittest.TestCase):
    def test_files_are_what_the_script_writes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "scripts/glue_recipes.py", f"{folder}/glue"], check=True)
            subprocess.run([sys.executable, "scripts/decoder_recipes.py", folder], check=True)
            written = {p.relative_to(folder): p.read_text() for p in Path(folder).rglob("*.yaml")}
        kept = {
            p.relative_to("recipes"): p.read_text()
            for table in ("glue", "math", "commonsense")
            for p in Path("recipes", table).rglob("*.yaml")
        }
        self.assertEqual(written, kept)
        self.assertEqual(len(kept), 49 + 6 + 2)

    def test_every_recipe_dry_runs_without_weights_and_data(self) -> None:
        official = {
            "sst2": 67349,
            "mrpc": 3668,
            "cola": 8551,
            "qnli": 104743,
            "rte": 2490,
            "stsb": 5749,
            "mnli": 392702,
        }
        with tempfile.TemporaryDirectory() as folder:
            for model in SITES:
                (Path(folder) / model).mkdir()
                shutil.copy(f"tests/configs/{model}.json", Path(folder) / model / "config.json")
            for path in sorted(Path("recipes").rglob("*.yaml")):
                with self.subTest(str(path)):
                    if path.parts[1] == "decoder":
                        model, (task, rank) = "smollm2", DECODERS[path.stem]
                    elif path.parts[1] in ("math", "commonsense"):
                        model, rank = path.parts[2], int(path.stem[1:])
                        task = {"math": "metamath", "commonsense": "commonsense"}[path.parts[1]]
                    elif path.parts[1] != "glue":
                        model, rank, task = "minilm", 16, "qnli"
                    else:
                        model, rank, task = path.parts[2], int(path.parts[3][1:]), path.stem
                    command = [PROGRAM, "train", str(path), "--dry-run", "--json", "--set", f"model={folder}/{model}"]
                    result = subprocess.run(command, capture_output=True, text=True, check=False)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    found = json.loads(result.stdout)
                    self.assertEqual(found["weights"], "absent")
                    if path.parts[1] != "methods":
                        self.assertEqual(found["trained_parameters"], SITES[model] * rank**2)
                    self.assertEqual(found["task"], task)
                    if path.parts[1] == "glue":
                        self.assertEqual(found["train_examples"], official[task])
                        self.assertEqual(found["steps_per_epoch"], -(-official[task] // 32))
                    if task in STEPS and path.parts[1] != "decoder":  # whose files hold a part
                        steps = ("train_examples", "steps_per_epoch", "total_steps", "warmup_steps")
                        self.assertEqual(tuple(found[key] for key in steps), STEPS[task])
                    self.assertGreater(found["memory_bytes_estimate"], 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])

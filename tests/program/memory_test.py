"""train.memory, train.memory_gb and their flags on a tiny decoder: memory_test.py PROGRAM ORACLES/generation."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from safetensors.numpy import load_file

PROGRAM, MODEL = sys.argv[1], Path(sys.argv[2])
GIB = 2**30


class MemoryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        words = Path(__file__).read_text().split()
        records = [
            {"instruction": " ".join(words[i : i + 3]), "input": "", "output": " ".join(words[i + 3 : i + 40])}
            for i in range(24)
        ]
        (cls.folder / "train.jsonl").write_text("\n".join(json.dumps(record) for record in records) + "\n")
        recipe = {
            "model": str(MODEL),
            "method": {"rank": 4, "init_std": 0.3, "targets": "all-linear"},
            "head": "none",
            "task": {"name": "instructions", "train": str(cls.folder / "train.jsonl"), "prompt": "none"},
            "train": {"max_steps": 4, "batch_size": 6, "max_length": 256, "precision": "float32", "log_every": 1},
            "threads": 1,
        }
        (cls.folder / "recipe.yaml").write_text(json.dumps(recipe))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    def run_program(self, *command: str) -> subprocess.CompletedProcess:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        cache = ["--cache", str(self.folder / "cache")]
        return subprocess.run([PROGRAM, *command, *cache], env=environment, capture_output=True, text=True, check=False)

    def train(self, name: str, *more: str) -> subprocess.CompletedProcess:
        recipe = str(self.folder / "recipe.yaml")
        return self.run_program("train", recipe, "--set", f"output={self.folder / name}", "--json", *more)

    def row(self, name: str):
        return load_file(self.folder / name / "seed-0" / "last.safetensors")["row"]

    def losses(self, name: str) -> list[float]:
        events = [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]
        return [event["loss"]["seed-0"] for event in events if event["event"] == "step"]

    def dry_run(self, *more: str) -> dict:
        result = self.train("never", "--dry-run", *more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_tight_memory_and_a_limit_train_the_same_row(self) -> None:
        self.assertEqual(self.train("normal").returncode, 0)
        estimate = self.dry_run()
        limit = (estimate["memory_bytes_estimate"] - estimate["memory_bytes_activations"] * 0.3) / GIB
        limited = self.train("limited", "--memory-gb", f"{limit:.9f}")
        self.assertEqual(limited.returncode, 0, limited.stderr)
        self.assertIn("activation_bytes=", limited.stderr)
        self.assertEqual(self.row("limited").tobytes(), self.row("normal").tobytes())
        self.assertEqual(self.train("tight", "--memory", "tight").returncode, 0)
        self.assertEqual(self.losses("tight")[0], self.losses("normal")[0])  # the same GEMM of the same numbers
        # Backward sums over panels of W, each product rounded by itself.
        self.assertLess(abs(self.row("tight") - self.row("normal")).max(), 1e-5)
        changed = self.train("changed", "--set", "train.learning_rate=2e-3")
        self.assertEqual(changed.returncode, 0)
        self.assertGreater(abs(self.row("changed") - self.row("normal")).max(), 1e-4)  # control

    def test_peak_is_the_programs_own_whoever_starts_it(self) -> None:
        ballast = b"x" * GIB  # resident here while the program runs
        done = json.loads(self.train("peak").stdout.splitlines()[-1])
        self.assertGreater(done["peak_memory_bytes"], 50e6)
        self.assertLess(done["peak_memory_bytes"], len(ballast))

    def test_dry_run_says_what_the_keys_save(self) -> None:
        normal, tight = self.dry_run(), self.dry_run("--set", "train.memory=tight")
        self.assertLess(tight["memory_bytes_base"], normal["memory_bytes_base"])
        limit = (normal["memory_bytes_estimate"] - normal["memory_bytes_activations"] * 0.3) / GIB
        limited = self.dry_run("--memory-gb", f"{limit:.9f}")
        self.assertLess(limited["memory_bytes_activations"], normal["memory_bytes_activations"])
        self.assertLessEqual(limited["memory_bytes_estimate"], limit * GIB + 1)

    def test_what_cannot_be_is_said(self) -> None:
        for more, message in (
            (["--memory-gb", "0.001"], "train.memory_gb: expected at least"),
            (["--memory-gb", "-1"], "train.memory_gb"),
            (["--memory", "loose"], "train.memory: expected one of normal, tight"),
        ):
            result = self.train("never", *more)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(message, result.stderr)
            self.assertFalse((self.folder / "never").exists())
        result = self.run_program("generate", "--model", str(MODEL), "--prompt", "x", "--memory", "loose")
        self.assertEqual(result.returncode, 2)

    def test_generation_in_tight_memory(self) -> None:
        def text(*more: str) -> str:
            result = self.run_program(
                "generate", "--model", str(MODEL), "--prompt", "train the", "--json", "-n", "12", "--ignore-eos",
                "--precision", "float32", *more,
            )  # fmt: skip
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(result.stdout)["text"]

        self.assertEqual(text("--memory", "tight"), text())
        self.assertEqual(text("--memory-gb", "1", "-c", "64"), text("-c", "64"))
        small = self.run_program("generate", "--model", str(MODEL), "--prompt", "x", "--memory-gb", "0.1")
        self.assertEqual(small.returncode, 2)
        self.assertIn("--memory-gb: expected at least", small.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

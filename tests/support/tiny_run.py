"""A tiny model, data and recipe for tests of the program as a whole."""

import json
import os
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from support.progress import without_progress


def make_model(oracles: Path, folder: Path) -> None:
    shutil.copytree(oracles / "tiny_paper", folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")


def make_data(folder: Path) -> None:
    generator = random.Random(1)
    for name, rows in (("train.csv", 96), ("validation.csv", 40)):
        lines = ["text,label"]
        for _ in range(rows):
            words = [generator.choice(["abc", "xyz", "hello", "kq"]) for _ in range(generator.randrange(1, 8))]
            lines.append(f"{' '.join(words)},{'yes' if 'xyz' in words else 'no'}")
        (folder / name).write_text("\n".join(lines) + "\n")


def make_recipe(folder: Path) -> dict:
    return {
        "model": str(folder / "model"),
        "method": {"rank": 4, "init_std": 0.3},
        "task": {"name": "classification", "train": str(folder / "train.csv"), "validation": str(folder / "validation.csv")},
        "train": {"epochs": 2, "batch_size": 16, "seeds": [0, 1], "checkpoint_seconds": 0, "log_every": 1, "max_length": 32},
        "threads": 1,
        "output": "unused",
    }  # fmt: skip


def train_command(program: str, folder: Path, name: str, *more: str) -> list[str]:
    """Trains the recipe of `folder` into its sub-folder `name`."""
    path = folder / "recipe.yaml"
    if not path.exists():
        path.write_text(json.dumps(make_recipe(folder)))
    output = ["--set", f"output={folder / name}", "--cache", str(folder / "cache")]
    return [program, "train", str(path), *output, "-q", "--json", *more]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def results_of(folder: Path) -> dict[str, bytes]:
    """What an interrupted and resumed run must have in common with an uninterrupted one, byte for byte."""
    names = ["metrics.jsonl", *(f"seed-{s}/{kind}.safetensors" for s in (0, 1) for kind in ("best", "last"))]
    return {name: (folder / name).read_bytes() for name in names}


class TinyRunTest(unittest.TestCase):
    """A folder with the tiny model and its data, removed at the end. Derived classes say where `oracles` are."""

    oracles: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.scratch.name)
        make_model(cls.oracles, cls.folder / "model")
        make_data(cls.folder)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.scratch.cleanup()

    @classmethod
    def trained(cls, program: str, name: str, *more: str) -> dict:
        """What a training into the sub-folder `name` prints last."""
        done = run(train_command(program, cls.folder, name, *more))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def refused(self, command: list[str], *parts: str) -> str:
        """Exit 2 and, progress aside, one sentence on stderr that contains all parts."""
        result = run(command)
        self.assertEqual(result.returncode, 2, f"{command}: {result.stderr}")
        lines = without_progress(result.stderr)
        self.assertEqual(len(lines), 1, result.stderr)
        for part in parts:
            self.assertIn(part, lines[0])
        return lines[0]


class TrainedRunTest(TinyRunTest):
    """And the adapter of a run `whole`, trained by `program`, which derived classes name."""

    program: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.done = cls.trained(cls.program, "whole")
        cls.adapter = str(cls.folder / "whole/seed-0/best.safetensors")

    def on_model(self, command: str, *more: str, adapter: str = "", model: str = "model") -> list[str]:
        words = [self.program, command, "--model", str(self.folder / model), "--adapter", adapter or self.adapter]
        return [*words, "--cache", str(self.folder / "cache"), *more]

"""Every command of README and docs runs as it is written, on small stand-ins of the models and data that it names.

Arguments: PROGRAM, the oracles' folder. All fenced blocks of a document, and commands within its text that begin with build/loraxs,
run in their order in one folder that looks like a clone: what a command needs must be in the repository or come from a command above
it. A block that is not run says why on the line before it: <!-- not run: REASON -->.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import BertConfig, BertModel

PROGRAM, ORACLES = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
REPOSITORY = Path.cwd()
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(map(str, [*Path("docs").glob("*.md"), *Path("recipes").glob("*/*.md")]))]  # fmt: skip
REASON = re.compile(r"<!-- not run: (.{5,}) -->")
TWO_ADAPTERS = """
    for run in "a 0.001" "b 0.01"; do
      set -- $run
      build/loraxs train recipes/demo/qnli-r16.yaml -q --set output=run-$1 --set train.epochs=1 --set train.max_length=32 \\
        --set method.rank=4 --set method.init_std=0.3 --set train.learning_rate=$2
      cp run-$1/seed-0/best.safetensors $1.safetensors
    done
    mkdir clients adapters
    cp a.safetensors b.safetensors clients
    cp a.safetensors b.safetensors adapters
"""
LOANS = f"""
    ln -s {ORACLES}/tiny_roberta models/base
    ln -s models/minilm M
    cp -r {ORACLES}/exchange/reference_tiny_roberta run
    cp -r {ORACLES}/exchange/loras loras
    cp -r loras/lora0 lora
    printf 'a,30\\nb,10\\n' >examples.csv
"""
# What the readers of a document have beside the clone.
GIVEN = {"docs/exchange.md": TWO_ADAPTERS + LOANS, "docs/python.md": TWO_ADAPTERS}


class Part(NamedTuple):
    line: int
    language: str
    text: str
    reason: str | None


def parts_of(document: str) -> list[Part]:
    """The blocks of a document and the commands within its text, in order."""
    lines = (REPOSITORY / document).read_text().splitlines()
    parts, at = [], 0
    while at < len(lines):
        fence = re.fullmatch(r"```(\w*)", lines[at])
        if fence is None:
            parts += [Part(at + 1, "sh", text, None) for text in re.findall(r"`(build/loraxs [^`]+)`", lines[at])]
            at += 1
            continue
        end = lines.index("```", at + 1)
        reason = REASON.fullmatch(lines[at - 1]) if at else None
        parts.append(Part(at + 1, fence[1], "\n".join(lines[at + 1 : end]), reason and reason[1]))
        at = end + 1
    return parts


def make_models(folder: Path) -> None:
    """Small random ones where documents have MiniLM and SmolLM2, with their tokenizers."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    shutil.copytree("models/minilm", folder / "minilm", ignore=shutil.ignore_patterns("model*"))
    BertModel(BertConfig(vocab_size=30522, **sizes)).save_pretrained(folder / "minilm")
    smollm2 = folder / "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    smollm2.parent.mkdir()
    shutil.copy(ORACLES / "gguf/chat.gguf", smollm2)


def make_clone(folder: Path) -> None:
    for name in ("recipes", "examples", "scripts"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "build").mkdir()
    (folder / "build/loraxs").symlink_to(PROGRAM)
    make_models(folder / "models")
    for name, rows in (
        ("qnli/train.tsv", 64),
        ("qnli/dev.tsv", 32),
        ("persona/train.jsonl", 16),
        ("persona/unseen.jsonl", 4),
    ):
        short = folder / "data" / name
        short.parent.mkdir(parents=True, exist_ok=True)
        lines = (REPOSITORY / "data" / name).read_text().splitlines(keepends=True)
        short.write_text("".join(lines[: rows + 1]))


class DocumentsTest(unittest.TestCase):
    def run_part(self, folder: Path, part: Part) -> None:
        words = [sys.executable, "-c"] if part.language == "python" else ["bash", "-euo", "pipefail", "-c"]
        environment = os.environ | {"HOME": str(folder / "home")}
        done = subprocess.run([*words, part.text], check=False, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)  # fmt: skip
        self.assertEqual(done.returncode, 0, f"{part.text}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}")

    def test_the_demo_runs(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_clone(folder)
            (folder / ".venv").symlink_to(REPOSITORY / ".venv")
            self.run_part(folder, Part(0, "sh", "scripts/demo >said", None))
            said = (folder / "said").read_text()
        self.assertIn("QNLI accuracy with the adapter", said)
        self.assertEqual(said.count("entailment\t"), 3, said)  # "not_entailment" too

    def test_every_block_runs_or_says_why_not(self) -> None:
        ran = 0
        for document in DOCUMENTS:
            parts = parts_of(document)
            for part in parts:
                if part.language not in ("sh", "python") and part.reason is None:
                    self.fail(f"{document}:{part.line}: a block of no known language without <!-- not run: REASON -->")
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                runnable = [part for part in parts if part.reason is None]
                if not runnable:
                    continue
                make_clone(folder)
                if document in GIVEN:
                    self.run_part(folder, Part(0, "sh", GIVEN[document], None))
                for part in runnable:
                    with self.subTest(at=f"{document}:{part.line}"):
                        self.run_part(folder, part)
                        ran += 1
        self.assertGreater(ran, 8)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])

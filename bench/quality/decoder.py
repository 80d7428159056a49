"""LoRA-XS of several ranks on SmolLM2, beside the base and transformers + PEFT: held-out loss and grades, a Markdown table.

usage: decoder.py commonsense|metamath|gsm8k SOURCE [--ranks 16 32 64] [--peer-rank N] [--limit N] [--new-tokens N] [--test TASK=FILE] [--work FOLDER] [--threads N]
SOURCE as decoder_data.py takes it; --limit 0 leaves the grades out. What is in the work folder is not done again, so a broken run goes on where it was.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import decoder_data

PROGRAM = "build/release/loraxs"
MODEL = "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
RECIPES = {  # alpha / rank, and what the peer is told of recipes/decoder
    "commonsense": (
        2,
        "--learning-rate 1e-3 --schedule linear --warmup-ratio 0.1 --max-grad-norm 0.5 --max-length 256",
    ),
    "metamath": (1, "--learning-rate 2e-3 --schedule cosine --warmup-ratio 0.02 --max-grad-norm 1 --max-length 512"),
    "gsm8k": (1, "--learning-rate 4e-3 --schedule cosine --warmup-ratio 0.02 --max-grad-norm 1 --max-length 512"),
}


def last_line(words: list, kept: Path) -> dict:
    """The JSON object that a command prints last; kept in a file."""
    if not kept.exists():
        print("+", *words, file=sys.stderr, flush=True)
        output = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout
        kept.write_text(output.splitlines()[-1])
    return json.loads(kept.read_text())


class Comparison:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.kind: str = args.kind
        self.data: Path = args.work / self.kind
        self.data.mkdir(parents=True, exist_ok=True)
        decoder_data.WRITERS[self.kind](args.source, self.data)
        names = decoder_data.SETS if self.kind == "commonsense" else ["held"]
        self.tests = [(name, self.kind, self.data / f"{name}.jsonl") for name in names]
        self.tests += [(task, task, Path(path)) for task, path in (test.split("=", 1) for test in args.test)]
        if args.limit == 0:
            self.tests = []
        self.options = ["--model", MODEL, "-t", args.threads, "-q", "--json"]

    def train(self, rank: int) -> Path:
        run = self.args.work / f"{self.kind}-r{rank}"
        settings = {
            "method.rank": rank,
            "method.alpha": rank * RECIPES[self.kind][0],
            "task.train": self.data.absolute() / "train.jsonl",
            "task.validation": self.data.absolute() / "held.jsonl",
            "output": run.absolute(),
        }
        words = [PROGRAM, "train", f"recipes/decoder/smollm2-{self.kind}.yaml", "--resume", "-t", self.args.threads]
        words += ["-q", "--json", *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]
        last_line(words, run.with_suffix(".json"))
        return run / "seed-0" / "best.safetensors"

    def row(self, name: str, adapter: Path | None) -> list[str]:
        more = ["--adapter", adapter] if adapter else []
        words = [PROGRAM, "eval", *self.options, *more]
        kept = self.args.work / f"{self.kind}-{name.replace(' ', '-')}"
        loss = last_line(
            [*words, "--task", self.kind, "--by", "loss", "--prompt", "training", "--data", self.data / "held.jsonl"],
            kept.with_suffix(".loss.json"),
        )
        cells = [name, f"{loss['loss']:.4f}"]
        for name_of, task, path in self.tests:
            answers = kept.with_suffix(f".{name_of}.jsonl")
            graded = [*words, "--task", task, "--data", path, "--limit", self.args.limit, "--answers", answers]
            graded += ["-n", self.args.new_tokens]
            result = last_line(graded, kept.with_suffix(f".{name_of}.json"))
            cells.append(f"{result['strict']:.3f} / {result['compatible']:.3f}")
        return cells

    def peer(self, rank: int) -> dict:
        ratio, recipe = RECIPES[self.kind]
        words = [sys.executable, "bench/peers/decoder_quality_peer.py", "--gguf", MODEL, "--task", self.kind]
        words += ["--train", self.data / "train.jsonl", "--held", self.data / "held.jsonl", "--rank", rank]
        words += ["--alpha", rank * ratio, *recipe.split(), *(["--bf16"] if self.args.bf16 else [])]
        return last_line(words, self.args.work / f"{self.kind}-peer-r{rank}.json")

    def table(self) -> None:
        titles = ["", "held-out loss", *(f"{test}: strict / compatible" for test, _, _ in self.tests)]
        rows = [titles, ["---"] * len(titles)]
        rows.append(self.row("base", None))
        rows += [self.row(f"r = {rank}", self.train(rank)) for rank in self.args.ranks]
        for row in rows:
            print("|", " | ".join(row), "|", flush=True)
        if self.args.peer_rank:
            found = self.peer(self.args.peer_rank)
            print(f"peer, r = {self.args.peer_rank}: {found['base_loss']:.4f} -> {found['loss']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(RECIPES))
    parser.add_argument("source", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--peer-rank", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="the peer's base in bfloat16")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=0, help="longest answer; 0 = the grader's")
    parser.add_argument("--test", action="append", default=[], metavar="TASK=FILE", help="graded too")
    parser.add_argument("--work", type=Path, default=Path("runs/decoder-quality"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    Comparison(parser.parse_args()).table()


if __name__ == "__main__":
    main()

"""Training speed side by side: `make bench`. Interleaved rounds on the same sentences; a JSON line per contender, ratios last.

usage: compare.py [--method lora_xs|lora|full] [--rounds N] [--steps N] [--train FILE.tsv --columns 3 --label 1 --no-header] [--bf16]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

METHODS = {
    "lora_xs": {"rank": 16},
    "lora": {"name": "lora", "rank": 16},
    "full": {"name": "full", "targets": "all-linear"},
}


def gemm_tflops() -> float:
    x, w = torch.randn(1500, 384), torch.randn(1536, 384)
    torch.nn.functional.linear(x, w)
    begin = time.perf_counter()
    for _ in range(20):
        torch.nn.functional.linear(x, w)
    return 20 * 2 * 1500 * 384 * 1536 / (time.perf_counter() - begin) / 1e12


def ours(args: argparse.Namespace, steps: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        task = {
            "name": "classification",
            "train": str(Path(args.train).resolve()),
            "header": not args.no_header,
            "text": args.columns[0] + 1,
            "label": args.label + 1,
        }
        if len(args.columns) > 1:
            task["text_pair"] = args.columns[1] + 1
        precision = "bfloat16" if args.bf16 else "float32"
        recipe.write_text(
            json.dumps(
                {
                    "model": args.model,
                    "method": METHODS[args.method],
                    "task": task,
                    "train": {"batch_size": 32, "max_steps": steps, "precision": precision, "checkpoint_seconds": 1000},
                    "output": f"{folder}/run",
                }
            )
        )
        run = subprocess.run(
            ["build/loraxs", "train", str(recipe), "-q", "--json"], check=True, capture_output=True, text=True
        )
        result = json.loads(run.stdout.splitlines()[-1])
    return {
        "contender": "loraxs",
        **{k: result[k] for k in ("sentences_per_second", "tokens_per_second", "peak_memory_bytes")},
    }


def peer(args: argparse.Namespace, mode: str, steps: int, bf16: bool) -> dict:
    command = [
        sys.executable,
        str(Path(__file__).parent / "train_peer.py"),
        "--model",
        args.model,
        "--mode",
        mode,
        "--train",
        args.train,
    ]
    command += [
        "--method",
        args.method,
        "--max-steps",
        str(steps),
        "--label",
        str(args.label),
        "--columns",
        *map(str, args.columns),
    ]
    command += ["--no-header"] * args.no_header + ["--bf16"] * bf16
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--method", choices=list(METHODS), default="lora_xs")
    parser.add_argument("--train", default="data/qnli/train.tsv")
    parser.add_argument("--columns", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--label", type=int, default=3)
    parser.add_argument("--no-header", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    results: dict[str, list[dict]] = {}
    for _ in range(args.rounds):
        for result in (
            ours(args, args.steps),
            peer(args, "best", args.steps, args.bf16),
            peer(args, "reference", max(5, args.steps // 3), bf16=False),
        ):
            result["gemm_tflops"] = gemm_tflops()
            results.setdefault(result["contender"], []).append(result)
    medians = {}
    for name, runs in results.items():
        rates = [run["sentences_per_second"] for run in runs]
        medians[name] = statistics.median(rates)
        print(json.dumps({**runs[-1], "sentences_per_second": medians[name], "rounds": rates}))
    for name, value in medians.items():
        if name != "loraxs":
            print(json.dumps({"ratio": f"loraxs / {name}", "value": medians["loraxs"] / value}))


if __name__ == "__main__":
    main()

"""Nine settings times five seeds: one bank against the same jobs one by one. Rates, peak memory, and whether the rows are the same bits.

usage: against_serial.py --task cola --data FOLDER [--batch-size 8] [--examples 512] [--tokens N ...] [--serial 9] [--rounds 3]

The 45 jobs train one epoch on the first --examples sentences as a bank, once per round and --tokens (tokens_per_batch, 0:
automatic); before it, every 5th of them (--serial of them) trains alone. Rates are medians over the rounds of sentences per second
of the training steps; wall_ratio compares whole runs, start-up included, as 45 serial runs pay it.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

RATES, HEAD_RATES, SEEDS = [1e-4, 5e-4, 1e-3], [5e-4, 1e-3, 5e-3], [0, 1, 2, 3, 4]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--task", default="cola")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--tokens", type=int, nargs="+", default=[0])
    parser.add_argument("--serial", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)

        def train(name: str, **changes: object) -> dict:
            """The last line of one run."""
            recipe = {
                "model": args.model,
                "task": {"name": args.task, "data": str(args.data), "max_train_examples": args.examples, "max_validation_examples": 8},
                "train": {"epochs": 1, "batch_size": args.batch_size, "checkpoint_seconds": 3600} | changes,
                "output": str(scratch / name),
                "threads": args.threads,
            }  # fmt: skip
            (scratch / "recipe.yaml").write_text(json.dumps(recipe))
            command = ["build/release/loraxs", "train", str(scratch / "recipe.yaml"), "--json", "-q"]
            shutil.rmtree(scratch / name, ignore_errors=True)
            begin = time.monotonic()
            run = subprocess.run(command, check=True, capture_output=True, text=True)
            return json.loads(run.stdout.splitlines()[-1]) | {"wall_seconds": time.monotonic() - begin}

        def row(name: str, job: str) -> bytes:
            return (scratch / name / job / "last.safetensors").read_bytes()

        grid = [(rate, head, seed) for rate in RATES for head in HEAD_RATES for seed in SEEDS]
        chosen = grid[:: max(1, len(grid) // args.serial)][: args.serial]
        for tokens in args.tokens:
            alone, banks, same = [], [], 0
            for _ in range(args.rounds):
                for i, (rate, head, seed) in enumerate(chosen):
                    job = {
                        "learning_rate": rate,
                        "head_learning_rate": head,
                        "seeds": [seed],
                        "tokens_per_batch": tokens,
                    }
                    alone.append(train(f"alone-{i}", **job))
                grid_of_jobs = {"learning_rate": RATES, "head_learning_rate": HEAD_RATES, "seeds": SEEDS}
                banks.append(train("bank", **grid_of_jobs, tokens_per_batch=tokens))
                same += sum(
                    row(f"alone-{i}", f"seed-{seed}") == row("bank", f"lr-{rate:g}-head-{head:g}-seed-{seed}")
                    for i, (rate, head, seed) in enumerate(chosen)
                )
            bank = max(banks, key=lambda run: run["peak_memory_bytes"])
            rate_alone, rate_bank = (
                statistics.median(run["sentences_per_second"] for run in runs) for runs in (alone, banks)
            )
            wall_alone, wall_bank = (statistics.median(run["wall_seconds"] for run in runs) for runs in (alone, banks))
            peak_alone = max(run["peak_memory_bytes"] for run in alone)
            rows = (
                45 * 5 * 4 * (bank["trained_parameters"] + bank["head_parameters"])
            )  # values, gradients, moments, best
            result = {
                "tokens_per_batch": tokens,
                "batch_size": args.batch_size,
                "threads": args.threads,
                "alone_sentences_per_second": round(rate_alone, 1),
                "bank_sentences_per_second": round(rate_bank, 1),
                "ratio": round(rate_bank / rate_alone, 3),
                "wall_ratio": round(len(grid) * wall_alone / wall_bank, 2),
                "same_bytes": f"{same} of {len(chosen) * args.rounds}",
                "peak_alone_bytes": peak_alone,
                "peak_bank_bytes": bank["peak_memory_bytes"],
                "peak_ratio_less_rows": round((bank["peak_memory_bytes"] - rows) / peak_alone, 3),
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

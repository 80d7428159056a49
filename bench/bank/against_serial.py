"""Nine settings times five seeds: one bank against the same jobs one by one. Rates, peak memory, and whether the rows are the same bits.

usage: against_serial.py --task cola --data FOLDER [--batch-size 8] [--examples 512] [--tokens N ...] [--serial 9] [--threads 0]

The 45 jobs train one epoch on the first --examples sentences as a bank, once per --tokens (tokens_per_batch, 0: automatic); every
5th of them (--serial of them) trains alone too. Rates are sentences per second of the training steps.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
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
            return json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )

        def row(name: str, job: str) -> bytes:
            return (scratch / name / job / "last.safetensors").read_bytes()

        grid = [(rate, head, seed) for rate in RATES for head in HEAD_RATES for seed in SEEDS]
        chosen = grid[:: max(1, len(grid) // args.serial)][: args.serial]
        for tokens in args.tokens:
            alone = [
                train(
                    f"alone-{tokens}-{i}",
                    learning_rate=rate,
                    head_learning_rate=head,
                    seeds=[seed],
                    tokens_per_batch=tokens,
                )
                for i, (rate, head, seed) in enumerate(chosen)
            ]
            bank = train(
                f"bank-{tokens}",
                learning_rate=RATES,
                head_learning_rate=HEAD_RATES,
                seeds=SEEDS,
                tokens_per_batch=tokens,
            )
            same = sum(
                row(f"alone-{tokens}-{i}", f"seed-{seed}")
                == row(f"bank-{tokens}", f"lr-{rate:g}-head-{head:g}-seed-{seed}")
                for i, (rate, head, seed) in enumerate(chosen)
            )
            rate_alone = statistics.median(run["sentences_per_second"] for run in alone)
            peak_alone = max(run["peak_memory_bytes"] for run in alone)
            rows = (
                45 * 5 * 4 * (bank["trained_parameters"] + bank["head_parameters"])
            )  # values, gradients, moments, best
            result = {
                "tokens_per_batch": tokens,
                "batch_size": args.batch_size,
                "threads": args.threads,
                "alone_sentences_per_second": round(rate_alone, 1),
                "bank_sentences_per_second": round(bank["sentences_per_second"], 1),
                "ratio": round(bank["sentences_per_second"] / rate_alone, 3),
                "same_bytes": f"{same} of {len(chosen)}",
                "peak_alone_bytes": peak_alone,
                "peak_bank_bytes": bank["peak_memory_bytes"],
                "peak_ratio_less_rows": round((bank["peak_memory_bytes"] - rows) / peak_alone, 3),
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

"""What the adapter adds, ours beside the peer's LoRA-XS: GLUE tasks on MiniLM-L6, same recipe, five seeds.

usage: quality.py --data FOLDER_WITH_GLUE [--tasks stsb mrpc sst2 qnli mnli] [--seeds 5] [--out results.jsonl]

For every task three contenders: loraxs, loraxs with the head alone, transformers + PEFT (train_peer.py, mode best). A JSON
line per task, then a table. The gain is the mean over seeds of the best epoch less the head alone's; the standard error is
that of the difference between the two means.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from seeds_of_peer import error_of_difference, peer_values, variance

# folder, validation file, text columns, label column, training examples (0: all), epochs
TASKS = {
    "stsb": ("STS-B", "dev.tsv", [7, 8], -1, 3000, 1),
    "mrpc": ("MRPC", "dev.tsv", [3, 4], 0, 0, 1),
    "sst2": ("SST-2", "dev.tsv", [0], -1, 4000, 1),
    "qnli": ("QNLI", "dev.tsv", [1, 2], -1, 4000, 1),
    "mnli": ("MNLI", "dev_matched.tsv", [8, 9], -1, 3000, 1),
}
RANK, RATE, HEAD_RATE = 16, 4e-3, 5e-3


def ours(args: argparse.Namespace, task: str, head_only: bool) -> list[float]:
    folder, _, _, _, first, epochs = TASKS[task]
    with tempfile.TemporaryDirectory() as scratch:
        recipe = {
            "model": args.model,
            "method": {"rank": RANK, "train_sites": not head_only},
            "task": {"name": task, "data": str(args.data / folder), "max_train_examples": first},
            "train": {
                "epochs": epochs,
                "learning_rate": RATE,
                "head_learning_rate": HEAD_RATE,
                "precision": args.precision,
                "seeds": list(range(args.seeds)),
            },
            "output": f"{scratch}/run",
        }
        path = Path(scratch) / "recipe.yaml"
        path.write_text(json.dumps(recipe))
        run = subprocess.run(
            ["build/loraxs", "train", str(path), "-q", "--json"], check=True, capture_output=True, text=True
        )
    return [entry["value"] for entry in json.loads(run.stdout.splitlines()[-1])["seeds"]]


def peer(args: argparse.Namespace, task: str) -> list[float]:
    folder, validation, columns, label, first, epochs = TASKS[task]
    train = next(args.data.joinpath(folder).glob("train.tsv*"))
    options = ["--model", args.model, "--rank", str(RANK)]
    options += ["--train", str(train), "--validation", str(args.data / folder / validation), f"--label={label}"]
    options += ["--columns", *map(str, columns), "--first", str(first), "--epochs", str(epochs)]
    options += ["--learning-rate", str(RATE), "--head-learning-rate", str(HEAD_RATE)]
    options += ["--regression"] * (task == "stsb") + ["--bf16"] * (args.precision == "bfloat16")
    return peer_values(options, args.seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.data = args.data.resolve()
    rows = []
    for task in args.tasks:
        row = {"task": task, "precision": args.precision, "loraxs": ours(args, task, head_only=False)}
        row |= {"head_only": ours(args, task, head_only=True), "peer": peer(args, task)}
        mean = {name: statistics.mean(row[name]) for name in ("loraxs", "head_only", "peer")}
        error = error_of_difference(*((variance(row[name]), args.seeds) for name in ("loraxs", "peer")))
        row |= {"mean": mean, "difference": mean["loraxs"] - mean["peer"], "standard_error": error}
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.out:
            args.out.write_text("".join(json.dumps(r) + "\n" for r in rows))
    print("\n| task | head alone | loraxs | peer | loraxs - peer | standard error | within two |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        mean, difference, error = row["mean"], row["difference"], row["standard_error"]
        print(
            f"| {row['task']} | {mean['head_only']:.4f} | {mean['loraxs']:.4f} | {mean['peer']:.4f} "
            f"| {difference:+.4f} | {error:.4f} | {'yes' if difference >= -2 * error else 'no'} |"
        )


if __name__ == "__main__":
    main()

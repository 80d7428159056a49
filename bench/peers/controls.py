"""Are the baselines of `study glue` weak? PEFT's LoRA and VeRA and transformers' full fine-tuning under the same recipe.

usage: controls.py --data FOLDER_WITH_GLUE [--tasks sst2 qnli] [--methods lora vera full] [--seeds 5] [--out FILE]

Sizes, rates and our scores are those of studies/glue (TASK.yaml, results.csv). The peer trains on the first examples of the training
file, as many as we train on, in random order (train_peer.py, mode shuffled). A JSON line for each, then a table; the standard error
is that of the difference between two means.
"""

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path

import yaml
from seeds_of_peer import error_of_difference, peer_values, variance

# folder of --data, or in the repository; columns of texts, column of labels
TASKS = {"sst2": ("SST-2", [0], -1), "qnli": (None, [1, 2], 3)}
METHODS = {
    "lora": ("LoRA r = 8", ["--rank", "8", "--alpha", "16", "--targets", "query", "value"]),
    "vera": ("VeRA r = 256", ["--rank", "256", "--targets", "query", "value"]),
    "full": ("full fine-tuning", []),
}


def our_row(task: str, method: str) -> dict[str, str]:
    with Path("studies/glue/results.csv").open() as file:
        for row in csv.DictReader(file):
            if (row["task"], row["method"]) == (task, method):
                return row
    sys.exit(f"studies/glue/results.csv: expected {task}, {method}, found none; run loraxs study glue first")


def peer_scores(args: argparse.Namespace, task: str, options: list[str], ours: dict[str, str]) -> list[float]:
    folder, columns, label = TASKS[task]
    data = args.data / folder if folder else Path("data/qnli")
    recipe = yaml.safe_load(Path(f"studies/glue/{task}.yaml").read_text())
    train, examples = recipe["train"], recipe["task"]["max_train_examples"]
    trained = examples - round(examples * train["selection_fraction"])
    options = ["--model", recipe["model"], *options]
    options += ["--mode", "shuffled", "--train", str(data / "train.tsv"), "--validation", str(data / "dev.tsv")]
    options += ["--validation-first", str(recipe["task"].get("max_validation_examples", 0)), "--first", str(trained)]
    options += ["--columns", *map(str, columns), f"--label={label}", "--batch-size", str(train["batch_size"])]
    options += ["--learning-rate", ours["learning rate"], "--head-learning-rate", ours["head learning rate"]]
    options += ["--bf16"] * args.bf16
    return peer_values(options, args.seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="where `precision: auto` was bfloat16")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    lines = []
    for task in args.tasks:
        for method in args.methods:
            name, options = METHODS[method]
            ours = our_row(task, name)
            values = peer_scores(args, task, ["--method", method, *options], ours)
            our_variance, our_seeds = float(ours["standard deviation"]) ** 2, int(float(ours["seeds"]))
            error = error_of_difference((our_variance, our_seeds), (variance(values), len(values)))
            difference = float(ours["mean"]) - statistics.mean(values)
            line = {"task": task, "method": name, "ours": float(ours["mean"]), "peer": values}
            lines.append(line | {"difference": difference, "standard_error": error})
            print(json.dumps(lines[-1]), flush=True)
            if args.out:
                args.out.write_text("".join(json.dumps(each) + "\n" for each in lines))
    print("\n| task | method | loraxs | transformers + PEFT | difference | standard error | at least −2 of them |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for line in lines:
        within = "yes" if line["difference"] >= -2 * line["standard_error"] else "no"
        print(
            f"| {line['task']} | {line['method']} | {line['ours']:.4f} | {statistics.mean(line['peer']):.4f} "
            f"| {line['difference']:+.4f} | {line['standard_error']:.4f} | {within} |"
        )


if __name__ == "__main__":
    main()

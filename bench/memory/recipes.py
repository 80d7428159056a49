"""Two steps of every recipe of Tables 1 to 4 (recipes/glue, math, commonsense), on random weights of the true widths but fewer layers.

usage: recipes.py [--layers 1] [RECIPE …]; a JSON line for each. Random basis, two examples a step: decompositions and batches of the
true sizes would take hours. MiniLM's weights are its own.
"""

import argparse
import json
import tempfile
from pathlib import Path

from decoder import write_run
from random_model import measure, write_vocabulary
from roberta_large import make_checkpoint

MAX_LENGTH = {"math": 512, "commonsense": 256}
FROM_MNLI = ("mrpc", "rte", "stsb")


def records_of(folder: Path, path: Path, layers: int) -> Path:
    """A decoder's model, tokenizer and training file."""
    table, model = path.parts[-3:-1]
    config = json.loads(Path(f"tests/configs/{model}.json").read_text()) | {"num_hidden_layers": layers}
    records = write_run(folder, config, MAX_LENGTH[table])
    if table == "commonsense":
        renamed = [json.loads(line) for line in records.read_text().splitlines()]
        renamed = [{"instruction": r["query"], "input": "", "output": r["response"]} for r in renamed]
        records.write_text("\n".join(json.dumps(record) for record in renamed) + "\n")
    return records


def glue_data(folder: Path, task: str) -> None:
    """train.tsv and the validation file under the task's columns; questions and sentences are QNLI's, labels take turns."""
    pairs = [line.split("\t")[1:3] for line in Path("data/qnli/train.tsv").read_text().split("\n")[1:41]]
    labels = {
        "mnli": ("entailment", "neutral", "contradiction"),
        "qnli": ("entailment", "not_entailment"),
        "rte": ("entailment", "not_entailment"),
        "stsb": ("0.5", "2.0", "4.5"),
    }.get(task, ("0", "1"))
    header = {
        "cola": None,
        "mnli": "sentence1\tsentence2\tgold_label",
        "mrpc": "#1 String\t#2 String\tQuality",
        "qnli": "question\tsentence\tlabel",
        "rte": "sentence1\tsentence2\tlabel",
        "sst2": "sentence\tlabel",
        "stsb": "sentence1\tsentence2\tscore",
    }[task]
    lines = [header] if header else []
    for number, (first, second) in enumerate(pairs):
        label = labels[number % len(labels)]
        single = {"cola": f"x\t{label}\t\t{second}", "sst2": f"{second}\t{label}"}
        lines.append(single.get(task, f"{first}\t{second}\t{label}"))
    for split in ("train", "dev_matched" if task == "mnli" else "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")


def two_steps(path: Path, scratch: Path, layers: int, **changes: object) -> tuple[dict, dict]:
    """What the dry run and the run of a recipe say."""
    if path.parts[-3] in MAX_LENGTH:
        train = records_of(scratch, path, layers)
        changes |= {"model": scratch, "task.train": train, "train.selection_fraction": 0.1}
    else:
        model, task = path.parts[-3], path.stem
        glue_data(scratch, task)
        changes["task.data"] = scratch
        if model == "roberta-large":
            make_checkpoint(scratch, layers)
            write_vocabulary(scratch, Path("data/qnli/train.tsv").read_text().split("\n")[1:2000])
            changes["model"] = scratch
            if task in FROM_MNLI:
                start = scratch / "mnli"
                start.mkdir()
                two_steps(path.with_stem("mnli"), start, layers)
                changes["train.init_adapter"] = next((start / "run").rglob("last.safetensors"))
                changes["model"] = start  # an adapter belongs to its base
    changes |= {
        "method.basis.variant": "random",
        "train.max_steps": 2,
        "train.batch_size": 2,
        "output": scratch / "run",
    }
    overrides = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    return measure(path, scratch, *overrides)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", type=Path)
    parser.add_argument("--layers", type=int, default=1)
    args = parser.parse_args()
    recipes = args.recipes or [
        p for table in ("glue", "math", "commonsense") for p in sorted(Path("recipes", table).rglob("*.yaml"))
    ]
    for path in recipes:
        with tempfile.TemporaryDirectory() as scratch:
            dry, done = two_steps(path, Path(scratch), args.layers)
        print(
            json.dumps(
                {
                    "recipe": str(path),
                    "layers": args.layers,
                    "trained_parameters": done["trained_parameters"],
                    "peak_memory_bytes": done["peak_memory_bytes"],
                    "memory_bytes_estimate": dry["memory_bytes_estimate"],
                    "tokens_per_second": done["tokens_per_second"],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()

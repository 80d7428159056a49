"""Two steps of every recipe of recipes/math and recipes/commonsense, on random weights of the true widths but fewer layers.

usage: recipes.py [--layers 1] [RECIPE …]; a JSON line for each. Random basis, two sentences a step: decompositions and batches of the
true sizes would take hours.
"""

import argparse
import json
import tempfile
from pathlib import Path

from decoder import write_run
from random_model import measure


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipes", nargs="*", type=Path)
    parser.add_argument("--layers", type=int, default=1)
    args = parser.parse_args()
    recipes = args.recipes or [
        p for table in ("math", "commonsense") for p in sorted(Path("recipes", table).rglob("*.yaml"))
    ]
    for path in recipes:
        model = path.parts[-2]
        config = json.loads(Path(f"tests/configs/{model}.json").read_text()) | {"num_hidden_layers": args.layers}
        with tempfile.TemporaryDirectory() as scratch_name:
            scratch = Path(scratch_name)
            records = write_run(scratch, config, 512 if path.parts[-3] == "math" else 256)
            if path.parts[-3] == "commonsense":
                renamed = [json.loads(line) for line in records.read_text().splitlines()]
                renamed = [{"instruction": r["query"], "input": "", "output": r["response"]} for r in renamed]
                records.write_text("\n".join(json.dumps(record) for record in renamed) + "\n")
            changes = {
                "model": scratch,
                "task.train": records,
                "method.basis.variant": "random",
                "train.max_steps": 2,
                "train.batch_size": 2,
                "train.selection_fraction": 0.1,
                "output": scratch / "run",
            }
            overrides = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
            dry, done = measure(path, scratch, *overrides)
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

"""One training step of a 7B decoder's shape on random weights: peak memory beside what --dry-run says, and time.

usage: decoder.py [--model mistral-7b] [--layers N] [--rank 64] [--tokens 512] [--memory tight] [--memory-gb N] [--precision bfloat16]
[--scratch FOLDER]

Whole Mistral-7B: 14.5 GB on disk (bfloat16 shards), removed at the end. The basis is the random variant (`method.basis.variant`):
224 exact decompositions of such matrices take hours, and neither memory nor time of a step depends on the basis' numbers.
"""

import argparse
import json
import tempfile
from pathlib import Path

from random_model import measure, write_decoder, write_vocabulary


def write_run(folder: Path, config: dict, max_length: int) -> Path:
    """Model, tokenizer and records that fill max_length; returns the file of records."""
    write_decoder(folder, config)
    lines = [line.split("\t") for line in Path("data/qnli/train.tsv").read_text().split("\n")[1:4001] if line]
    write_vocabulary(folder, [sentence for line in lines for sentence in line[1:3]])
    answers = " ".join(line[2] for line in lines).split()
    records = [
        {"query": lines[i][1], "response": " ".join(answers[i * max_length : (i + 1) * max_length])} for i in range(16)
    ]
    path = folder / "train.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="mistral-7b", help="a config of tests/configs")
    parser.add_argument("--layers", type=int, default=0, help="0 = all")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--memory", default="tight")
    parser.add_argument("--memory-gb", default="0")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args()
    config = json.loads(Path(f"tests/configs/{args.model}.json").read_text())
    config["num_hidden_layers"] = args.layers or config["num_hidden_layers"]
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch_name:
        scratch = Path(scratch_name)
        records = write_run(scratch, config, args.tokens)
        recipe = {
            "model": str(scratch),
            "method": {"rank": args.rank, "alpha": args.rank, "basis": {"variant": "random"}},
            "head": "none",
            "task": {"name": "metamath", "train": str(records)},
            "train": {
                "batch_size": 1,
                "max_steps": args.steps,
                "max_length": args.tokens,
                "tokens_per_batch": args.tokens,
                "precision": args.precision,
                "memory": args.memory,
                "memory_gb": float(args.memory_gb),
            },
            "output": str(scratch / "run"),
        }
        (scratch / "recipe.yaml").write_text(json.dumps(recipe))
        dry, done = measure(scratch / "recipe.yaml", scratch)
        print(
            json.dumps(
                {
                    "model": args.model,
                    "layers": config["num_hidden_layers"],
                    "memory": args.memory,
                    "memory_gb": args.memory_gb,
                    "model_bytes": sum(path.stat().st_size for path in scratch.glob("*.safetensors")),
                    "peak_memory_bytes": done["peak_memory_bytes"],
                    "memory_bytes_estimate": dry["memory_bytes_estimate"],
                    "peak_over_estimate": round(done["peak_memory_bytes"] / dry["memory_bytes_estimate"], 3),
                    **{key: dry[key] for key in dry if key.startswith("memory_bytes_")},
                    "tokens_per_second": done["tokens_per_second"],
                    "trained_parameters": done["trained_parameters"],
                }
            )
        )


if __name__ == "__main__":
    main()

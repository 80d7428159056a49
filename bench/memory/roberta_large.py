"""Peak memory of a training step of RoBERTa-large's shape: random weights, batch 32, real sentences.

usage: roberta_large.py [--train FILE.tsv --column N --no-header] [--rank 16] [--steps 2]; without --train the questions of data/qnli stand in.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from random_model import Weights, measure, write_vocabulary
from safetensors.torch import save_file

CONFIG = Path("tests/configs/roberta-large.json")


def make_checkpoint(folder: Path, layers: int = 0) -> None:
    """config.json and random weights under Hugging Face's names; 0 = all layers."""
    config = json.loads(CONFIG.read_text())
    config["num_hidden_layers"] = layers or config["num_hidden_layers"]
    (folder / "config.json").write_text(json.dumps(config))
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    random = Weights(torch.float32)
    weights = {
        "roberta.embeddings.word_embeddings.weight": random.draw(config["vocab_size"], hidden),
        "roberta.embeddings.position_embeddings.weight": random.draw(config["max_position_embeddings"], hidden),
        "roberta.embeddings.token_type_embeddings.weight": random.draw(config["type_vocab_size"], hidden),
        "roberta.embeddings.LayerNorm.weight": random.full(1, hidden),
        "roberta.embeddings.LayerNorm.bias": random.full(0, hidden),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"roberta.encoder.layer.{layer}"
        shapes = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for name, shape in shapes.items():
            weights[f"{prefix}.{name}.weight"] = random.draw(*shape)
            weights[f"{prefix}.{name}.bias"] = random.full(0, shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            weights[f"{prefix}.{name}.weight"] = random.full(1, hidden)
            weights[f"{prefix}.{name}.bias"] = random.full(0, hidden)
    save_file(weights, folder / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--column", type=int, default=1)
    parser.add_argument("--no-header", action="store_true")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    lines = args.train.read_text().split("\n")[0 if args.no_header else 1 :]
    sentences = [line.split("\t")[args.column] for line in lines if line][:2000]
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        make_checkpoint(scratch)
        write_vocabulary(scratch, sentences)
        rows = [f"{sentence}\t{number % 2}" for number, sentence in enumerate(sentences)]
        (scratch / "train.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
        recipe = {
            "model": str(scratch),
            "method": {"rank": args.rank},
            "task": {"name": "classification", "train": str(scratch / "train.tsv")},
            "train": {"batch_size": 32, "max_steps": args.steps, "precision": "float32"},
            "output": str(scratch / "run"),
        }
        (scratch / "recipe.yaml").write_text(json.dumps(recipe))
        dry, done = measure(scratch / "recipe.yaml", scratch)
        print(
            json.dumps(
                {
                    "peak_memory_bytes": done["peak_memory_bytes"],
                    "memory_bytes_estimate": dry["memory_bytes_estimate"],
                    "tokens_per_step": round(done["tokens_per_second"] / done["sentences_per_second"] * 32),
                    "sentences_per_second": done["sentences_per_second"],
                    "trained_parameters": done["trained_parameters"],
                    "head_parameters": done["head_parameters"],
                }
            )
        )


if __name__ == "__main__":
    main()

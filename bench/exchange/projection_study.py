"""What a LoRA loses when it is projected on the basis of LoRA-XS: residual and score before and after.

usage: projection_study.py [--loras 20] [--steps 40] [--ranks 16 32 64] [--eval 512] [--program build/release/loraxs]

Trains LoRAs of rank 8 with PEFT on MiniLM and QNLI, a seed and a learning rate each, imports all of them at every rank
(loraxs import --in … --threshold 1), compares every residual with the closed form on a dense SVD in float64, and scores the
adapters before (PEFT) and after (loraxs eval) on the same pairs.
"""

import argparse
import csv
import json
import math
import statistics
import subprocess
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForSequenceClassification

MODEL, DATA = Path("models/minilm"), Path("data/qnli")
LABELS = ["entailment", "not_entailment"]
TARGETS = ["query", "value", "attention.output.dense", "output.dense"]
MAX_LENGTH, BATCH, RANK, ALPHA = 128, 16, 8, 16
RATES = [3e-4, 1e-3]


def rows_of(path: Path, count: int) -> list[dict]:
    with path.open(newline="") as file:
        return [
            row
            for row, _ in zip(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), range(count), strict=False)
        ]


def batch_of(tokenizer, rows: list[dict]) -> dict:
    encoded = tokenizer(
        [row["question"] for row in rows],
        [row["sentence"] for row in rows],
        truncation="longest_first",
        max_length=MAX_LENGTH,
        padding=True,
        return_tensors="pt",
    )
    return encoded | {"labels": torch.tensor([LABELS.index(row["label"]) for row in rows])}


@torch.no_grad()
def accuracy_of(model, tokenizer, rows: list[dict]) -> float:
    right = 0
    for start in range(0, len(rows), 32):
        batch = batch_of(tokenizer, rows[start : start + 32])
        labels = batch.pop("labels")
        right += (model(**batch).logits.argmax(1) == labels).sum().item()
    return right / len(rows)


def train_lora(folder: Path, tokenizer, train: list[dict], validation: list[dict], seed: int, steps: int) -> float:
    torch.manual_seed(seed)
    base = BertForSequenceClassification.from_pretrained(MODEL, num_labels=2)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="SEQ_CLS")
    model = get_peft_model(base, config)
    model.train()
    rate = RATES[seed % len(RATES)]
    heads = [p for n, p in model.named_parameters() if p.requires_grad and "classifier" in n]
    others = [p for n, p in model.named_parameters() if p.requires_grad and "classifier" not in n]
    optimizer = torch.optim.AdamW([{"params": others, "lr": rate}, {"params": heads, "lr": 5e-3}])
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    for step in range(steps):
        chosen = [train[i] for i in order[step * BATCH : (step + 1) * BATCH]]
        optimizer.zero_grad()
        model(**batch_of(tokenizer, chosen)).loss.backward()
        optimizer.step()
    model.eval()
    model.save_pretrained(folder)
    return accuracy_of(model, tokenizer, validation)


def closed_forms(folder: Path, rank: int, factors: dict) -> dict[str, float]:
    """‖ΔW − U Uᵀ ΔW V Vᵀ‖ / ‖ΔW‖ by module, with the dense SVD of the weight in float64."""
    saved = load_file(folder / "adapter_model.safetensors")
    result = {}
    for name in saved:
        if not name.endswith("lora_A.weight"):
            continue
        delta = saved[name.replace("lora_A", "lora_B")].double() @ saved[name].double()
        module = name.removeprefix("base_model.model.bert.").removesuffix(".lora_A.weight")
        u, v = factors[module]
        inside = u[:, :rank] @ (u[:, :rank].T @ delta @ v[:, :rank]) @ v[:, :rank].T
        result[module] = ((delta - inside).norm() / delta.norm()).item()
    return result


def canonical(module: str) -> str:
    _, _, layer, rest = module.split(".", 3)
    names = {
        "attention.self.query": "query",
        "attention.self.value": "value",
        "attention.output.dense": "attention_output",
    }
    return f"layers.{layer}.{names.get(rest, 'mlp_output')}"


def loraxs(program: str, *arguments: str) -> list[dict]:
    result = subprocess.run([program, *arguments, "--json", "-q"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--loras", type=int, default=20)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--ranks", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--eval", type=int, default=512)
    parser.add_argument("--program", default="build/release/loraxs")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    train, validation = rows_of(DATA / "train.tsv", 9000), rows_of(DATA / "dev.tsv", args.eval)
    weights = {
        name.removesuffix(".weight"): w for name, w in load_file(MODEL / "model.safetensors").items() if w.dim() == 2
    }
    factors = {}
    for name, weight in weights.items():
        if "encoder.layer" in name and ("query" in name or "value" in name or "output.dense" in name):
            u, _, vh = torch.linalg.svd(weight.double(), full_matrices=False)
            factors[name.removeprefix("bert.")] = (u, vh.T)
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        before = {}
        for seed in range(args.loras):
            before[f"lora{seed:02}"] = train_lora(
                scratch / "in" / f"lora{seed:02}", tokenizer, train, validation, seed, args.steps
            )
        print(f"{args.loras} LoRAs of rank {RANK}, {args.steps} steps of {BATCH}: accuracy on {args.eval} pairs, median "
              f"{statistics.median(before.values()):.3f}, from {min(before.values()):.3f} to {max(before.values()):.3f}")  # fmt: skip
        chance = sum(row["label"] == LABELS[0] for row in validation) / len(validation)
        print(f"the more frequent label alone: {max(chance, 1 - chance):.3f}\n")
        print(
            "| rank | r² per module | residual, median (range) | worst module | against the closed form | accuracy, median (range) | kept of the gain |"
        )
        print("|---|---|---|---|---|---|---|")
        for rank in args.ranks:
            out = scratch / f"out{rank}"
            imported = loraxs(args.program, "import", "--model", str(MODEL), "--in", str(scratch / "in"), "--out", str(out), "--rank", str(rank),
                              "--threshold", "1", "--labels", ",".join(LABELS))  # fmt: skip
            difference, worst, after = 0.0, 0.0, {}
            for line in imported:
                name = Path(line["from"]).name
                expected = closed_forms(scratch / "in" / name, rank, factors)
                found = dict(line["residuals"])
                difference = max(difference, *(abs(found[canonical(m)] - value) for m, value in expected.items()))
                worst = max(worst, *found.values())
                score = loraxs(args.program, "eval", "--model", str(MODEL), "--adapter", line["out"], "--task", "qnli", "--data", str(DATA),
                               "--set", f"max_validation_examples={args.eval}")  # fmt: skip
                after[name] = score[-1]["value"]
            residuals = [line["residual"] for line in imported]
            kept = statistics.median((after[n] - 0.5) / (before[n] - 0.5) for n in before if before[n] > 0.55) if any(
                value > 0.55 for value in before.values()) else math.nan  # fmt: skip
            print(f"| {rank} | {rank * rank} | {statistics.median(residuals):.3f} ({min(residuals):.3f}-{max(residuals):.3f}) | {worst:.3f} | {difference:.1e} | "
                  f"{statistics.median(after.values()):.3f} ({min(after.values()):.3f}-{max(after.values()):.3f}) | {kept:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()

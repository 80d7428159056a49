"""Many users' adapters in one process, against the same jobs one after another and against PEFT: rates, peak memory, whether rows are the same bits.

usage: against_serial.py [--users 32] [--examples 64] [--epochs 1] [--batch-size 4] [--rounds 3] [--processes 2] [--peft 2]

Users have --examples questions of data/qnli each and labels of their own, contradicting others'. In every round: the fleet; the same
jobs with one slot, which is one after another in one warm process; --processes of them as a process each; --peft of them in a process
of transformers and PEFT that loads the base once (LoRA of the same rank and modules, AdamW on the trained numbers, no padding
beyond the batch's longest). Rates are medians over rounds of sentences per second of training, start-up apart but for the processes.
The floor is 4 T (P + r S) operations at the rate that a GEMM of this machine reaches in the same round.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_users(count: int, examples: int, train: Path) -> list[dict]:
    """Each labels its questions by a rule of its own: length or a letter, turned round for half of them."""
    questions = [line.split("\t")[1] for line in train.read_text().splitlines()[1:]]
    users = []
    for u in range(count):
        letter = "a" if u % 4 == 2 else "w"

        def rule(question: str, kind: int = u % 4, letter: str = letter) -> bool:
            return len(question) % 2 == 1 if kind < 2 else letter in question.split()[0].lower()

        own = [questions[(u * examples + i) % len(questions)] for i in range(examples)]
        names = ("no", "yes") if u % 2 else ("yes", "no")
        users.append(
            {
                "tenant": "bench",
                "name": f"user-{u}",
                "examples": [{"text": q, "label": names[rule(q)]} for q in own],
            }
        )
        labels = {example["label"] for example in users[-1]["examples"]}
        if len(labels) < 2:  # a rule that says the same of all
            users[-1]["examples"][0]["label"] = ({"no", "yes"} - labels).pop()
    return users


PEFT = """
import json, sys, time
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer
jobs, model, epochs, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
users = [json.loads(line) for line in open(jobs)]
tokenizer = AutoTokenizer.from_pretrained(model)
base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
config = LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=16, target_modules=["query", "value", "attention.output.dense", "output.dense"], exclude_modules=None)
net = get_peft_model(base, config)
seconds, sentences = 0.0, 0
for number, user in enumerate(users):
    name = f"user-{number}"
    net.add_adapter(name, config)
    net.set_adapter(name)
    net.train()
    labels = sorted({e["label"] for e in user["examples"]})
    begin = time.perf_counter()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-3, fused=True)
    order = [i for _ in range(epochs) for i in torch.randperm(len(user["examples"])).tolist()]
    for at in range(0, len(order), batch):
        chosen = [user["examples"][i] for i in order[at : at + batch]]
        inputs = tokenizer([e["text"] for e in chosen], padding=True, truncation=True, max_length=128, return_tensors="pt")
        loss = net(**inputs, labels=torch.tensor([labels.index(e["label"]) for e in chosen])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds += time.perf_counter() - begin
    sentences += len(order)
    net.set_adapter("default")
    net.delete_adapter(name)
print(json.dumps({"sentences_per_second": sentences / seconds}))
"""

GEMM = """
import time, torch
x, w = torch.randn(1024, 384), torch.randn(1536, 384)
torch.nn.functional.linear(x, w)
rates = []
for _ in range(5):
    begin = time.perf_counter()
    for _ in range(20):
        torch.nn.functional.linear(x, w)
    rates.append(20 * 2 * 1024 * 384 * 1536 / (time.perf_counter() - begin))
print(max(rates))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/loraxs")
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peft", type=int, default=2)
    parser.add_argument("--slots", default="auto")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--validation", type=float, default=0.0)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        users = make_users(args.users, args.examples, args.train)

        def train(name: str, jobs: list[dict], slots: object) -> dict:
            """The last line of one fleet, and a digest of its rows."""
            (scratch / f"{name}.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
            fleet = {
                "jobs": str(scratch / f"{name}.jsonl"),
                "store": str(scratch / f"{name}-store"),
                "slots": slots,
                "tokens_per_step": args.tokens,
                "validation": args.validation,
            }
            recipe = {
                "model": args.model,
                "method": {"rank": 16},
                "task": {"name": "classification"},
                "train": {"epochs": args.epochs, "batch_size": args.batch_size, "checkpoint_seconds": 3600},
                "fleet": fleet,
                "output": str(scratch / name),
            }
            (scratch / f"{name}.yaml").write_text(json.dumps(recipe))
            subprocess.run(["rm", "-rf", str(scratch / name), fleet["store"]], check=True)
            begin = time.monotonic()
            run = subprocess.run(
                [args.program, "train", str(scratch / f"{name}.yaml"), "-q", "--json"],
                check=True,
                capture_output=True,
                text=True,
            )
            wall = time.monotonic() - begin
            rows = {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in Path(fleet["store"]).rglob("*.safetensors")
            }
            return json.loads(run.stdout.splitlines()[-1]) | {"wall_seconds": wall, "rows": rows}

        rates: dict[str, list[float]] = {
            "fleet": [],
            "one after another": [],
            "process each": [],
            "PEFT": [],
            "floor": [],
        }
        same = 0
        tokens = 0.0
        peak = 0
        for _ in range(args.rounds):
            together = train("fleet", users, args.slots if args.slots == "auto" else int(args.slots))
            rates["fleet"].append(together["sentences_per_second"])
            tokens = together["tokens"] / together["sentences"]
            peak = max(peak, together["peak_memory_bytes"])
            alone = train("serial", users, 1)
            rates["one after another"].append(alone["sentences_per_second"])
            same += together["rows"] == alone["rows"]
            if args.processes:
                walls = [train("process", [user], 1)["wall_seconds"] for user in users[: args.processes]]
                rates["process each"].append(args.examples * args.epochs / statistics.mean(walls))
            if args.peft:
                (scratch / "peft.jsonl").write_text("".join(json.dumps(job) + "\n" for job in users[: args.peft]))
                command = [
                    sys.executable,
                    "-c",
                    PEFT,
                    str(scratch / "peft.jsonl"),
                    args.model,
                    str(args.epochs),
                    str(args.batch_size),
                ]
                run = subprocess.run(command, check=True, capture_output=True, text=True)
                rates["PEFT"].append(json.loads(run.stdout.splitlines()[-1])["sentences_per_second"])
            gemm = float(
                subprocess.run([sys.executable, "-c", GEMM], check=True, capture_output=True, text=True).stdout
            )
            config = json.loads((Path(args.model) / "config.json").read_text())
            width, inner, layers = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
            parameters = layers * (4 * width * width + 2 * width * inner)
            spans = layers * (
                2 * (2 * width) + 2 * width + (inner + width)
            )  # in + out of query, value, attention output, MLP output
            rates["floor"].append(gemm / (4 * tokens * (parameters + 16 * spans)))
        medians = {name: statistics.median(values) for name, values in rates.items() if values}
        for name, rate in medians.items():
            ratio = (
                f"fleet is {medians['fleet'] / rate:.2f} times it" if name != "fleet" else f"peak {peak / 1e6:.0f} MB"
            )
            spread = f"{min(rates[name]):.0f} to {max(rates[name]):.0f}"
            print(f"{name:18} {rate:8.1f} sentences/s ({spread}); {ratio}")
        print(
            f"{args.users} users, {tokens:.1f} tokens a sentence, batch {args.batch_size}; same bytes in {same} of {args.rounds} rounds"
        )


if __name__ == "__main__":
    main()

"""Many users' adapters in one process, against the same jobs one after another and against PEFT: rates, peak memory, whether rows are the same bits.

usage: against_serial.py [--users 32] [--examples 64] [--epochs 1] [--batch-size 4] [--rounds 3] [--processes 2] [--peft 2]
       [--peft-processes 0] [--precision float32] [--train FILE.tsv --column 1 --no-header] [--chats FILE.jsonl --model FILE.gguf]

Users have --examples texts of --train each (questions of data/qnli) and labels of their own, contradicting others'; with --chats questions and
answers of GSM8K. In every round: the fleet; the same jobs with one slot, which is one after another in one warm process; --processes of
them, spread over the list, as a process each; --peft of them in a process of transformers and PEFT that loads the base once (LoRA of the same rank and
modules, AdamW on the trained numbers, no padding beyond the batch's longest); --peft-processes of them as such a process each. Rates are
medians over rounds of sentences per second of training, start-up apart; against whole processes the fleet's start-up counts too.
The floor is 4 T (P + r S) operations at the best GEMM rate that `loraxs doctor` finds in three runs of the same round.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fleet_runs import FleetRuns, floor_operations, gemm_rate, make_chats, make_users, read_texts, write_users

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/loraxs")
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--column", type=int, default=1)
    parser.add_argument("--no-header", action="store_true")
    parser.add_argument("--chats", type=Path)
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peft", type=int, default=2)
    parser.add_argument("--peft-processes", type=int, default=0)
    parser.add_argument("--slots", default="auto")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--validation", type=float, default=0.0)
    args = parser.parse_args()
    if args.chats:
        args.peft = args.peft_processes = 0
        users = list(make_chats(args.users, args.examples, args.chats))
    else:
        users = list(make_users(args.users, args.examples, read_texts(args.train, args.column, not args.no_header)))
    recipe = {
        "model": args.model,
        "method": {"rank": 16},
        "task": {"name": "chat" if args.chats else "classification"},
        "train": {
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "max_length": args.max_length,
            "precision": args.precision,
            "checkpoint_seconds": 3600,
        },
        "fleet": {"tokens_per_step": args.tokens, "validation": args.validation},
    }
    rates: dict[str, list[float]] = {}
    same, peak, tokens = 0, 0, 0.0

    def spread(count: int) -> list[dict]:
        """So many users from all over the list: texts are longer in places."""
        return users[:: max(1, len(users) // count)][:count]

    def add(name: str, rate: float) -> None:
        rates.setdefault(name, []).append(rate)

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        runs = FleetRuns(args.program, scratch, recipe)

        def peft(some: list[dict]) -> tuple[float, float]:
            """Sentences per second of training, and of the whole process."""
            write_users(scratch / "peft.jsonl", some)
            words = [scratch / "peft.jsonl", args.model, args.epochs, args.batch_size]
            begin = time.monotonic()
            run = subprocess.run(
                [sys.executable, "-c", PEFT, *map(str, words)], check=True, capture_output=True, text=True
            )
            wall = time.monotonic() - begin
            rate = json.loads(run.stdout.splitlines()[-1])["sentences_per_second"]
            return rate, len(some) * args.examples * args.epochs / wall

        for _ in range(args.rounds):
            together = runs.train("fleet", users, slots=args.slots if args.slots == "auto" else int(args.slots))
            add("fleet", together["sentences_per_second"])
            add("fleet, whole", together["sentences"] / together["wall_seconds"])
            tokens = together["tokens"] / together["sentences"]
            peak = max(peak, together["peak_memory_bytes"])
            alone = runs.train("serial", users, slots=1)
            add("one after another", alone["sentences_per_second"])
            same += together["rows"] == alone["rows"]
            if args.processes:
                each = [runs.train("process", [user], slots=1) for user in spread(args.processes)]
                add("process each", statistics.mean(one["sentences"] for one in each) / statistics.mean(one["wall_seconds"] for one in each))  # fmt: skip
            if args.peft:
                add("PEFT", peft(spread(args.peft))[0])
            if args.peft_processes:
                add("PEFT process each", statistics.mean(peft([user])[1] for user in spread(args.peft_processes)))
            if not args.chats:
                operations = tokens * floor_operations(Path(args.model), 16)
                add("floor", gemm_rate(args.program, args.precision) / operations)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        against = "fleet, whole" if name.endswith("process each") else "fleet"
        ratio = (
            f"peak {peak / 1e6:.0f} MB" if name == "fleet" else f"{against} is {medians[against] / rate:.2f} times it"
        )
        print(f"{name:18} {rate:8.1f} sentences/s ({min(rates[name]):.1f} to {max(rates[name]):.1f}); {ratio}")
    print(
        f"{args.users} users, {tokens:.1f} tokens a sentence, batch {args.batch_size}, {args.precision}; same bytes in {same} of {args.rounds} rounds"
    )


if __name__ == "__main__":
    main()

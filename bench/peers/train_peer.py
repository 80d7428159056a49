"""Trains LoRA-XS, LoRA, VeRA or the weights themselves with transformers + PEFT on QNLI-like pairs or single sentences and prints
one JSON line.

modes: reference (float32, padded to 128, random order), shuffled (padded to a batch's longest, random order), best (the same with
batches of similar length), head-only.
"""

import argparse
import gzip
import json
import resource
import statistics
import time
from pathlib import Path

import peft
import torch
import transformers
from lora_xs_peer import add_lora_xs
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

TARGETS = ["query", "value", "attention.output.dense", "output.dense"]


def adapt(model, args: argparse.Namespace):
    """The model with what `--method` trains; parameters of the adapter and of the head."""
    if args.method == "lora_xs":
        std = 0.0 if args.mode == "head-only" else 1e-5
        model = add_lora_xs(model, args.targets, args.rank, args.alpha, args.seed, std)
    elif args.method == "lora":
        config = peft.LoraConfig(task_type="SEQ_CLS", r=args.rank, lora_alpha=args.alpha, target_modules=args.targets)
        model = peft.get_peft_model(model, config)
    elif args.method == "vera":
        config = peft.VeraConfig(
            task_type="SEQ_CLS", r=args.rank, target_modules=args.targets, projection_prng_key=args.seed
        )
        model = peft.get_peft_model(model, config)
    else:  # what our `method: full` on all-linear trains: the projections and the classifier, or everything
        for name, parameter in model.named_parameters():
            projection = ".layer." in name and "LayerNorm" not in name
            parameter.requires_grad_(args.everything or projection or name.startswith("classifier"))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    heads = [p for n, p in trained.items() if "classifier" in n]
    return model, [p for n, p in trained.items() if "classifier" not in n], heads


def read_rows(args: argparse.Namespace, name: str) -> tuple[list[tuple[str, ...]], list[float]]:
    path = Path(name)
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    rows = [line.split("\t") for line in text.split("\n")[int(not args.no_header) :] if line]
    names = sorted({row[args.label] for row in rows})
    target = float if args.regression else names.index
    return [tuple(row[c] for c in args.columns) for row in rows], [target(row[args.label]) for row in rows]


def batches_of(lengths: list[int], size: int, by_length: bool, generator: torch.Generator) -> list[list[int]]:
    order = torch.randperm(len(lengths), generator=generator).tolist()
    if by_length:
        order.sort(key=lambda i: lengths[i])
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    if by_length:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches


def score(model, tokenizer, texts, labels, autocast) -> float:
    """Accuracy, or Pearson's correlation where there is one output."""
    model.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i][-1]))
    logits = []
    with torch.no_grad(), autocast():
        for begin in range(0, len(order), 64):
            chosen = order[begin : begin + 64]
            inputs = tokenizer(*zip(*(texts[i] for i in chosen), strict=True), truncation=True, max_length=128, padding=True, return_tensors="pt")  # fmt: skip
            logits.append(model(**inputs).logits.float())
    targets, found = torch.tensor([labels[i] for i in order]), torch.cat(logits)
    if found.shape[1] == 1:
        return torch.corrcoef(torch.stack([found[:, 0], targets]))[0, 1].item()
    return (found.argmax(1) == targets).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--mode", choices=["reference", "shuffled", "best", "head-only"], default="best")
    parser.add_argument("--method", choices=["lora_xs", "lora", "vera", "full"], default="lora_xs")
    parser.add_argument("--everything", action="store_true", help="full: embeddings and norms too")
    parser.add_argument("--train", default="data/qnli/train.tsv")
    parser.add_argument("--validation", default="")
    parser.add_argument("--validation-first", type=int, default=0, help="score the first N rows")
    parser.add_argument("--columns", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--label", type=int, default=3)
    parser.add_argument("--no-header", action="store_true")
    parser.add_argument("--regression", action="store_true")
    parser.add_argument("--first", type=int, default=0, help="train on the first N rows")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-steps", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--head-learning-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    texts, labels = read_rows(args, args.train)
    outputs = 1 if args.regression else len(set(labels))
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=outputs)
    model, rs, heads = adapt(model, args)
    if args.mode == "head-only":
        for r in rs:
            r.requires_grad_(False)
    groups = [{"params": heads, "lr": args.head_learning_rate}]
    if args.mode != "head-only":
        groups.append({"params": rs, "lr": args.learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    if args.first:
        texts, labels = texts[: args.first], labels[: args.first]
    steps = args.max_steps or args.epochs * -(-len(texts) // args.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * steps), steps)
    generator = torch.Generator().manual_seed(args.seed)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16, enabled=args.bf16)

    lengths = [sum(len(t) for t in row) for row in texts]
    values, rates, done = [], [], 0
    started, trained, elapsed = time.perf_counter(), 0, 0.0
    while done < steps:
        model.train()
        for batch in batches_of(lengths, args.batch_size, args.mode == "best", generator):
            if done == steps:
                break
            begin = time.perf_counter()
            padding = "max_length" if args.mode == "reference" else True
            inputs = tokenizer(*zip(*(texts[i] for i in batch), strict=True), truncation=True, max_length=128, padding=padding, return_tensors="pt")  # fmt: skip
            with autocast():
                loss = model(**inputs, labels=torch.tensor([labels[i] for i in batch])).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            seconds = time.perf_counter() - begin
            if done > 3 or steps <= 3:  # the first steps warm caches up
                trained += len(batch)
                elapsed += seconds
                rates.append(len(batch) / seconds)
        if args.validation:
            rows, targets = read_rows(args, args.validation)
            if args.validation_first:
                rows, targets = rows[: args.validation_first], targets[: args.validation_first]
            values.append(score(model, tokenizer, rows, targets, autocast))
    print(
        json.dumps(
            {
                "contender": f"transformers+peft {args.method} {args.mode}" + (" bf16" if args.bf16 else ""),
                "sentences_per_second": trained / elapsed,
                "spread": [min(rates), statistics.median(rates), max(rates)],
                "steps": done,
                "values": values,
                "value": max(values) if values else None,
                "seed": args.seed,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "dtype": "bfloat16" if args.bf16 else "float32",
                "threads": torch.get_num_threads(),
                "versions": {
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "peft": peft.__version__,
                },
                "wall_seconds": time.perf_counter() - started,
            }
        )
    )


if __name__ == "__main__":
    main()

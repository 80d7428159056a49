"""Trains LoRA-XS on a decoder's records with transformers + PEFT, answers alone in the loss, and prints one JSON line with the
held-out loss before and after. The recipe is that of recipes/decoder: what `loraxs train` does with the same records.

usage: decoder_quality_peer.py --gguf FILE --task commonsense|metamath|gsm8k --train FILE --held FILE --rank R --alpha A
       --learning-rate X --schedule linear|cosine --warmup-ratio X --max-grad-norm X --max-length N [--bf16]
"""

import argparse
import json
import math
import time
from pathlib import Path

import peft
import torch
import transformers
from lora_xs_peer import add_lora_xs
from train_decoder_peer import TARGETS, padded
from transformers import AutoModelForCausalLM, AutoTokenizer

ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
ALPACA_FIELDS = {"metamath": ("query", "response"), "gsm8k": ("question", "answer")}
INDENT = " " * 16


def prompt_and_answer(task: str, record: dict) -> tuple[str, str]:
    if task in ALPACA_FIELDS:
        question, answer = ALPACA_FIELDS[task]
        return f"{ALPACA}\n\n### Instruction:\n{record[question]}\n\n### Response:", record[answer]
    instruction = f"{INDENT}### Instruction:\n{INDENT}{record['instruction']}\n\n{INDENT}### Response:\n{INDENT}"
    return f"{ALPACA}  \n\n{instruction}", record["output"]


def encode(tokenizer, task: str, path: Path, max_length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and which of them count: those of the answer, from the first that the prompt alone does not give, and EOS."""
    examples = []
    for line in path.read_text().splitlines():
        prompt, answer = prompt_and_answer(task, json.loads(line))
        alone, ids = tokenizer(prompt).input_ids, tokenizer(prompt + answer).input_ids
        first = next((i for i, (x, y) in enumerate(zip(alone, ids, strict=False)) if x != y), min(len(alone), len(ids)))
        ids = torch.tensor([*ids, tokenizer.eos_token_id][:max_length])
        examples.append((ids, torch.arange(len(ids)) >= first))
    return [(ids, counts) for ids, counts in examples if counts.any()]


@torch.no_grad()
def held_out_loss(model, examples, batch: int) -> float:
    total, targets = 0.0, 0
    order = sorted(examples, key=lambda example: len(example[0]))
    for at in range(0, len(order), batch):
        inputs, mask, labels = padded(order[at : at + batch])
        count = int((labels[:, 1:] != -100).sum())
        total += model(input_ids=inputs, attention_mask=mask, labels=labels).loss.item() * count
        targets += count
    return total / targets


def rate(step: int, steps: int, warmup: int, schedule: str) -> float:
    if step < warmup:
        return step / max(1, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1 - done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--gguf", "--train", "--held"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--alpha", type=float, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--schedule", required=True)
    parser.add_argument("--warmup-ratio", type=float, required=True)
    parser.add_argument("--max-grad-norm", type=float, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    where = {"pretrained_model_name_or_path": args.gguf.parent, "gguf_file": args.gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16 if args.bf16 else torch.float32)
    train, held = (encode(tokenizer, args.task, path, args.max_length) for path in (args.train, args.held))
    base_loss = held_out_loss(model, held, args.batch)
    model = add_lora_xs(model, TARGETS, args.rank, args.alpha, seed=0, task_type="CAUSAL_LM").train()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # R is trained in float32 whatever the base
    rs = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(rs, lr=args.learning_rate, weight_decay=0)
    steps = math.ceil(len(train) / args.batch)
    warmup = int(args.warmup_ratio * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps, warmup, args.schedule))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    begin = time.perf_counter()
    for step in range(steps):
        inputs, mask, labels = padded([train[i] for i in order[step * args.batch : (step + 1) * args.batch]])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = model(input_ids=inputs, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rs, args.max_grad_norm)
        optimizer.step()
        schedule.step()
        print(f"step={step + 1}/{steps} loss={loss.item():.4f}", flush=True)
    seconds = time.perf_counter() - begin
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
        tuned_loss = held_out_loss(model.eval(), held, args.batch)
    result = {
        "contender": "transformers+peft" + (" bf16" if args.bf16 else ""),
        "rank": args.rank,
        "base_loss": base_loss,
        "loss": tuned_loss,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

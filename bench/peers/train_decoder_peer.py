"""Trains LoRA-XS on a decoder with transformers + PEFT, loss on answers alone, and prints one JSON line.

usage: train_decoder_peer.py FOLDER [--make] [--steps N] [--rank R] [--bf16]
`--make` writes FOLDER first: a Llama of SmolLM2-135M's shape with random weights of the precision, and batches.safetensors, steps of four
sequences as long as GSM8K's with answers of two thirds, which bench/model/decoder_step.cpp trains on too.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import peft
import torch
import transformers
from lora_xs_peer import add_lora_xs
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCH = 4


def make(folder: Path, layers: int, dtype: torch.dtype) -> None:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder)
    generator = torch.Generator().manual_seed(1)
    lengths = (80 + 120 * torch.rand(64 * BATCH, generator=generator) ** 1.5).int()
    ids = torch.randint(0, config.vocab_size, (int(lengths.sum()),), generator=generator).int()
    is_target = torch.cat([(torch.arange(n) >= n // 3).int() for n in lengths.tolist()])
    starts = torch.cat([torch.zeros(1, dtype=torch.int32), lengths.cumsum(0).int()])
    save_file({"input_ids": ids, "is_target": is_target, "starts": starts}, folder / "batches.safetensors")


def padded(examples: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids and which of them count -> input ids, attention mask and labels, padded on the right."""
    longest = max(len(ids) for ids, _ in examples)
    inputs = torch.zeros(len(examples), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(inputs), torch.full_like(inputs, -100)
    for row, (ids, counts) in enumerate(examples):
        inputs[row, : len(ids)], mask[row, : len(ids)] = ids, 1
        labels[row, : len(ids)] = torch.where(counts, ids, -100)
    return inputs, mask, labels


def rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    if args.make:
        make(args.folder, args.layers, dtype)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=dtype)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    model = add_lora_xs(model, TARGETS, args.rank, args.rank, seed=0, task_type="CAUSAL_LM").train()
    rs = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(rs, lr=1e-3, weight_decay=0.01)
    data = load_file(args.folder / "batches.safetensors")
    ids, is_target, starts = data["input_ids"].long(), data["is_target"].bool(), data["starts"].tolist()
    losses, tokens, elapsed = [], 0, 0.0
    for step in range(args.steps):
        begin = time.perf_counter()
        spans = [(starts[i], starts[i + 1]) for i in range(step * BATCH, (step + 1) * BATCH)]
        inputs, mask, labels = padded([(ids[a:b], is_target[a:b]) for a, b in spans])
        loss = model(input_ids=inputs, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rs, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step > 0:  # the first step warms caches up
            tokens += spans[-1][1] - spans[0][0]
            elapsed += time.perf_counter() - begin
    result = {
        "contender": "transformers+peft" + (" bf16" if args.bf16 else ""),
        "tokens_per_second": tokens / elapsed,
        "losses": losses,
        "peak_memory_bytes": rss(),
        "weight_bytes": weights,
        "memory_above_weights_bytes": rss() - weights,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Greedy decoding beside transformers: decode_peer.py [--runs 3] [--precision bfloat16] [--rank 16].

A random model of SmolLM2-135M's shape, prompts of 32 ids, 64 new tokens, the same precision and threads on both sides: batch
1, and 16 prompts with 16 adapters on all linear modules beside transformers without adapters. Prints one JSON line with
medians of tokens per second (prefill not counted) and their ratios. Needs the benchmarks built (CONTRIBUTING.md).
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig

PROMPT_TOKENS, NEW_TOKENS = 32, 64
SMOLLM2 = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "max_position_embeddings": 8192, "rope_theta": 100000.0, "tie_word_embeddings": True,
    "eos_token_id": None, "bos_token_id": None,
}  # fmt: skip


def peer_rate(model, batch: int, runs: int) -> float:
    prompts = torch.randint(model.config.vocab_size, (batch, PROMPT_TOKENS))
    rates = []
    for _ in range(runs):
        seconds = []
        for tokens in (1, NEW_TOKENS):
            start = time.perf_counter()
            model.generate(prompts, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
            seconds.append(time.perf_counter() - start)
        rates.append(batch * (NEW_TOKENS - 1) / (seconds[1] - seconds[0]))
    return statistics.median(rates)


def our_rate(program: Path, model: Path, precision: str, batch: int, adapters: int, rank: int, runs: int) -> float:
    words = [program, model, precision, "normal", batch, adapters, rank, NEW_TOKENS, runs]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    result = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True, env=environment)
    return json.loads(result.stdout)["tokens_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, default=Path("build/release/bench/loraxs_decode_bench"))
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(LlamaConfig(**SMOLLM2)).to(getattr(torch, args.precision)).eval()
        model.save_pretrained(folder)
        ours = {b: our_rate(args.program, Path(folder), args.precision, b, b if b > 1 else 0, args.rank, args.runs) for b in (1, 16)}  # fmt: skip
        theirs = {b: peer_rate(model, b, args.runs) for b in (1, 16)}
    line = {"precision": args.precision, "rank": args.rank, "threads": torch.get_num_threads()}
    for batch in (1, 16):
        line[f"loraxs_batch_{batch}"] = round(ours[batch], 1)
        line[f"transformers_batch_{batch}"] = round(theirs[batch], 1)
        line[f"ratio_batch_{batch}"] = round(ours[batch] / theirs[batch], 2)
    print(json.dumps(line | {"torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()

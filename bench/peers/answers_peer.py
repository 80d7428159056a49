"""Several answers of one prompt beside transformers: answers_peer.py MODEL.gguf [--runs 3] [--precisions float32 int8]. Four beams, and eight
drawn answers, 64 tokens each, on the same GGUF file (transformers unpacks it), as many threads. Each contender's seconds are those of
64 tokens less those of one, so loading and the prompt do not count; in turn, --runs times; one JSON line with medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 64
PROMPT = "The history of the town begins with a bridge over the river, which"
WORKLOADS = {
    "4 beams": (4, {"num_beams": 4, "do_sample": False}, ["--beams", "4"]),
    "8 drawn": (8, {"num_return_sequences": 8, "do_sample": True}, ["--n", "8", "--temperature", "1"]),
}


def seconds(run, repeats: int) -> float:
    """Of NEW_TOKENS - 1 tokens."""
    taken = []
    for tokens in (1, NEW_TOKENS):
        start = time.perf_counter()
        for _ in range(repeats):
            run(tokens)
        taken.append((time.perf_counter() - start) / repeats)
    return taken[1] - taken[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--program", type=Path, default=Path("build/loraxs"))
    parser.add_argument("--precisions", nargs="+", default=["float32", "int8"])
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{len(WORKLOADS)} workloads, {args.runs} turns of transformers and ours ({', '.join(args.precisions)})", file=sys.stderr)  # fmt: skip
    place = {"pretrained_model_name_or_path": str(args.model.parent), "gguf_file": args.model.name}
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
    inputs = AutoTokenizer.from_pretrained(**place)(PROMPT, return_tensors="pt")
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}

    def ours(tokens: int, precision: str, more: list[str]) -> None:
        words = [args.program, "generate", "--model", args.model, "--precision", precision, "--prompt", PROMPT, "--ignore-eos", "-q"]  # fmt: skip
        words += ["-n", tokens, "--json", *more]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, env=environment)

    def theirs(tokens: int, settings: dict) -> None:
        model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, pad_token_id=0, **settings)

    found: dict[str, dict[str, list[float]]] = {name: {} for name in WORKLOADS}
    for _ in range(args.runs):
        for name, (width, settings, more) in WORKLOADS.items():
            rates = {"transformers": lambda tokens, s=settings: theirs(tokens, s)}
            rates |= {p: lambda tokens, p=p, m=more: ours(tokens, p, m) for p in args.precisions}
            for contender, run in rates.items():
                rate = width * (NEW_TOKENS - 1) / seconds(run, 1)
                found[name].setdefault(contender, []).append(rate)
    medians = {name: {who: round(statistics.median(r), 1) for who, r in row.items()} for name, row in found.items()}
    print(json.dumps({"model": args.model.name, "threads": torch.get_num_threads(), "tokens_per_second": medians}))


if __name__ == "__main__":
    main()

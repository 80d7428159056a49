"""Greedy decoding of a GGUF file beside llama.cpp: llama_cpp_peer.py GGUF [--runs 5] [--batches 1 16] [--adapters] [--prompt 512] [--ours int8 float32].

The same file on both sides, prompts of 32 ids, 64 new tokens, as many threads; batches without adapters, and with --adapters the
largest batch with an adapter of r = 16 each besides (llama.cpp applies one set of adapters to a whole batch); --prompt adds
the rate of reading one prompt of so many tokens. Ours: int8, float32,
tight (float32 out of the file's blocks at every product), bfloat16. llama.cpp keeps the file's blocks; its cache is float16. Contenders
take turns, --runs times; prints one JSON line with medians of tokens per second, prompts not counted. Needs the benchmarks built
(CONTRIBUTING.md).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from decode_peer import NEW_TOKENS, PROMPT_TOKENS

try:
    import xllamacpp
except ImportError:
    raise SystemExit("llama_cpp_peer: expected the package xllamacpp, found none; pip install xllamacpp") from None

BATCH = 16


class LlamaCpp:
    def __init__(self, model: Path, threads: int, flash_attention: bool, longest: int) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        kinds = xllamacpp.llama_flash_attn_type
        parameters.flash_attn_type = (
            kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        parameters.n_ctx = BATCH * (max(PROMPT_TOKENS, longest) + NEW_TOKENS + 32)
        parameters.n_parallel = BATCH
        parameters.n_gpu_layers = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        self.server = xllamacpp.Server(parameters)

    def answer(self, prompt: list[int], tokens: int) -> int:
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return self.server.handle_completions(request)["usage"]["completion_tokens"]

    def seconds(self, batch: int, tokens: int, prompt_tokens: int = PROMPT_TOKENS) -> float:
        prompts = [[(31 * i + 7 * p) % 40000 + 100 for p in range(prompt_tokens)] for i in range(batch)]
        start = time.perf_counter()
        with ThreadPoolExecutor(batch) as pool:
            made = list(pool.map(lambda prompt: self.answer(prompt, tokens), prompts))
        if made != [tokens] * batch:
            raise SystemExit(f"llama.cpp made {made} tokens, asked for {tokens} each")
        return time.perf_counter() - start

    def rate(self, batch: int) -> float:
        return batch * (NEW_TOKENS - 1) / (self.seconds(batch, NEW_TOKENS) - self.seconds(batch, 1))

    def prompt_rate(self, tokens: int) -> float:
        return tokens / self.seconds(1, 1, tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--program", type=Path, default=Path("build/release/bench/loraxs_decode_bench"))
    parser.add_argument(
        "--ours", nargs="+", default=["int8", "float32"], choices=["int8", "float32", "tight", "bfloat16"]
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, BATCH])
    parser.add_argument("--adapters", action="store_true")
    parser.add_argument("--prompt", type=int, default=0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if not args.program.exists():
        raise SystemExit(f"llama_cpp_peer: expected {args.program}, found none; build the benchmarks (CONTRIBUTING.md)")
    if "bfloat16" in args.ours and "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        raise SystemExit(
            "llama_cpp_peer: this CPU has no avx512_bf16, where bfloat16 prompts crawl; leave bfloat16 out"
        )
    threads = os.cpu_count()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    workloads = [(batch, 0) for batch in args.batches]
    if args.adapters:
        workloads.append((max(args.batches), max(args.batches)))
    print(
        f"{len(workloads)} workloads, {args.runs} turns of ours ({', '.join(args.ours)}) and llama.cpp", file=sys.stderr
    )

    def ours(name: str, batch: int, adapters: int, prompt_tokens: int = PROMPT_TOKENS) -> dict[str, float]:
        precision, memory = ("float32", "tight") if name == "tight" else (name, "normal")
        words = [args.program, args.model, precision, memory, batch, adapters, args.rank, NEW_TOKENS, 1, prompt_tokens]
        output = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True, env=environment)
        return json.loads(output.stdout)

    found: dict[str, dict[str, list[float]]] = {}

    def note(contender: str, workload: str, rate: float) -> None:
        found.setdefault(contender, {}).setdefault(workload, []).append(rate)

    prompt_load = f"prompt of {args.prompt}"
    for _ in range(args.runs):
        for name in args.ours:
            for batch, adapters in workloads:
                rate = ours(name, batch, adapters)["tokens_per_second"]
                note(f"loraxs {name}", f"{batch}" + (" adapters" if adapters else ""), rate)
            if args.prompt:
                note(f"loraxs {name}", prompt_load, ours(name, 1, 0, args.prompt)["prompt_tokens_per_second"])
        for flash_attention in (False, True):
            contender = "llama.cpp" + (" flash attention" if flash_attention else "")
            peer = LlamaCpp(args.model, threads, flash_attention, args.prompt)
            for batch in args.batches:
                note(contender, f"{batch}", peer.rate(batch))
            if args.prompt:
                note(contender, prompt_load, peer.prompt_rate(args.prompt))
            del peer
    medians = {
        name: {load: round(statistics.median(rates), 1) for load, rates in row.items()} for name, row in found.items()
    }
    print(json.dumps({"model": args.model.name, "threads": threads, "rank": args.rank, "tokens_per_second": medians}))


if __name__ == "__main__":
    main()

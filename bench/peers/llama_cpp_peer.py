"""Greedy decoding of a GGUF file beside llama.cpp: llama_cpp_peer.py GGUF [--runs 3] [--rank 16].

The same file on both sides, prompts of 32 ids, 64 new tokens, as many threads: batch 1 and batch 16 without adapters, and ours
with 16 adapters besides (llama.cpp applies one set of adapters to a whole batch). Ours dequantised to bfloat16 and kept as in the
file. llama.cpp keeps the file's blocks; its cache is float16. Prints one JSON line with medians of tokens per second, prefill
not counted. Needs the benchmarks built (CONTRIBUTING.md).
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xllamacpp
from decode_peer import NEW_TOKENS, PROMPT_TOKENS

BATCH = 16


class LlamaCpp:
    def __init__(self, model: Path, threads: int, flash_attention: bool) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        kinds = xllamacpp.llama_flash_attn_type
        parameters.flash_attn_type = (
            kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash_attention else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        parameters.n_ctx = BATCH * (PROMPT_TOKENS + NEW_TOKENS + 32)
        parameters.n_parallel = BATCH
        parameters.n_gpu_layers = 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        self.server = xllamacpp.Server(parameters)

    def answer(self, prompt: list[int], tokens: int) -> int:
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return self.server.handle_completions(request)["usage"]["completion_tokens"]

    def seconds(self, batch: int, tokens: int) -> float:
        prompts = [[(31 * i + 7 * p) % 40000 + 100 for p in range(PROMPT_TOKENS)] for i in range(batch)]
        start = time.perf_counter()
        with ThreadPoolExecutor(batch) as pool:
            made = list(pool.map(lambda prompt: self.answer(prompt, tokens), prompts))
        if made != [tokens] * batch:
            raise SystemExit(f"llama.cpp made {made} tokens, asked for {tokens} each")
        return time.perf_counter() - start

    def rate(self, batch: int, runs: int) -> float:
        rates = [
            batch * (NEW_TOKENS - 1) / (self.seconds(batch, NEW_TOKENS) - self.seconds(batch, 1)) for _ in range(runs)
        ]
        return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--program", type=Path, default=Path("build/release/bench/loraxs_decode_bench"))
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    threads = os.cpu_count()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}

    def ours(memory: str, batch: int, adapters: int) -> float:
        words = [args.program, args.model, "bfloat16", memory, batch, adapters, args.rank, NEW_TOKENS, args.runs]
        output = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True, env=environment)
        return json.loads(output.stdout)["tokens_per_second"]

    rates: dict[str, dict[str, float]] = {}
    for memory in ("normal", "tight"):
        rates[f"loraxs {memory}"] = {
            "1": ours(memory, 1, 0),
            f"{BATCH}": ours(memory, BATCH, 0),
            f"{BATCH} adapters": ours(memory, BATCH, BATCH),
        }
    for flash_attention in (False, True):
        peer = LlamaCpp(args.model, threads, flash_attention)
        name = "llama.cpp" + (" flash attention" if flash_attention else "")
        rates[name] = {"1": peer.rate(1, args.runs), f"{BATCH}": peer.rate(BATCH, args.runs)}
        del peer
    rounded = {name: {batch: round(rate, 1) for batch, rate in row.items()} for name, row in rates.items()}
    print(json.dumps({"model": args.model.name, "threads": threads, "rank": args.rank, "tokens_per_second": rounded}))


if __name__ == "__main__":
    main()

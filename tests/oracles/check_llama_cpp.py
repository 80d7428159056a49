"""Runs our GGUF exports in llama.cpp: usage check_llama_cpp.py PROGRAM ORACLES, after the tests of exchange.

Greedy texts of 20 prompts in float32 (weights, cache, no flash attention): base + adapter file and merged file must give what
the program generates with its own adapter. A first difference is allowed only where the two largest logits are nearer than 1e-4.
"""

import codecs
import json
import subprocess
import sys
from pathlib import Path

import xllamacpp

NEW_TOKENS = 24
TIE = 1e-4
PROMPTS = [
    "The capital of France is", "Once upon a time", "def main():", "Water boils at", "The quick brown fox", "2 + 2 =", "Dear Sir or Madam,",
    "In the year 1969", "A cat sat on", "Bonjour, je m'appelle", "To be or not to be", "The sum of", "She opened the door", "import torch",
    "Roses are red", "Das Wetter ist", "Chapter one:", "He said:", "Low-rank adaptation", "Hello",
]  # fmt: skip


class LlamaCpp:
    def __init__(self, model: Path, adapter: Path | None = None) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.n_ctx = 256
        parameters.n_parallel = 1
        parameters.n_gpu_layers = 0
        parameters.warmup = False
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        if adapter is not None:
            parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        self.server = xllamacpp.Server(parameters)

    def greedy(self, prompt: str) -> list[tuple[bytes, float]]:
        """Pieces of the answer, each with the distance of the two largest logits."""
        request = {"prompt": prompt, "n_predict": NEW_TOKENS, "temperature": 0, "n_probs": 2, "ignore_eos": True}
        answer = self.server.handle_completions(request)["choices"][0]["logprobs"]["content"]
        pieces = []
        for token in answer:
            best, second = (each["logprob"] for each in token["top_logprobs"][:2])
            pieces.append((bytes(token["bytes"]), best - second))
        return pieces


def agrees(expected: str, answer: list[tuple[bytes, float]]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    for piece, margin in answer:
        text += decoder.decode(piece)
        if not expected.startswith(text):
            return margin < TIE
    return text + decoder.decode(b"", final=True) == expected


def ours(program: str, model: Path, adapter: Path) -> list[str]:
    requests = "".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS)
    path = adapter.parent / "prompts.jsonl"
    path.write_text(requests)
    command = [program, "generate", "--model", str(model), "--adapter", str(adapter), "--input", str(path), "--json", "-n", str(NEW_TOKENS),
               "--precision", "float32", "--ignore-eos", "--cache", str(adapter.parent / "cache"), "-q"]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line)["text"] for line in result.stdout.splitlines()]


def main() -> None:
    program, folder = sys.argv[1], Path(sys.argv[2]) / "exchange"
    base, made = folder / "words.gguf", folder / "llama_cpp"
    texts = ours(program, base, made / "adapter.safetensors")
    counts = {}
    for name, model, adapter in (
        ("adapter", base, made / "adapter.gguf"),
        ("merged", made / "merged.gguf", None),
        ("base alone", base, None),  # control
    ):
        peer = LlamaCpp(model, adapter)
        counts[name] = sum(agrees(text, peer.greedy(prompt)) for prompt, text in zip(PROMPTS, texts, strict=True))
    print(f"of {len(PROMPTS)} greedy texts equal to ours: {counts}")
    quantised = LlamaCpp(made / "merged-q8_0.gguf")
    starts = sum(
        text.encode().startswith(quantised.greedy(prompt)[0][0]) for prompt, text in zip(PROMPTS, texts, strict=True)
    )
    print(f"merged as Q8_0: {starts} answers start as ours in float32")
    everything = counts["adapter"] == counts["merged"] == len(PROMPTS)
    sys.exit(0 if everything and counts["base alone"] < len(PROMPTS) / 2 and starts > len(PROMPTS) / 2 else 1)


if __name__ == "__main__":
    main()

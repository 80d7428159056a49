"""What `precision: int8` changes: int8_cost.py PROGRAM GGUF TEXT QUESTIONS [--prompts 50] [--new-tokens 64].

The loss of the first 100 KB of TEXT in float32 and int8, and greedy continuations of QUESTIONS (records with a "question" or a
"prompt") in both: how many differ, and after how many characters first. With xllamacpp installed, the same of llama.cpp beside
our float32. Prints one JSON line; about two minutes for a model of 135 M weights on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TEXT_BYTES = 100_000


def ours(program: Path, words: list[str]) -> list[dict]:
    done = subprocess.run([program, *words, "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"int8_cost: {program} {words[0]} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def common_length(x: str, y: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(x, y, strict=False)) if a != b), min(len(x), len(y)))


def difference(found: list[str], reference: list[str]) -> dict:
    """Texts that differ, and where they begin to: the median over all, a text that is the same counted whole."""
    firsts = [common_length(x, y) for x, y in zip(found, reference, strict=True)]
    return {
        "different": sum(x != y for x, y in zip(found, reference, strict=True)),
        "texts": len(found),
        "first_difference_median": statistics.median(firsts),
        "length_median": statistics.median(len(y) for y in reference),
    }


def of_llama_cpp(model: Path, prompts: list[str], tokens: int) -> list[str] | None:
    try:
        import xllamacpp
    except ImportError:
        print("int8_cost: xllamacpp is not installed, so llama.cpp is left out", file=sys.stderr)
        return None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_gpu_layers = 0
    parameters.n_ctx = 1024
    server = xllamacpp.Server(parameters)
    texts = []
    for prompt in prompts:
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "cache_prompt": False}
        texts.append(server.handle_completions(request)["choices"][0]["text"])
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "gguf", "text", "questions"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, default=64)
    args = parser.parse_args()
    records = [json.loads(line) for line in args.questions.read_text().splitlines()[: args.prompts]]
    prompts = [record.get("question", record.get("prompt")) + "\n" for record in records]
    result: dict = {"model": args.gguf.name}
    texts: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        text, lines = Path(folder) / "text.txt", Path(folder) / "prompts.jsonl"
        text.write_bytes(args.text.read_bytes()[:TEXT_BYTES])
        lines.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
        for precision in ("float32", "int8"):
            model = ["--model", str(args.gguf), "--precision", precision]
            score = ours(args.program, ["eval", *model, "--task", "text", "--data", str(text)])[-1]
            result[f"loss_{precision}"] = score["value"]
            answers = ours(args.program, ["generate", *model, "--input", str(lines), "-n", str(args.new_tokens)])
            texts[precision] = [answer["text"] for answer in answers]
    result["loss_change"] = result["loss_int8"] / result["loss_float32"] - 1
    result["int8"] = difference(texts["int8"], texts["float32"])
    llama_cpp = of_llama_cpp(args.gguf, prompts, args.new_tokens)
    if llama_cpp is not None:
        result["llama.cpp"] = difference(llama_cpp, texts["float32"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()

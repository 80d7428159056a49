"""Beam search of a real model beside transformers: texts and scores of N prompts, float32, one JSON line.

usage: beam_parity.py PROGRAM GGUF RECORDS [--prompts 50] [--beams 4] [--new-tokens 16]
RECORDS is a file of commonsense questions.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.append(str(Path(__file__).parents[1] / "peers"))
from decoder_quality_peer import prompt_and_answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "gguf", "records"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=16)
    args = parser.parse_args()
    lines = args.records.read_text().splitlines()[: args.prompts]
    prompts = [prompt_and_answer("commonsense", json.loads(line))[0] for line in lines]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
        file.flush()
        words = [
            args.program,
            "generate",
            "--model",
            args.gguf,
            "--precision",
            "float32",
            "--input",
            file.name,
            "--json",
        ]
        words += ["--beams", str(args.beams), "-n", str(args.new_tokens), "-t", str(torch.get_num_threads())]
        output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    ours = [json.loads(line) for line in output.splitlines()]
    where = {"pretrained_model_name_or_path": args.gguf.parent, "gguf_file": args.gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    different, largest = [], 0.0
    for index, (prompt, found) in enumerate(zip(prompts, ours, strict=True)):
        inputs = tokenizer(prompt, return_tensors="pt")
        result = model.generate(
            **inputs,
            max_new_tokens=args.new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            num_beams=args.beams,
            pad_token_id=tokenizer.eos_token_id,
            return_dict_in_generate=True,
            output_scores=True,
        )
        text = tokenizer.decode(result.sequences[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
        largest = max(largest, abs(result.sequences_scores[0].item() - found["score"]))
        if text != found["text"]:
            different.append({"prompt": index, "ours": found["text"], "transformers": text})
    print(json.dumps({"prompts": len(prompts), "different": different, "largest_score_difference": largest}))


if __name__ == "__main__":
    main()

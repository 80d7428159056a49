"""Loads our PEFT exports of every method with transformers + PEFT and compares logits with PEFT's own method: usage
check_methods.py ORACLES."""

import itertools
import sys
from pathlib import Path

import torch
from make_methods import Decoder, Encoder
from peft import PeftModel
from safetensors.torch import load_file


def check(oracles: Path, folder: Path) -> bool:
    family = Decoder if folder.name.startswith(Decoder.folder) else Encoder
    case = load_file(oracles / "methods" / f"{folder.name}.safetensors")
    marks = case["is_target" if family is Decoder else "token_type_ids"].long()
    sequences = [
        (case["input_ids"][a:b].long(), marks[a:b]) for a, b in itertools.pairwise(case["starts"].long().tolist())
    ]
    with torch.no_grad():
        base = family.load(oracles / family.folder, torch.float32)
        plain = family.logits(base, sequences)
        found = family.logits(PeftModel.from_pretrained(base, str(folder)).eval(), sequences)
    expected = case["logits"]
    error, effect = ((x - expected).abs().max() / expected.abs().max() for x in (found, plain))
    print(f"{folder.name}: relative error {error:.2e}, effect of the adapter {effect:.2e}")
    return error <= 1e-5 and effect >= 1e-2


def main() -> None:
    torch.set_num_threads(1)
    oracles = Path(sys.argv[1])
    results = [check(oracles, folder) for folder in sorted((oracles / "methods" / "exports").iterdir())]
    sys.exit(0 if len(results) == 14 and all(results) else 1)


if __name__ == "__main__":
    main()

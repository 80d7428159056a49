"""Loads our PEFT export with transformers + PEFT and compares logits with the oracle's: usage check_peft.py ORACLES."""

import itertools
import sys
from pathlib import Path

import torch
from make_bert import logits_of
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import BertForSequenceClassification


def main() -> None:
    torch.set_num_threads(1)
    oracles = Path(sys.argv[1])
    base_folder, export = oracles / "tiny_all_linear", oracles / "peft_export"
    case = load_file(base_folder / "case.safetensors")
    starts = case["starts"].long()
    sequences = [
        (case["input_ids"][a:b].long(), case["token_type_ids"][a:b].long())
        for a, b in itertools.pairwise(starts.tolist())
    ]
    base = BertForSequenceClassification.from_pretrained(base_folder).eval()
    with torch.no_grad():
        plain = logits_of(base, sequences)
        model = PeftModel.from_pretrained(base, str(export)).eval()
        found = logits_of(model, sequences)
    with safe_open(export / "adapter_model.safetensors", "pt") as file:
        names = {
            name.replace(".lora_A.weight", ".lora_A.default.weight").replace(".lora_B.weight", ".lora_B.default.weight")
            for name in file.keys()  # noqa: SIM118 (no mapping)
        }
    missing = [name for name in names if "lora_" in name and name not in model.state_dict()]
    expected = case["adapted_logits"]
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    effect = ((plain - expected).abs().max() / expected.abs().max()).item()
    print(f"relative error {error:.2e}, effect of the adapter {effect:.2e}, keys not in the model {missing}")
    if error > 1e-5 or effect < 1e-2 or missing:
        sys.exit(1)


if __name__ == "__main__":
    main()

"""Loads our PEFT exports with transformers + PEFT, and our merged folders with transformers, and compares logits with
the oracle's: usage check_peft.py ORACLES."""

import itertools
import sys
from pathlib import Path

import torch
from make_encoders import logits_of
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification


def check(base_folder: Path, exports: Path) -> bool:
    case = load_file(base_folder / "case.safetensors")
    starts = case["starts"].long()
    sequences = [
        (case["input_ids"][a:b].long(), case["token_type_ids"][a:b].long())
        for a, b in itertools.pairwise(starts.tolist())
    ]
    expected = case["adapted_logits"]

    def error_of(found):
        return ((found - expected).abs().max() / expected.abs().max()).item()

    with torch.no_grad():
        merged = AutoModelForSequenceClassification.from_pretrained(exports / "merged").eval()
        merged_error = error_of(logits_of(merged, sequences))
        base = AutoModelForSequenceClassification.from_pretrained(base_folder).eval()
        effect = error_of(logits_of(base, sequences))
        model = PeftModel.from_pretrained(base, str(exports / "peft")).eval()
        peft_error = error_of(logits_of(model, sequences))
    with safe_open(exports / "peft" / "adapter_model.safetensors", "pt") as file:
        names = {
            name.replace(".lora_A.weight", ".lora_A.default.weight").replace(".lora_B.weight", ".lora_B.default.weight")
            for name in file.keys()  # noqa: SIM118 (no mapping)
        }
    missing = [name for name in names if "lora_" in name and name not in model.state_dict()]
    print(
        f"{exports.name}: relative error of PEFT {peft_error:.2e}, of merged {merged_error:.2e}, "
        f"effect of the adapter {effect:.2e}, keys not in the model {missing}"
    )
    return max(peft_error, merged_error) <= 1e-5 and effect >= 1e-2 and not missing


def main() -> None:
    torch.set_num_threads(1)
    oracles = Path(sys.argv[1])
    results = [check(oracles / folder.name, folder) for folder in sorted((oracles / "exports").iterdir())]
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()

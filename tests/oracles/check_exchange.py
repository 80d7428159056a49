"""Loads our exports of a decoder with transformers + PEFT and compares logits with the oracle's: usage check_exchange.py
ORACLES, after the tests of exchange."""

import itertools
import sys
from pathlib import Path

import torch
from make_decoders import load, logits_of
from make_exchange import lora_modules
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def as_the_reference(base, folder: Path):
    """The reference's loading: a LoRA model whose forward goes through R, then A, B and R by their saved names."""
    model = get_peft_model(base, LoraConfig.from_pretrained(folder)).eval()
    saved = load_file(folder / "adapter_model.safetensors")
    used = 0
    for name, module in lora_modules(model).items():
        module.lora_A["default"].weight.data = saved[f"{name}.lora_A.weight"]
        module.lora_B["default"].weight.data = saved[f"{name}.lora_B.weight"]
        latent = saved[f"{name}_lora_latent_mapping.weight"].double()
        module.lora_B["default"].register_forward_pre_hook(lambda _, inputs, latent=latent: (inputs[0] @ latent.T,))
        used += 3
    assert used == len(saved), f"{used} of {len(saved)} tensors have a place"
    return model


def main() -> None:
    torch.set_num_threads(1)
    oracles = Path(sys.argv[1])
    made = oracles / "exchange/made"
    case = load_file(oracles / "tiny_llama/case.safetensors")
    sequences = [(case["input_ids"][a:b].long(), None) for a, b in itertools.pairwise(case["starts"].tolist())]
    expected = case["adapted_logits64"]  # float64 on both sides: these weights amplify float32's rounding to 1e-5

    def base():
        return load(oracles / "tiny_llama", torch.float64)

    def merged():
        return load(made / "float32", torch.float64)

    failed = False
    for name, make, tolerance in (
        ("peft", lambda: PeftModel.from_pretrained(base(), str(made / "peft")).eval().double(), 1e-5),
        ("reference", lambda: as_the_reference(base(), made / "reference/ft").double(), 1e-5),
        ("merged", merged, 1e-5),
        ("base", base, None),  # control: the adapter matters
    ):
        with torch.no_grad():
            error = ((logits_of(make(), sequences) - expected).abs().max() / expected.abs().max()).item()
        print(f"{name}: relative error {error:.2e}")
        failed |= error < 0.2 if tolerance is None else error > tolerance
    exact = load_file(made / "float32/model.safetensors")
    for name in ("float16", "bfloat16"):
        dtype = getattr(torch, name)
        loaded = AutoModelForCausalLM.from_pretrained(made / name, dtype="auto").dtype
        rounded = load_file(made / name / "model.safetensors")
        same = sum(value.to(dtype).equal(rounded[key]) for key, value in exact.items())
        print(f"{name}: loads as {loaded}; {same} of {len(exact)} tensors are the float32 ones rounded")
        failed |= loaded != dtype or same != len(exact)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

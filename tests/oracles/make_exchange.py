"""Adapters of others for the tests of exchange: usage make_exchange.py ORACLES, after make_encoders.py and make_decoders.py.

By the procedure of the paper's reference, with PEFT: LoRA modules whose A and B come from the truncated SVD of the weight
and whose forward goes through R [rank, rank] (standard deviation 0.3), saved with every `.default` removed. Per case a folder
ft/ with reconstr_config.json beside it, and what transformers computes with it. Beside them plain LoRAs of PEFT.
"""

import itertools
import json
import shutil
import sys
from pathlib import Path

import gguf
import make_decoders
import make_encoders
import make_gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

PAPER_TARGETS = {
    "tiny_roberta": ["query", "value", "attention.output.dense", "output.dense"],
    "tiny_llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}


def load(oracles: Path, name: str):
    if name.startswith("tiny_llama"):
        return AutoModelForCausalLM.from_pretrained(oracles / name, dtype=torch.float32).eval()
    return AutoModelForSequenceClassification.from_pretrained(oracles / name, dtype=torch.float32).eval()


def sequences_of(oracles: Path, name: str):
    case = load_file(oracles / name / "case.safetensors")
    types = case.get("token_type_ids", torch.zeros_like(case["input_ids"]))
    return [(case["input_ids"][a:b].long(), types[a:b].long()) for a, b in itertools.pairwise(case["starts"].tolist())]


@torch.no_grad()
def logits_of(model, name: str, sequences) -> torch.Tensor:
    if name.startswith("tiny_llama"):
        return make_decoders.logits_of(model, sequences)
    return make_encoders.logits_of(model, sequences)


def lora_modules(model):
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def convert(model, rank: int, generator: torch.Generator) -> None:
    """LoRA modules into LoRA-XS: A = Σ_r U_rᵀ, B = V_r of the weight, y += s · B (R (A x))."""
    for module in lora_modules(model).values():
        u, s, vh = torch.linalg.svd(module.base_layer.weight.detach().double(), full_matrices=False)
        module.lora_A["default"].weight.data = (s[:rank, None] * vh[:rank]).float().contiguous()
        latent = torch.nn.Linear(rank, rank, bias=False)
        latent.weight.data = 0.3 * torch.randn(rank, rank, generator=generator)
        module.default_lora_latent_mapping = latent
        up = module.lora_B["default"]
        up.weight.data = u[:, :rank].float().contiguous()
        up.register_forward_pre_hook(lambda _, inputs, latent=latent: (latent(inputs[0]),))


def save(model, folder: Path, config: dict) -> None:
    """PEFT 0.10's naming: `.default` is removed, and with it the dot before the latent mapping's name."""
    state = {
        name.replace(".modules_to_save.default", "").replace(".default", ""): value
        for name, value in model.state_dict().items()
        if "lora_" in name or "modules_to_save.default" in name
    }
    state = {
        name.replace("default_lora_latent", "_lora_latent").replace("._lora", "_lora"): v for name, v in state.items()
    }
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))


def make_reference(oracles: Path, out: Path, name: str, rank: int, alpha: float) -> None:
    is_decoder = name.startswith("tiny_llama")
    model = load(oracles, name)
    if not is_decoder:
        make_encoders.train_head(model)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=PAPER_TARGETS[name],
        task_type="CAUSAL_LM" if is_decoder else "SEQ_CLS",
        modules_to_save=None if is_decoder else ["classifier"],
    )
    model = get_peft_model(model, config).eval()
    convert(model, rank, torch.Generator().manual_seed(rank))
    folder = out / f"reference_{name}"
    saved = {key: value for key, value in config.to_dict().items() if not isinstance(value, set)}
    saved |= {"target_modules": PAPER_TARGETS[name], "modules_to_save": None, "peft_type": "LORA"}
    saved["task_type"] = config.task_type
    save(model, folder / "ft", json.loads(json.dumps(saved, default=str)))
    reconstruction = {"reconstruction_type": "svd", "reconstr_mode": "separated", "half_init_dec": False,
                      "replacement_module_random_init": False, "r_squared": True,
                      "svd": {"n_iter": 10, "random_state": 42, "rank": rank}}  # fmt: skip
    (folder / "reconstr_config.json").write_text(json.dumps(reconstruction))
    sequences = sequences_of(oracles, name)
    logits = logits_of(model, name, sequences)
    base = load(oracles, name)
    save_file({"logits": logits, "base_logits": logits_of(base, name, sequences)}, folder / "expected.safetensors")


def make_lora(oracles: Path, folder: Path, name: str, seed: int, **changes) -> None:
    """A LoRA of PEFT with large factors, saved by PEFT itself."""
    torch.manual_seed(seed)
    is_decoder = name.startswith("tiny_llama")
    config = LoraConfig(
        r=3,
        lora_alpha=6,
        target_modules=PAPER_TARGETS[name],
        task_type="CAUSAL_LM" if is_decoder else "SEQ_CLS",
        **changes,
    )
    model = get_peft_model(load(oracles, name), config).eval()
    for module in lora_modules(model).values():
        module.lora_B["default"].weight.data.normal_(0, 0.3)
    model.save_pretrained(folder)
    save_file({"logits": logits_of(model, name, sequences_of(oracles, name))}, folder / "expected.safetensors")


def make_q8_0(folder: Path) -> None:
    """Floats and the gguf package's Q8_0 blocks of them: all sizes, ties of the rounding, zeros."""
    generator = np.random.default_rng(5)
    values = generator.standard_normal((64, 96)).astype(np.float32) * np.exp2(generator.integers(-20, 16, (64, 1)))
    values = values.astype(np.float32)
    values[0] = 0
    values[1, :32] = np.arange(32) - 0.5  # 127 / 30.5 and halves
    values[2, :32] = np.linspace(-127, 127, 32).round(1)
    values[3, :32] = 127
    values[3, :31] = np.arange(31) + 0.5  # d = 1: every quotient is a tie
    blocks = gguf.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    save_file({"values": torch.from_numpy(values), "blocks": torch.from_numpy(blocks)}, folder / "q8_0.safetensors")


def make_words(folder: Path) -> None:
    """A tiny F32 Llama with the tokenizer of SmolLM2, so that llama.cpp reads texts with it."""
    source = min(Path("models/smollm2").glob("*.gguf"))
    tokens = len(gguf.GGUFReader(source).fields["tokenizer.ggml.tokens"].data)
    model = make_gguf.tiny(4, vocab_size=tokens, num_hidden_layers=2, max_position_embeddings=256)
    make_gguf.write_model(folder / "words.gguf", model, ["F32"], source)


def main() -> None:
    torch.set_num_threads(1)
    oracles = Path(sys.argv[1])
    out = oracles / "exchange"
    shutil.rmtree(out, ignore_errors=True)
    make_reference(oracles, out, "tiny_roberta", rank=6, alpha=16.0)
    make_reference(oracles, out, "tiny_llama", rank=5, alpha=5.0)
    for number in range(4):
        make_lora(oracles, out / "loras" / f"lora{number}", "tiny_roberta", number)
    make_lora(oracles, out / "stabilised", "tiny_roberta", 9, use_rslora=True, alpha_pattern={"value": 3})
    make_lora(oracles, out / "patterned", "tiny_roberta", 11, rank_pattern={"query": 5, "output.dense": 64})
    make_q8_0(out)
    make_words(out)


if __name__ == "__main__":
    main()

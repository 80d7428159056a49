"""What the C++ tests of decoders compare with, computed by transformers and autograd: usage make_decoders.py OUT_DIR.

Per case a Hugging Face folder and case.safetensors: packed inputs, which tokens are targets, logits of every token with and
without the adapter, the mean loss over the targets and its gradients, each in three precisions; for `tiny_llama` also 50
AdamW steps.
"""

import functools
import json
import shutil
import sys
from pathlib import Path

import torch
import trajectory
from lora_xs import adapt_layers, round_from
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

MODULES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "attention_output": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
ALL = list(MODULES)
DTYPES = {"": torch.float32, "64": torch.float64, "16": torch.bfloat16}


def load(folder, dtype):
    """float64 as float32 then widened, bfloat16 as transformers loads it: rotary frequencies stay float32 in all.

    transformers' RMSNorm computes in float32 even in a float64 model; its float64 here is one.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype if dtype == torch.bfloat16 else torch.float32)
    if dtype == torch.float64:
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.forward = functools.partial(norm_in_float64, module, "Gemma" in type(module).__name__)
    return model.eval().to(dtype)


def norm_in_float64(norm, around_one, x):
    eps = norm.eps if around_one else norm.variance_epsilon
    return (norm.weight + int(around_one)) * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def random_decoder(config, seed):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    centre = 0 if config.model_type == "gemma" else 1  # of norm weights: Gemma adds the one itself
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(0.25 * torch.randn_like(parameter))
    return model


def random_sequences(vocab_size, lengths, seed):
    """Ids, and which of them are targets: those of the last two thirds that a coin chooses; the first never is."""
    generator = torch.Generator().manual_seed(seed)
    sequences = []
    for length in lengths:
        ids = torch.randint(0, vocab_size, (length,), generator=generator)
        is_target = (torch.arange(length) > length // 3) & (torch.rand(length, generator=generator) < 0.8)
        sequences.append((ids, is_target))
    return sequences


def packed(sequences):
    lengths = torch.tensor([0] + [len(ids) for ids, _ in sequences])
    return {
        "input_ids": torch.cat([ids for ids, _ in sequences]).int(),
        "is_target": torch.cat([is_target for _, is_target in sequences]).int(),
        "starts": lengths.cumsum(0).int(),
    }


def logits_of(model, sequences):
    """One sequence at a time: no padding can hide a mistake."""
    return torch.cat([model(input_ids=ids[None]).logits[0] for ids, _ in sequences])


def loss_of(model, sequences):
    """Mean over all targets of the sequences."""
    total, count = 0, 0
    for ids, is_target in sequences:
        at = is_target[1:].nonzero()[:, 0]
        logits = model(input_ids=ids[None]).logits[0]
        if len(at) > 0:
            total = total + torch.nn.functional.cross_entropy(logits[at], ids[at + 1], reduction="sum")
        count += len(at)
    return total / count


def adapt(model, targets, rank, alpha):
    model.requires_grad_(False)
    sites = adapt_layers(model.model.layers, MODULES, targets, rank, alpha, seed=5)
    for module in sites.values():
        module.r.requires_grad_(True)
    return sites


def write_case(folder, sequences, targets, rank, alpha):
    tensors = packed(sequences)
    for suffix, dtype in DTYPES.items():
        model = load(folder, dtype)
        with torch.no_grad():
            tensors["logits" + suffix] = logits_of(model, sequences)
        sites = adapt(model, targets, rank, alpha)
        if suffix == "16":
            round_from(sites, tensors)
        with torch.no_grad():
            tensors["adapted_logits" + suffix] = logits_of(model, sequences)
        loss = loss_of(model, sequences)
        loss.backward()
        tensors["loss" + suffix] = loss.detach()
        for site, module in sites.items():
            tensors[f"grad{suffix}.{site}"] = module.r.grad.float() if suffix == "16" else module.r.grad.clone()
            if not suffix:
                tensors[f"basis.{site}.a"], tensors[f"basis.{site}.b"] = module.a, module.b
                tensors[f"r.{site}"] = module.r.detach().clone()
    metadata = {"rank": str(rank), "alpha": str(alpha)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "case.safetensors", metadata=metadata)


def write_trajectory(folder, sequences, targets, rank, alpha, steps=50, batch=4):
    """AdamW steps in float64, loss and row after each; and how far float32 gets from them."""
    tensors = packed(sequences)
    generator = torch.Generator().manual_seed(11)
    order = torch.stack([torch.randperm(len(sequences), generator=generator)[:batch] for _ in range(steps)])
    tensors["batches"] = order.int()

    def run(dtype, order, number=0):
        model = load(folder, dtype)
        sites = adapt(model, targets, rank, alpha)
        if dtype == torch.float32:
            for site, module in sites.items():
                tensors[f"basis.{site}.a"], tensors[f"basis.{site}.b"] = module.a.clone(), module.b.clone()
                tensors[f"r.{site}"] = module.r.detach().clone()
        trajectory.shake(model, number)
        rs = [module.r for module in sites.values()]
        optimizer = torch.optim.AdamW(rs, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        losses, rows = [], []
        for indices in order:
            optimizer.zero_grad()
            loss = loss_of(model, [sequences[i] for i in trajectory.rotated(indices, number)])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rs, 1.0)
            optimizer.step()
            losses.append(loss.item())
            rows.append(torch.cat([r.detach().reshape(-1) for r in rs]).double())
        return losses, rows

    exact = run(torch.float64, order)
    rounded = [run(torch.float32, order[: steps // 2], number) for number in range(trajectory.RUNS)]
    tensors |= trajectory.spread(exact, rounded)
    tensors |= {"loss64": torch.tensor(exact[0], dtype=torch.float64), "rows64": torch.stack(exact[1])}
    metadata = {"rank": str(rank), "alpha": str(alpha)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "trajectory.safetensors", metadata=metadata)


def write_old_style(folder):
    """config.json as transformers 4 wrote it: rope_theta and rope_scaling instead of rope_parameters."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope["rope_type"]} | {k: v for k, v in rope.items() if k != "rope_type"}
    path.write_text(json.dumps(config, indent=2))


def main():
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    common = {"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2}
    llama3 = {"rope_type": "llama3", "rope_theta": 300.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 24}  # fmt: skip
    cases = {
        # Grouped heads, head_dim ≠ hidden / heads, an odd eps.
        "tiny_llama": (LlamaConfig(**common, hidden_size=48, num_attention_heads=6, num_key_value_heads=2, head_dim=12,
                                   intermediate_size=80, num_hidden_layers=3, rms_norm_eps=3e-3, max_position_embeddings=128,
                                   rope_parameters={"rope_type": "default", "rope_theta": 500.0}), 4, 16.0),
        # One key head, positions beyond the original maximum, tied embeddings, biases everywhere.
        "tiny_llama3": (LlamaConfig(**common, hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
                                    intermediate_size=72, num_hidden_layers=2, rms_norm_eps=1e-5, tie_word_embeddings=True,
                                    attention_bias=True, mlp_bias=True, max_position_embeddings=96,
                                    rope_parameters=llama3), 5, 5.0),
        "tiny_llama_linear": (LlamaConfig(**common, hidden_size=32, num_attention_heads=4, intermediate_size=48,
                                          num_hidden_layers=2, max_position_embeddings=100,
                                          rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 2.5}),
                              6, 6.0),
        # A window shorter than the texts.
        "tiny_mistral": (MistralConfig(**common, hidden_size=48, num_attention_heads=6, num_key_value_heads=2, intermediate_size=80,
                                       num_hidden_layers=3, rms_norm_eps=2e-4, max_position_embeddings=128, sliding_window=11,
                                       rope_parameters={"rope_type": "default", "rope_theta": 700.0}), 4, 8.0),
        # head_dim above hidden / heads, one key head, embeddings tied, scaled by a number that bfloat16 rounds.
        "tiny_gemma": (GemmaConfig(**common, hidden_size=44, num_attention_heads=3, num_key_value_heads=1, head_dim=20,
                                   intermediate_size=72, num_hidden_layers=3, rms_norm_eps=5e-4, max_position_embeddings=128),
                       5, 5.0),
        # Biases on query, key and value; the upper layers see a window.
        "tiny_qwen2": (Qwen2Config(**common, hidden_size=48, num_attention_heads=4, num_key_value_heads=2, intermediate_size=80,
                                   num_hidden_layers=3, rms_norm_eps=1e-4, max_position_embeddings=128, tie_word_embeddings=True,
                                   use_sliding_window=True, sliding_window=9, max_window_layers=2,
                                   rope_parameters={"rope_type": "default", "rope_theta": 900.0}), 4, 16.0),
        # Norms of query and key heads, head_dim ≠ hidden / heads.
        "tiny_qwen3": (Qwen3Config(**common, hidden_size=40, num_attention_heads=6, num_key_value_heads=3, head_dim=16,
                                   intermediate_size=64, num_hidden_layers=3, rms_norm_eps=1e-3, max_position_embeddings=128,
                                   rope_parameters={"rope_type": "default", "rope_theta": 300.0}), 4, 16.0),
    }  # fmt: skip
    for number, (name, (config, rank, alpha)) in enumerate(cases.items()):
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        random_decoder(config, seed=number).save_pretrained(folder)
        if name == "tiny_llama_linear":
            write_old_style(folder)
        write_case(folder, random_sequences(97, [7, 1, 30, 90, 12, 2, 19], seed=number), ALL, rank, alpha)
    write_trajectory(
        out / "tiny_llama", random_sequences(97, [3 + 5 * (i % 9) for i in range(16)], seed=77), ALL, 4, 16.0
    )


if __name__ == "__main__":
    main()

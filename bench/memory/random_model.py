"""Models of a published shape with random weights, and the memory that a training of theirs takes.

What bench/memory's scripts share. Weights are drawn once and cut out of that pool at random offsets: enough for memory and time.
"""

import json
import subprocess
from pathlib import Path

import torch
from safetensors.torch import save_file

POOL = 1 << 26  # numbers


class Weights:
    """Random tensors of one dtype, standard deviation 0.02."""

    def __init__(self, dtype: torch.dtype):
        self.generator = torch.Generator().manual_seed(0)
        self.dtype = dtype
        self.pool = (0.02 * torch.randn(POOL, generator=self.generator)).to(dtype)

    def draw(self, *shape: int) -> torch.Tensor:
        pieces, left = [], torch.Size(shape).numel()
        while left > 0:
            size = min(left, POOL // 2)
            start = int(torch.randint(POOL - size + 1, (1,), generator=self.generator))
            pieces.append(self.pool[start : start + size])
            left -= size
        return torch.cat(pieces).reshape(shape)

    def full(self, value: float, *shape: int) -> torch.Tensor:
        return torch.full(shape, value, dtype=self.dtype)


def write_decoder(folder: Path, config: dict) -> None:
    """A Hugging Face folder of bfloat16 shards, one a layer, so that never more than one is in memory."""
    weights = Weights(torch.bfloat16)
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    query, key = (config[name] * head_dim for name in ("num_attention_heads", "num_key_value_heads"))
    norm = 0.0 if config["model_type"] == "gemma" else 1.0
    shards: dict[str, str] = {}

    def save(number: int, tensors: dict[str, torch.Tensor]) -> None:
        name = f"model-{number:05}-of-{config['num_hidden_layers'] + 1:05}.safetensors"
        save_file(tensors, folder / name)
        shards.update(dict.fromkeys(tensors, name))

    for layer in range(config["num_hidden_layers"]):
        shapes = {
            "self_attn.q_proj": (query, hidden),
            "self_attn.k_proj": (key, hidden),
            "self_attn.v_proj": (key, hidden),
            "self_attn.o_proj": (hidden, query),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        tensors = {f"model.layers.{layer}.{name}.weight": weights.draw(*shape) for name, shape in shapes.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = weights.full(norm, hidden)
        save(layer + 1, tensors)
    tensors = {
        "model.embed_tokens.weight": weights.draw(vocab, hidden),
        "model.norm.weight": weights.full(norm, hidden),
    }
    if not config.get("tie_word_embeddings", config["model_type"] == "gemma"):
        tensors["lm_head.weight"] = weights.draw(vocab, hidden)
    save(config["num_hidden_layers"] + 1, tensors)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (folder / "config.json").write_text(json.dumps(config))


def write_vocabulary(folder: Path, sentences: list[str]) -> None:
    """A WordPiece vocabulary of the sentences' own words: about as many tokens a sentence as RoBERTa's makes."""
    words = sorted({word.strip(".,!?\"'()").lower() for sentence in sentences for word in sentence.split()} - {""})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *".,!?\"'()", *words[:20000]]) + "\n")


def measure(recipe: Path, scratch: Path, *more: str) -> tuple[dict, dict]:
    """A training's `--dry-run`, then its last event."""
    command = ["build/release/loraxs", "train", str(recipe), "--json", "-q", "--cache", str(scratch / "cache"), *more]
    dry = json.loads(subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True).stdout)
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return dry, done

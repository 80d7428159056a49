"""GGUF files and what the gguf package reads from them: usage make_gguf.py OUT_DIR."""

import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from make_decoders import random_decoder
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM, GemmaConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

TYPES = [
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "IQ4_NL",
    "IQ4_XS",
]
ROWS, COLUMNS = 7, 1024


def random_blocks(kind: gguf.GGMLQuantizationType, generator: np.random.Generator) -> np.ndarray:
    """Rows of random bytes: every bit pattern of the quants, and of the scales too, denormal ones included."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    return generator.integers(0, 256, (ROWS, COLUMNS // elements * size), dtype=np.uint8)


def make_blocks(out: Path) -> None:
    generator = np.random.default_rng(3)
    writer = gguf.GGUFWriter(out / "blocks.gguf", "test")
    expected = {}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        blocks = random_blocks(kind, generator)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        expected[name] = gguf.dequantize(blocks, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, out / "blocks.safetensors")


def make_metadata(out: Path) -> None:
    writer = gguf.GGUFWriter(out / "metadata.gguf", "test")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4000000000)
    writer.add_int32("i32", -2000000000)
    writer.add_uint64("u64", 1 << 62)
    writer.add_int64("i64", -(1 << 62))
    writer.add_float32("f32", 0.1)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", "naïve 日本\x00語")
    writer.add_array("strings", ["", "a", "Ġthe", "日本"])
    writer.add_array("integers", [1, -2, 3])
    writer.add_array("numbers", [0.5, -1.5])
    writer.add_array("nested", [[1, 2], [3]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(path: Path) -> dict:
    reader = gguf.GGUFReader(path)
    metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    tensors = {
        t.name: {"type": t.tensor_type.name, "shape": [int(n) for n in reversed(t.shape)], "offset": int(t.data_offset)}
        for t in reader.tensors
    }
    return {"metadata": metadata, "tensors": tensors}


NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    _, _, layer, module = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.{kind}"


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """convert_hf_to_gguf.py, LlamaModel.permute."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def frequency_factors(config: LlamaConfig) -> np.ndarray:
    """convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors."""
    rope = config.rope_parameters
    frequencies = 1 / rope["rope_theta"] ** (np.arange(0, config.head_dim, 2, dtype=np.float32) / config.head_dim)
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for frequency in frequencies:
        wave = 2 * np.pi / frequency
        smooth = (old / wave - low) / (high - low)
        middle = 1 / ((1 - smooth) / rope["factor"] + smooth)
        factors.append(1 if wave < old / high else rope["factor"] if wave > old / low else middle)
    return np.array(factors, dtype=np.float32)


def copy_tokenizer(writer: gguf.GGUFWriter, source: Path) -> None:
    for key, field in gguf.GGUFReader(source).fields.items():
        if key.startswith("tokenizer."):
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type)


def write_model(path: Path, model, types: list[str], tokenizer: Path | None = None, extra=None) -> None:
    """As llama.cpp converts; `types` in turn for matrices whose rows are whole blocks. `extra` adds to the writer."""
    config = model.config
    family = {"mistral": "llama"}.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, family)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if family == "llama":
        writer.add_rope_dimension_count(config.head_dim)
    if family != "qwen2":  # its heads are hidden / heads wide
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if family != "gemma":  # always 10000
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if tokenizer:
        copy_tokenizer(writer, tokenizer)
    if extra:
        extra(writer)
    if config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", frequency_factors(config))
    turn = 0
    for name, parameter in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = parameter.numpy()
        if family == "llama" and ".q_proj" in name:
            weight = permute(weight, config.num_attention_heads)
        if family == "llama" and ".k_proj" in name:
            weight = permute(weight, config.num_key_value_heads)
        if family == "gemma" and "norm" in name:
            weight = weight + 1
        if weight.ndim == 1:
            writer.add_tensor(gguf_name(name), weight)
            continue
        kind = gguf.GGMLQuantizationType[types[turn % len(types)]]
        turn += 1
        writer.add_tensor(gguf_name(name), gguf.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny(seed: int, family=LlamaConfig, **overrides):
    config = family(**{
        "vocab_size": 83, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64, "rms_norm_eps": 1e-3, **overrides,
    })  # fmt: skip
    return random_decoder(config, seed)


TEXT = [
    "The",
    "Ġcapital",
    "Ġof",
    "ĠFrance",
    "Ġis",
    "ĠParis",
    ".",
    "ĠIt",
    "Ġlies",
    "Ġon",
    "Ġthe",
    "Ġriver",
    "ĠSe",
    "ine",
    ",",
    "Ġand",
    "Ġmany",
    "Ġpeople",
    "Ġvisit",
    "Ġit",
    "Ġevery",
    "Ġyear",
    "Ġto",
    "Ġsee",
    "Ġthe",
    "Ġmuseum",
]


def text_ids(path: Path) -> list[int]:
    tokens = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"].contents()
    numbers = {token: number for number, token in enumerate(tokens)}
    return [numbers[token] for token in TEXT if token in numbers]


@torch.no_grad()
def logits_of(model, ids: list[int]) -> np.ndarray:
    return model(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def make_models(out: Path, real: Path) -> None:
    ids = [(7 * i * i + 3 * i) % 83 for i in range(40)]
    llama3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 16}  # fmt: skip
    model = tiny(1, rope_parameters=llama3, tie_word_embeddings=True)
    write_model(out / "llama3.gguf", model, ["F32"])
    save_file({"logits": logits_of(model, ids), "ids": np.array(ids, np.int32)}, out / "llama3.safetensors")
    write_model(out / "mixed.gguf", tiny(2), ["Q8_0", "F16", "Q4_1", "BF16", "Q5_0", "F32", "Q4_0", "Q5_1"])
    families = {
        "mistral": tiny(3, MistralConfig, sliding_window=None),  # llama.cpp knows no window of it
        "gemma": tiny(4, GemmaConfig, num_key_value_heads=1, tie_word_embeddings=True),
        "qwen2": tiny(5, Qwen2Config, head_dim=8),
        "qwen3": tiny(6, Qwen3Config, rope_parameters={"rope_type": "default", "rope_theta": 300.0}),
    }
    for name, model in families.items():
        write_model(out / f"{name}.gguf", model, ["F32"])
        save_file({"logits": logits_of(model, ids), "ids": np.array(ids, np.int32)}, out / f"{name}.safetensors")
    # Beside SmolLM2's tokenizer and chat template a model of a few thousand numbers.
    write_model(
        out / "chat.gguf",
        tiny(7, vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=512),
        ["F16"],
        real,
    )
    # What transformers reads from the files: every number, and logits.
    for name, path in {"mixed": out / "mixed.gguf", "smollm2": real}.items():

        def load(dtype: torch.dtype, path: Path = path) -> torch.nn.Module:
            return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()

        model = load(torch.float32)
        digests = {
            key: hashlib.sha256(value.numpy().tobytes()).hexdigest() for key, value in model.state_dict().items()
        }
        words = text_ids(path) if name == "smollm2" else ids
        tensors = {"ids": np.array(words, np.int32), "logits": logits_of(model, words)}
        tensors["logits16"] = logits_of(load(torch.bfloat16), words)
        save_file(tensors, out / f"{name}.safetensors", digests)


def main() -> None:
    out = Path(sys.argv[1]) / "gguf"
    out.mkdir(parents=True, exist_ok=True)
    make_blocks(out)
    make_metadata(out)
    real = min(Path("models/smollm2").glob("*.gguf"))
    make_models(out, real)
    for name, path in {"blocks": out / "blocks.gguf", "metadata": out / "metadata.gguf", "smollm2": real}.items():
        (out / f"{name}.json").write_text(json.dumps({"path": str(path), **describe(path)}))


if __name__ == "__main__":
    main()

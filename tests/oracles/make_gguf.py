"""GGUF files and what the gguf package reads from them: usage make_gguf.py OUT_DIR."""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

TYPES = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K".split()
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


def main() -> None:
    out = Path(sys.argv[1]) / "gguf"
    out.mkdir(parents=True, exist_ok=True)
    make_blocks(out)
    make_metadata(out)
    real = sorted(Path("models/smollm2").glob("*.gguf"))[0]
    for name, path in {"blocks": out / "blocks.gguf", "metadata": out / "metadata.gguf", "smollm2": real}.items():
        (out / f"{name}.json").write_text(json.dumps({"path": str(path), **describe(path)}))


if __name__ == "__main__":
    main()

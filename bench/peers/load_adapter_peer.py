"""What PEFT takes to give a running model one more adapter: LoRA of rank 16 on all linear modules of a model of SmolLM2-135M's
shapes, `load_adapter` from a safetensors file in the page cache. Arguments: COUNT. One line of JSON, milliseconds."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    count = int(sys.argv[1])
    config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model = peft.get_peft_model(LlamaForCausalLM(config), peft.LoraConfig(r=16, target_modules=MODULES))
        model.save_pretrained(folder)
        times = []
        for number in range(count):
            start = time.perf_counter()
            model.load_adapter(folder, f"adapter-{number}")
            times.append(1000 * (time.perf_counter() - start))
        size = Path(folder, "adapter_model.safetensors").stat().st_size
    print(json.dumps({"median": statistics.median(times), "tenth": times[9], "last": times[-1], "count": count, "bytes": size, "peft": peft.__version__, "torch": torch.__version__}))  # fmt: skip


if __name__ == "__main__":
    main()

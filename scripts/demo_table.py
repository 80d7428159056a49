"""The table that `make demo` prints, from the JSON that the program printed: usage demo_table.py RUNS."""

import json
import sys
from pathlib import Path


def last_json(path: Path) -> dict:
    return json.loads(path.read_text().splitlines()[-1])


def main() -> None:
    runs = Path(sys.argv[1])
    adapter, head = last_json(runs / "lora-xs.json"), last_json(runs / "head-only.json")
    params = last_json(runs / "params.json")
    peft_bytes = (runs / "peft" / "adapter_model.safetensors").stat().st_size
    rows = [
        ("QNLI accuracy with the adapter", f"{adapter['value']:.4f}"),
        ("QNLI accuracy of the head alone", f"{head['value']:.4f}"),
        ("trained parameters (adapter)", f"{adapter['trained_parameters']:,}"),
        ("trained parameters (head)", f"{adapter['head_parameters']:,}"),
        ("adapter file", f"{adapter['adapter_bytes']:,} bytes"),
        ("the same adapter as LoRA (PEFT file)", f"{peft_bytes:,} bytes"),
        ("LoRA of this rank and these modules", f"{params['lora']:,} parameters, {params['lora_bytes']:,} bytes"),
        ("training speed", f"{adapter['sentences_per_second']:.0f} sentences/s"),
    ]
    width = max(len(name) for name, _ in rows)
    print()
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")


if __name__ == "__main__":
    main()

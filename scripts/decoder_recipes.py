"""Writes recipes/math and recipes/commonsense: one YAML per LoRA-XS row of the paper's Tables 3 and 2.

usage: decoder_recipes.py [FOLDER]; tests/program/recipes_test.py checks that the files in the repository are these.
"""

from dataclasses import dataclass

from recipe_files import write_recipes


@dataclass
class Protocol:
    """What the recipes of one table share."""

    table: str
    ranks: dict[str, tuple[int, ...]]  # model: its rows
    cells: str
    alpha: int  # of R's scale, alpha / rank; 0 = the rank
    task: str
    train: str
    notes: str


# The reference trains both in float16 over float32 weights. bfloat16 is nearest here: rows, moments, norms and the loss
# stay float32, and the weights, published in 16 bits, are multiplied where they lie in their files.
PRECISION = "precision: bfloat16, memory: tight"
NOTES = (
    "# float16, the reference's precision, has no counterpart here; bfloat16 is nearest, and `memory: tight` multiplies\n"
    "# with the weights where their files are mapped.\n"
)

MATH = Protocol(
    table="math",
    ranks={"mistral-7b": (16, 32, 64), "gemma-7b": (16, 32, 64)},
    cells="GSM8K and MATH",
    alpha=0,
    task="{name: metamath, train: data/metamath/MetaMathQA-395K.json}",
    train=(
        "train: {epochs: 2, batch_size: 128, max_length: 512, schedule: cosine, warmup_ratio: 0.02,\n"
        f"        learning_rate: 4.0e-3, weight_decay: 0, max_grad_norm: 1.0, {PRECISION}, seeds: [42]}}\n"
    ),
    notes="# The first 100,000 records of MetaMathQA. An epoch ends with a small step, 782 in all; the reference drops its\n"
    "# 32 examples and makes 781.\n",
)
COMMONSENSE = Protocol(
    table="commonsense",
    ranks={"llama2-7b": (32,), "llama3-8b": (32,)},
    cells="BoolQ, PIQA, SIQA, HellaSwag, WinoGrande, ARC-e, ARC-c and OBQA",
    alpha=64,
    task="{name: commonsense, train: data/commonsense/commonsense_170k.json}",
    # 120 of 170,420 examples are held out: they choose among the rows of every fortieth step.
    train=(
        "train: {epochs: 3, batch_size: 64, max_length: 256, schedule: linear, warmup_steps: 100,\n"
        "        selection: split, selection_fraction: 7.0414e-4, eval_every: 40,\n"
        f"        learning_rate: 2.0e-3, weight_decay: 0, max_grad_norm: 0.5, {PRECISION}, seeds: [42]}}\n"
    ),
    notes="# 120 examples are held out and choose among the rows of every fortieth step, as in the reference; which ones, our\n"
    "# own draw says.\n",
)


def recipe(protocol: Protocol, model: str, rank: int) -> str:
    alpha = protocol.alpha or rank
    return (
        f"# {model}, rank {rank}: the adapter behind {protocol.cells}.\n"
        f"{protocol.notes}{NOTES}"
        f"model: models/{model}\n"
        f"method: {{name: lora_xs, rank: {rank}, alpha: {alpha}, targets: paper}}\n"
        "head: none\n"
        f"task: {protocol.task}\n"
        f"{protocol.train}"
        f"output: runs/{protocol.table}/{model}/r{rank}\n"
    )


def main() -> None:
    write_recipes(
        "recipes",
        {
            f"{protocol.table}/{model}/r{rank}.yaml": recipe(protocol, model, rank)
            for protocol in (MATH, COMMONSENSE)
            for model, ranks in protocol.ranks.items()
            for rank in ranks
        },
    )


if __name__ == "__main__":
    main()

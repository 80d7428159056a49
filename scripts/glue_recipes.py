"""Writes recipes/glue: one YAML per GLUE cell of the paper's Table 1, and the MNLI runs that some of them start from.

usage: glue_recipes.py [FOLDER]; tests/program/recipes_test.py checks that the files in the repository are these.
"""

from dataclasses import dataclass

from recipe_files import write_recipes

FOLDERS = {
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "cola": "CoLA",
    "qnli": "QNLI",
    "rte": "RTE",
    "stsb": "STS-B",
    "mnli": "MNLI",
}
FROM_MNLI = ("mrpc", "rte", "stsb")
METRICS = {"cola": "Matthews correlation", "stsb": "Pearson correlation"}


@dataclass
class Protocol:
    """What the recipes of one model share."""

    model: str
    ranks: tuple[int, ...]
    epochs: dict[str, int]
    rates: dict[str, tuple[str, str]]  # task: learning rates of R, of the head
    precision: str
    notes: str


# The reference's scripts: first script's grid for tasks from scratch, the from-MNLI script's for the others. Its rates for
# MNLI itself are not known: one of its grid stands in.
ROBERTA_LARGE = Protocol(
    model="roberta-large",
    ranks=(4, 8, 12, 16, 20, 25),
    epochs={"sst2": 10, "cola": 10, "qnli": 10, "mnli": 10, "mrpc": 50, "rte": 50, "stsb": 50},
    rates={
        **dict.fromkeys(("sst2", "cola", "qnli"), ("[1.0e-4, 5.0e-4, 1.0e-3]", "[5.0e-4, 1.0e-3, 5.0e-3]")),
        **dict.fromkeys(FROM_MNLI, ("[6.0e-4, 1.0e-3]", "[6.0e-4, 1.0e-3]")),
        "mnli": ("1.0e-3", "1.0e-3"),
    },
    precision="float32",
    notes="# Precision: the reference trains GLUE in float32, and so does this. float16, its precision for decoders, has no\n"
    "# counterpart here: bfloat16 is nearest, rows and moments stay float32 either way.\n",
)
# Rates and epochs for the small model are ours: larger steps, fewer of them.
MINILM = Protocol(
    model="minilm",
    ranks=(16,),
    epochs={"sst2": 3, "cola": 10, "qnli": 3, "mnli": 3, "mrpc": 10, "rte": 10, "stsb": 10},
    rates={
        **dict.fromkeys(FOLDERS, ("[1.0e-3, 4.0e-3]", "[1.0e-3, 5.0e-3]")),
        "mnli": ("4.0e-3", "5.0e-3"),
    },
    precision="auto",
    notes="# Rates and epochs are this project's, for a model of 22 M numbers; the rest is the paper's protocol.\n",
)


def recipe(protocol: Protocol, rank: int, task: str) -> str:
    name = f"{protocol.model}, rank {rank}, {FOLDERS[task]}"
    rate, head_rate = protocol.rates[task]
    lines = [
        f"# {name}: {METRICS.get(task, 'accuracy')}, median of five seeds of the best epoch, best setting of the grid.\n"
    ]
    if task == "mnli":
        lines = [
            f"# {name}: the adapter that MRPC, RTE and STS-B of this rank start from. One run, no grid: it has no cell.\n"
        ]
    lines.append(protocol.notes)
    if task == "rte":
        lines.append(
            "# RTE's files were not at hand when this was written: its reader is tested on rows made in the official\n"
        )
        lines.append("# layout, this recipe on config.json alone. It has never been run.\n")
    runs = f"runs/glue/{protocol.model}/r{rank}"
    start = ""
    if task in FROM_MNLI:
        lines.append(
            "# As in the paper R starts from MNLI and the head fresh; the reference keeps the last epoch of MNLI, not the\n"
        )
        lines.append(f"# best. From scratch: --set train.init_adapter= --set output={runs}/{task}-scratch\n")
        start = f"\n        init_adapter: {runs}/mnli/seed-0/last.safetensors, init_head: fresh,"
    warmup = "0" if task in FROM_MNLI else "0.06"
    seeds = "[0]" if task == "mnli" else "[0, 1, 2, 3, 4]"
    lines.append(f"model: models/{protocol.model}\n")
    lines.append(f"method: {{name: lora_xs, rank: {rank}, alpha: 16, targets: paper}}\n")
    lines.append("head: full\n")
    lines.append(f"task: {{name: {task}, data: data/glue/{FOLDERS[task]}}}\n")
    lines.append(
        f"train: {{epochs: {protocol.epochs[task]}, batch_size: 32, max_length: 128, schedule: linear, warmup_ratio: {warmup},{start}\n"
        f"        learning_rate: {rate}, head_learning_rate: {head_rate},\n"
        f"        weight_decay: 0.01, max_grad_norm: 1.0, precision: {protocol.precision}, seeds: {seeds}}}\n"
    )
    lines.append(f"output: {runs}/{task}\n")
    return "".join(lines)


def main() -> None:
    write_recipes(
        "recipes/glue",
        {
            f"{protocol.model}/r{rank}/{task}.yaml": recipe(protocol, rank, task)
            for protocol in (ROBERTA_LARGE, MINILM)
            for rank in protocol.ranks
            for task in FOLDERS
        },
    )


if __name__ == "__main__":
    main()

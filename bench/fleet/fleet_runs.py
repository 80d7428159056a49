"""What the measurements of fleets share: users with labels of their own, fleets of the program, and this machine's GEMM rate."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path


def read_texts(path: Path, column: int, header: bool) -> list[str]:
    return [line.split("\t")[column] for line in path.read_text().splitlines()[header:]]


def make_users(count: int, examples: int, texts: list[str]) -> Iterator[dict]:
    """Each labels its texts by a rule of its own: length or a letter, turned round for half of them."""
    for u in range(count):
        letter = "a" if u % 4 == 2 else "w"
        names = ("no", "yes") if u % 2 else ("yes", "no")
        own = [texts[(u * examples + i) % len(texts)] for i in range(examples)]
        rules = [len(text) % 2 == 1 if u % 4 < 2 else letter in text.split()[0].lower() for text in own]
        if len(set(rules)) < 2:  # a rule that says the same of all
            rules[0] = not rules[0]
        labelled = [{"text": text, "label": names[rule]} for text, rule in zip(own, rules, strict=True)]
        yield {"tenant": "bench", "name": f"user-{u}", "examples": labelled}


def make_chats(count: int, examples: int, questions: Path) -> Iterator[dict]:
    """Users with so many questions of GSM8K and their answers each."""
    records = cycle(map(json.loads, questions.read_text().splitlines()))
    for u in range(count):
        turns = [("user", "question"), ("assistant", "answer")]
        chats = [
            {"messages": [{"role": role, "content": record[key]} for role, key in turns]}
            for record in islice(records, examples)
        ]
        yield {"tenant": "bench", "name": f"user-{u}", "examples": chats}


def write_users(path: Path, users: Iterator[dict]) -> None:
    with path.open("w") as file:
        for user in users:
            file.write(json.dumps(user) + "\n")


def classifiers(model: str, **train: object) -> dict:
    """The recipe of a fleet of classifiers."""
    return {
        "model": model,
        "method": {"rank": 16},
        "task": {"name": "classification"},
        "train": {"precision": "float32"} | train,
        "fleet": {"validation": 0.0},
    }


class FleetRuns:
    """Fleets of one recipe, trained by the program in a folder for scratch."""

    def __init__(self, program: str, scratch: Path, recipe: dict) -> None:
        self.program, self.scratch, self.recipe = program, scratch, recipe

    def train(self, name: str, users: list[dict], store: str = "", **fleet: object) -> dict:
        """The last line of the fleet, with its wall time and a digest of each file in its store, a folder unless named."""
        write_users(self.scratch / f"{name}.jsonl", users)
        section = {"jobs": str(self.scratch / f"{name}.jsonl"), "store": store or str(self.scratch / f"{name}-store")}
        section |= self.recipe["fleet"] | fleet
        (self.scratch / f"{name}.yaml").write_text(
            json.dumps(self.recipe | {"fleet": section, "output": str(self.scratch / name)})
        )
        fresh = [str(self.scratch / name), *([] if store else [section["store"]])]
        subprocess.run(["rm", "-rf", *fresh], check=True)
        command = [self.program, "train", str(self.scratch / f"{name}.yaml"), "-q", "--json"]
        begin = time.monotonic()
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        wall = time.monotonic() - begin
        files = [] if store else Path(section["store"]).rglob("*.safetensors")
        rows = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        return json.loads(run.stdout.splitlines()[-1]) | {"wall_seconds": wall, "rows": rows}


def gemm_rate(program: str, dtype: str) -> float:
    """FLOP/s of the best backend, the best of three times that `loraxs doctor` measures it now: each is a moment's."""
    command = [program, "doctor", "--json"]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    speeds = [speed for run in runs for speed in json.loads(run.stdout)["gemm_384x1184"]]
    return 1e12 * max(speed["tflops"] for speed in speeds if speed["dtype"] == dtype)


def floor_operations(model: Path, rank: int) -> int:
    """4 (P + r S) of a BERT with LoRA-XS on query, value and both outputs: operations of a step for each token."""
    config = json.loads((model / "config.json").read_text())
    width, inner, layers = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    parameters = layers * (4 * width * width + 2 * width * inner)
    spans = layers * (3 * (2 * width) + (inner + width))  # in + out of query, value and attention output; MLP output
    return 4 * (parameters + rank * spans)

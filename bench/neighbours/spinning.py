"""What waiting threads cost: training alone and beside busy processes on two cores, by GOMP_SPINCOUNT.

bench/neighbours/spinning.py [--program build/loraxs] [--rounds 5] [--counts default 0 1000 10000 300000]

Settings take turns inside each round, so that what the machine does otherwise meets all of them; ratios are medians over
rounds of the ratio to libgomp's own count, 300000, in the same round. "default" is what the launcher sets. Quiet figures need a
quiet machine.
"""

import argparse
import contextlib
import csv
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

COMPANY = ("alone", "busy loop", "another training")
LIBGOMP = "300000"


def write_inputs(folder: Path, model: Path) -> Path:
    """A recipe over 2,048 questions without validation data."""
    with open("data/qnli/train.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:2048]
    with open(folder / "train.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"{row['question']} {row['sentence']}", row["label"]] for row in rows)
    recipe = {
        "model": str(model.resolve()),
        "method": {"rank": 16},
        "task": {"name": "classification", "train": str(folder / "train.csv")},
        "train": {"batch_size": 32, "max_length": 128, "checkpoint_seconds": 3600},
        "output": "unused",
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path


def environment(count: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return clean if count == "default" else clean | {"GOMP_SPINCOUNT": count}


def train(program: str, recipe: Path, folder: Path, name: str, steps: int) -> list[str]:
    return [program, "train", str(recipe), "--set", f"train.max_steps={steps}", "--set", f"output={folder / name}", "--cache", str(folder / "cache"), "-q", "--json"]  # fmt: skip


@contextlib.contextmanager
def beside(company: str, command: list[str]):
    """The other process, until the block ends. The other training keeps libgomp's own way of waiting."""
    if company == "alone":
        yield
        return
    words = ["sh", "-c", "while :; do :; done"] if company == "busy loop" else command
    with subprocess.Popen(words, env=environment(LIBGOMP), stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/loraxs")
    parser.add_argument("--model", type=Path, default=Path("models/minilm"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--company", nargs="+", choices=COMPANY, default=list(COMPANY))
    parser.add_argument("--counts", nargs="+", default=["default", "0", "1000", "10000", LIBGOMP])
    options = parser.parse_args()
    if LIBGOMP not in options.counts:
        options.counts.append(LIBGOMP)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_inputs(folder, options.model)
        number = 0

        def speed(count: str) -> float:
            nonlocal number
            number += 1
            command = train(options.program, recipe, folder, f"run-{number}", options.steps)
            done = subprocess.run(command, env=environment(count), stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(done.stdout.splitlines()[-1])["sentences_per_second"]

        speed(LIBGOMP)  # fills the cache of bases
        for company in options.company:
            speeds: dict[str, list[float]] = {count: [] for count in options.counts}
            for round_number in range(options.rounds):
                turn = round_number % len(options.counts)
                for count in options.counts[turn:] + options.counts[:turn]:
                    other = train(options.program, recipe, folder, f"other-{number}", 1_000_000)
                    with beside(company, other):
                        speeds[count].append(speed(count))
            for count, found in speeds.items():
                ratios = [x / y for x, y in zip(found, speeds[LIBGOMP], strict=True)]
                print(f"{company}\tspin count {count}\t{statistics.median(found):.1f} sentences/s\tratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

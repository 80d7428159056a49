"""kill -9 at every file call of checkpoint writing and at random moments, then --resume: the run must end with the same bytes.

usage: kill_resume.py PROGRAM PRELOAD ORACLES
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 12
RANDOM_KILLS = 20


def make_model(oracles: Path, folder: Path) -> None:
    shutil.copytree(oracles / "tiny_paper", folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")


def make_data(folder: Path) -> None:
    generator = random.Random(1)
    for name, rows in (("train.csv", 96), ("validation.csv", 40)):
        lines = ["text,label"]
        for _ in range(rows):
            words = [generator.choice(["abc", "xyz", "hello", "kq"]) for _ in range(generator.randrange(1, 8))]
            lines.append(f"{' '.join(words)},{'yes' if 'xyz' in words else 'no'}")
        (folder / name).write_text("\n".join(lines) + "\n")


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def results_of(folder: Path) -> dict[str, bytes]:
    names = ["metrics.jsonl", *(f"seed-{s}/{kind}.safetensors" for s in (0, 1) for kind in ("best", "last"))]
    return {name: (folder / name).read_bytes() for name in names}


def main() -> None:
    program, preload, oracles = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    failures, kills = [], 0
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        make_model(oracles, scratch / "model")
        make_data(scratch)
        recipe = {
            "model": str(scratch / "model"),
            "method": {"rank": 4, "init_std": 0.3},
            "task": {"name": "classification", "train": str(scratch / "train.csv"), "validation": str(scratch / "validation.csv")},
            "train": {"epochs": 2, "batch_size": 16, "seeds": [0, 1], "checkpoint_seconds": 0, "log_every": 1, "max_length": 32},
            "threads": 1,
        }  # fmt: skip

        def command(name: str, *more: str) -> list[str]:
            path = scratch / "recipe.yaml"
            path.write_text(json.dumps(recipe | {"output": "unused"}))
            cache = str(scratch / "cache")
            return [
                program,
                "train",
                str(path),
                "--set",
                f"output={scratch / name}",
                "--cache",
                cache,
                "-q",
                "--json",
                *more,
            ]

        count_file = scratch / "count"
        whole = run(command("whole"), LD_PRELOAD=preload, COUNT_FILE=str(count_file))
        if whole.returncode != 0:
            sys.exit(f"the uninterrupted run failed: {whole.stderr}")
        reference = results_of(scratch / "whole")
        events = [json.loads(line) for line in reference["metrics.jsonl"].splitlines()]
        steps = [event["step"] for event in events if event["event"] == "step"]
        if steps != list(range(1, STEPS + 1)):
            sys.exit(f"expected step lines 1 to {STEPS}, found {steps}")
        total = int(count_file.read_text())

        def check(name: str, what: str) -> None:
            resumed = run(command(name, "--resume"))
            if resumed.returncode != 0:
                failures.append(f"{what}: resume failed: {resumed.stderr.strip()}")
            elif results_of(scratch / name) != reference:
                found = results_of(scratch / name)
                failures.append(f"{what}: differs in {[key for key in reference if found[key] != reference[key]]}")
            shutil.rmtree(scratch / name, ignore_errors=True)

        # Calls of two checkpoints in the middle (one with the removal of an old one), and the first calls of a run.
        per_step = total // STEPS
        for call in [*range(1, 6), *range(total // 2, total // 2 + 2 * per_step)]:
            killed = run(command("killed"), LD_PRELOAD=preload, KILL_AT=str(call))
            if killed.returncode != -9:
                failures.append(f"call {call}: expected to be killed, exit {killed.returncode}: {killed.stderr}")
                shutil.rmtree(scratch / "killed", ignore_errors=True)
                continue
            kills += 1
            check("killed", f"call {call}")
        generator = random.Random(2)
        for number in range(RANDOM_KILLS):
            process = subprocess.Popen(command("random"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(0.2, 0.7))
            process.kill()
            process.wait()
            check("random", f"random kill {number}")
    print(f"{kills} kills at file calls of {total}, {RANDOM_KILLS} at random moments, {len(failures)} failures")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()

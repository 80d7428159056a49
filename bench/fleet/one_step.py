"""One optimizer step on one new example for each of many users, their rows out of LMDB and into it again: as a fleet, against one by one.

usage: one_step.py [--users 1000] [--rounds 3]

First every user gets an adapter. Then each round starts `own` from a copy of that store: all users in one fleet; the same with one
slot, which is one by one in one warm process. Updates per second of the whole program, less the time of a fleet of one user, which
is the start-up of both. Rows must be the same bytes.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from fleet_runs import FleetRuns, classifiers, make_users, read_texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/release/loraxs")
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    recipe = classifiers(args.model, max_steps=1, batch_size=4, checkpoint_seconds=3600)
    users = list(make_users(args.users, 5, read_texts(args.train, 1, True)))
    first = [user | {"examples": user["examples"][:4], "labels": ["no", "yes"]} for user in users]
    new = [
        user | {"examples": user["examples"][4:], "labels": ["no", "yes"], "batch_size": 1, "start": "own"}
        for user in users
    ]
    rates: dict[str, list[float]] = {"fleet": [], "one by one": []}
    same = 0
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        runs = FleetRuns(args.program, scratch, recipe)
        runs.train("first", first, f"lmdb://{scratch}/first-lmdb")

        def update(name: str, some: list[dict], slots: object) -> float:
            """Seconds of the whole program."""
            shutil.rmtree(scratch / f"{name}-lmdb", ignore_errors=True)
            shutil.copytree(scratch / "first-lmdb", scratch / f"{name}-lmdb")
            done = runs.train(name, some, f"lmdb://{scratch}/{name}-lmdb", slots=slots)
            assert done["done"] == done["steps"] == len(some), done
            return done["wall_seconds"]

        def rows(name: str) -> list[tuple[str, str]]:
            command = [args.program, "store", "list", f"lmdb://{scratch}/{name}-lmdb", "--json"]
            listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return [(row["name"], row["row_digest"]) for row in map(json.loads, listed.splitlines())]

        for _ in range(args.rounds):
            start = update("one", new[:1], 1)
            rates["fleet"].append((args.users - 1) / (update("fleet", new, "auto") - start))
            rates["one by one"].append((args.users - 1) / (update("serial", new, 1) - start))
            same += rows("fleet") == rows("serial")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name:12} {rate:8.1f} updates/s ({min(rates[name]):.1f} to {max(rates[name]):.1f})")
    print(
        f"the fleet is {medians['fleet'] / medians['one by one']:.2f} times one by one; {args.users} users; same rows in {same} of {args.rounds} rounds"
    )


if __name__ == "__main__":
    main()

"""Small jobs beside a large one: when each of them is done, against the same jobs without it.

usage: small_beside_large.py [--small 64] [--examples 8] [--large 10000] [--epochs 5] [--rounds 3]; PYTHONPATH has the module

The large job stands first in the list, takes a slot and is encoded first; it is stopped when the small ones are done. Time runs from
the first step to the end of the first, the second, … small job, model and basis apart.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import loraxs
from fleet_runs import classifiers, make_users, read_texts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--small", type=int, default=64)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    texts = read_texts(args.train, 1, True)
    small = list(make_users(args.small, args.examples, texts))
    (large,) = make_users(1, args.large, texts)
    large["name"] = "large"
    worst, last = [], []
    for _ in range(args.rounds):
        times = [ends_of(args, jobs) for jobs in (small, [large, *small])]
        ratios = [beside / without for without, beside in zip(*times, strict=True)]
        worst.append(max(ratios))
        last.append(ratios[-1])
        print(f"{args.small} of {args.examples}: {times[0][-1]:.2f} s; beside one of {args.large}: {times[1][-1]:.2f} s", flush=True)  # fmt: skip
    print(f"the last is done after {statistics.median(last):.2f} times the time, the worst after {statistics.median(worst):.2f} (bar 1.5)")  # fmt: skip


def ends_of(args: argparse.Namespace, jobs: list[dict]) -> list[float]:
    """Seconds after which so many of the small jobs were done: 1, 2, …"""
    with tempfile.TemporaryDirectory() as scratch:
        recipe = classifiers(args.model, epochs=args.epochs, batch_size=4)
        recipe |= {"threads": args.threads, "output": f"{scratch}/run"}
        fleet = loraxs.Fleet(recipe, jobs=jobs, store=f"lmdb://{scratch}/store")
        ends: list[float] = []
        begin = time.monotonic()
        while len(ends) < args.small:
            fleet.step()
            ends += [time.monotonic() - begin] * (fleet.counts["done"] - len(ends))
        return ends


if __name__ == "__main__":
    main()

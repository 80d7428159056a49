"""A fleet on a Ray cluster of one node against the fleet itself in one process: sentences per second of training, whether rows are the same.

usage: ray_rate.py [--users 1000] [--examples 16] [--rounds 2] [--cpus 2]; PYTHONPATH has the module and tests

Users as in against_serial.py. Both sides are measured from the moment the first user could be trained, the model's opening included, to
the last row in an LMDB store; Ray's and the workers' start is said beside. Rounds are interleaved, rates are medians.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from fleet_runs import make_users, read_texts
from support.ray_cluster import SmallCluster, content

import loraxs  # isort: skip
import loraxs.ray  # isort: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    args = parser.parse_args()
    users = list(make_users(args.users, args.examples, read_texts(args.train, 1, True)))
    settings = {
        "method": {"rank": 16},
        "task": {"name": "classification"},
        "train": {"epochs": 1, "batch_size": 4},
        "fleet": {"validation": 0.0},
    }
    alone, spread, starts = [], [], []
    same = 0
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        cluster = SmallCluster(1, args.cpus)
        try:
            for turn in range(args.rounds):
                one, many = f"lmdb://{scratch}/one-{turn}", f"lmdb://{scratch}/many-{turn}"
                recipe = settings | {"model": args.model, "threads": args.cpus, "output": str(scratch / f"run-{turn}")}
                begin = time.monotonic()
                done = loraxs.train_fleet(recipe, jobs=users, store=one)
                alone.append(done["sentences"] / (time.monotonic() - begin))
                done = loraxs.ray.train_fleet(users, store=many, model=args.model, **settings)
                spread.append(done["sentences_per_second"])
                starts.append(done["seconds"] - done["train_seconds"])
                same += content(one, scratch) == content(many, scratch)
                print(f"round {turn + 1}: {alone[-1]:.1f} alone, {spread[-1]:.1f} on Ray", flush=True)
        finally:
            cluster.close()
    ratio = statistics.median(spread) / statistics.median(alone)
    print(f"one process   {statistics.median(alone):8.1f} sentences/s ({min(alone):.1f} to {max(alone):.1f})")
    print(
        f"one Ray node  {statistics.median(spread):8.1f} sentences/s ({min(spread):.1f} to {max(spread):.1f}); {ratio:.3f} of it"
    )
    print(f"{args.users} users of {args.examples}, {args.cpus} CPUs; the worker's start took {statistics.median(starts):.1f} s; same store in {same} of {args.rounds} rounds")  # fmt: skip


if __name__ == "__main__":
    main()

"""A fleet over three nodes of a Ray cluster while workers and nodes die, against the store of one process: no user lost, double or other.

usage: ray_soak.py ORACLES [--users 500] [--kills 10] [--epochs 20]
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from support.fleet_users import make_users
from support.ray_cluster import SmallCluster, content, workers
from support.tiny_run import make_model, make_recipe

import loraxs  # isort: skip
import loraxs.ray  # isort: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("oracles", type=Path)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    generator = random.Random(3)
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        make_model(args.oracles.resolve(), scratch / "model")
        users = make_users(args.users)
        settings = {
            "method": make_recipe(scratch)["method"],
            "task": {"name": "classification"},
            "train": {"epochs": args.epochs, "batch_size": 4, "learning_rate": 0.02, "max_length": 32},
            "fleet": {"validation": 0.2},
        }
        recipe = settings | {"model": str(scratch / "model"), "threads": 1, "output": str(scratch / "run")}
        begin = time.monotonic()
        alone = loraxs.train_fleet(recipe, jobs=users, store=f"lmdb://{scratch}/one", cache=scratch / "cache")
        seconds = time.monotonic() - begin
        cluster = SmallCluster(3)
        # A worker or a node dies each time that so many users have ended.
        moments = sorted(generator.sample(range(1, args.users - args.users // 10), args.kills))
        ended: Counter = Counter()
        kills: Counter = Counter()

        def kill(event: dict) -> None:
            ended.update(f"{line['tenant']}/{line['name']}" for line in event["users"])
            if not moments or event["done"] < moments[0] or not (living := workers()):
                return
            moments.pop(0)
            if len(kills) and generator.random() < 0.5:
                cluster.lose_node()
                cluster.add_node()
                kills["nodes"] += 1
            else:
                os.kill(generator.choice(living), signal.SIGKILL)
                kills["workers"] += 1

        try:
            done = loraxs.ray.train_fleet(
                users,
                store=f"lmdb://{scratch}/many",
                model=scratch / "model",
                cache=scratch / "cache",
                progress=kill,
                report=1,
                **settings,
            )
        finally:
            cluster.close()
        one, many = content(f"lmdb://{scratch}/one", scratch), content(f"lmdb://{scratch}/many", scratch)
        assert alone["done"] == done["done"] == args.users, (alone["done"], done["done"])
        assert sum(kills.values()) == args.kills and done["deaths"] >= args.kills, (kills, done["deaths"])
        assert set(ended.values()) == {1} and len(ended) == args.users, "a user was told of twice, or never"
        assert one == many, f"{sum(one[title] != many.get(title) for title in one)} adapters differ"
        print(
            f"{args.users} users, {dict(kills)} killed, {done['deaths']} deaths seen: the same store as one process; "
            f"{done['train_seconds']:.0f} s on three nodes, {seconds:.0f} s in one process"
        )


if __name__ == "__main__":
    main()

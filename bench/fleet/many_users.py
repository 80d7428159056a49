"""Many small users through one fleet into LMDB: whether the last are trained as fast as the first, in the same memory, into a store of their rows' size.

usage: many_users.py [--users 10000] [--examples 16] [--epochs 2]; PYTHONPATH has the module

Prints the rate of each tenth of the users, by the clock and by the process' own CPU time (what else the machine does is not in that), that of
the last over that of the second, the process' peak memory over its peak when a twentieth (500 of 10,000) were done, and the store's
bytes over those of its rows alone.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import loraxs
from fleet_runs import classifiers, make_users, read_texts, write_users
from safetensors import safe_open


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--train", type=Path, default=Path("data/qnli/train.tsv"))
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.users < 1000:
        parser.error("--users: expected at least 1000: equal users end 64 at a time, and a tenth must hold more")
    tenth = args.users // 10
    marks = [(0, time.monotonic(), time.process_time())]  # users done, when, and CPU seconds until then; once a tenth
    peaks: list[int] = []

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def mark(done: int) -> None:
        marks.append((done, time.monotonic(), time.process_time()))
        print(f"{done} users, {marks[-1][2] - marks[0][2]:.0f} CPU s, peak {peak() >> 10} MB", file=sys.stderr, flush=True)  # fmt: skip

    def watch(counts: dict) -> None:
        if not peaks and counts["done"] >= args.users // 20:
            peaks.append(peak())
        if counts["done"] >= min(tenth * len(marks), args.users):
            mark(counts["done"])

    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        write_users(scratch / "users.jsonl", make_users(args.users, args.examples, read_texts(args.train, 1, True)))
        store = f"lmdb://{scratch}/store"
        recipe = classifiers(args.model, epochs=args.epochs, batch_size=4)
        recipe |= {"threads": args.threads, "output": str(scratch / "run")}
        marks[0] = (0, time.monotonic(), time.process_time())
        done = loraxs.train_fleet(recipe, jobs=scratch / "users.jsonl", store=store, progress=watch)
        peaks.append(peak())
        if marks[-1][0] < args.users:
            mark(args.users)  # the last round is told of to nobody
        assert done["done"] == args.users, done
        bytes_ = sum(path.stat().st_blocks * 512 for path in (scratch / "store").rglob("*") if path.is_file())
        file = loraxs.store_get(f"{store}#bench/user-0", scratch / "user-0.safetensors")
        with safe_open(file, "numpy") as adapter:
            row_bytes = 4 * adapter.get_slice("row").get_shape()[0]
        rates, cpu_rates = ([(b[0] - a[0]) / (b[i] - a[i]) for a, b in pairwise(marks)] for i in (1, 2))
        for name, each in (("users_per_second", rates), ("users_per_cpu_second", cpu_rates)):
            print(json.dumps({name: [round(rate, 2) for rate in each]}))
        print(
            f"{args.users} users of {args.examples} sentences, {args.epochs} epochs: {done['sentences_per_second']:.1f} sentences/s"
        )
        print(
            f"last tenth over second   {rates[9] / rates[1]:.3f}   by CPU time {cpu_rates[9] / cpu_rates[1]:.3f} (bar 0.9)"
        )
        print(
            f"peak memory              {peaks[1] / peaks[0]:.3f}   of {peaks[0] / 1024:.0f} MB with a twentieth done (bar 1.05)"
        )
        print(f"store over its rows      {bytes_ / (args.users * row_bytes):.3f}   of {row_bytes} bytes each (bar 1.1)")


if __name__ == "__main__":
    main()

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

from support.tiny_run import make_data, make_model, results_of, run, train_command

STEPS = 12
# All that a checkpoint keeps is in use: evaluations within an epoch, patience, two sets of examples to score.
SETTINGS = [
    part
    for setting in ("eval_every=5", "patience=9", "selection=split", "gradient_accumulation=2")
    for part in ("--set", f"train.{setting}")
]
RANDOM_KILLS = int(os.environ.get("LORAXS_KILLS", "8"))  # scripts/soak takes 200


def main() -> None:
    program, preload, oracles = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    failures, kills = [], 0
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        make_model(oracles, scratch / "model")
        make_data(scratch)

        def command(name: str, *more: str) -> list[str]:
            return train_command(program, scratch, name, *more, *SETTINGS)

        count_file = scratch / "count"
        whole = run(command("whole"), LD_PRELOAD=preload, FAULT_ROOT=scratch_name, COUNT_FILE=str(count_file))
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
            killed = run(
                command("killed"), LD_PRELOAD=preload, FAULT_ROOT=scratch_name, FAULT="kill", FAULT_AT=str(call)
            )
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

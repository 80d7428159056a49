"""The peer's training script, once a seed."""

import json
import statistics
import subprocess
import sys
from pathlib import Path


def peer_values(options: list[str], seeds: int) -> list[float]:
    """train_peer.py with these options: its score of each of the seeds 0 …"""
    command = [sys.executable, str(Path(__file__).parent / "train_peer.py"), *options]
    values = []
    for seed in range(seeds):
        run = subprocess.run([*command, "--seed", str(seed)], check=True, capture_output=True, text=True)
        values.append(json.loads(run.stdout.splitlines()[-1])["value"])
    return values


def error_of_difference(*of_each: tuple[float, int]) -> float:
    """Standard error of the difference between means, each given by its seeds' variance and their number."""
    return sum(variance / count for variance, count in of_each) ** 0.5


def variance(values: list[float]) -> float:
    return statistics.variance(values) if len(values) > 1 else 0.0

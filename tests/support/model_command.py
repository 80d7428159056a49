"""Command lines of the program on one model, as tests of generation and evaluation run it."""

from pathlib import Path


def model_command(program: str, command: str, model: Path | str, cache: Path | str, *more: str) -> list[str]:
    """One thread and float32: what the oracles compute with."""
    settings = ["--model", str(model), "--precision", "float32", "-t", "1", "--cache", str(cache)]
    return [program, command, *settings, *more]

"""Adapters like one that is there, with rows of their own: as many as a test wants, all of one kind."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def digest_of(metadata: dict[str, str], row: bytes) -> str:
    """As docs/formats.md has it."""
    digest = hashlib.sha256()
    for key, value in sorted((k.encode(), v.encode()) for k, v in metadata.items() if k != "digest"):
        for text in (key, value):
            digest.update(len(text).to_bytes(8, "little") + text)
    return digest.update(row) or digest.hexdigest()


def write_varied(like: Path, path: Path, seed: int, deviation: float = 0.3, **changed: str) -> Path:
    """Writes an adapter of the same kind as `like`, but for `changed` metadata, its numbers drawn by `seed`."""
    with safe_open(like, "np") as file:
        metadata, size = dict(file.metadata()) | changed, file.get_tensor("row").size
    row = np.random.default_rng(seed).normal(0, deviation, size).astype(np.float32)
    metadata["digest"] = digest_of(metadata, row.tobytes())
    save_file({"row": row}, path, metadata)
    return path

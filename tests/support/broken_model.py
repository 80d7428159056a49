"""A model that computes no numbers for texts with one token in them."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def break_token(model: Path, folder: Path, token: int) -> Path:
    """A copy of the model folder in which the token's embedding is NaN."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    embedding = next(name for name in weights if name.endswith(("embed_tokens.weight", "word_embeddings.weight")))
    weights[embedding][token] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder

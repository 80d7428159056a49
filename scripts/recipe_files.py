"""What the recipe writers share: glue_recipes.py and decoder_recipes.py."""

import sys
from pathlib import Path


def write_recipes(default_folder: str, recipes: dict[str, str]) -> None:
    """Writes {path: text} below the folder of the command line, else below `default_folder`."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default_folder)
    for name, text in recipes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

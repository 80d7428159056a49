"""The command `loraxs` of the wheel: the program inside the package, with the LibTorch of the torch package beside it.

Not a module of the package loraxs, whose import loads torch: `loraxs --help` answers at once.
"""

import importlib.util
import os
import sys
from pathlib import Path


def folder_of(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"loraxs: expected the package {package} in this environment, found none; pip install {package}")
    return Path(spec.submodule_search_locations[0])


def main() -> None:
    """Becomes the program."""
    program = folder_of("loraxs") / "bin" / "loraxs"
    os.environ.setdefault("LORAXS_TORCH", str(folder_of("torch")))
    os.execv(program, [str(program), *sys.argv[1:]])

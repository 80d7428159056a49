"""Makes the wheel as `make wheel` does and installs it into a fresh environment as a user would. Arguments: BUILD FOLDER.

Leaves the module in FOLDER/site for the other tests of it. The fresh environment has Python, torch and the wheel, nothing else.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

BUILD, FOLDER = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
ROOT = Path(__file__).parents[2]
BARE = {"PATH": "/usr/bin:/bin", "HOME": str(FOLDER)}  # no LORAXS_TORCH, VIRTUAL_ENV or LD_LIBRARY_PATH of the caller
SECONDS = 60  # to install: unpacking, no compiling


def run(*command: object, **options) -> str:
    return subprocess.run([str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout  # fmt: skip


def needed(library: Path) -> set[str]:
    return set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", library)))


shutil.rmtree(FOLDER, ignore_errors=True)
run(ROOT / "scripts/wheel", BUILD, FOLDER / "dist")
(wheel,) = (FOLDER / "dist").glob("*.whl")
pip = ("-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index")
run(sys.executable, *pip, "--target", FOLDER / "site", wheel)

run(sys.executable, "-m", "venv", FOLDER / "fresh")
start = time.monotonic()
run(FOLDER / "fresh/bin/python", *pip, wheel)
seconds = time.monotonic() - start
assert seconds < SECONDS, f"installing the wheel took {seconds:.0f} s"
packages = Path(
    run(FOLDER / "fresh/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
)
only_torch = FOLDER / "only-torch"  # torch and what it imports, by links: installing it again would take minutes
only_torch.mkdir()
for name in ("torch", "torchgen", "functorch", "typing_extensions.py", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock"):  # fmt: skip
    source = Path(torch.__path__[0]).parent / name
    if source.exists():
        (only_torch / name).symlink_to(source)
(packages / "torch.pth").write_text(f"{only_torch}\n")

# The libraries that differ between distributions are the wheel's own, found without the system's.
libraries = list((packages / "loraxs").rglob("*.so*"))
bundled = {path.name for path in (packages / "loraxs/loraxs").iterdir()}
for library in libraries:
    foreign = {name for name in needed(library) if re.match("libicu|liblmdb|libyaml|libpcre|libsentencepiece", name)}
    assert foreign <= bundled, f"{library}: needs {foreign - bundled}"
program = FOLDER / "fresh/bin/loraxs"
version = run(program, "--version", env=BARE).strip()
assert json.loads(run(program, "doctor", "--json", env=BARE))["torch"] == torch.__version__.split("+")[0]
imported = run(FOLDER / "fresh/bin/python", "-c", "import loraxs; print(loraxs.__version__)", env=BARE).strip()
assert imported in version, (imported, version)
refused = subprocess.run([program, "params", "/nowhere"], env=BARE, capture_output=True, text=True, check=False)
assert refused.returncode == 2 and "/nowhere" in refused.stderr, refused
print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, installed in {seconds:.1f} s, {version}")

"""pip-installs the Python module as a user would, on the library that is built already. Arguments: BUILD FOLDER."""

import shutil
import subprocess
import sys
from pathlib import Path

BUILD, FOLDER = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
ROOT = Path(__file__).parents[2]

subprocess.run(["cmake", "--install", BUILD, "--prefix", FOLDER / "prefix"], check=True, stdout=subprocess.DEVNULL)
site = FOLDER / "site"
shutil.rmtree(site, ignore_errors=True)
settings = {
    "build-dir": FOLDER / "build",
    "cmake.define.LORAXS_PREBUILT": "ON",
    "cmake.define.CMAKE_PREFIX_PATH": FOLDER / "prefix",
}
options = [f"--config-settings={key}={value}" for key, value in settings.items()]
command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", *options, "--target", site, ROOT]  # fmt: skip
subprocess.run(command, check=True)
